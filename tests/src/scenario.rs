//! A scenario: a bucket and its key, and the expected findings. Each is one folder of
//! `tests/scenarios/`, named `<control>-<case>`.

use crate::root;
use serde::Deserialize;
use std::{collections::BTreeMap, fs};

/// A bucket, its key, and the expected verdict of each control.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// The folder's name.
    #[serde(skip)]
    pub name: String,
    /// The question that the scenario answers.
    pub question: String,
    /// The bucket's classification tag, or `None` for a bucket without tags.
    pub class: Option<String>,
    /// The default encryption to put, or `None` for a bucket that is left as S3 makes it.
    pub encryption: Option<Encryption>,
    /// The customer-managed key that the scenario makes, or `None` if it makes no key.
    pub key: Option<KeySetup>,
    /// The class of another bucket that uses the scenario's key, or `None` if there is no other
    /// bucket.
    pub key_shared_with: Option<String>,
    /// The bucket policy, with placeholders. `<bucket>` and `<key>` are replaced by the ARNs of the
    /// bucket and the key, `<account>` by the key's account.
    pub bucket_policy: Option<String>,
    /// The action that the member role is refused, or `None` if nothing is refused.
    pub refused: Option<Refused>,
    /// True if the action is refused on the replica of the key, and not on the key.
    #[serde(default)]
    pub refused_on_replica: bool,
    /// Status and severity by control, such as `FAILED HIGH`. A control that is not named has no
    /// finding.
    #[serde(default)]
    pub expect: BTreeMap<String, String>,
}

/// An action that the member role can be refused, on the bucket or on the scenario's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Refused {
    /// Reading the bucket's default encryption.
    #[serde(rename = "s3:GetEncryptionConfiguration")]
    Encryption,
    /// Reading the bucket policy.
    #[serde(rename = "s3:GetBucketPolicy")]
    BucketPolicy,
    /// Describing the scenario's key.
    #[serde(rename = "kms:DescribeKey")]
    Key,
    /// Reading the key policy.
    #[serde(rename = "kms:GetKeyPolicy")]
    KeyPolicy,
    /// Reading the key's grants.
    #[serde(rename = "kms:ListGrants")]
    Grants,
    /// Reading the key's rotation.
    #[serde(rename = "kms:GetKeyRotationStatus")]
    Rotation,
    /// Reading the rotations of the key that took place.
    #[serde(rename = "kms:ListKeyRotations")]
    Rotations,
}

impl Refused {
    /// Returns the action as a policy writes it.
    #[must_use]
    pub fn action(self) -> &'static str {
        match self {
            Self::Encryption => "s3:GetEncryptionConfiguration",
            Self::BucketPolicy => "s3:GetBucketPolicy",
            Self::Key => "kms:DescribeKey",
            Self::KeyPolicy => "kms:GetKeyPolicy",
            Self::Grants => "kms:ListGrants",
            Self::Rotation => "kms:GetKeyRotationStatus",
            Self::Rotations => "kms:ListKeyRotations",
        }
    }

    /// Returns true if the action is on the key.
    #[must_use]
    pub fn is_of_the_key(self) -> bool {
        self.action().starts_with("kms:")
    }
}

/// The default encryption of a bucket.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Encryption {
    /// The `SSEAlgorithm`.
    pub algorithm: String,
    /// The spelling of the scenario's key, or `None` if the encryption does not name that key.
    pub key: Option<Spelling>,
    /// A literal `KMSMasterKeyID`, in place of the scenario's key.
    pub literal: Option<String>,
    /// `BucketKeyEnabled`, which has an effect with `aws:kms` only.
    #[serde(default = "yes")]
    pub bucket_key: bool,
    /// True if SSE-C is blocked.
    #[serde(default = "yes")]
    pub blocks_sse_c: bool,
}

fn yes() -> bool {
    true
}

/// The spellings of a key in the default encryption.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spelling {
    /// A bare key id.
    Id,
    /// The key's ARN.
    Arn,
    /// An alias name.
    Alias,
    /// An alias's ARN.
    AliasArn,
}

/// A state that a key can be put into.
#[derive(Debug, Clone, Copy, Deserialize)]
pub enum State {
    /// The state of a new key.
    Enabled,
    /// The state after DisableKey.
    Disabled,
    /// The state after ScheduleKeyDeletion.
    PendingDeletion,
}

/// A key to be made.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct KeySetup {
    /// The state that the key is put into.
    pub state: State,
    /// The key spec.
    pub spec: String,
    /// The key usage.
    pub usage: String,
    /// The rotation period in days, or 0 for no rotation. A key that is not symmetric has no
    /// rotation.
    pub rotation_days: i32,
    /// The key policy, in place of the default one. It has the placeholders of the bucket policy.
    pub policy: Option<String>,
    /// The policy `AWS_RAM` of a key that is shared, or `None` for a key that is not shared. It has
    /// the placeholders of the bucket policy.
    pub shared_policy: Option<String>,
    /// The grants of the key.
    pub grants: Vec<GrantSetup>,
    /// The replica of a multi-Region key in the other region, or `None` for a key of one region.
    pub replica: Option<ReplicaSetup>,
    /// True if the material of the key is imported.
    pub imported: bool,
    /// The number of days until imported material expires, or `None` if it does not expire. A
    /// negative number is for material that has expired.
    pub expires_in_days: Option<i64>,
    /// The age of the key in days.
    pub created_days_ago: i64,
    /// The days since the rotations of the key that took place.
    pub rotated_days_ago: Vec<i64>,
    /// True if the key is in another account than the bucket.
    pub in_another_account: bool,
    /// True if the key is in another region than the bucket.
    pub in_another_region: bool,
}

impl Default for KeySetup {
    fn default() -> Self {
        Self {
            state: State::Enabled,
            spec: "SYMMETRIC_DEFAULT".into(),
            usage: "ENCRYPT_DECRYPT".into(),
            rotation_days: 365,
            policy: None,
            shared_policy: None,
            grants: Vec::new(),
            replica: None,
            imported: false,
            expires_in_days: None,
            created_days_ago: 0,
            rotated_days_ago: Vec::new(),
            in_another_account: false,
            in_another_region: false,
        }
    }
}

/// A grant of a key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GrantSetup {
    /// The principal that gets the permissions, with the placeholder `<account>`.
    pub to: String,
    /// The operations that the grant allows: `Decrypt`.
    pub operations: Vec<String>,
}

/// A replica of a multi-Region key.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ReplicaSetup {
    /// The policy of the replica, in place of the default one.
    pub policy: Option<String>,
    /// The grants of the replica.
    pub grants: Vec<GrantSetup>,
}

/// Returns a policy of a scenario, filled in for its bucket and key. `bucket` and `key` are ARNs.
/// Without a key, the placeholders for it become empty.
#[must_use]
pub fn made_out(policy: &str, bucket: &str, key: Option<&str>) -> String {
    let key = key.unwrap_or_default();
    let account = key.split(':').nth(4).unwrap_or_default();
    policy.replace("<bucket>", bucket).replace("<key>", key).replace("<account>", account)
}

/// Returns all scenarios, by name.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let mut names: Vec<_> = fs::read_dir(root().join("tests/scenarios"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names.into_iter().map(read).collect()
}

fn read(name: String) -> Scenario {
    let path = root().join("tests/scenarios").join(&name).join("scenario.toml");
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let scenario: Scenario =
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Scenario { name, ..scenario }
}
