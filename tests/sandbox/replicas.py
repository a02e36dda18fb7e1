"""Multi-Region keys: how keys are replicated, and how a set of related keys is deleted.

https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html
"""

import json
import time

from ministack.core.responses import error_response_json, get_account_id, json_response, request_scope
from ministack.services import kms

from . import authority, cloudtrail, keys, material

_PENDING = ("PendingDeletion", "PendingReplicaDeletion")


def install():
    kms._check_key_state = _checked(kms._check_key_state)
    kms._replicate_key = _replicated(kms._replicate_key)
    kms._schedule_key_deletion = _schedule
    kms._cancel_key_deletion = _cancelled(kms._cancel_key_deletion)


def _checked(check):
    """Refuses to use a primary key that waits for the deletion of its replicas.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_ScheduleKeyDeletion.html
    """

    def check_key_state(key):
        if key["KeyState"] == "PendingReplicaDeletion":
            return _invalid_state(f"{key['Arn']} is pending replica deletion.")
        return check(key)

    return check_key_state


def _replicated(replicate):
    """Requires an enabled primary key, and permission to create keys in the replica's region.

    The replica of a key with imported material "is created with no key material".

    https://docs.aws.amazon.com/kms/latest/APIReference/API_ReplicateKey.html
    """

    def replicate_key(request):
        primary, region = kms._resolve_key(request.get("KeyId", "")), request.get("ReplicaRegion")
        wrong = kms._check_key_state(primary) if primary else None
        if refusal := wrong or _may_not_create(request, region):
            return refusal
        status, headers, body = replicate(request)
        if status != 200:
            return status, headers, body
        replica = keys.stored(json.loads(body)["ReplicaKeyMetadata"]["Arn"])
        material.copy(primary, replica)
        return json_response(json.loads(body) | {"ReplicaKeyMetadata": kms._key_metadata_in_region(replica, region)})

    return replicate_key


def _may_not_create(request, region):
    caller = authority.caller()
    if caller is None or not region:
        return None
    wanted = ["kms:CreateKey", "kms:TagResource"] if request.get("Tags") else ["kms:CreateKey"]
    with request_scope(get_account_id(), region):
        if all(authority.allows(caller, action, "*") for action in wanted):
            return None
    why = f"{caller.arn} is not authorized to perform: kms:CreateKey in {region}"
    return error_response_json("AccessDeniedException", why)


def _schedule(request):
    """Schedules the deletion of a key. A primary key waits for its replicas.

    The replicas must be "deleted (not just scheduled)".

    https://docs.aws.amazon.com/kms/latest/APIReference/API_ScheduleKeyDeletion.html
    """
    days = request.get("PendingWindowInDays", 30)
    if not isinstance(days, int) or not 7 <= days <= 30:
        return error_response_json("ValidationException", "PendingWindowInDays must be between 7 and 30")
    key = kms._resolve_key(request.get("KeyId", ""))
    if key is None:
        return error_response_json("NotFoundException", f"Key {request.get('KeyId', '')} not found")
    if key["KeyState"] in _PENDING:
        return _invalid_state(f"{key['Arn']} is pending deletion.")
    key.update(Enabled=False, _pending_window_days=days)
    if key.get("_mrk_type") == "PRIMARY" and len(key["_mrk_regions"]) > 1:
        key["KeyState"] = "PendingReplicaDeletion"
    else:
        _wait(key)
    shown = {name: key[name] for name in ("KeyState", "DeletionDate") if name in key}
    return json_response({"KeyId": key["Arn"], "PendingWindowInDays": days, **shown})


def _wait(key):
    key.update(KeyState="PendingDeletion", DeletionDate=int(time.time()) + key["_pending_window_days"] * 86400)


def _cancelled(cancel):
    """Refuses to cancel a deletion that is not scheduled.

    https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html#key-state-table
    """

    def cancel_key_deletion(request):
        key = kms._resolve_key(request.get("KeyId", ""))
        if key and key["KeyState"] not in _PENDING:
            return _invalid_state(f"{key['Arn']} is not pending deletion.")
        return cancel(request)

    return cancel_key_deletion


def delete_key(arn):
    """Deletes a key at once, as if its waiting period had passed.

    Related keys do not list it any more. The primary key begins to wait when its last replica is
    gone. Raises ValueError for a primary key that has replicas, which KMS does not delete.

    https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-delete.html
    """
    key = keys.stored(arn)
    with keys.scope(key):
        others = [(region, member) for region, member in kms._mrk_members(key) if member is not key]
    if others and key["_mrk_type"] == "PRIMARY":
        raise ValueError(f"{arn} has replicas")
    cloudtrail.delete_key(arn)
    for _, member in others:
        member["_mrk_regions"] = [region for region, _ in others]
        if member["KeyState"] == "PendingReplicaDeletion" and len(others) == 1:
            _wait(member)
    return {}


def _invalid_state(message):
    return error_response_json("KMSInvalidStateException", message)
