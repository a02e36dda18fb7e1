"""S3, where MiniStack is kinder than AWS."""

from ministack.services import s3


def install():
    """A request that names another owner than the bucket's is refused.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html
    """
    apply = s3._apply_bucket_scope

    def apply_bucket_scope(method, bucket, key, headers, query_params, body=b"", internal=False):
        denied = apply(method, bucket, key, headers, query_params, body, internal)
        expected = headers.get("x-amz-expected-bucket-owner")
        if denied is None and expected and s3._bucket_owner_account(bucket) not in (None, expected):
            return s3._error("AccessDenied", "Access Denied", 403, f"/{bucket}")
        return denied

    s3._apply_bucket_scope = apply_bucket_scope


def owner_and_region(bucket):
    """The account that owns a bucket and the region that it lies in; (None, None) where there is none."""
    owner = s3._bucket_owner_account(bucket)
    record = s3._buckets.get_scoped(owner, None, bucket) if owner else None
    return (owner, record["region"]) if record else (None, None)
