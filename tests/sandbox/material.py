"""The key material of KMS keys: what is imported, when it expires, and how it rotates.

https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys.html
https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html

A key has a list of materials, the oldest first. The bytes with which MiniStack encrypts are those
of the first one, even after a rotation. So what was encrypted before can still be decrypted.
"""

import json
import os
import threading
import time

from ministack.core.responses import error_response_json, json_response
from ministack.services import kms

from . import cloudtrail, keys

_NEW, _EXISTING = "NEW_KEY_MATERIAL", "EXISTING_KEY_MATERIAL"
EXPIRES, STAYS = "KEY_MATERIAL_EXPIRES", "KEY_MATERIAL_DOES_NOT_EXPIRE"
_TYPES = ("AUTOMATIC", "ON_DEMAND")
# MiniStack's fields for the bytes.
_BYTES = ("_symmetric_key", "_hmac_key", "_private_key", "_public_key_der")
_LONGEST = 365 * 86400
_identify = kms._key_material_id


def install():
    kms._key_material_id = lambda key: _current(key) if _permanent(key) else _identify(key)
    kms._store_imported_material = _stored(kms._store_imported_material)
    kms._import_key_material = _imported(kms._import_key_material)
    kms._delete_imported_key_material = _deleted(kms._delete_imported_key_material)


def copy(primary, replica):
    """Gives the materials of a primary key to a new replica, but not those that were imported."""
    materials = list(primary.get("_materials", []))
    if replica["Origin"] != "EXTERNAL":
        if materials:
            replica["_materials"] = materials
        return
    replica["_materials"] = [_without_bytes(one) for one in materials]
    replica["_first"] = primary.get("_first")
    settle(replica)


def of(key):
    """Returns the materials of a key, the oldest first."""
    if "_materials" not in key and key["Origin"] == "AWS_KMS":
        return [{"id": _identify(key), "imported": True}]
    return key.get("_materials", [])


def _permanent(key):
    """Returns the materials that are in use or were. One that waits for rotation is not."""
    return [one for one in key.get("_materials", []) if not one.get("pending")]


def _current(key):
    return _permanent(key)[-1]["id"]


def pending(key):
    """Returns the material that waits for rotation, or `None` if there is none."""
    return next((one for one in of(key) if one.get("pending")), None)


def _without_bytes(one):
    return {**one, "imported": False, "valid_to": None}


def members(key):
    """Returns all related keys of a multi-Region key, or the key alone."""
    with keys.scope(key):
        return [member for _, member in kms._mrk_members(key)] or [key]


def _imported(import_key_material):
    def operation(request):
        if why := _wrong_end(request):
            return error_response_json("ValidationException", why)
        key = kms._resolve_key(request.get("KeyId", ""))
        if key is None:
            return import_key_material(request)
        key["_import"] = request
        try:
            status, headers, body = import_key_material(request)
        finally:
            del key["_import"]
        if status != 200:
            return status, headers, body
        settle(key)
        _watch(key)
        named = {"KeyMaterialId": key["_last_import"]} if is_symmetric(key) else {}
        return json_response(json.loads(body) | named)

    return operation


def _wrong_end(request):
    """Returns why the end of imported material is wrong, if it is.

    "The value of this parameter must be a future date and time. The maximum value is 365 days from
    the request date."

    https://docs.aws.amazon.com/kms/latest/APIReference/API_ImportKeyMaterial.html
    """
    end, now = request.get("ValidTo"), time.time()
    if end is None:
        return None
    if request.get("ExpirationModel", EXPIRES) == STAYS:
        return "ValidTo is not valid for key material that does not expire."
    return None if now < end <= now + _LONGEST else "ValidTo must be in the future, and within 365 days."


def _stored(store):
    """Adds unwrapped material to the materials of a key, or refuses it.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_ImportKeyMaterial.html
    """

    def store_imported_material(key, secret):
        if wrong := store({**key} if is_symmetric(key) else key, secret):
            return wrong
        # Other keys than symmetric ones have one material.
        symmetric = {"_symmetric_key": secret if is_symmetric(key) else b"", "KeyId": key["KeyId"]}
        identifier, request = _identify(symmetric), key["_import"]
        if refusal := _refusal(key, identifier, request):
            return refusal
        known = of(key)
        imported = {"imported": True, "valid_to": request.get("ValidTo")}
        if "KeyMaterialDescription" in request:
            imported["description"] = request["KeyMaterialDescription"]
        if identifier in [one["id"] for one in known]:
            key["_materials"] = [one | imported if one["id"] == identifier else one for one in known]
        else:
            key.setdefault("_first", secret)
            _add(key, {"id": identifier, "pending": bool(known), **imported})
        key["_last_import"] = identifier
        return None

    return store_imported_material


def _add(key, one):
    """Adds new material to a key. Its replicas wait for the same material."""
    for member in members(key):
        member["_materials"] = [*of(member), one if member is key else _without_bytes(one)]


def _refusal(key, identifier, request):
    known = [one["id"] for one in of(key)]
    kind = request.get("ImportType") or (_EXISTING if known else _NEW)
    wanted = request.get("KeyMaterialId")
    if not is_symmetric(key):
        return None
    if kind == _EXISTING:
        if identifier in known and wanted in (None, identifier):
            return None
        return error_response_json("IncorrectKeyMaterialException", "The key has no such key material.")
    if wanted:
        return error_response_json("ValidationException", "New key material has no KeyMaterialId yet.")
    # "You cannot directly import new key material into the replica Region keys."
    if key.get("_mrk_type") == "REPLICA":
        return error_response_json("UnsupportedOperationException", f"{key['Arn']} is a replica.")
    if identifier in known:
        return error_response_json("IncorrectKeyMaterialException", "The key has this key material already.")
    if pending(key):
        return error_response_json("KMSInvalidStateException", "Other key material waits for rotation.")
    return None


