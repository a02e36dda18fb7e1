//! A scenario: a bucket and its key, and what is to be found. One folder of `tests/scenarios/` each, named
//! `<control>-<case>`.

use crate::root;
use serde::Deserialize;
use std::{collections::BTreeMap, fs};

/// A bucket, its key, and what each control says of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// The folder's name.
    #[serde(skip)]
    pub name: String,
    /// What the scenario answers.
    pub question: String,
    /// The bucket's classification tag; none for a bucket without tags.
    pub class: Option<String>,
    /// What is put as default encryption; none for a bucket that is left as S3 makes it.
    pub encryption: Option<Encryption>,
    /// The customer-managed key that the scenario makes, where it makes one.
    pub key: Option<KeySetup>,
    /// The class of another bucket that uses the scenario's key, where there is one.
    pub key_shared_with: Option<String>,
    /// The bucket policy. In it `<bucket>`, `<key>` and `<account>` stand for the bucket's and the key's ARN and the key's
    /// account.
    pub bucket_policy: Option<String>,
    /// What the member role is refused.
    pub refused: Option<Refused>,
    /// Status and severity by control (`FAILED HIGH`); a control that is not named has no finding.
    #[serde(default)]
    pub expect: BTreeMap<String, String>,
}

/// An action that the member role can be refused, on the bucket or on the scenario's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Refused {
    /// The bucket's default encryption.
    #[serde(rename = "s3:GetEncryptionConfiguration")]
    Encryption,
    /// The bucket policy.
    #[serde(rename = "s3:GetBucketPolicy")]
    BucketPolicy,
    /// The scenario's key.
    #[serde(rename = "kms:DescribeKey")]
    Key,
    /// Its policy.
    #[serde(rename = "kms:GetKeyPolicy")]
    KeyPolicy,
    /// Its rotation.
    #[serde(rename = "kms:GetKeyRotationStatus")]
    Rotation,
}

impl Refused {
    /// The action, as a policy writes it.
    #[must_use]
    pub fn action(self) -> &'static str {
        match self {
            Self::Encryption => "s3:GetEncryptionConfiguration",
            Self::BucketPolicy => "s3:GetBucketPolicy",
            Self::Key => "kms:DescribeKey",
            Self::KeyPolicy => "kms:GetKeyPolicy",
            Self::Rotation => "kms:GetKeyRotationStatus",
        }
    }

    /// Whether it is an action on the key.
    #[must_use]
    pub fn is_of_the_key(self) -> bool {
        self.action().starts_with("kms:")
    }
}

/// The default encryption.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Encryption {
    /// `SSEAlgorithm`
    pub algorithm: String,
    /// How the scenario's key is spelled.
    pub key: Option<Spelling>,
    /// A `KMSMasterKeyID` to the letter, in place of the scenario's key.
    pub literal: Option<String>,
    /// `BucketKeyEnabled`, which holds for `aws:kms` only.
    #[serde(default = "yes")]
    pub bucket_key: bool,
    /// Whether SSE-C is blocked.
    #[serde(default = "yes")]
    pub blocks_sse_c: bool,
}

fn yes() -> bool {
    true
}

/// The spellings of a key that names itself.
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
    /// As it is made.
    Enabled,
    /// By DisableKey.
    Disabled,
    /// By ScheduleKeyDeletion.
    PendingDeletion,
}

/// A key to be made.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct KeySetup {
    /// The state that it is put into.
    pub state: State,
    /// Its key spec.
    pub spec: String,
    /// Its key usage.
    pub usage: String,
    /// The period of its rotation in days; 0 for none. A key that is not symmetric has none.
    pub rotation_days: i32,
    /// Its policy, in place of the default one; see the bucket policy.
    pub policy: Option<String>,
    /// Made in another account than the bucket's.
    pub in_another_account: bool,
    /// Made in another region than the bucket's.
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
            in_another_account: false,
            in_another_region: false,
        }
    }
}

/// A policy of a scenario made out to its bucket and key, each by its ARN; none where there is no such key.
#[must_use]
pub fn made_out(policy: &str, bucket: &str, key: Option<&str>) -> String {
    let key = key.unwrap_or_default();
    let account = key.split(':').nth(4).unwrap_or_default();
    policy.replace("<bucket>", bucket).replace("<key>", key).replace("<account>", account)
}

/// All scenarios, by name.
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
