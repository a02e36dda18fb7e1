//! The requirements of the organization: `cmkwatch.toml`.
//!
//! The file is reviewed like code, and everything that judges reads it. A key or value that is not
//! understood is an error. A rule that silently does not apply is worse than a function that does
//! not start.

mod alerts;
mod document;
mod exemption;
mod mistake;

pub use alerts::Alerts;
pub use exemption::Exemption;

use crate::Level;
use facts::AccountId;
use iam_policy::Pattern;
use serde::{Deserialize, Deserializer, de};
use std::{borrow::Borrow, collections::BTreeMap, fmt, str::FromStr};

/// The settings, after all checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Accounts of the organization that are not watched.
    pub excluded_accounts: Vec<AccountId>,
    /// The key of the bucket tag that names the class.
    pub tag: String,
    /// The class of a bucket without such a tag, or with one that names no class.
    pub default: Class,
    /// All classes, by name. The default class is one of them.
    pub classes: BTreeMap<ClassName, Class>,
    /// Buckets that are exempt from controls until a day.
    pub exemptions: Vec<Exemption>,
    /// True if buckets that pass get findings too.
    pub import_passed: bool,
    /// The number of days in which an unchanged finding is imported again once, 1 to 89.
    pub refresh_after_days: u8,
    /// The number of days in which an account is audited once, 1 to 89.
    pub audit_every_days: u8,
    /// The findings that are worth an alert.
    pub alerts: Alerts,
}

impl Settings {
    /// True if this account is not watched.
    #[must_use]
    pub fn excludes(&self, account: &AccountId) -> bool {
        self.excluded_accounts.contains(account)
    }

    /// Returns the settings as they apply within an organization. Key policies may admit its
    /// accounts unless a class forbids it.
    #[must_use]
    pub fn within(mut self, organization: &OrganizationId) -> Self {
        for class in self.classes.values_mut().chain([&mut self.default]) {
            class.organization = Some(organization.clone());
            if class.trust_own_organization && !class.trusted_organizations.contains(organization) {
                class.trusted_organizations.push(organization.clone());
            }
        }
        self
    }
}

/// A class of data and its requirements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// The name of the class, which is the value of the tag.
    pub name: ClassName,
    /// The level that the class requires.
    pub level: Level,
    /// The treatment of buckets that receive logs which cannot be written with a customer-managed
    /// key.
    pub log_buckets: LogBuckets,
    /// The treatment of a key policy that leaves the key to IAM policies.
    pub root_delegation: RootDelegation,
    /// Accounts that a key policy may admit besides the key's own.
    pub trusted_accounts: Vec<AccountId>,
    /// Organizations whose accounts a key policy may admit.
    pub trusted_organizations: Vec<OrganizationId>,
    /// The organization that is watched, if it is known.
    pub organization: Option<OrganizationId>,
    /// True if key policies may admit the organization that is watched.
    pub trust_own_organization: bool,
    /// The longest period of rotation in days, 90 to 2560.
    pub max_rotation_days: u32,
    /// The ARNs of keys that uploads may name besides the bucket's own key, with wildcards.
    pub allowed_keys: Vec<Pattern>,
}

/// The treatment of a key policy that leaves the key to the IAM policies of its own account, as
/// [the default key
/// policy](https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html) does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootDelegation {
    /// The delegation is reported and does not fail.
    #[default]
    Accept,
    /// The account counts like any other principal.
    Reject,
}

/// The treatment of buckets that receive logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogBuckets {
    /// A bucket that receives logs is exempt from the controls that it cannot keep.
    #[default]
    Exempt,
    /// A bucket that receives logs is judged like any other.
    Check,
}

/// The id of an [AWS
/// organization](https://docs.aws.amazon.com/organizations/latest/APIReference/API_Organization.html):
/// `o-` and 10 to 32 lower-case letters and digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationId(String);

impl OrganizationId {
    /// Returns the id.
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

/// The name of a class: 1 to 64 of the [characters that a tag may
/// have](https://docs.aws.amazon.com/AmazonS3/latest/userguide/tagging.html) in every service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClassName(String);

impl ClassName {
    /// Returns the name.
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

/// An error in the settings, with its line and key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct SettingsError {
    /// The number of the line, from 1.
    pub line: usize,
    /// The error in the line. Names the key.
    pub message: String,
}
