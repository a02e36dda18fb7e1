//! Which key or alias an event of KMS is about.
//!
//! Follows [logging KMS API calls](https://docs.aws.amazon.com/kms/latest/developerguide/logging-using-cloudtrail.html). That a
//! key is finally deleted is reported as a
//! [service event](https://docs.aws.amazon.com/kms/latest/developerguide/ct-delete-key.html), without a request.

use crate::message::{EventError, api_call, text};
use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use facts::{AliasArn, KeyArn, KeyReference, KeySubject, Malformed, Place};
use findings::ApiCall;
use queue::ReevaluateKeyUsers;
use serde_json::Value;

/// The calls, and the two service events, that can change how the buckets which use a key are judged.
pub const KEY_CALLS: [&str; 14] = [
    "PutKeyPolicy",
    "ScheduleKeyDeletion",
    "CancelKeyDeletion",
    "DeleteKey",
    "DisableKey",
    "EnableKey",
    "EnableKeyRotation",
    "DisableKeyRotation",
    "ImportKeyMaterial",
    "DeleteImportedKeyMaterial",
    "DeleteExpiredKeyMaterial",
    "CreateAlias",
    "UpdateAlias",
    "DeleteAlias",
];

/// A key or an alias whose users are to be evaluated, and the calls behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChange {
    /// The users of the key or the alias.
    pub users: ReevaluateKeyUsers,
    /// The calls that changed the key, or made another bucket use it.
    pub api_calls: Vec<ApiCall>,
}

/// The change that a call of [`KEY_CALLS`] made.
pub(crate) fn change(call: &'static str, event: &EventBridgeEvent) -> Result<KeyChange, EventError> {
    let record = &event.detail;
    let subject = match call {
        "CreateAlias" | "UpdateAlias" | "DeleteAlias" => alias(call, event).map(KeySubject::Alias),
        _ => key(call, event).map(KeySubject::Key),
    };
    let users = ReevaluateKeyUsers { subject: subject?, after: None, because_of: None };
    Ok(KeyChange { users, api_calls: vec![api_call(call, record)] })
}

/// The key: by its ARN among the resources, in the answer (since December 2022), or as the request names it.
fn key(call: &str, event: &EventBridgeEvent) -> Result<KeyArn, EventError> {
    let record = &event.detail;
    let told = resources(record).find(|arn| arn.contains(":key/"));
    let told =
        told.or_else(|| text(record, "/responseElements/keyId")).or_else(|| text(record, "/requestParameters/keyId"));
    match meant(call, told.ok_or_else(|| lacks(call, "key"))?, event)? {
        KeyReference::Arn(arn) => Ok(arn),
        _ => Err(lacks(call, "key")),
    }
}

fn alias(call: &str, event: &EventBridgeEvent) -> Result<AliasArn, EventError> {
    let record = &event.detail;
    let told = resources(record).find(|arn| arn.contains(":alias/"));
    let told = told.or_else(|| text(record, "/requestParameters/aliasName"));
    match meant(call, told.ok_or_else(|| lacks(call, "alias"))?, event)? {
        KeyReference::AliasArn(arn) => Ok(arn),
        _ => Err(lacks(call, "alias")),
    }
}

/// A bare id or name has its meaning in the account and region of the call.
fn meant(call: &str, name: &str, event: &EventBridgeEvent) -> Result<KeyReference, EventError> {
    let Ok(reference) = name.parse::<KeyReference>();
    if reference.place().is_some() {
        return Ok(reference);
    }
    let record = &event.detail;
    let malformed = |source: Malformed| EventError::Malformed { call: call.to_owned(), source };
    let account = text(record, "/recipientAccountId").or(event.account.as_deref());
    let region = text(record, "/awsRegion").or(event.region.as_deref());
    Ok(reference.within(&Place {
        account: account.ok_or_else(|| lacks(call, "account"))?.parse().map_err(malformed)?,
        region: region.ok_or_else(|| lacks(call, "region"))?.parse().map_err(malformed)?,
    }))
}

fn resources(record: &Value) -> impl Iterator<Item = &str> {
    record
        .get("resources")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|resource| text(resource, "/ARN"))
}

fn lacks(call: &str, what: &'static str) -> EventError {
    EventError::Lacks { call: call.to_owned(), what }
}
