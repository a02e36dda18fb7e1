"""Corrects KMS's automatic rotation where MiniStack is kinder than AWS.

https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyRotationStatus.html
https://docs.aws.amazon.com/kms/latest/APIReference/API_EnableKeyRotation.html
"""

from ministack.core.responses import error_response_json, json_response
from ministack.services import kms


def install():
    for name in ("_disable_key_rotation", "_enable_key_rotation", "_get_key_rotation_status"):
        setattr(kms, name, _of_key(_get if name.startswith("_get") else _put, getattr(kms, name)))


def _of_key(ours, theirs):
    def operation(request):
        key = kms._resolve_key(request.get("KeyId", ""))
        return (ours(key, request) if key else None) or theirs(request)

    return operation


def _get(key, _request):
    # https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html#key-state-table
    if key["Origin"] != "AWS_KMS":
        return _unsupported(f"{key['Arn']} origin is {key['Origin']} which is not valid for this operation.")
    kept = _primary(key)
    # "The key rotation status for AWS managed KMS keys is always true."
    enabled = kept.get("KeyRotationEnabled", False) or kept.get("KeyManager") == "AWS"
    # "While a KMS key is pending deletion, its key rotation status is false". An asymmetric key
    # always has that status.
    if not enabled or key["KeyState"] == "PendingDeletion":
        return json_response({"KeyId": key["Arn"], "KeyRotationEnabled": False})
    days = kept.get("RotationPeriodInDays", 365)
    return json_response({"KeyId": key["Arn"], "KeyRotationEnabled": True, "RotationPeriodInDays": days})


def _put(key, request):
    """Returns the refusal to enable or disable rotation, if there is one."""
    if key["Origin"] != "AWS_KMS" or key["KeySpec"] != "SYMMETRIC_DEFAULT" or _primary(key) is not key:
        return _unsupported(f"{key['Arn']} does not support automatic rotation.")
    if not 90 <= request.get("RotationPeriodInDays", 365) <= 2560:
        return error_response_json("ValidationException", "RotationPeriodInDays must be between 90 and 2560")
    return kms._check_key_state(key)


def _primary(key):
    """Returns the key that has the rotation settings: of multi-Region keys, the primary.

    The replicas share these settings.

    https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html#multi-region-rotate
    """
    if key.get("_mrk_type") != "REPLICA":
        return key
    return kms._keys.get_scoped(key["Arn"].split(":")[4], key["_mrk_primary_region"], key["KeyId"]) or key


def _unsupported(message):
    return error_response_json("UnsupportedOperationException", message)
