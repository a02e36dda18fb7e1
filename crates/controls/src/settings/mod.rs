//! What the organization requires: `cmkwatch.toml`.
//!
//! One file, reviewed like code, read by everything that judges. What is not understood in it is an error, for a rule
//! that silently does not apply is worse than a function that does not start.

mod alerts;
mod document;
mod exemption;

pub use alerts::Alerts;
pub use exemption::Exemption;

use crate::Level;
use facts::AccountId;
use serde::{Deserialize, Deserializer, de};
use std::{borrow::Borrow, collections::BTreeMap, fmt, str::FromStr};

/// The settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Accounts of the organization that are not watched.
    pub excluded_accounts: Vec<AccountId>,
    /// The key of the bucket tag that names the class.
    pub tag: String,
    /// The class of a bucket that has no such tag, or one that names no class.
    pub default: Class,
    /// All classes, by name; the default is one of them.
    pub classes: BTreeMap<ClassName, Class>,
    /// Buckets that controls are not asked about, for a while.
    pub exemptions: Vec<Exemption>,
    /// Whether buckets that pass get findings too.
    pub import_passed: bool,
    /// In how many days a finding that does not change is imported again once, 1 to 89.
    pub refresh_after_days: u8,
    /// In how many days an account is audited once, 1 to 89.
    pub audit_every_days: u8,
    /// What is worth a message.
    pub alerts: Alerts,
}

impl Settings {
    /// True for an account that is not watched.
    #[must_use]
    pub fn excludes(&self, account: &AccountId) -> bool {
        self.excluded_accounts.contains(account)
    }

    /// The settings as they are within an organization, which key policies may admit unless a class says otherwise.
    #[must_use]
    pub fn within(mut self, organization: &OrganizationId) -> Self {
        for class in self.classes.values_mut().chain([&mut self.default]) {
            if class.trust_own_organization && !class.trusted_organizations.contains(organization) {
                class.trusted_organizations.push(organization.clone());
            }
        }
        self
    }
}

/// A class of data and what it requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Its name, which is the value of the tag.
    pub name: ClassName,
    /// What it requires.
    pub level: Level,
    /// What is made of buckets that receive logs which cannot be written with a customer-managed key.
    pub log_buckets: LogBuckets,
    /// What it requires of the policy of a key.
    pub root_delegation: RootDelegation,
    /// Accounts that a key policy may admit besides the key's own.
    pub trusted_accounts: Vec<AccountId>,
    /// Organizations whose accounts a key policy may admit.
    pub trusted_organizations: Vec<OrganizationId>,
    /// True if key policies may admit the organization that is watched.
    pub trust_own_organization: bool,
    /// The longest period of rotation in days, 90 to 2560.
    pub max_rotation_days: u32,
}

/// What is made of a key policy that leaves the key to the IAM policies of its own account, as
/// [the default one](https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html) does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootDelegation {
    /// It is told and does not fail.
    #[default]
    Accept,
    /// It counts like any other principal.
    Reject,
}

/// What is made of buckets that receive logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogBuckets {
    /// The controls that such a bucket cannot keep are not asked.
    #[default]
    Exempt,
    /// They are judged like any other.
    Check,
}

/// The id of an [AWS Organization](https://docs.aws.amazon.com/organizations/latest/APIReference/API_Organization.html): `o-` and
/// 10 to 32 lower-case letters and digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationId(String);

impl OrganizationId {
    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OrganizationId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let has_form = text.strip_prefix("o-").is_some_and(|id| {
            (10..=32).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        });
        has_form.then(|| Self(text.to_owned())).ok_or_else(|| {
            format!("an organization id is o- and 10 to 32 lower-case letters and digits, unlike `{text}`")
        })
    }
}

impl<'de> Deserialize<'de> for OrganizationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The name of a class: up to 64 of the
/// [characters that a tag may have](https://docs.aws.amazon.com/AmazonS3/latest/userguide/tagging.html) in every service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClassName(String);

impl ClassName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ClassName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClassName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ClassName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if is_tag_text(&text, 64) {
            Ok(Self(text))
        } else {
            Err(de::Error::custom(format_args!(
                "the name of a class has 1 to 64 letters, digits, spaces and + - = . _ : / @, unlike `{text}`"
            )))
        }
    }
}

fn is_tag_text(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b" +-=._:/@".contains(&b))
}

/// What is wrong with the settings, with the line and the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct SettingsError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there; names the key.
    pub message: String,
}
