//! The key or alias that an event of KMS is about.

use crate::{AliasArn, KeyArn, Malformed};
use std::str::FromStr;

/// A key, or an alias that points to one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeySubject {
    /// A key.
    Key(KeyArn),
    /// An alias. It leads to the buckets that name the alias. Buckets that name the key otherwise
    /// are not affected. No event says which key the alias pointed to before.
    Alias(AliasArn),
}

impl KeySubject {
    /// Returns the ARN of the key or the alias.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Key(key) => key.as_str(),
            Self::Alias(alias) => alias.as_str(),
        }
    }
}

impl FromStr for KeySubject {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        text.parse().map(Self::Alias).or_else(|_| text.parse().map(Self::Key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_names_a_key_or_an_alias() {
        for arn in [
            "arn:aws:kms:us-east-1:123456789012:key/1234",
            "arn:aws:kms:us-east-1:123456789012:alias/acme",
        ] {
            assert_eq!(arn.parse::<KeySubject>().unwrap().as_str(), arn);
        }
        assert!("arn:aws:s3:::acme".parse::<KeySubject>().is_err());
    }
}
