//! The API calls that change the facts that controls look at.

/// The calls that change the default encryption of a bucket.
pub(crate) const ENCRYPTION: &[&str] =
    &["CreateBucket", "PutBucketEncryption", "DeleteBucketEncryption"];
/// The calls that change the policy of a bucket.
pub(crate) const BUCKET_POLICY: &[&str] =
    &["CreateBucket", "PutBucketPolicy", "DeleteBucketPolicy"];
/// The calls that change the tags of a bucket, and so its class.
pub(crate) const TAGS: &[&str] =
    &["PutBucketTagging", "DeleteBucketTagging", "TagResource", "UntagResource"];
/// The calls that change the key that an alias leads to.
pub(crate) const ALIAS: &[&str] = &["CreateAlias", "UpdateAlias", "DeleteAlias"];
/// The calls that change the policy of a key, or of another key with the same material.
pub(crate) const KEY_POLICY: &[&str] = &["CreateKey", "ReplicateKey", "PutKeyPolicy"];
/// The calls that change the grants of a key.
pub(crate) const GRANTS: &[&str] = &["CreateGrant", "RevokeGrant", "RetireGrant"];
/// The calls that change the state of a key, on which its use depends.
pub(crate) const KEY_STATE: &[&str] = &[
    "CreateKey",
    "ScheduleKeyDeletion",
    "CancelKeyDeletion",
    "DeleteKey",
    "DisableKey",
    "EnableKey",
    "ImportKeyMaterial",
    "DeleteImportedKeyMaterial",
    "DeleteExpiredKeyMaterial",
];
/// The calls that change the rotation of a key. `RotateKey` is the service event of a [rotation
/// that took place](https://docs.aws.amazon.com/kms/latest/developerguide/ct-rotatekey.html).
pub(crate) const ROTATION: &[&str] =
    &["CreateKey", "EnableKeyRotation", "DisableKeyRotation", "RotateKey"];
