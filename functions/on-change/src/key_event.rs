//! Finds the key or alias that an event of KMS is about.
//!
//! Follows [logging KMS API
//! calls](https://docs.aws.amazon.com/kms/latest/developerguide/logging-using-cloudtrail.html). The
//! final deletion of a key is reported as a [service
//! event](https://docs.aws.amazon.com/kms/latest/developerguide/ct-delete-key.html), without a
//! request.

use crate::{error::ChangeError, record::Record};
use facts::{AliasArn, KeyArn, KeyReference, KeySubject, Malformed, Place};
use findings::ApiCall;
use queue::ReevaluateKeyUsers;

/// The calls, and the service events, that can change how the buckets of a key are judged. In
/// the region of a
/// [replica](https://docs.aws.amazon.com/kms/latest/developerguide/ct-replicate-key.html),
/// CreateKey reports that the key exists there.
pub const KEY_CALLS: [&str; 20] = [
    "CreateKey",
    "ReplicateKey",
    "PutKeyPolicy",
    "ScheduleKeyDeletion",
    "CancelKeyDeletion",
    "DeleteKey",
    "DisableKey",
    "EnableKey",
    "EnableKeyRotation",
    "DisableKeyRotation",
    "RotateKey",
    "ImportKeyMaterial",
    "DeleteImportedKeyMaterial",
    "DeleteExpiredKeyMaterial",
    "CreateAlias",
    "UpdateAlias",
    "DeleteAlias",
    "CreateGrant",
    "RevokeGrant",
    "RetireGrant",
];

/// A key or an alias whose buckets must be evaluated, and the calls that are the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChange {
    /// The request to evaluate the buckets that use the key or the alias.
    pub users: ReevaluateKeyUsers,
    /// The calls that changed the key, or made another bucket use it.
    pub api_calls: Vec<ApiCall>,
    /// True if the buckets of the related keys depend on the call, too: of the primary and the
    /// replicas.
    pub concerns_related: bool,
}

/// Returns the change that a call of [`KEY_CALLS`] made, or `None` if no bucket can depend on it.
pub(crate) fn change(
    call: &'static str,
    record: Record<'_>,
) -> Result<Option<KeyChange>, ChangeError> {
    let subject = match call {
        "CreateAlias" | "UpdateAlias" | "DeleteAlias" => {
            alias(call, record).map(KeySubject::Alias)?
        }
        _ => KeySubject::Key(key(call, record)?),
    };
    let is_multi_region = matches!(&subject, KeySubject::Key(key) if key.is_multi_region());
    // Nobody knows the id of a new single-Region key in advance, so no bucket names the key yet.
    if call == "CreateKey" && !is_multi_region {
        return Ok(None);
    }
    let users = ReevaluateKeyUsers { subject, after: None, because_of: None };
    let api_calls = vec![record.api_call(call)];
    let concerns_related = is_multi_region && CONCERNS_RELATED.contains(&call);
    Ok(Some(KeyChange { users, api_calls, concerns_related }))
}

/// The calls on a multi-Region key on which the buckets of its related keys depend.
///
/// - The replicas [share the rotation of their
///   primary](https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html#multi-region-rotate),
///   and have no event of their own.
/// - A principal that may use one of the keys can read what the others encrypted.
const CONCERNS_RELATED: [&str; 9] = [
    "EnableKeyRotation",
    "DisableKeyRotation",
    "RotateKey",
    "CreateKey",
    "ReplicateKey",
    "PutKeyPolicy",
    "CreateGrant",
    "RevokeGrant",
    "RetireGrant",
];

/// Returns the key, by its ARN among the resources, in the answer (since December 2022), or as the
/// request names it.
fn key(call: &str, record: Record<'_>) -> Result<KeyArn, ChangeError> {
    let resource =
        record.resources().map(|resource| resource.arn).find(|arn| arn.contains(":key/"));
    let name = resource
        .or_else(|| record.text("/responseElements/keyMetadata/arn"))
        .or_else(|| record.text("/responseElements/keyId"))
        .or_else(|| record.text("/requestParameters/keyId"));
    match meant(call, name.ok_or_else(|| lacks(call, "key"))?, record)? {
        KeyReference::Arn(arn) => Ok(arn),
        _ => Err(lacks(call, "key")),
    }
}

fn alias(call: &str, record: Record<'_>) -> Result<AliasArn, ChangeError> {
    let resource =
        record.resources().map(|resource| resource.arn).find(|arn| arn.contains(":alias/"));
    let name = resource.or_else(|| record.text("/requestParameters/aliasName"));
    match meant(call, name.ok_or_else(|| lacks(call, "alias"))?, record)? {
        KeyReference::AliasArn(arn) => Ok(arn),
        _ => Err(lacks(call, "alias")),
    }
}

/// Parses the name of a key or an alias. A bare id or name is resolved in the account and region of
/// the call.
fn meant(call: &str, name: &str, record: Record<'_>) -> Result<KeyReference, ChangeError> {
    let Ok(reference) = name.parse::<KeyReference>();
    if reference.place().is_some() {
        return Ok(reference);
    }
    let malformed = |source: Malformed| ChangeError::Malformed { call: call.to_owned(), source };
    Ok(reference.within(&Place {
        account: record
            .recipient()
            .ok_or_else(|| lacks(call, "account"))?
            .parse()
            .map_err(malformed)?,
        region: record.region().ok_or_else(|| lacks(call, "region"))?.parse().map_err(malformed)?,
    }))
}

fn lacks(call: &str, what: &'static str) -> ChangeError {
    ChangeError::Lacks { call: call.to_owned(), what }
}
