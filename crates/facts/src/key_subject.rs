//! What an event of KMS is about.

use crate::{AliasArn, KeyArn, Malformed};
use std::str::FromStr;

/// A key, or an alias that leads to one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeySubject {
    /// A key.
    Key(KeyArn),
    /// An alias. It leads to the buckets that name it: which key it led to before no event tells, and those that name a key
    /// otherwise are not concerned.
    Alias(AliasArn),
}

impl KeySubject {
    /// The ARN.
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
    fn an_arn_says_which() {
        for arn in [
            "arn:aws:kms:us-east-1:123456789012:key/1234",
            "arn:aws:kms:us-east-1:123456789012:alias/acme",
        ] {
            assert_eq!(arn.parse::<KeySubject>().unwrap().as_str(), arn);
        }
        assert!("arn:aws:s3:::acme".parse::<KeySubject>().is_err());
    }
}
