//! Which bucket an event of S3 is about.
//!
//! Follows [logging S3 API calls](https://docs.aws.amazon.com/AmazonS3/latest/userguide/cloudtrail-logging-s3-info.html).

use crate::message::{EventError, api_call, text};
use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use facts::{AccountId, BucketId, BucketName, Region};
use queue::Visit;
use serde_json::Value;

/// The calls that can change how a bucket is judged. TagResource and UntagResource take the place of the tagging calls once
/// a bucket [uses ABAC](https://docs.aws.amazon.com/AmazonS3/latest/userguide/buckets-tagging-enable-abac.html).
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

/// The bucket that a call of [`BUCKET_CALLS`] changed; `None` if it tagged something else than a bucket.
pub(crate) fn visit(call: &'static str, event: &EventBridgeEvent) -> Result<Option<Visit>, EventError> {
    let place = Place::of(event);
    if matches!(call, "TagResource" | "UntagResource") && place.names_another_resource {
        return Ok(None);
    }
    let api_calls = vec![api_call(call, &event.detail)];
    Ok(Some(Visit { bucket: place.bucket(call)?, api_calls, since: None }))
}

/// The account, the region and the bucket, as the record writes them.
struct Place<'a> {
    account: Option<&'a str>,
    region: Option<&'a str>,
    bucket: Option<&'a str>,
    names_another_resource: bool,
}

impl<'a> Place<'a> {
    fn of(event: &'a EventBridgeEvent) -> Self {
        let record = &event.detail;
        let resources = record.get("resources").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let owned = resources.iter().find(|r| text(r, "/ARN").is_some_and(|arn| bucket_of_arn(arn).is_some()));
        let tagged = text(record, "/requestParameters/resourceArn");
        let bucket = text(record, "/requestParameters/bucketName")
            .or_else(|| tagged.and_then(bucket_of_arn))
            .or_else(|| owned.and_then(|resource| text(resource, "/ARN")).and_then(bucket_of_arn));
        Self {
            // The owner; where the record names none, the account that received it.
            account: owned
                .and_then(|resource| text(resource, "/accountId"))
                .or_else(|| text(record, "/recipientAccountId"))
                .or(event.account.as_deref()),
            region: created_in(record).or_else(|| text(record, "/awsRegion")).or(event.region.as_deref()),
            bucket,
            names_another_resource: tagged.is_some_and(|arn| bucket_of_arn(arn).is_none()),
        }
    }

    fn bucket(&self, call: &str) -> Result<BucketId, EventError> {
        let lacks = |what| EventError::Lacks { call: call.to_owned(), what };
        let malformed = |source| EventError::Malformed { call: call.to_owned(), source };
        let account: AccountId = self.account.ok_or_else(|| lacks("account"))?.parse().map_err(malformed)?;
        let region: Region = self.region.ok_or_else(|| lacks("region"))?.parse().map_err(malformed)?;
        let name: BucketName = self.bucket.ok_or_else(|| lacks("bucket name"))?.parse().map_err(malformed)?;
        BucketId::new(account, region, name).map_err(malformed)
    }
}

/// Where CreateBucket makes the bucket, which need not be the region that it is called in; `EU` is an
/// [old name](https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucketConfiguration.html) of eu-west-1.
fn created_in(record: &Value) -> Option<&str> {
    match text(record, "/requestParameters/CreateBucketConfiguration/LocationConstraint")? {
        "EU" => Some("eu-west-1"),
        "" => None,
        region => Some(region),
    }
}

/// The bucket that an ARN names; none where it is of an object or of something else.
fn bucket_of_arn(arn: &str) -> Option<&str> {
    let mut parts = arn.splitn(6, ':');
    let ("arn", _, "s3", "", "") = (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?) else {
        return None;
    };
    parts.next().filter(|name| !name.contains('/'))
}
