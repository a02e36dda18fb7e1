"""The operations of the Security Hub API, as a service of MiniStack.

MiniStack's IAM decides first, by the actions and resources of this page:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecurityhub.html
"""

import base64
import itertools
import json
import sys
import types

from ministack import app as ministack
from ministack.core import iam_actions, router
from ministack.core.responses import error_response_json, get_account_id, get_region, json_response

from . import findings


class Refused(Exception):
    """An error of a whole call, with its code in the API."""


def install():
    """Registers the service with MiniStack: routing, IAM actions, handler, reset."""
    module = types.ModuleType("ministack.services.securityhub")
    module.handle_request = handle
    module.reset = findings.reset
    module.get_state = lambda: None
    module.load_persisted_state = lambda _state: None
    sys.modules[module.__name__] = module
    ministack._loaded_modules["securityhub"] = module
    ministack.SERVICE_REGISTRY["securityhub"] = {"module": "securityhub"}
    ministack.SERVICE_HANDLERS["securityhub"] = ministack._lazy_handler("securityhub")
    router.SERVICE_PATTERNS["securityhub"] = {
        "host_patterns": [r"securityhub\."],
        "credential_scope": "securityhub",
    }
    iam_actions.SERVICE_TO_IAM_NAMESPACE["securityhub"] = "securityhub"
    iam_actions._BOTOCORE_SERVICE_MAP["securityhub"] = ["securityhub"]


async def handle(method, path, _headers, body, _query):
    """Answers a request that IAM allowed."""
    operation = _OPERATIONS.get((method, path))
    if operation is None:
        return error_response_json("InvalidInputException", f"the stand-in has no {method} {path}", 400)
    hub = findings.Hub(get_account_id(), get_region())
    try:
        return json_response(operation(hub, json.loads(body or b"{}")))
    except Refused as error:
        return error_response_json(error.args[0], error.args[1], error.args[2])


def _enable(hub, _request):
    hub.enable()
    return {}


def _disable(hub, _request):
    hub.disable()
    return {}


def _describe(hub, _request):
    """Answers DescribeHub.

    https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_DescribeHub.html
    """
    _must_be_enabled(hub)
    arn = f"arn:aws:securityhub:{hub.region}:{hub.account}:hub/default"
    return {"HubArn": arn, "SubscribedAt": hub.subscribed_at(), "AutoEnableControls": False}


def _import(hub, request):
    """Answers BatchImportFindings.

    https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_BatchImportFindings.html
    """
    batch = _list(request, "Findings", 1, 100)
    failed = []
    if len(json.dumps(batch)) > 6 * 1024 * 1024:
        raise Refused("LimitExceededException", "a batch has at most 6 MB", 429)
    # "If the custom product sends multiple findings with the same finding ID, Security Hub only
    # processes the first finding."
    # https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-custom-providers.html
    first_of_id = {}
    for finding in batch:
        first_of_id.setdefault(finding.get("Id"), finding)
    for identifier, finding in first_of_id.items():
        if problem := hub.put(finding):
            failed.append({"Id": identifier or "", "ErrorCode": problem[0], "ErrorMessage": problem[1]})
    return {"FailedCount": len(failed), "SuccessCount": len(batch) - len(failed), "FailedFindings": failed}


def _get(hub, request):
    """Answers GetFindings.

    https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_GetFindings.html
    """
    _must_be_enabled(hub)
    size = request.get("MaxResults", 100)
    if not 1 <= size <= 100:
        raise Refused("InvalidInputException", "MaxResults is 1 to 100", 400)
    try:
        after = json.loads(base64.urlsafe_b64decode(request["NextToken"])) if request.get("NextToken") else None
        found = list(itertools.islice(hub.find(request.get("Filters"), after), size + 1))
    except (LookupError, TypeError, ValueError) as error:
        raise Refused("InvalidInputException", str(error), 400) from error
    page = {"Findings": [finding for _, finding in found[:size]]}
    if len(found) > size:
        page["NextToken"] = base64.urlsafe_b64encode(json.dumps(found[size - 1][0]).encode()).decode()
    return page


def _update(hub, request):
    """Answers BatchUpdateFindings.

    https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_BatchUpdateFindings.html
    """
    _must_be_enabled(hub)
    processed, unprocessed = [], []
    for identifier in _list(request, "FindingIdentifiers", 1, 100):
        if hub.edit(identifier, request):
            processed.append(identifier)
        else:
            error = {"ErrorCode": "FindingNotFound", "ErrorMessage": "there is no such finding"}
            unprocessed.append({"FindingIdentifier": identifier, **error})
    return {"ProcessedFindings": processed, "UnprocessedFindings": unprocessed}


def _must_be_enabled(hub):
    if not hub.is_enabled():
        message = f"Account {hub.account} is not subscribed to AWS Security Hub"
        raise Refused("InvalidAccessException", message, 401)


def _list(request, name, least, most):
    items = request.get(name)
    if not isinstance(items, list) or not least <= len(items) <= most:
        raise Refused("InvalidInputException", f"{name} has {least} to {most} entries", 400)
    return items


_OPERATIONS = {
    ("GET", "/accounts"): _describe,
    ("POST", "/accounts"): _enable,
    ("DELETE", "/accounts"): _disable,
    ("POST", "/findings/import"): _import,
    ("POST", "/findings"): _get,
    ("PATCH", "/findings/batchupdate"): _update,
}
