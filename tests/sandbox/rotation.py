"""Corrects KMS's automatic rotation where MiniStack is kinder than AWS, and rotates on demand.

https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyRotationStatus.html
https://docs.aws.amazon.com/kms/latest/APIReference/API_EnableKeyRotation.html
"""

import functools
import os
import time

from ministack.core.responses import error_response_json, json_response
from ministack.services import kms

from . import cloudtrail, keys, lag, material

_LISTS = ("ALL_KEY_MATERIAL", "ROTATIONS_ONLY")
_ROTATIONS_ON_DEMAND = 25


def install():
    for name in ("_disable_key_rotation", "_enable_key_rotation", "_get_key_rotation_status"):
        setattr(kms, name, _of_key(_get if name.startswith("_get") else _put, getattr(kms, name)))
    kms._list_key_rotations, kms._rotate_key_on_demand = _list_key_rotations, _rotate_key_on_demand


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


def _rotate_key_on_demand(request):
    """Rotates a key at once. AWS completes such a rotation later.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_RotateKeyOnDemand.html
    """
    key = kms._resolve_key(request.get("KeyId", ""))
    if refusal := _not_rotating(key, request) or _may_not_rotate(key):
        return refusal
    before, waiting = material.of(key), material.pending(key)
    done = {"pending": False, "date": time.time(), "type": "ON_DEMAND"}
    made = waiting or {"id": os.urandom(32).hex(), "imported": True}
    previous = [one["id"] for one in before if not one.get("pending")][-1]
    for member in material.members(key):
        had = material.of(member) if waiting else [*before, made]
        member["_materials"] = [one | done if one["id"] == made["id"] else one for one in had]
        if waiting:
            material.settle(member)
    # https://docs.aws.amazon.com/kms/latest/developerguide/ct-rotatekey.html
    details = {
        "rotationType": "ON_DEMAND",
        "keyOrigin": key["Origin"],
        "previousKeyMaterialId": previous,
        "currentKeyMaterialId": made["id"],
        "keyId": key["KeyId"],
    }
    event = functools.partial(cloudtrail.put_service_event, "RotateKey", key["Arn"], serviceEventDetails=details)
    lag.call().followers.append(event)
    return json_response({"KeyId": key["KeyId"]})


def _not_rotating(key, request):
    """Returns the refusal for a key that can never have several materials.

    "This parameter can only be used with KMS keys that support automatic or on-demand key
    rotation."
    """
    if key is None:
        return error_response_json("NotFoundException", f"Key {request.get('KeyId', '')} not found")
    if not material.is_symmetric(key) or key["Origin"] not in ("AWS_KMS", "EXTERNAL"):
        return _unsupported(f"{key['Arn']} does not support rotation.")
    return None


def _may_not_rotate(key):
    # "You cannot initiate on-demand rotation of AWS managed KMS keys." "Invoke the on-demand
    # rotation on the primary key."
    if key.get("KeyManager") == "AWS" or key.get("_mrk_type") == "REPLICA":
        return _unsupported(f"{key['Arn']} does not support on-demand rotation.")
    if wrong := kms._check_key_state(key):
        return wrong
    if sum(one.get("type") == "ON_DEMAND" for one in material.of(key)) >= _ROTATIONS_ON_DEMAND:
        return error_response_json("LimitExceededException", f"{key['Arn']} was rotated on demand 25 times.")
    # "You must have already imported new key material and that key material's state should be
    # PENDING_ROTATION."
    if key["Origin"] == "EXTERNAL" and _state(key, material.pending(key)) != "PENDING_ROTATION":
        return error_response_json("KMSInvalidStateException", f"{key['Arn']} has no new key material.")
    return None


def _state(key, one):
    if one is None:
        return None
    if not one.get("pending"):
        return "CURRENT" if one["id"] == kms._key_material_id(key) else "NON_CURRENT"
    found = [material.pending(member) for member in material.members(key)]
    if all(one and one["imported"] for one in found):
        return "PENDING_ROTATION"
    return "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"


def _list_key_rotations(request):
    """Lists the rotations of a key, or all its materials.

    A replica lists the rotations of its primary key, which gives it each new material:
    https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html#multi-region-rotate

    https://docs.aws.amazon.com/kms/latest/APIReference/API_ListKeyRotations.html
    """
    key = kms._resolve_key(request.get("KeyId", ""))
    if refusal := _not_rotating(key, request):
        return refusal
    chosen = request.get("IncludeKeyMaterial", "ROTATIONS_ONLY")
    if chosen not in _LISTS:
        return error_response_json("ValidationException", f"IncludeKeyMaterial is one of {', '.join(_LISTS)}.")
    listed = [one for one in material.of(key) if "date" in one or chosen == "ALL_KEY_MATERIAL"]
    return keys.page("Rotations", [_shown(key, one) for one in listed], request, 100)


def _shown(key, one):
    """Returns the entry of a material.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_RotationsListEntry.html
    """
    shown = {"KeyId": key["KeyId"], "KeyMaterialId": one["id"], "KeyMaterialState": _state(key, one)}
    if "date" in one:
        shown |= {"RotationDate": one["date"], "RotationType": one["type"]}
    if key["Origin"] == "EXTERNAL":
        shown["ImportState"] = "IMPORTED" if one["imported"] else "PENDING_IMPORT"
        if one["imported"]:
            shown["ExpirationModel"] = material.EXPIRES if one.get("valid_to") else material.STAYS
        shown |= {"ValidTo": one["valid_to"]} if one.get("valid_to") else {}
        shown |= {"KeyMaterialDescription": one["description"]} if "description" in one else {}
    return shown
