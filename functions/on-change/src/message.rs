//! What a message is about.
//!
//! A message is an EventBridge event that carries a
//! [CloudTrail record](https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html), or
//! asks that a bucket be evaluated. Records differ between services, API versions and years, so everything in one is
//! optional until it is needed, and what is needed must have the form that AWS gives it: an AssumeRole is built from it.

use crate::{BUCKET_CALLS, KEY_CALLS, KeyChange, bucket_event, key_event};
use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use facts::Malformed;
use findings::ApiCall;
use queue::{Purpose, QueueError, ReevaluateKeyUsers, Revisit};
use serde_json::Value;

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A bucket changed, or some buckets are to be evaluated.
    Buckets(Revisit),
    /// A key or an alias changed, or has another user.
    Key(Box<KeyChange>),
    /// An event that cannot change how a bucket is judged: of another service, of another call, or of one that failed.
    NoneOfOurs,
}

/// Why a message cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// It is not an EventBridge event.
    #[error("the message is no EventBridge event")]
    NoEvent(#[source] serde_json::Error),
    /// It asks for something to be judged anew, in words that are not ours.
    #[error("the message asks for something that is not understood")]
    NoRequest(#[source] QueueError),
    /// It names no bucket, key, account or region.
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
/// A message that is no event, or one of ours that does not say which bucket or key.
pub fn parse(body: &str) -> Result<Message, EventError> {
    let event: EventBridgeEvent = serde_json::from_str(body).map_err(EventError::NoEvent)?;
    if let Some(asked) = asked(&event).map_err(EventError::NoRequest)? {
        return Ok(asked);
    }
    if let Some(call) = call_of(&event, "aws.s3", "s3.amazonaws.com", &BUCKET_CALLS) {
        let evaluate = |visit| Message::Buckets(Revisit { purpose: Purpose::Evaluate, visits: vec![visit] });
        return Ok(bucket_event::visit(call, &event)?.map_or(Message::NoneOfOurs, evaluate));
    }
    match call_of(&event, "aws.kms", "kms.amazonaws.com", &KEY_CALLS) {
        Some(call) => key_event::change(call, &event).map(|change| Message::Key(Box::new(change))),
        None => Ok(Message::NoneOfOurs),
    }
}

/// What cmkwatch asks of itself.
fn asked(event: &EventBridgeEvent) -> Result<Option<Message>, QueueError> {
    let (source, kind, detail) = (event.source.as_str(), event.detail_type.as_str(), &event.detail);
    if let Some(revisit) = Revisit::read(source, kind, detail)? {
        return Ok(Some(Message::Buckets(revisit)));
    }
    let users = ReevaluateKeyUsers::read(source, kind, detail)?;
    Ok(users.map(|(users, api_calls)| Message::Key(Box::new(KeyChange { users, api_calls }))))
}

/// How CloudTrail's records come: of calls, and of what a service does by itself.
pub const KINDS: [&str; 2] = ["AWS API Call via CloudTrail", "AWS Service Event via CloudTrail"];

/// The name of the call, where it is one of those and succeeded.
fn call_of(event: &EventBridgeEvent, source: &str, service: &str, calls: &[&'static str]) -> Option<&'static str> {
    let record = &event.detail;
    let concerns = event.source == source
        && KINDS.contains(&event.detail_type.as_str())
        && text(record, "/eventSource") == Some(service);
    let failed = record.get("errorCode").is_some_and(|code| !code.is_null());
    let name = text(record, "/eventName").filter(|_| concerns && !failed)?;
    calls.iter().find(|call| **call == name).copied()
}

/// Who made a call.
pub(crate) fn api_call(call: &str, record: &Value) -> ApiCall {
    let owned = |pointer| text(record, pointer).map(str::to_owned);
    ApiCall {
        event_name: call.to_owned(),
        event_id: owned("/eventID"),
        event_time: owned("/eventTime"),
        principal: owned("/userIdentity/arn")
            .or_else(|| owned("/userIdentity/invokedBy"))
            .or_else(|| owned("/userIdentity/principalId")),
    }
}

pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}
