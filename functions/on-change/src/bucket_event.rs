//! Finds the bucket that an event of S3 is about.
//!
//! Follows [logging S3 API
//! calls](https://docs.aws.amazon.com/AmazonS3/latest/userguide/cloudtrail-logging-s3-info.html).
//! No verdict comes from the event.

use crate::{error::ChangeError, record::Record};
use facts::{AccountId, BucketId, BucketName, Region};
use percent_encoding::percent_decode_str;
use queue::Visit;
use std::borrow::Cow;

/// The calls that can change how a bucket is judged. The console and CloudFormation tag a bucket by
/// TagResource and UntagResource. A bucket with [attribute-based access
/// control](https://docs.aws.amazon.com/AmazonS3/latest/userguide/buckets-tagging-enable-abac.html)
/// can be tagged only by these two.
pub const BUCKET_CALLS: [&str; 10] = [
    "CreateBucket",
    "DeleteBucket",
    "PutBucketEncryption",
    "DeleteBucketEncryption",
    "PutBucketPolicy",
    "DeleteBucketPolicy",
    "PutBucketTagging",
    "DeleteBucketTagging",
    "TagResource",
    "UntagResource",
];

/// Returns the bucket that a call of [`BUCKET_CALLS`] changed, or `None` if the call tagged
/// something else.
pub(crate) fn visit(call: &'static str, record: Record<'_>) -> Result<Option<Visit>, ChangeError> {
    let Some(Named { name, owner }) = named(call, record)? else { return Ok(None) };
    let lacks = |what| ChangeError::Lacks { call: call.to_owned(), what };
    let malformed = |source| ChangeError::Malformed { call: call.to_owned(), source };
    // The owner or, if the record names none, the account that received the record.
    let account = owner.or_else(|| record.recipient()).ok_or_else(|| lacks("account"))?;
    let account: AccountId = account.parse().map_err(malformed)?;
    let region = created_in(record).or_else(|| record.region()).ok_or_else(|| lacks("region"))?;
    let region: Region = region.parse().map_err(malformed)?;
    let name: BucketName = name.parse().map_err(malformed)?;
    let bucket = BucketId::new(account, region, name).map_err(malformed)?;
    Ok(Some(Visit { bucket, api_calls: vec![record.api_call(call)], since: None }))
}

/// A bucket as a record names it.
struct Named<'a> {
    name: Cow<'a, str>,
    owner: Option<&'a str>,
}

/// Returns the bucket that a record names, or `None` if the record is about another resource that
/// can be tagged.
fn named<'a>(call: &'static str, record: Record<'a>) -> Result<Option<Named<'a>>, ChangeError> {
    let resource = record
        .resources()
        .find_map(|resource| Some((bucket_of_arn(resource.arn)?, resource.account)));
    let owner = resource.and_then(|(_, account)| account);
    if !matches!(call, "TagResource" | "UntagResource") {
        // A name that is a JSON number may have lost leading zeros.
        let parameter = || record.text_or_number("/requestParameters/bucketName");
        let name = resource.map(|(name, _)| Cow::Borrowed(name)).or_else(parameter);
        let name =
            name.ok_or_else(|| ChangeError::Lacks { call: call.to_owned(), what: "bucket name" })?;
        return Ok(Some(Named { name, owner }));
    }
    if let Some((name, owner)) = resource {
        return Ok(Some(Named { name: name.into(), owner }));
    }
    let arn = record.text("/requestParameters/resourceArn");
    let arn = arn.ok_or_else(|| ChangeError::Lacks { call: call.to_owned(), what: "resource" })?;
    // Some services write the ARN percent-encoded, as in the path of the request.
    let arn = percent_decode_str(arn).decode_utf8_lossy();
    match bucket_of_arn(&arn) {
        Some(name) => Ok(Some(Named { name: name.to_owned().into(), owner: None })),
        None if is_known(&arn) => Ok(None),
        None => Err(ChangeError::UnknownResource {
            call: call.to_owned(),
            arn: findings::plain(&arn, 300),
        }),
    }
}

/// Returns the region in which CreateBucket makes the bucket. The call may be made in another
/// region. `EU` is an [old
/// name](https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucketConfiguration.html) of
/// eu-west-1.
fn created_in(record: Record<'_>) -> Option<&str> {
    match record.text("/requestParameters/CreateBucketConfiguration/LocationConstraint")? {
        "EU" => Some("eu-west-1"),
        region => Some(region),
    }
}

/// Returns the bucket that an ARN names, or `None` if the ARN is of an object or of something else.
fn bucket_of_arn(arn: &str) -> Option<&str> {
    let mut parts = arn.splitn(6, ':');
    let ("arn", _, "s3", "", "") =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?)
    else {
        return None;
    };
    parts.next().filter(|name| !name.contains('/'))
}

/// Returns true if an ARN is of a known resource that can be tagged like a bucket, but is none.
/// Follows
/// [TagResource](https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_TagResource.html) and
/// the [resource types of
/// S3](https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html).
fn is_known(arn: &str) -> bool {
    let parts: Vec<_> = arn.splitn(6, ':').collect();
    let ["arn", _, service, _, account, resource] = parts.as_slice() else { return false };
    let kind = resource.split('/').next().unwrap_or_default();
    match *service {
        "s3" if account.is_empty() => resource.contains('/'),
        "s3" => [
            "accesspoint",
            "access-grants",
            "async-request",
            "job",
            "storage-lens",
            "storage-lens-group",
        ]
        .contains(&kind),
        "s3express" | "s3-object-lambda" | "s3-outposts" | "s3files" | "s3tables" | "s3vectors" => {
            true
        }
        _ => false,
    }
}
