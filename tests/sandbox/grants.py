"""Grants of KMS keys: who may use a key by a grant, and grants for AWS services.

"A grant is a policy instrument that allows AWS principals to use KMS keys in cryptographic
operations": https://docs.aws.amazon.com/kms/latest/developerguide/grants.html

MiniStack stores and lists grants. Here they also count when a call is authorized.
"""

import json
import re

from ministack.core import iam_evaluator
from ministack.core.responses import error_response_json, get_region
from ministack.services import kms

from . import lag

_IDENTITY = re.compile(r"arn:aws[a-z-]*:(iam|sts)::\d{12}:.+")
_SERVICE = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+){2,}")
# The instance of an encrypted volume, as EC2 names it.
# https://docs.aws.amazon.com/kms/latest/developerguide/ct-ec2two.html
_INSTANCE = re.compile(r"\d{12}:aws:ec2-infrastructure:i-[0-9a-f]+")
# Constraints on the encryption context "are not applied to operations that do not support an
# encryption context".
# https://docs.aws.amazon.com/kms/latest/APIReference/API_GrantConstraints.html
_WITHOUT_CONTEXT = ("DescribeKey", "GetPublicKey")


def install():
    # A grant belongs to its key, not to the account that made it. MiniStack keeps each grant where
    # its maker is, where the key's owner would not find it.
    kms._grants = {}
    kms._create_grant, kms._grant_entry = _created(kms._create_grant), _entry(kms._grant_entry)
    kms._list_grants, kms._retire_grant = _listed(kms._list_grants), _retired(kms._retire_grant)
    _patch_authorization()


def of_request(body, region):
    """Returns the grant that a request names by token or id, or `None` if there is none."""
    request = _json(body)
    token, name = request.get("GrantToken"), request.get("GrantId")
    here = [grant for grant in kms._grants.values() if grant["KeyId"].split(":")[3] == region]
    if token:
        return next((grant for grant in here if token in grant["_tokens"]), None)
    return next((grant for grant in here if grant["GrantId"] == name), None)


def forget_key(arn):
    """Removes the grants of a key that is deleted."""
    for name in [name for name, grant in kms._grants.items() if grant["KeyId"] == arn]:
        del kms._grants[name]


def _json(body):
    try:
        return json.loads(body or b"{}")
    except ValueError:
        return {}


def _created(create):
    def create_grant(request):
        if refusal := _refusal(request):
            return refusal
        names = {name: f"{name}Service" for name in ("Grantee", "Retiring")}
        services = {name: request.get(f"{service}Principal") for name, service in names.items()}
        given = {f"{name}Principal": request.get(f"{name}Principal") or services[name] for name in names}
        status, headers, body = create({**request, **given})
        if status == 200:
            kms._grants[json.loads(body)["GrantId"]]["_services"] = [name for name in names if services[name]]
        return status, headers, body

    return create_grant


def _refusal(request):
    """Returns the refusal of a grant that KMS does not make.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateGrant.html
    """
    grantee, service = request.get("GranteePrincipal"), request.get("GranteeServicePrincipal")
    retiring, retiring_service = request.get("RetiringPrincipal"), request.get("RetiringServicePrincipal")
    if bool(grantee) == bool(service):
        return _invalid("Specify either GranteePrincipal or GranteeServicePrincipal.")
    if retiring and retiring_service:
        return _invalid("Specify either RetiringPrincipal or RetiringServicePrincipal.")
    # "When you specify a GranteeServicePrincipal, you must also specify a SourceArn grant
    # constraint. In addition, you must specify either a RetiringPrincipal or a
    # RetiringServicePrincipal."
    if service and not ((request.get("Constraints") or {}).get("SourceArn") and (retiring or retiring_service)):
        return _invalid("A GranteeServicePrincipal needs a SourceArn constraint and a retiring principal.")
    if any(name and not _SERVICE.fullmatch(name) for name in (service, retiring_service)):
        return _invalid("A service principal is a name such as rds.amazonaws.com.")
    for name in filter(None, (grantee, retiring)):
        if not any(form.fullmatch(name) for form in (_IDENTITY, _SERVICE, _INSTANCE)):
            return error_response_json("InvalidArnException", f"ARN does not refer to a valid principal: {name}")
    return None


def _invalid(message):
    return error_response_json("ValidationException", message)


def _entry(entry):
    """Shows the service of a grant as `GranteeServicePrincipal` if the grant was made with it.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_GrantListEntry.html
    """

    def grant_entry(grant):
        shown = entry(grant)
        for name in grant.get("_services", ()):
            shown[f"{name}ServicePrincipal"] = shown.pop(f"{name}Principal")
        return shown

    return grant_entry


def _listed(listing):
    def list_grants(request):
        # "This filter is only usable by callers in a service principal."
        # https://docs.aws.amazon.com/kms/latest/APIReference/API_ListGrants.html
        if "GranteeServicePrincipal" in request:
            return error_response_json("AccessDeniedException", "GranteeServicePrincipal is for services only.")
        return listing(request)

    return list_grants


