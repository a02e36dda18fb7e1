"""S3, where MiniStack is kinder than AWS or behind it."""

import re

from ministack.core.responses import get_account_id
from ministack.services import s3

_BLOCKED = "<BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType></BlockedEncryptionTypes>"


def install():
    _patch_scope()
    _patch_default_encryption()


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
        # A bucket's policy is for identities of the owner's account alone, whatever it says itself.
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketPolicy.html
        if "policy" in query_params and not key and caller != owner:
            return s3._error("MethodNotAllowed", "The specified method is not allowed against this resource.", 405)
        return None

    s3._apply_bucket_scope = apply_bucket_scope


def _patch_default_encryption():
    """A bucket that nobody has put an encryption on has SSE-S3 and, since April 2026, blocks SSE-C.

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
        """A configuration that does not speak of SSE-C leaves it as it was.

        AWS does not say so; that GetBucketEncryption then shows the block still is what Terraform's users report:
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


def text(body):
    return body.decode() if isinstance(body, bytes) else body


def owner_and_region(bucket):
    """The account that owns a bucket and the region that it lies in; (None, None) where there is none."""
    owner = s3._bucket_owner_account(bucket)
    record = s3._buckets.get_scoped(owner, None, bucket) if owner else None
    return (owner, record["region"]) if record else (None, None)
