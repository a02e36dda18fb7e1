//! The controls, one file each. The files are named for what must hold.

mod account_readable;
mod bucket_key_on;
mod encrypted_with_cmk;
mod encrypted_with_kms;
mod key_policy_closed;
mod key_rotates;
mod key_serves_one_class;
mod key_usable;
mod key_used_only_via_s3;
mod ssec_blocked;
mod tls_only;
mod uploads_use_cmk;

pub(crate) use account_readable::{ACCOUNT_READABLE, check as account_readable};
pub(crate) use bucket_key_on::BUCKET_KEY_ON;
pub(crate) use encrypted_with_cmk::ENCRYPTED_WITH_CMK;
pub(crate) use encrypted_with_kms::ENCRYPTED_WITH_KMS;
pub(crate) use key_policy_closed::{KEY_POLICY_CLOSED, of_policy as key_policy_closed};
pub(crate) use key_rotates::KEY_ROTATES;
pub(crate) use key_serves_one_class::KEY_SERVES_ONE_CLASS;
pub(crate) use key_usable::KEY_USABLE;
pub(crate) use key_used_only_via_s3::{
    GRANT, KEY_USED_ONLY_VIA_S3, MOST_LISTED, OPERATIONS, of_policy as key_used_only_via_s3,
};
pub(crate) use ssec_blocked::{SSEC_BLOCKED, of_policy as ssec_blocked};
pub(crate) use tls_only::{TLS_ONLY, of_policy as tls_only};
pub(crate) use uploads_use_cmk::{UPLOADS_USE_CMK, of_policy as uploads_use_cmk};

use crate::{Evidence, ExpectedKey, KeyIdentity, Outcome, PolicyOf, PolicyProblem};
use facts::{
    Bucket, DefaultEncryption, Key, KeyAdministration, KeyLookup, KeyManager, PolicyDocument,
    UsedKey,
};
use iam_policy::{NotAPolicy, Policy, TooComplex};

/// Returns the KMS key of the default encryption, or `None` if the encryption is SSE-S3. The error
/// is the outcome if the encryption is not known.
fn kms_key(bucket: &Bucket) -> Result<Option<&UsedKey>, Outcome> {
    let encryption = &bucket.encryption.known().map_err(Outcome::unreadable)?.default;
    match encryption {
        DefaultEncryption::Kms(key) | DefaultEncryption::KmsDsse(key) => Ok(Some(key)),
        DefaultEncryption::SseS3 => Ok(None),
        DefaultEncryption::Unknown(_) | DefaultEncryption::Contradictory => {
            Err(Outcome::not_understood(Evidence::default_encryption(encryption)))
        }
    }
}

/// Returns the key of the default encryption, or `None` if it was not found.
pub(crate) fn found_key(bucket: &Bucket) -> Option<&Key> {
    match kms_key(bucket).ok()??.resolved.known().ok()? {
        KeyLookup::Found(key) => Some(key),
        KeyLookup::AwsManagedDefault | KeyLookup::Missing => None,
    }
}

/// Returns the customer-managed key of the default encryption, with its access and rotation.
///
/// If there is no such key, or that is not known, the error is the outcome of every control about
/// such a key. Only `encrypted-with-cmk` fails because the key is not customer-managed.
fn customer_key(bucket: &Bucket) -> Result<(&Key, &KeyAdministration), Outcome> {
    let none = |why: &str| Outcome::NotApplicable(why.to_owned());
    let Some(used) = kms_key(bucket)? else {
        return Err(none("the default encryption uses no KMS key"));
    };
    match used.resolved.known().map_err(Outcome::unreadable)? {
        KeyLookup::Missing => Err(none("there is no such key")),
        KeyLookup::AwsManagedDefault => Err(none("AWS manages the key")),
        KeyLookup::Found(key) if key.manager == KeyManager::Aws => Err(none("AWS manages the key")),
        KeyLookup::Found(key) => match &key.administration {
            Some(administration) => Ok((key, administration)),
            None => {
                let manager = match &key.manager {
                    KeyManager::Other(name) => Some(name.clone()),
                    KeyManager::Aws | KeyManager::Customer => None,
                };
                let key = KeyIdentity::ManagedBy { key: key.arn.clone(), manager };
                let expected = ExpectedKey::CustomerManaged;
                Err(Outcome::not_understood(Evidence::Key { key, expected }))
            }
        },
    }
}

/// Returns the bucket policy, or `None` if the bucket has none. The error is the outcome if the
/// policy could not be read or understood.
pub(crate) fn policy_of(bucket: &Bucket) -> Result<Option<&Policy>, Outcome> {
    match bucket.policy.known().map_err(Outcome::unreadable)? {
        Some(document) => understood(document, PolicyOf::Bucket).map(Some),
        None => Ok(None),
    }
}

/// Returns the policy of a document. The error is the outcome if it is not understood.
pub(crate) fn understood(document: &PolicyDocument, of: PolicyOf) -> Result<&Policy, Outcome> {
    document.as_ref().map_err(|NotAPolicy { place, reason, .. }| {
        let problem = PolicyProblem::NotAPolicy { place: place.clone(), reason: reason.clone() };
        Outcome::not_understood(Evidence::Policy { of, problem })
    })
}

/// Returns the outcome for a policy that is too complex to be analysed.
pub(crate) fn too_complex(of: PolicyOf, error: TooComplex) -> Outcome {
    let problem = PolicyProblem::TooComplex { reason: error.to_string() };
    Outcome::not_understood(Evidence::Policy { of, problem })
}

/// Returns the outcome that the facts decided, or the outcome that ended the check early.
fn decided(outcome: Result<Outcome, Outcome>) -> Outcome {
    outcome.unwrap_or_else(|undetermined| undetermined)
}
