//! Which bucket a message is about.
//!
//! A message is an EventBridge event that carries a
//! [CloudTrail record](https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html).
//! Records differ between services, API versions and years, so everything in one is optional until it is needed, and what
//! is needed must have the form that AWS gives it: an AssumeRole is built from it.

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use facts::{AccountId, BucketId, BucketName, Malformed, Region};
use findings::Actor;
use serde_json::Value;

/// The calls that can change how a bucket is judged. TagResource and UntagResource take the place of the tagging calls once
/// a bucket [uses ABAC](https://docs.aws.amazon.com/AmazonS3/latest/userguide/buckets-tagging-enable-abac.html).
pub const CALLS: [&str; 10] = [
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

/// What a message turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A bucket changed.
    Change(Change),
    /// An event that cannot change how a bucket is judged: of another service, of another call, or of one that failed.
    NoneOfOurs,
}

/// A bucket that changed, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The bucket.
    pub bucket: BucketId,
    /// The call that changed it.
    pub actor: Actor,
}

/// Why a message cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// It is not an EventBridge event.
    #[error("the message is no EventBridge event")]
    NoEvent(#[source] serde_json::Error),
    /// It names no bucket, account or region.
    #[error("the {call} event has no {what}")]
    Lacks {
        /// The API call.
        call: String,
        /// What is missing.
        what: &'static str,
    },
    /// A name in it does not have the form that AWS gives it.
    #[error("the {call} event is malformed")]
    Malformed {
        /// The API call.
        call: String,
        /// Which name.
        #[source]
        source: Malformed,
    },
}

/// Reads the body of a message.
///
/// # Errors
/// A message that is no event, or one of ours that does not say which bucket.
pub fn parse(body: &str) -> Result<Message, EventError> {
    let event: EventBridgeEvent = serde_json::from_str(body).map_err(EventError::NoEvent)?;
    let Some(call) = our_call(&event) else { return Ok(Message::NoneOfOurs) };
    let place = Place::of(&event);
    if matches!(call, "TagResource" | "UntagResource") && place.names_another_resource {
        return Ok(Message::NoneOfOurs);
    }
    let bucket = place.bucket(call)?;
    Ok(Message::Change(Change { bucket, actor: actor(call, &event.detail) }))
}

/// The name of the call, where it is one of [`CALLS`] and succeeded.
fn our_call(event: &EventBridgeEvent) -> Option<&'static str> {
    let record = &event.detail;
    let is_s3 = event.source == "aws.s3"
        && event.detail_type == "AWS API Call via CloudTrail"
        && text(record, "/eventSource") == Some("s3.amazonaws.com");
    let failed = record.get("errorCode").is_some_and(|code| !code.is_null());
    let name = text(record, "/eventName").filter(|_| is_s3 && !failed)?;
    CALLS.into_iter().find(|call| *call == name)
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

fn actor(call: &str, record: &Value) -> Actor {
    let owned = |pointer| text(record, pointer).map(str::to_owned);
    Actor {
        event_name: call.to_owned(),
        event_id: owned("/eventID"),
        event_time: owned("/eventTime"),
        principal: owned("/userIdentity/arn")
            .or_else(|| owned("/userIdentity/invokedBy"))
            .or_else(|| owned("/userIdentity/principalId")),
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}
