//! The API calls that change what controls look at.

/// Which encryption a bucket has by default.
pub(crate) const ENCRYPTION: &[&str] =
    &["CreateBucket", "PutBucketEncryption", "DeleteBucketEncryption"];
/// What its policy refuses.
pub(crate) const BUCKET_POLICY: &[&str] =
    &["CreateBucket", "PutBucketPolicy", "DeleteBucketPolicy"];
/// What class it has.
pub(crate) const TAGS: &[&str] =
    &["PutBucketTagging", "DeleteBucketTagging", "TagResource", "UntagResource"];
/// Which key an alias leads to.
pub(crate) const ALIAS: &[&str] = &["CreateAlias", "UpdateAlias", "DeleteAlias"];
/// Whom a key admits.
pub(crate) const KEY_POLICY: &[&str] = &["CreateKey", "PutKeyPolicy"];
/// Whether a key can be used.
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
/// Whether a key is rotated.
pub(crate) const ROTATION: &[&str] = &["CreateKey", "EnableKeyRotation", "DisableKeyRotation"];