def is_symmetric(key):
    """Returns true if a key can have several materials."""
    return key["KeySpec"] == "SYMMETRIC_DEFAULT"


def settle(key):
    """Sets the state of a key, and the dates that DescribeKey shows, by its materials.

    `ValidTo` is "the earliest time at which any imported key material permanently associated with
    this KMS key expires". Without one of these materials a key is in the state PendingImport.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_KeyMetadata.html
    """
    permanent = _permanent(key)
    ends = [one["valid_to"] for one in permanent if one.get("valid_to")]
    key.pop("ValidTo", None)
    if permanent and all(one["imported"] for one in permanent):
        key["ExpirationModel"] = EXPIRES if ends else STAYS
        if ends:
            key["ValidTo"] = min(ends)
        if is_symmetric(key):
            key["_symmetric_key"] = key["_first"]
        if key["KeyState"] == "PendingImport":
            key.update(KeyState="Enabled", Enabled=True)
        return
    for field in _BYTES:
        key.pop(field, None)
    if key["KeyState"] not in ("PendingDeletion", "PendingReplicaDeletion"):
        key.update(KeyState="PendingImport", Enabled=False)


def _watch(key):
    """Makes the materials of a key expire at their end."""
    for end in {one["valid_to"] for one in of(key) if one.get("valid_to")}:
        timer = threading.Timer(max(0, end - time.time()) + 0.01, _expire, [key["Arn"]])
        timer.daemon = True
        timer.start()


def _expire(arn):
    """Deletes the materials of a key that are past their end, and records that as KMS does.

    https://docs.aws.amazon.com/kms/latest/developerguide/ct-deleteexpiredkeymaterial.html
    """
    try:
        key = keys.stored(arn)
    except LookupError:
        return
    for one in of(key):
        if one.get("valid_to") and one["valid_to"] <= time.time():
            _forget(key, one)
            details = {"keyId": key["KeyId"], "keyMaterialId": one["id"]}
            cloudtrail.put_service_event("DeleteExpiredKeyMaterial", arn, serviceEventDetails=details)


def _forget(key, gone):
    """Removes the bytes of a material, and one that waits for rotation altogether."""
    kept = [one for one in of(key) if one["id"] != gone["id"] or not one.get("pending")]
    key["_materials"] = [_without_bytes(one) if one["id"] == gone["id"] else one for one in kept]
    settle(key)


def _deleted(delete):
    """Deletes the current material of a key, or the given one.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_DeleteImportedKeyMaterial.html
    """

    def delete_imported_key_material(request):
        key = kms._resolve_key(request.get("KeyId", ""))
        # Deletion has no effect in a key that never had material.
        if key is None or key["Origin"] != "EXTERNAL" or not of(key):
            return delete(request)
        wanted = request.get("KeyMaterialId") or _current(key)
        found = next((one for one in of(key) if one["id"] == wanted), None)
        if found is None:
            return error_response_json("NotFoundException", f"There is no key material {wanted}")
        # If material of a primary key waits for rotation, "you'll also be deleting the key
        # materials for the replica Region keys".
        is_shared = found.get("pending") and key.get("_mrk_type") == "PRIMARY"
        for member in members(key) if is_shared else [key]:
            _forget(member, found)
        return json_response({"KeyId": key["Arn"]} | ({"KeyMaterialId": wanted} if is_symmetric(key) else {}))

    return delete_imported_key_material


def put_dates(asked):
    """Sets the dates of a key as if time had passed. Past material expires at once.

    Raises LookupError for an unknown key, and ValueError for dates that the key cannot have.
    """
    if not asked.keys() <= {"key", "created", "valid_to", "rotations"}:
        raise ValueError("the dates of a key are created, valid_to and rotations")
    key = keys.stored(asked["key"])
    if "created" in asked:
        key["CreationDate"] = asked["created"]
    if "rotations" in asked:
        _put_rotations(key, asked["rotations"])
    if "valid_to" in asked:
        if key["Origin"] != "EXTERNAL" or key["KeyState"] == "PendingImport":
            raise ValueError(f"{key['Arn']} has no imported material")
        key["_materials"] = [one | {"valid_to": asked["valid_to"]} for one in of(key)]
        settle(key)
        _expire(key["Arn"])
        _watch(key)
    return {}


def _put_rotations(key, rotations):
    """Replaces the rotations of a key and of the keys related to it. The first material stays."""
    if not is_symmetric(key) or not _permanent({"_materials": of(key)}):
        raise ValueError(f"{key['Arn']} cannot have rotations")
    if any(kind not in _TYPES for _, kind in rotations):
        raise ValueError(f"a rotation is one of {', '.join(_TYPES)}")
    rotated = [{"id": os.urandom(32).hex(), "date": date, "type": kind} for date, kind in rotations]
    for member in members(key):
        first = of(member)[0]
        same = {"imported": first["imported"], "valid_to": first.get("valid_to")}
        member["_materials"] = [first, *(one | same for one in rotated)]
