"""The lags of the sandbox, in seconds, and reads of settings that are that old.

Security Hub: "GetFindings is eventually consistent" and BatchUpdateFindings "might take several
minutes". AWS documents no number.
https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_BatchUpdateFindings.html

S3: "Bucket configurations have an eventual consistency model":
https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel

KMS: https://docs.aws.amazon.com/kms/latest/developerguide/programming-eventual-consistency.html
"""

import contextvars
import copy
import time
from collections import defaultdict, deque

from ministack.core import iam_evaluator
from ministack.services import kms, s3

# `get_findings` is for findings of the requested region, `home_region` for those of linked regions.
# `index` is for DynamoDB's global indexes.
NAMES = ("get_findings", "home_region", "batch_update_findings", "settings", "index")
_LAGS = dict.fromkeys(NAMES, 0.0)
# The call that is being answered.
_CALL = contextvars.ContextVar("sandbox_call", default=None)
# The settings of a bucket or key before each write of the last hour, as (moment of the write,
# settings). The settings of a key are its record and its grants.
_BEFORE = defaultdict(deque)


def of(name):
    return _LAGS[name]


def put(lags):
    """Sets some of the lags, and returns all. Raises ValueError for a wrong name or number."""
    for name, seconds in lags.items():
        if name not in _LAGS or not isinstance(seconds, (int, float)) or not 0 <= seconds <= 3600:
            raise ValueError(f"a lag is one of {', '.join(NAMES)}, of 0 to 3600 seconds")
    _LAGS.update(lags)
    return dict(_LAGS)


def begin(call):
    """Stores the call that is being answered."""
    _CALL.set(call)


def call():
    """Returns the call that is being answered, or `None` if there is none."""
    return _CALL.get()


def note_write(call):
    """Keeps the settings that a write will change. `call` is complete and not yet answered."""
    if not _LAGS["settings"] or call.method == "GET":
        return
    if call.bucket and not call.key:
        owner = s3._bucket_owner_account(call.bucket)
        if owner:
            _keep(("bucket", call.bucket), _bucket_settings(owner, call.bucket))
    elif call.kms_call and not call.kms_call.startswith(("Describe", "Get", "List")):
        for key in _keys_of(call.request.decode(errors="replace")):
            note_write_of_key(key)


def _keys_of(request):
    """Returns the keys that a request names by id, ARN or grant token."""
    retired = [grant["KeyId"] for grant in kms._grants.values() if any(token in request for token in grant["_tokens"])]
    return [key for key in list(kms._keys._data.values()) if key["KeyId"] in request or key["Arn"] in retired]


def note_write_of_key(key):
    """Keeps the settings of a key that will change."""
    if _LAGS["settings"]:
        _keep(_subject(key), (copy.deepcopy(key), _grants(key)))


def _subject(key):
    _, _, _, region, account, _ = key["Arn"].split(":", 5)
    return "key", account, region, key["KeyId"]


def _grants(key):
    return {name: grant for name, grant in kms._grants.items() if grant["KeyId"] == key["Arn"]}


def _keep(subject, settings):
    now, kept = time.monotonic(), _BEFORE[subject]
    while kept and kept[0][0] < now - 3600:
        kept.popleft()
    kept.append((now, settings))


def _old(*subject):
    """Returns the settings that a reader still sees.

    Returns `None` if nothing was written within the lag, or if the reader is no role.
    """
    call, since = _CALL.get(), time.monotonic() - _LAGS["settings"]
    if not _LAGS["settings"] or subject not in _BEFORE or call is None:
        return None
    principal = call.principal()
    # A test that acts as an account's root sees every change at once.
    if not isinstance(principal, iam_evaluator.PrincipalInfo) or principal.type != "AssumedRole":
        return None
    return next((settings for moment, settings in _BEFORE[subject] if moment > since), None)


def _bucket_settings(owner, name):
    stores = (s3._bucket_encryption, s3._bucket_policies, s3._bucket_tags)
    return [(store, copy.deepcopy(store.get_scoped(owner, None, name))) for store in stores]


def install():
    for name in ("_get_bucket_encryption", "_get_bucket_policy", "_get_bucket_tagging"):
        setattr(s3, name, _of_bucket(getattr(s3, name)))
    for name in (
        "_describe_key",
        "_get_key_policy",
        "_get_key_rotation_status",
        "_list_grants",
        "_list_key_policies",
        "_list_key_rotations",
    ):
        setattr(kms, name, _of_key(getattr(kms, name)))


def _of_bucket(read):
    def read_late(name):
        old = _old("bucket", name)
        if old is None:
            return read(name)
        now = [(store, store.get(name)) for store, _ in old]
        _store(name, old)
        try:
            return read(name)
        finally:
            _store(name, now)

    return read_late


def _store(name, settings):
    for store, value in settings:
        if value is None:
            store.pop(name, None)
        else:
            store[name] = value


def _of_key(read):
    def read_late(request):
        key = kms._resolve_key(request.get("KeyId", ""))
        old = _old(*_subject(key)) if key else None
        if old is None:
            return read(request)
        now = (key, _grants(key))
        _store_key(*old)
        try:
            return read(request)
        finally:
            _store_key(*now)

    return read_late


def _store_key(key, grants):
    _, *place = _subject(key)
    kms._keys.set_scoped(*place, key)
    for name in _grants(key):
        del kms._grants[name]
    kms._grants.update(grants)
