//! The facts of a bucket, of its key and of the account that owns it.
//!
//! A [`Fact`] is a value that was read, or the reason why it could not be read. There is no
//! default. Names from outside ([`AccountId`], [`Region`], [`BucketName`], [`KeyArn`]) are types
//! that only a well-formed text can become. So nothing malformed reaches an ARN, an AssumeRole or a
//! finding.
//!
//! This crate knows no rule: `controls` decides whether a fact is good or bad. It reads nothing:
//! `collect` does.

mod account;
mod account_id;
mod bucket;
mod bucket_id;
mod bucket_name;
mod encryption;
mod fact;
mod key;
mod key_admissions;
mod key_arn;
mod key_grant;
mod key_reference;
mod key_subject;
mod key_user;
mod name_range;
mod place;
mod policy;
mod region;

pub use account::Account;
pub use account_id::AccountId;
pub use bucket::{Bucket, Tags};
pub use bucket_id::BucketId;
pub use bucket_name::BucketName;
pub use encryption::{Algorithm, BucketEncryption, DefaultEncryption, EncryptionRule};
pub use fact::{Fact, Unreadable};
pub use key::{Key, KeyAdministration, KeyLookup, KeyManager, KeyState, Rotation, UsedKey};
pub use key_admissions::{Admission, KeyAdmissions, Permissions, RelatedKey};
pub use key_arn::{AliasArn, KeyArn};
pub use key_grant::{GrantCollector, GrantConstraints, KeyGrant, KeyGrants, MOST_GRANTS};
pub use key_reference::KeyReference;
pub use key_subject::KeySubject;
pub use key_user::KeyUser;
pub use name_range::NameRange;
pub use place::Place;
pub use policy::PolicyDocument;
pub use region::Region;

/// A text that does not have the form of the AWS name that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct Malformed {
    /// The expected form, with its article: "an account id (12 digits)".
    pub expected: &'static str,
    /// The text without control characters, cut to 80 characters.
    pub text: String,
}

impl Malformed {
    pub(crate) fn new(expected: &'static str, text: &str) -> Self {
        let text = text.chars().filter(|c| !c.is_control()).take(80).collect();
        Self { expected, text }
    }
}
