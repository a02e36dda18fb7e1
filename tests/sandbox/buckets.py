"""Corrects S3 where MiniStack is kinder than AWS or older."""

import re
from typing import ClassVar

from ministack.core.responses import AccountScopedDict, get_account_id
from ministack.services import s3

_BLOCKED = "<BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType></BlockedEncryptionTypes>"
_LISTING = ("bucket-region", "continuation-token", "max-buckets", "prefix")
_REGION = re.compile(r"<BucketRegion>[^<]*</BucketRegion>")


def install():
    _patch_owners()
    _patch_scope()
    _patch_default_encryption()
    _patch_listing()
    _patch_tagging()


class _Buckets(AccountScopedDict):
    """A store of buckets that remembers which accounts ever asked for one.

    So the owner of a bucket is found without a search.
    """

    accounts: ClassVar = set()

    def _scoped(self, key):
        self.accounts.add(get_account_id())
        return super()._scoped(key)


def _patch_owners():
    """Replaces MiniStack's search for the owner of a bucket.

    With thousands of buckets, that search would take most of the time. Each request makes it
    several times.
    """
    s3._buckets = _Buckets()

    def bucket_owner_account(name):
        accounts = tuple(_Buckets.accounts)  # another thread may add to the set
        return next((owner for owner in accounts if s3._buckets.contains_scoped(owner, None, name)), None)

    s3._bucket_owner_account = bucket_owner_account


def _patch_scope():
    apply = s3._apply_bucket_scope

    def apply_bucket_scope(method, bucket, key, headers, query_params, body=b"", internal=False):
        caller, owner = get_account_id(), s3._bucket_owner_account(bucket)
        denied = apply(method, bucket, key, headers, query_params, body, internal)
        if denied is not None or owner is None:
            return denied
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html
        if headers.get("x-amz-expected-bucket-owner", owner) != owner:
            return s3._error("AccessDenied", "Access Denied", 403, f"/{bucket}")
        # Only identities of the owner's account may read or change a bucket's policy, even if the
        # policy allows others.
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketPolicy.html
        if "policy" in query_params and not key and caller != owner:
            return s3._error("MethodNotAllowed", "The specified method is not allowed against this resource.", 405)
        return None

    s3._apply_bucket_scope = apply_bucket_scope


def _patch_default_encryption():
    """Gives a bucket without a configured encryption SSE-S3. Since April 2026 it also blocks SSE-C.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/default-s3-c-encryption-setting-faq.html
    """
    get = s3._get_bucket_encryption

    def get_bucket_encryption(bucket):
        status, headers, body = get(bucket)
        if status == 200 and not s3._bucket_encryption.get(bucket):
            body = body.replace("</Rule>", f"{_BLOCKED}</Rule>")
        return status, headers, body

    s3._get_bucket_encryption = get_bucket_encryption
    put = s3._put_bucket_encryption

    def put_bucket_encryption(bucket, body):
        """Stores a configuration. A block of SSE-C stays if the configuration omits it.

        AWS does not document this. Users of Terraform report that GetBucketEncryption still shows
        the block afterwards:
        https://github.com/cloudposse/terraform-aws-s3-bucket/issues/287
        """
        _, _, before = s3._get_bucket_encryption(bucket)
        status, headers, answer = put(bucket, body)
        kept = re.search(r"<BlockedEncryptionTypes>.*</BlockedEncryptionTypes>", text(before), re.DOTALL)
        if status == 200 and kept and "BlockedEncryptionTypes" not in s3._bucket_encryption[bucket]:
            stored = s3._bucket_encryption[bucket]
            s3._bucket_encryption[bucket] = stored.replace("</Rule>", f"{kept[0]}</Rule>")
        return status, headers, answer

    s3._put_bucket_encryption = put_bucket_encryption


def _patch_listing():
    """Checks `max-buckets`, and hides the regions from a request without parameters.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html
    """
    listing = s3._list_buckets

    def list_buckets(query_params=None, signed_region=None):
        asked = [name for name in _LISTING if name in (query_params or {})]
        most = s3._qp(query_params or {}, "max-buckets", "10000")
        if not most.isdigit() or not 1 <= int(most) <= 10000:
            return s3._error("InvalidArgument", "Argument max-buckets must be an integer between 1 and 10000", 400)
        status, headers, body = listing(query_params, signed_region)
        # The answer contains BucketRegion "if the request contains at least one valid parameter".
        if status == 200 and not asked:
            body = _REGION.sub("", text(body))
        return status, headers, body

    s3._list_buckets = list_buckets


def _patch_tagging():
    """Remembers that a bucket without tags had some before. `tags.py` uses that."""
    delete = s3._delete_bucket_tagging

    def delete_bucket_tagging(name):
        had = name in s3._bucket_tags
        answer = delete(name)
        if had:
            s3._bucket_tags[name] = {}
        return answer

    s3._delete_bucket_tagging = delete_bucket_tagging


def text(body):
    return body.decode() if isinstance(body, bytes) else body


def owner_and_region(bucket):
    """Returns the account and region of a bucket, or (None, None) if the bucket does not exist."""
    owner = s3._bucket_owner_account(bucket)
    record = s3._buckets.get_scoped(owner, None, bucket) if owner else None
    return (owner, record["region"]) if record else (None, None)
