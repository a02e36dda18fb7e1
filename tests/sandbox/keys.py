"""Corrects KMS where MiniStack is stricter or kinder than AWS."""

import json
import random
import re

from ministack.core.responses import error_response_json, get_account_id, get_region, json_response, request_scope
from ministack.services import kms

from . import authority

_KEY_OR_ALIAS = re.compile(r"arn:aws:kms:([a-z0-9-]+):(\d{12}):(key|alias)/(.+)")
# The operations to which another account can be admitted. Admission to any other has no effect.
# https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-modifying-external-accounts.html
_ACROSS_ACCOUNTS = {
    "CreateGrant", "Decrypt", "DeriveSharedSecret", "DescribeKey", "Encrypt", "GenerateDataKey", "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext", "GenerateDataKeyWithoutPlaintext", "GenerateMac", "GetKeyRotationStatus",
    "GetPublicKey", "ListGrants", "ReEncrypt", "RetireGrant", "RevokeGrant", "Sign", "Verify", "VerifyMac",
}  # fmt: skip
# "Specify the key ID or key ARN of the KMS key": aliases are refused.
# https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyPolicy.html
_BY_KEY_ALONE = {
    "DeleteImportedKeyMaterial", "DisableKeyRotation", "EnableKeyRotation", "GetKeyPolicy", "GetKeyRotationStatus",
    "GetParametersForImport", "ImportKeyMaterial", "ListKeyPolicies", "ListKeyRotations", "PutKeyPolicy", "ReplicateKey",
    "RotateKeyOnDemand",
}  # fmt: skip
# The operations that MiniStack lacks, and their functions in its module.
_ADDED = {"ListKeyRotations": "_list_key_rotations", "RotateKeyOnDemand": "_rotate_key_on_demand"}


def install():
    kms._get_key_policy = shuffled(kms._get_key_policy)
    kms._enable_key, kms._disable_key = _unless_pending(kms._enable_key), _unless_pending(kms._disable_key)
    _patch_foreign_keys()
    _patch_references()
    _patch_reserved_aliases()


def stored(arn):
    """Returns the record of a key. Raises LookupError if the key does not exist."""
    _, _, _, region, account, resource = arn.split(":", 5)
    key = kms._keys.get_scoped(account, region, resource.removeprefix("key/"))
    if key is None:
        raise LookupError(f"there is no key {arn}")
    return key


def scope(key):
    """Returns the context of a request to the account and region of a key."""
    _, _, _, region, account, _ = key["Arn"].split(":", 5)
    return request_scope(account, region)


def page(name, items, request, default):
    """Returns the page of a list that a request asks for, of at most 1000 items.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_ListKeyRotations.html
    """
    limit, marker = request.get("Limit", default), request.get("Marker", "0")
    if not isinstance(limit, int) or not 1 <= limit <= 1000:
        return error_response_json("ValidationException", "Limit must be between 1 and 1000.")
    if not marker.isdecimal():
        return error_response_json("InvalidMarkerException", "Invalid marker.")
    start, end = int(marker), int(marker) + limit
    answer = {name: items[start:end], "Truncated": end < len(items)}
    return json_response(answer | ({"NextMarker": str(end)} if end < len(items) else {}))


def _unless_pending(change):
    """Refuses to enable or disable a key that waits for its deletion or for key material.

    https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html#key-state-table
    """

    def operation(request):
        key = kms._resolve_key(request.get("KeyId", ""))
        wrong = kms._check_key_state(key) if key and key["KeyState"].startswith("Pending") else None
        return wrong or change(request)

    return operation


def shuffled(get_key_policy):
    """Makes GetKeyPolicy return the principals of a statement in another order each time.

    https://github.com/aws/aws-cli/issues/9456
    """

    def get(request):
        status, headers, body = get_key_policy(request)
        answer = json.loads(body)
        if "Policy" in answer:
            policy = json.loads(answer["Policy"])
            for statement in policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]:
                principals = statement.get("Principal")
                for named in principals.values() if isinstance(principals, dict) else []:
                    if isinstance(named, list):
                        random.shuffle(named)
            body = json.dumps(answer | {"Policy": json.dumps(policy)}).encode()
        return status, headers, body

    return get


def _patch_foreign_keys():
    """Finds a key of another account by its ARN or the ARN of its alias.

    The key's policy decides if the caller may use it.

    https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-modifying-external-accounts.html
    """
    own = kms._resolve_key

    def resolve(reference):
        return own(reference) or _foreign(reference)

    def key_policy_for_arn(arn):
        key = resolve(arn)
        return (key.get("Policy") or "", key["Arn"].split(":")[4]) if key else None

    kms._resolve_key = resolve
    kms.key_policy_for_arn = key_policy_for_arn


def _foreign(reference):
    match = _KEY_OR_ALIAS.fullmatch(reference or "")
    if not match:
        return None
    region, account, kind, name = match.groups()
    if account == get_account_id() or region != get_region():
        return None
    key = name if kind == "key" else kms._aliases.get_scoped(account, region, reference)
    return kms._keys.get_scoped(account, region, key) if key else None


def _patch_references():
    handle = kms.handle_request

    async def handle_request(method, path, headers, body, query_params):
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        authority.note_caller(headers, query_params)
        if refusal := _refusal(operation, body):
            return refusal
        if operation in _ADDED:
            return getattr(kms, _ADDED[operation])(json.loads(body))
        return await handle(method, path, headers, body, query_params)

    kms.handle_request = handle_request


def _refusal(operation, body):
    try:
        reference = json.loads(body or b"{}").get("KeyId") or ""
    except ValueError:
        return None
    if operation in _BY_KEY_ALONE and ":alias/" in f":{reference}":
        return error_response_json("NotFoundException", f"Invalid keyId {reference}")
    if operation not in _ACROSS_ACCOUNTS and _foreign(reference):
        why = f"not authorized to perform: kms:{operation} on resource: {reference} of another account"
        return error_response_json("AccessDeniedException", why)
    return None


def _patch_reserved_aliases():
    """Makes DescribeKey create the key of a reserved alias that has none yet.

    So cmkwatch must not call it with such an alias. "AWS services use this operation to create AWS
    managed keys":
    https://docs.aws.amazon.com/kms/latest/APIReference/API_DescribeKey.html
    """
    describe, metadata = kms._describe_key, kms._key_metadata

    def key_metadata(key):
        # The related keys of a multi-Region key are of its own account, not of the caller's.
        with scope(key):
            return {**metadata(key), "KeyManager": key.get("KeyManager", "CUSTOMER")}

    def describe_key(request):
        name = request.get("KeyId", "")
        name = name.rpartition(":")[2] if name.startswith(f"arn:aws:kms:{get_region()}:{get_account_id()}:") else name
        if name.startswith("alias/aws/") and not kms._resolve_key(name):
            before = set(kms._keys)
            kms._create_key({"Description": f"Made for {name}"})
            (made,) = set(kms._keys) - before
            kms._keys[made]["KeyManager"] = "AWS"
            kms._create_alias({"AliasName": name, "TargetKeyId": made})
        return describe(request)

    kms._key_metadata = key_metadata
    kms._describe_key = describe_key
