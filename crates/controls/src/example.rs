//! Facts for the tables of the controls' tests: a bucket of account 111111111111 in us-east-1.

use facts::{
    Bucket, BucketId, DefaultEncryption, Fact, Key, KeyManager, KeyState, ResolvedKey, Tags, Unreadable, UsedKey,
};
use jiff::Timestamp;

/// A key of the bucket's own account and region.
pub(crate) const KEY_ARN: &str = "arn:aws:kms:us-east-1:111111111111:key/1234";
/// A key of another account.
pub(crate) const FOREIGN_KEY: &str = "arn:aws:kms:us-east-1:222222222222:key/5678";

/// A bucket without tags.
pub(crate) fn bucket(encryption: Fact<DefaultEncryption>) -> Bucket {
    let id = BucketId::new("111111111111".parse().unwrap(), "us-east-1".parse().unwrap(), "acme".parse().unwrap());
    Bucket { id: id.unwrap(), read_at: Timestamp::UNIX_EPOCH, tags: Fact::Known(Tags::new()), encryption }
}

/// A customer-managed key that can be used.
pub(crate) fn key(arn: &str) -> Key {
    Key {
        arn: arn.parse().unwrap(),
        manager: KeyManager::Customer,
        state: KeyState::Enabled,
        spec: "SYMMETRIC_DEFAULT".into(),
        usage: "ENCRYPT_DECRYPT".into(),
    }
}

/// A key as a bucket names it.
pub(crate) fn kms(reference: &str, resolved: Fact<ResolvedKey>) -> UsedKey {
    UsedKey { reference: reference.parse().unwrap(), resolved }
}

/// An answer of AccessDenied.
pub(crate) fn denied(permission: &'static str) -> Unreadable {
    Unreadable { permission, subject: "bucket acme".into(), code: "AccessDenied".into() }
}
