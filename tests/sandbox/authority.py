"""Decides if AWS services may act in a role's name, and in their own.

MiniStack's evaluator decides, as for the calls that a role makes itself. Refusals to roles and
services are recorded for `GET /_sandbox/denied`.
"""

import contextvars
import copy
import json
import re
import threading
from collections import Counter

from ministack import app as ministack
from ministack.core import iam_actions, iam_evaluator, router
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import iam

from .calls import action
from .cloudtrail import Call

_ROLE = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):role/(?:.*/)?([^/]+)")
_REFUSED = {"AccessDenied", "AccessDeniedException", "AuthorizationError"}
_CODE = re.compile(rb'<Code>([^<]+)</Code>|"(?:__type|code|Code)" ?: ?"([^"]+)"')

_denied, _lock = Counter(), threading.Lock()
_access_key = contextvars.ContextVar("sandbox_access_key", default="")
_is_secure = contextvars.ContextVar("sandbox_is_secure", default=True)
# A request with this header counts as one without TLS. In fact all requests are plain HTTP.
_PLAIN = (b"x-sandbox-without-tls", b"true")


class Denials:
    """Wraps MiniStack and records what it refuses to roles."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["path"].startswith("/_ministack"):
            return await self.app(scope, receive, send)
        _is_secure.set(_PLAIN not in scope["headers"])
        request, answer, status = bytearray(), bytearray(), 0

        async def receive_and_keep():
            message = await receive()
            request.extend(message.get("body", b""))
            return message

        async def keep_and_send(message):
            nonlocal status
            status = message.get("status", status)
            if status in (400, 403):
                answer.extend(message.get("body", b""))
            await send(message)

        await self.app(scope, receive_and_keep, keep_and_send)
        if status in (400, 403) and _code(answer) in _REFUSED:
            call = Call(scope)
            call.request = bytes(request)
            principal = call.principal()
            if isinstance(principal, iam_evaluator.PrincipalInfo):
                refused_role(principal, action(call), _resource(call))


def _code(answer):
    found = _CODE.search(answer)
    return (found[1] or found[2]).decode().rpartition("#")[2] if found else None


def _resource(call):
    known = ministack._routing_params(call.method, call.path, call.headers, call.request, call.query)
    service = "s3" if call.bucket else router.detect_service(call.method, call.path, call.headers, known)
    path = f"/{call.bucket}/{call.key}" if call.bucket else call.path
    with request_scope(call.account, call.region):
        return iam_actions.extract_resource_arn(
            service, call.method, path, call.headers, call.request, known, call.region, call.account
        )


def _role_of(session):
    return iam_evaluator._role_name_from_assumed_arn(session)


def _keep(principal, account, refused, resource):
    with _lock:
        _denied[principal, account, refused, resource] += 1


def denied():
    """Returns the refusals, [{principal, account, action, resource, count}].

    The principal is the name of a role, or of a service that acted in its own name.
    """
    names = ("principal", "account", "action", "resource", "count")
    with _lock:
        return [dict(zip(names, (*what, count), strict=True)) for what, count in sorted(_denied.items())]


def forget(_asked=None):
    """Clears the list of refusals."""
    with _lock:
        _denied.clear()


def is_secure():
    """Returns true if the current request counts as TLS.

    A header of the request can say that it does not.
    """
    return _is_secure.get()


def note_caller(headers, query):
    """Stores the access key of the current request, for `caller`."""
    _access_key.set(router.extract_access_key_id(headers, query))


def caller():
    """Returns the principal of the current request, or `None` if it is unknown."""
    found = iam_evaluator.resolve_principal(_access_key.get(), get_account_id()) if _access_key.get() else None
    return found if isinstance(found, iam_evaluator.PrincipalInfo) else None


def role(arn):
    """Returns a session of an assumed role, or `None` if the role does not exist."""
    found = _ROLE.fullmatch(arn or "")
    known = iam._roles.get_scoped(found[1], None, found[2]) if found else None
    if known is None:
        return None
    account, name = found.groups()
    return iam_evaluator.PrincipalInfo(
        arn=f"arn:aws:sts::{account}:assumed-role/{name}/service",
        type="AssumedRole",
        account=account,
        policies=iam_evaluator._gather_role_policies(name, account),
        limits=iam_evaluator._permissions_boundary(iam._roles, name, account),
    )


def allows(principal, wanted, resource, **context):
    """Returns true if a principal may perform an action on a resource.

    In its own account the principal's policies or the resource's policy suffice. In another account
    both must allow the action. The policy of a key must always allow it.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-basics-single-account.html
    """
    if principal.policies is None:
        return True
    asked = _asked(principal.arn, principal.type, principal.account, wanted, resource, context)
    service = wanted.split(":")[0]
    result = iam_evaluator.evaluate(asked, principal.policies, *principal.limits)
    if (found := iam_evaluator._resource_policy(service, resource)) is not None:
        needed = service in iam_evaluator._POLICY_REQUIRED
        result = iam_evaluator.combine_resource_policy(result, asked, *found, required=needed, limits=principal.limits)
    if result.decision == "Allow":
        return True
    return refused_role(principal, wanted, resource)


def allows_service(service, wanted, resource, **context):
    """Returns true if the resource's policy allows an AWS service that acts in its own name."""
    found = iam_evaluator._resource_policy(wanted.split(":")[0], resource)
    asked = _asked("*", "Service", "", wanted, resource, context)
    policy = found[0] if found else None
    if iam_evaluator.evaluate_resource_policy(policy, asked, service=service).decision == "Allow":
        return True
    return refused_service(service, wanted, resource)


def refused_role(principal, wanted, resource):
    """Records a refusal to a role, and returns false."""
    if principal.type == "AssumedRole":
        _keep(_role_of(principal.arn), principal.account, wanted, resource)
    return False


def refused_service(service, wanted, resource):
    """Records a refusal to a service, and returns false."""
    _keep(service, get_account_id(), wanted, resource)
    return False


def assumed(role_arn, service, **context):
    """Returns a session of the role that a service assumes.

    Returns `None` if the role does not exist or does not trust the service.
    """
    return role(role_arn) if trusts(role_arn, service, **context) else None


def trusts(role_arn, service, **context):
    """Returns true if the role's trust policy lets an AWS service assume it.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html#principal-services
    """
    found = _ROLE.fullmatch(role_arn or "")
    known = iam._roles.get_scoped(found[1], None, found[2]) if found else None
    if known is None:
        return False
    trust = known["AssumeRolePolicyDocument"]
    trust = copy.deepcopy(trust) if isinstance(trust, dict) else json.loads(trust)
    asked = _asked("*", "Service", "", "sts:AssumeRole", role_arn, context)
    if iam_evaluator.evaluate_resource_policy(trust, asked, service=service).decision == "Allow":
        return True
    return refused_service(service, "sts:AssumeRole", role_arn)


def _asked(arn, kind, account, wanted, resource, context):
    """Returns the request to evaluate.

    The keys of `context` are spelled as Python names: `aws_sourcearn` for `aws:SourceArn`.
    """
    return iam_evaluator.EvalContext(
        principal_arn=arn,
        principal_type=kind,
        principal_account=account,
        action=wanted,
        resource_arn=resource,
        region=get_region(),
        service_context={name.lower().replace("_", ":", 1): value for name, value in context.items()},
    )
