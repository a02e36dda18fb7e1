//! The ways in which a bucket's default encryption can name its key.

use crate::{AccountId, AliasArn, KeyArn, Place, Region, key_arn};
use std::{convert::Infallible, fmt, str::FromStr};

/// The key of a bucket's default encryption, as its `KMSMasterKeyID` spells it.
///
/// [S3
/// accepts](https://docs.aws.amazon.com/AmazonS3/latest/API/API_ServerSideEncryptionByDefault.html)
/// a key id, a key ARN, an alias name, an alias ARN, or nothing. S3 does not check that the key
/// exists. The spelling says where to look the key up. It never says who manages the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyReference {
    /// No key is named: S3 uses the AWS-managed key `aws/s3`.
    Absent,
    /// A bare key id, to be resolved in the bucket's account and region.
    Id(String),
    /// The ARN of a key, which may belong to another account or region.
    Arn(KeyArn),
    /// An alias name with its `alias/`, to be resolved in the bucket's account and region.
    AliasName(String),
    /// The ARN of an alias, which may belong to another account or region.
    AliasArn(AliasArn),
    /// A text that cannot name a key.
    Unrecognised(String),
}

impl KeyReference {
    /// Returns the alias, such as `alias/acme`, or `None` if no alias is named.
    #[must_use]
    pub fn alias(&self) -> Option<&str> {
        match self {
            Self::AliasName(name) => Some(name),
            Self::AliasArn(arn) => Some(arn.name()),
            Self::Absent | Self::Id(_) | Self::Arn(_) | Self::Unrecognised(_) => None,
        }
    }

    /// Returns the account and the region that an ARN names, or `None` if the reference is no ARN.
    #[must_use]
    pub fn place(&self) -> Option<(&AccountId, &Region)> {
        match self {
            Self::Arn(arn) => Some((arn.account(), arn.region())),
            Self::AliasArn(arn) => Some((arn.account(), arn.region())),
            Self::Absent | Self::Id(_) | Self::AliasName(_) | Self::Unrecognised(_) => None,
        }
    }

    /// Returns the reference as an ARN, resolved for a bucket in the given place. A reference that
    /// can name no key, or is an ARN already, is returned unchanged.
    #[must_use]
    pub fn within(&self, Place { account, region }: &Place) -> Self {
        let arn = |resource: &str| {
            format!("arn:{}:kms:{region}:{account}:{resource}", region.partition())
        };
        match self {
            Self::Id(id) => {
                arn(&format!("key/{id}")).parse().map_or_else(|_| self.clone(), Self::Arn)
            }
            Self::AliasName(alias) => {
                arn(alias).parse().map_or_else(|_| self.clone(), Self::AliasArn)
            }
            Self::Absent | Self::Arn(_) | Self::AliasArn(_) | Self::Unrecognised(_) => self.clone(),
        }
    }

    /// Returns true for an alias that only AWS can create: [`alias/aws/` is
    /// reserved](https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateAlias.html).
    #[must_use]
    pub fn is_reserved_alias(&self) -> bool {
        self.alias().is_some_and(|alias| alias.starts_with("alias/aws/"))
    }
}

impl FromStr for KeyReference {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text.is_empty() {
            Self::Absent
        } else if let Ok(arn) = text.parse() {
            Self::Arn(arn)
        } else if let Ok(arn) = text.parse() {
            Self::AliasArn(arn)
        } else if key_arn::is_alias_name(text) {
            Self::AliasName(text.to_owned())
        } else if key_arn::is_key_id(text) {
            Self::Id(text.to_owned())
        } else {
            Self::Unrecognised(text.to_owned())
        })
    }
}

/// Writes the reference as the bucket spells it. `Absent` is the empty text.
impl fmt::Display for KeyReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => Ok(()),
            Self::Id(text) | Self::AliasName(text) | Self::Unrecognised(text) => f.write_str(text),
            Self::Arn(arn) => arn.fmt(f),
            Self::AliasArn(arn) => arn.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> KeyReference {
        text.parse().unwrap()
    }

    #[test]
    fn five_spellings_are_distinguished() {
        let key = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        let alias = "arn:aws:kms:us-east-1:123456789012:alias/acme";
        assert_eq!(parse(""), KeyReference::Absent);
        assert_eq!(
            parse("1234abcd-12ab-34cd-56ef-1234567890ab"),
            KeyReference::Id("1234abcd-12ab-34cd-56ef-1234567890ab".into())
        );
        assert_eq!(parse(key), KeyReference::Arn(key.parse().unwrap()));
        assert_eq!(parse("alias/acme"), KeyReference::AliasName("alias/acme".into()));
        assert_eq!(parse(alias), KeyReference::AliasArn(alias.parse().unwrap()));
    }

    #[test]
    fn a_reserved_alias_is_recognised_by_its_prefix_in_both_spellings() {
        assert!(parse("alias/aws/s3").is_reserved_alias());
        assert!(parse("arn:aws:kms:us-east-1:123456789012:alias/aws/s3").is_reserved_alias());
        assert!(!parse("alias/awsome/s3").is_reserved_alias());
        assert!(!parse("aws/s3").is_reserved_alias());
    }

    #[test]
    fn a_bare_name_is_resolved_in_the_place_of_the_bucket() {
        let place = Place {
            account: "123456789012".parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
        };
        for (reference, meant) in [
            ("", ""),
            ("1234", "arn:aws:kms:us-east-1:123456789012:key/1234"),
            ("alias/acme", "arn:aws:kms:us-east-1:123456789012:alias/acme"),
            (
                "arn:aws:kms:eu-west-1:222222222222:key/1",
                "arn:aws:kms:eu-west-1:222222222222:key/1",
            ),
            ("alias/", "alias/"),
        ] {
            assert_eq!(parse(reference).within(&place).to_string(), meant);
        }
    }

    #[test]
    fn a_text_that_cannot_name_a_key_is_unrecognised() {
        for text in ["aws/s3", "alias/", "arn:aws:kms:us-east-1:1:key/a", "key id", "alias/a b"] {
            assert!(matches!(parse(text), KeyReference::Unrecognised(_)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_text_is_a_reference_and_keeps_its_spelling(text in "\\PC*") {
            prop_assert_eq!(parse(&text).to_string(), text);
        }
    }
}