def _retired(retire):
    def retire_grant(request):
        # MiniStack would find a token of another region, too.
        if request.get("GrantToken") and of_request(json.dumps(request), get_region()) is None:
            return error_response_json("InvalidGrantTokenException", "Invalid grant token.")
        return retire(request)

    return retire_grant


def _patch_authorization():
    """Lets grants allow what no policy allows. An explicit Deny of a policy has precedence.

    https://docs.aws.amazon.com/kms/latest/developerguide/policy-evaluation.html
    """
    combine = iam_evaluator.combine_resource_policy

    def combine_resource_policy(identity, context, policy, owner, required=False, limits=()):
        result = combine(identity, context, policy, owner, required=required, limits=limits)
        if result.decision == "Deny" or not context.action.startswith("kms:"):
            return result
        grant = of_request(_request(), context.region) if context.action == "kms:RetireGrant" else None
        if grant:
            return _decision(_may_retire(grant, identity, context), context)
        if result.decision != "Allow" and any(_allows(grant, identity, context) for grant in kms._grants.values()):
            return _decision(True, context)
        return result

    iam_evaluator.combine_resource_policy = combine_resource_policy


def _decision(allowed, context):
    return iam_evaluator.EvalResult("Allow" if allowed else "ImplicitDeny", context.principal_arn, "", "Grants")


def _may_retire(grant, identity, context):
    """Returns true if the caller may retire a grant.

    These are the retiring principal, the grantee if the grant includes RetireGrant, and the account
    that made the grant. An allowance of kms:RetireGrant in the key's policy has no effect.

    https://docs.aws.amazon.com/kms/latest/developerguide/grant-delete.html
    """
    return (
        _is(grant.get("RetiringPrincipal"), identity, context)
        or ("RetireGrant" in grant["Operations"] and _is(grant["GranteePrincipal"], identity, context))
        or _is(grant["IssuingAccount"], identity, context)
    )


def _allows(grant, identity, context):
    operation = context.action.removeprefix("kms:")
    return (
        grant["KeyId"] == context.resource_arn
        and operation in grant["Operations"]
        and _is(grant["GranteePrincipal"], identity, context)
        and _meets(grant.get("Constraints") or {}, grant, operation, context)
    )


def _is(principal, identity, context):
    """Returns true if a principal of a grant is the caller.

    An account is its identities whose own policies allow the call. AWS documents that accounts can
    be principals of a grant, but not what they need then.
    """
    if not principal or not iam_evaluator._principal_matches({"AWS": principal}, context.principal_arn):
        return False
    return not iam_evaluator._ACCOUNT_PRINCIPAL.fullmatch(principal) or identity.decision == "Allow"


def _meets(constraints, grant, operation, context):
    """Returns true if a call meets the constraints of a grant.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_GrantConstraints.html
    """
    # "This is effectively the same as having the aws:SourceArn global condition key in the grant."
    if constraints.get("SourceArn") not in (None, context.service_context.get("aws:sourcearn")):
        return False
    if operation == "CreateGrant":
        return _is_stricter(_json(_request()), constraints, grant)
    if operation in _WITHOUT_CONTEXT:
        return True
    given = _encryption_context(context)
    equal, part = (_pairs(constraints, name) for name in ("EncryptionContextEquals", "EncryptionContextSubset"))
    return (not equal or equal == given) and part.items() <= given.items()


def _is_stricter(asked, constraints, grant):
    """Returns true if a grant that the grantee makes is at least as strict as its own.

    https://docs.aws.amazon.com/kms/latest/developerguide/create-grant-overview.html#grant-creategrant
    """
    made = asked.get("Constraints") or {}
    equal, part = (_pairs(made, name) for name in ("EncryptionContextEquals", "EncryptionContextSubset"))
    own = _pairs(constraints, "EncryptionContextEquals")
    needed = _pairs(constraints, "EncryptionContextSubset")
    strict = (not own or equal == own) and needed.items() <= (equal | part).items()
    return strict and set(asked.get("Operations") or ()) <= set(grant["Operations"])


def _pairs(constraints, name):
    """Returns the pairs of a constraint. Their keys are not case-sensitive."""
    return {key.lower(): value for key, value in (constraints.get(name) or {}).items()}


def _encryption_context(context):
    """Returns the encryption context of a call to KMS, or of a service's call for its caller."""
    prefix = "kms:encryptioncontext:"
    through = {key.removeprefix(prefix): value for key, value in context.service_context.items() if prefix in key}
    return through or _pairs(_json(_request()), "EncryptionContext")


def _request():
    """Returns the body of the call to KMS that is being answered."""
    call = lag.call()
    is_kms = call is not None and call.headers.get("x-amz-target", "").startswith("TrentService.")
    return call.request if is_kms else b""
