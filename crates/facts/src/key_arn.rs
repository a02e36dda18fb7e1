//! The ARNs of KMS keys and of their aliases.

use crate::{AccountId, Malformed, Region};
use std::{fmt, str::FromStr};

/// The ARN of a [KMS
/// key](https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-id-key-ARN):
/// `arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyArn(Arn);

/// The ARN of an
/// [alias](https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-id-alias-ARN):
/// `arn:aws:kms:us-east-1:123456789012:alias/acme`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AliasArn(Arn);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Arn {
    text: String,
    region: Region,
    account: AccountId,
    /// The index in `text` at which the resource begins.
    resource: usize,
}

impl Arn {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let ("arn", partition, "kms") = (parts.next()?, parts.next()?, parts.next()?) else {
            return None;
        };
        let region: Region = parts.next()?.parse().ok()?;
        let account = parts.next()?.parse().ok()?;
        let resource = text.len() - parts.next()?.len();
        (partition == region.partition()).then(|| Self {
            text: text.to_owned(),
            region,
            account,
            resource,
        })
    }

    fn resource(&self) -> &str {
        self.text.get(self.resource..).unwrap_or_default()
    }
}

/// Returns true if a text has the form of a key id: a UUID, or `mrk-` and 32 hexadecimal digits.
/// The check is a little wider, because KMS promises no more.
pub(crate) fn is_key_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Returns true if a text has the form of [an alias
/// name](https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateAlias.html).
pub(crate) fn is_alias_name(text: &str) -> bool {
    text.len() <= 256
        && text.strip_prefix("alias/").is_some_and(|name| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-'))
        })
}

impl FromStr for KeyArn {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Arn::parse(text)
            .filter(|arn| arn.resource().strip_prefix("key/").is_some_and(is_key_id))
            .map(Self)
            .ok_or_else(|| Malformed::new("the ARN of a KMS key", text))
    }
}

impl FromStr for AliasArn {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Arn::parse(text)
            .filter(|arn| is_alias_name(arn.resource()))
            .map(Self)
            .ok_or_else(|| Malformed::new("the ARN of a KMS alias", text))
    }
}

impl KeyArn {
    /// Returns the whole ARN of the key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Returns the key's id. A multi-Region key has the same id in every region.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.resource().trim_start_matches("key/")
    }

    /// Returns true for a [multi-Region
    /// key](https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html),
    /// which has the same id in each of its regions: "multi-Region keys have a distinctive key ID
    /// that begins with `mrk-`".
    #[must_use]
    pub fn is_multi_region(&self) -> bool {
        self.id().starts_with("mrk-")
    }

    /// Returns the account that the key belongs to.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.0.account
    }

    /// Returns the region that the key lies in.
    #[must_use]
    pub fn region(&self) -> &Region {
        &self.0.region
    }
}

impl AliasArn {
    /// Returns the whole ARN of the alias.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Returns the alias without the rest of the ARN, `alias/` included.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.resource()
    }

    /// Returns the account that the alias belongs to.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.0.account
    }

    /// Returns the region that the alias lies in.
    #[must_use]
    pub fn region(&self) -> &Region {
        &self.0.region
    }
}

impl fmt::Display for KeyArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Display for AliasArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_split_into_its_parts() {
        let key: KeyArn = "arn:aws:kms:eu-west-1:123456789012:key/mrk-12ab".parse().unwrap();
        assert_eq!((key.account().as_str(), key.region().as_str()), ("123456789012", "eu-west-1"));
        assert_eq!(key.id(), "mrk-12ab");
        let alias: AliasArn = "arn:aws:kms:eu-west-1:123456789012:alias/team/data".parse().unwrap();
        assert_eq!(alias.name(), "alias/team/data");
    }

    #[test]
    fn other_texts_are_not_key_arns() {
        for text in [
            "",
            "arn:aws:kms:eu-west-1:123456789012:alias/a",
            "arn:aws:kms:eu-west-1:12345678901:key/a",
            "arn:aws:kms:eu-west-1:123456789012:key/",
            "arn:aws:kms:eu-west-1:123456789012:key/a/b",
            "arn:aws-cn:kms:eu-west-1:123456789012:key/a",
            "arn:aws:s3:eu-west-1:123456789012:key/a",
            "arn:aws:kms:eu-west-1:123456789012",
        ] {
            assert!(text.parse::<KeyArn>().is_err(), "{text:?}");
        }
    }
}
