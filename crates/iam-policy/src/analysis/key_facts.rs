//! What AWS documents about condition keys: which requests have them, and which values they have.
//!
//! The names of keys are in small letters. A key without an entry may be absent, or have any value.

use super::{caller::ARN_KEY, shape::Shape};
use crate::Version;

/// Keys, in small letters, that have at most one value in a request, as their pages say:
///
/// - [global](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html)
/// - [KMS](https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html)
/// - [S3](https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html)
///
/// Any other key may have several values if the policy uses a set operator on it.
pub(super) const SINGLE: [&str; 14] = [
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:principaltype",
    "aws:principalisawsservice",
    "aws:securetransport",
    "aws:sourcearn",
    "aws:sourceaccount",
    "aws:viaawsservice",
    "kms:calleraccount",
    "kms:grantisforawsresource",
    "kms:viaservice",
    "s3:x-amz-server-side-encryption",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
];

/// Keys, in small letters, that every request has
/// ([global](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html)).
pub(super) const ALWAYS_PRESENT: [&str; 6] = [
    "aws:currenttime",
    "aws:epochtime",
    "aws:principaltype",
    "aws:requestedregion",
    "aws:securetransport",
    "aws:userid",
];

/// The form of the values of some keys, in small letters. Without an entry, any text may be a value
/// ([global](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html)).
pub(super) const FORMS: [(&str, &str); 7] = [
    ("aws:principalorgid", "o-*"),
    ("aws:principalorgpaths", "o-*/*"),
    ("aws:resourceaccount", "????????????"),
    ("aws:resourceorgid", "o-*"),
    ("aws:resourceorgpaths", "o-*/*"),
    ("kms:calleraccount", "????????????"),
    ("kms:viaservice", "*.*.amazonaws.com"),
];

/// Keys whose values are `true` and `false`.
pub(super) const BOOLEANS: [&str; 5] = [
    "aws:multifactorauthpresent",
    "aws:principalisawsservice",
    "aws:securetransport",
    "aws:viaawsservice",
    "kms:grantisforawsresource",
];

/// The form of the values of a key.
pub(super) enum Form {
    /// The values are in this set.
    Like(Shape),
    /// The values are `true` and `false`.
    TrueOrFalse,
}

impl Form {
    /// Returns the form of a key, whose name is in small letters.
    pub(super) fn of(key: &str) -> Self {
        if BOOLEANS.contains(&key) {
            return Self::TrueOrFalse;
        }
        let form = FORMS.iter().find(|(name, _)| *name == key).map_or("*", |(_, form)| form);
        Self::Like(Shape::like(form, Version::V2008))
    }
}

/// The beginnings of keys whose values are names, ids, ARNs or tags. Such values contain neither
/// `*` nor `?`
/// ([tags](https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html#id_tags_rules_creating)).
pub(super) const IDENTIFIERS: [&str; 12] = [
    "aws:calledvia",
    "aws:principal",
    "aws:resource",
    "aws:source",
    "aws:userid",
    "aws:username",
    "aws:vpce",
    "kms:calleraccount",
    "kms:grantoperations",
    "kms:viaservice",
    "s3:resourceaccount",
    "s3:x-amz-server-side-encryption",
];

/// True if no request has this value under the key, in small letters.
pub(super) fn is_impossible(key: &str, text: &str) -> bool {
    // The path of a role or user may contain any character.
    let fixed = match (key == ARN_KEY).then(|| text.splitn(6, ':').collect::<Vec<_>>()) {
        Some(parts) if parts.len() == 6 => {
            let resource = parts.last().copied().unwrap_or_default();
            let name = resource.rsplit('/').next().unwrap_or(resource);
            let before = text.len().saturating_sub(resource.len());
            format!("{}{name}", text.get(..before).unwrap_or_default())
        }
        _ => text.to_owned(),
    };
    fixed.contains(['*', '?']) && IDENTIFIERS.iter().any(|beginning| key.starts_with(beginning))
}

/// The key that holds the id of the caller's organization, in small letters.
pub(super) const ORGANIZATION: &str = "aws:principalorgid";
/// The key that holds the paths of the caller in its organization. Each begins with the id of the
/// organization.
pub(super) const ORGANIZATION_PATHS: &str = "aws:principalorgpaths";

/// Keys whose values are written in small letters: names of services
/// ([KMS](https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service))
/// and ids of
/// [organizations](https://docs.aws.amazon.com/organizations/latest/APIReference/API_Organization.html).
pub(super) const SMALL_LETTERS: [&str; 5] = [
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:resourceorgid",
    "aws:resourceorgpaths",
    "kms:viaservice",
];

/// Condition keys that only requests for some actions have, all in small letters
/// ([KMS](https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-grant-is-for-aws-resource)).
pub(super) const OF_ACTIONS: [(&str, &[&str]); 1] =
    [("kms:grantisforawsresource", &["kms:creategrant", "kms:listgrants", "kms:revokegrant"])];
