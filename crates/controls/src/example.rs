//! Facts for the tests of the controls: a bucket of account 111111111111 in us-east-1.

use crate::{Class, Control, OF_BUCKETS, Outcome, Settings, judge};
use facts::{
    Bucket, BucketEncryption, BucketId, DefaultEncryption, Fact, Key, KeyAdministration, KeyLookup,
    KeyManager, KeyState, Permissions, Rotation, Tags, Unreadable, UsedKey,
};
use jiff::Timestamp;

/// A key of the bucket's own account and region.
pub(crate) const KEY_ARN: &str = "arn:aws:kms:us-east-1:111111111111:key/1234";
/// A key of another account.
pub(crate) const FOREIGN_KEY: &str = "arn:aws:kms:us-east-1:222222222222:key/5678";

/// The default key policy, which leaves the key to the IAM policies of its account.
pub(crate) const DEFAULT_KEY_POLICY: &str = r#"{"Version": "2012-10-17", "Statement": {"Sid": "Enable IAM User Permissions",
    "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:root"}, "Action": "kms:*", "Resource": "*"}}"#;

/// Returns a class that requires everything. Its other settings are the defaults.
pub(crate) fn class() -> Class {
    let settings =
        "classification = { tag = \"t\", default = \"all\" }\n[class.all]\nlevel = \"enforced\"";
    settings.parse::<Settings>().unwrap().default
}

/// Returns a bucket without tags and without a policy. It blocks SSE-C and has a bucket key.
pub(crate) fn bucket(encryption: Fact<DefaultEncryption>) -> Bucket {
    let id = BucketId::new(
        "111111111111".parse().unwrap(),
        "us-east-1".parse().unwrap(),
        "acme".parse().unwrap(),
    );
    let encryption = encryption.map(|default| BucketEncryption {
        default,
        bucket_key: true,
        blocks_sse_c: true,
    });
    let policy = Fact::Known(None);
    Bucket {
        id: id.unwrap(),
        read_at: Timestamp::UNIX_EPOCH,
        tags: Fact::Known(Tags::new()),
        encryption,
        policy,
        key_users: Some(Fact::Known(Vec::new())),
    }
}

/// Returns a customer-managed key that can be used.
pub(crate) fn key(arn: &str) -> Key {
    Key {
        arn: arn.parse().unwrap(),
        manager: KeyManager::Customer,
        state: KeyState::Enabled,
        spec: "SYMMETRIC_DEFAULT".into(),
        usage: "ENCRYPT_DECRYPT".into(),
        origin: "AWS_KMS".into(),
        created: Timestamp::UNIX_EPOCH,
        material_expires: None,
        related: Vec::new(),
        administration: Some(KeyAdministration {
            admissions: Permissions::of_key_policy(Fact::Known(DEFAULT_KEY_POLICY.parse())).into(),
            rotation: Fact::Known(Rotation::Every(365)),
            rotated: Fact::Known(Vec::new()),
        }),
    }
}

/// Returns a key as a bucket names it.
pub(crate) fn kms(reference: &str, resolved: Fact<KeyLookup>) -> UsedKey {
    UsedKey { reference: reference.parse().unwrap(), resolved }
}

/// Returns the answer AccessDenied to a call that needs this permission.
pub(crate) fn denied(permission: &'static str) -> Unreadable {
    Unreadable { permission, subject: "bucket acme".into(), code: "AccessDenied".into() }
}

/// Returns the outcome of a control for a bucket whose class requires this level only.
pub(crate) fn by_class(control: &Control, bucket: &Bucket, level: &str) -> Outcome {
    let settings = format!(
        "classification = {{ tag = \"t\", default = \"all\" }}\nclass.all.level = \"{level}\""
    );
    let verdicts = judge(bucket, &settings.parse().unwrap()).verdicts;
    let position = OF_BUCKETS.iter().position(|other| other.slug == control.slug).unwrap();
    verdicts.into_iter().nth(position).unwrap().outcome
}
