//! The name of a general purpose bucket.

use crate::Malformed;
use std::{fmt, str::FromStr};

/// The name of a [general purpose
/// bucket](https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html).
///
/// Names made in us-east-1 before March 2018 may have up to 255 characters, capitals and
/// underscores. [`BucketName::is_legacy`] is true for a name of that older form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketName(String);

impl BucketName {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true for a name that only us-east-1 allowed, and only before March 2018.
    #[must_use]
    pub fn is_legacy(&self) -> bool {
        !has_current_form(&self.0)
    }
}

impl FromStr for BucketName {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if has_current_form(text) || has_legacy_form(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Malformed::new(
                "a bucket name (3 to 63 lower-case letters, digits, dots and hyphens)",
                text,
            ))
        }
    }
}

fn has_current_form(text: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'))
        && edge(bytes.first())
        && edge(bytes.last())
        && !text.contains("..")
}

fn has_legacy_form(text: &str) -> bool {
    let bytes = text.as_bytes();
    (3..=255).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        && bytes.iter().any(u8::is_ascii_alphanumeric)
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_bucket_names_and_are_distinguished() {
        for (text, legacy) in
            [("acme-data", false), ("a.b-3", false), ("Acme_Data", true), ("-acme", true)]
        {
            assert_eq!(text.parse::<BucketName>().unwrap().is_legacy(), legacy, "{text}");
        }
    }

    #[test]
    fn other_texts_are_not_bucket_names() {
        let long = "a".repeat(256);
        for text in [
            "",
            "ab",
            "...",
            "a/b/c",
            "acme data",
            "acme\ndata",
            "<b>acme",
            "bücket",
            "acme:data",
            "acme*",
            &long,
        ] {
            assert!(text.parse::<BucketName>().is_err(), "{text:?}");
        }
    }
}
