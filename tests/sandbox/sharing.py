"""The key policy `AWS_RAM` of a key that is shared through AWS Resource Access Manager.

GetKeyPolicy returns it by its name, and PutKeyPolicy cannot change it:
https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyPolicy.html
https://docs.aws.amazon.com/kms/latest/APIReference/API_PutKeyPolicy.html

MiniStack has no Resource Access Manager, so an endpoint of the sandbox sets the policy. AWS
documents no event of KMS for it. It belongs to one key, so a replica has its own.
"""

import json

from ministack.core.responses import error_response_json, json_response
from ministack.services import kms

from . import keys, lag

_SHARED = "AWS_RAM"
_FIELD = "_shared_policy"


def install():
    default, shared = kms._get_key_policy, keys.shuffled(_get_shared)
    kms._get_key_policy = lambda request: (default if _name(request) == "default" else shared)(request)
    kms._put_key_policy = _put_default(kms._put_key_policy)
    kms._list_key_policies = _list(kms._list_key_policies)
    kms.key_policy_for_arn = _both(kms.key_policy_for_arn)


def put(asked):
    """Sets the policy of a share, or removes it.

    Raises LookupError for an unknown key, and ValueError for a policy that is not JSON.
    """
    key, policy = keys.stored(asked["key"]), asked["policy"]
    if policy is not None:
        json.loads(policy)
    lag.note_write_of_key(key)
    key[_FIELD] = policy
    return {}


def _name(request):
    return request.get("PolicyName") or "default"


def _get_shared(request):
    key = kms._resolve_key(request.get("KeyId", ""))
    policy = key.get(_FIELD) if key and _name(request) == _SHARED else None
    if policy is None:
        return error_response_json("NotFoundException", f"No such policy exists: {_name(request)}")
    return json_response({"Policy": policy, "PolicyName": _SHARED})


def _put_default(put_key_policy):
    def put_default(request):
        if _name(request) != "default":
            return error_response_json("ValidationException", "The only valid policy name is default.")
        return put_key_policy(request)

    return put_default


def _list(list_key_policies):
    """Lists both policies.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_ListKeyPolicies.html
    """

    def listing(request):
        key = kms._resolve_key(request.get("KeyId", ""))
        if key is None:
            return list_key_policies(request)
        return keys.page("PolicyNames", ["default"] + ([_SHARED] if key.get(_FIELD) else []), request, 100)

    return listing


def _both(key_policy_for_arn):
    """Authorizes with the statements of both policies.

    AWS does not say how the two policies count together.
    """

    def policy_for_arn(arn):
        found = key_policy_for_arn(arn)
        shared = kms._resolve_key(arn).get(_FIELD) if found else None
        if not shared:
            return found
        policy, owner = found
        statements = [*_statements(policy), *_statements(shared)]
        return json.dumps({"Version": "2012-10-17", "Statement": statements}), owner

    return policy_for_arn


def _statements(policy):
    try:
        statements = json.loads(policy)["Statement"]
    except (KeyError, TypeError, ValueError):
        return []
    return statements if isinstance(statements, list) else [statements]
