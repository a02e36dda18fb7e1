//! Finds the subject of a message.
//!
//! A message is an EventBridge event that carries a CloudTrail record, or a request of cmkwatch
//! itself to evaluate buckets. The fields that are read from a record must have the form that AWS
//! gives them, because an AssumeRole is built from them.

use crate::{
    ACCOUNT_CALLS, BUCKET_CALLS, ChangeError, KEY_CALLS, KeyChange, account_event, bucket_event,
    key_event, record::Record,
};
use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use queue::{MembershipChange, Purpose, QueueError, ReevaluateKeyUsers, Revisit};

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeMessage {
    /// A bucket changed, or some buckets must be evaluated.
    Buckets(Revisit),
    /// A key or an alias changed, or another bucket uses it.
    Key(Box<KeyChange>),
    /// An account joined the organization, left it or was closed, and must be swept.
    Account(MembershipChange),
    /// An event that cannot change how a bucket is judged: of another service, of another call, or
    /// of a call that failed.
    NoneOfOurs,
}

/// Parses the body of a message.
///
/// # Errors
/// Returns an error if the message is no event. Also returns one if an event or a request for
/// cmkwatch does not name a known and well-formed subject.
pub fn parse(body: &str) -> Result<ChangeMessage, ChangeError> {
    let event: EventBridgeEvent = serde_json::from_str(body).map_err(ChangeError::NoEvent)?;
    if let Some(asked) = asked(&event).map_err(ChangeError::NoRequest)? {
        return Ok(asked);
    }
    let record = Record(&event);
    if let Some(call) = call_of(record, "aws.s3", "s3.amazonaws.com", &BUCKET_CALLS) {
        let evaluate = |visit| {
            ChangeMessage::Buckets(Revisit { purpose: Purpose::Evaluate, visits: vec![visit] })
        };
        return Ok(bucket_event::visit(call, record)?.map_or(ChangeMessage::NoneOfOurs, evaluate));
    }
    if let Some(call) = call_of(record, "aws.kms", "kms.amazonaws.com", &KEY_CALLS) {
        let change = key_event::change(call, record)?;
        return Ok(
            change.map_or(ChangeMessage::NoneOfOurs, |change| ChangeMessage::Key(Box::new(change)))
        );
    }
    if let Some(call) =
        call_of(record, "aws.organizations", "organizations.amazonaws.com", &ACCOUNT_CALLS)
    {
        return Ok(account_event::change(call, record)?
            .map_or(ChangeMessage::NoneOfOurs, ChangeMessage::Account));
    }
    Ok(ChangeMessage::NoneOfOurs)
}

/// Reads a request that cmkwatch sent to itself, or returns `None` if the event is another one.
fn asked(event: &EventBridgeEvent) -> Result<Option<ChangeMessage>, QueueError> {
    let (source, kind, detail) = (event.source.as_str(), event.detail_type.as_str(), &event.detail);
    if let Some(revisit) = Revisit::read(source, kind, detail)? {
        return Ok(Some(ChangeMessage::Buckets(revisit)));
    }
    if let Some(change) = MembershipChange::read(source, kind, detail)? {
        return Ok(Some(ChangeMessage::Account(change)));
    }
    let users = ReevaluateKeyUsers::read(source, kind, detail)?;
    let change = |(users, api_calls)| KeyChange { users, api_calls, concerns_related: false };
    Ok(users.map(|users| ChangeMessage::Key(Box::new(change(users)))))
}

/// The kinds of events that carry CloudTrail records: of calls, and of actions of a service itself.
pub const KINDS: [&str; 2] = ["AWS API Call via CloudTrail", "AWS Service Event via CloudTrail"];

/// Returns the name of the call. `None` if the call is of another service, is not in `calls`, or
/// failed.
fn call_of(
    record: Record<'_>,
    source: &str,
    service: &str,
    calls: &[&'static str],
) -> Option<&'static str> {
    let Record(event) = record;
    let is_of_service = event.source == source
        && KINDS.contains(&event.detail_type.as_str())
        && record.text("/eventSource") == Some(service);
    let name = record.text("/eventName").filter(|_| is_of_service && !record.failed())?;
    calls.iter().find(|call| **call == name).copied()
}
