//! The id of an AWS account.

use crate::Malformed;
use std::{fmt, str::FromStr};

/// The id of an AWS account: [12
/// digits](https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-identifiers.html).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(String);

impl AccountId {
    /// Returns the 12 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Malformed::new("an account id (12 digits)", text))
        }
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_twelve_digits_are_an_account_id() {
        assert_eq!("123456789012".parse::<AccountId>().unwrap().as_str(), "123456789012");
        for text in [
            "",
            "12345678901",
            "1234567890123",
            "12345678901a",
            "１２３４５６７８９０１２",
            "123456789012\n",
        ] {
            assert!(text.parse::<AccountId>().is_err(), "{text:?}");
        }
    }
}
