//! A region of AWS and the partition that it belongs to.

use crate::Malformed;
use std::{fmt, str::FromStr};

/// The code of a region: [`us-east-1`, `us-gov-west-1`,
/// `mx-central-1`](https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html).
///
/// Only the form is checked. The list of regions changes every year and is not kept here, so only
/// AWS knows whether a region exists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(String);

impl Region {
    /// Returns the region code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the partition of the region, as its ARNs name it. Follows the [ARN
    /// reference](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html).
    #[must_use]
    pub fn partition(&self) -> &'static str {
        const BY_PREFIX: [(&str, &str); 7] = [
            ("us-gov-", "aws-us-gov"),
            ("us-isob-", "aws-iso-b"),
            ("us-isof-", "aws-iso-f"),
            ("us-iso-", "aws-iso"),
            ("eu-isoe-", "aws-iso-e"),
            ("eusc-", "aws-eusc"),
            ("cn-", "aws-cn"),
        ];
        BY_PREFIX
            .iter()
            .find(|(prefix, _)| self.0.starts_with(prefix))
            .map_or("aws", |(_, partition)| partition)
    }
}

impl FromStr for Region {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if has_form(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Malformed::new("a region code (such as us-east-1)", text))
        }
    }
}

/// Returns true if a text is two to four letters, one or two words, and one or two digits, joined
/// by hyphens. At most 16 characters are allowed, as in `Region` of a finding.
fn has_form(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [area, words @ .., number] = parts.as_slice() else { return false };
    let letters = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    text.len() <= 16
        && (2..=4).contains(&area.len())
        && letters(area)
        && (1..=2).contains(&words.len())
        && words.iter().all(|word| letters(word))
        && (1..=2).contains(&number.len())
        && number.bytes().all(|b| b.is_ascii_digit())
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_must_have_the_form_of_a_region_code() {
        for text in [
            "us-east-1",
            "ap-southeast-7",
            "us-gov-west-1",
            "mx-central-1",
            "eusc-de-east-1",
            "us-isob-east-1",
        ] {
            assert_eq!(text.parse::<Region>().unwrap().as_str(), text);
        }
        for text in [
            "",
            "us-east",
            "US-EAST-1",
            "us-east-1.evil.com",
            "us-east-1/",
            "-east-1",
            "us--1",
            "us-east-123",
            "aws-global",
        ] {
            assert!(text.parse::<Region>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_partition_follows_from_the_region() {
        for (region, partition) in [
            ("eu-west-1", "aws"),
            ("us-gov-east-1", "aws-us-gov"),
            ("cn-north-1", "aws-cn"),
            ("us-isob-east-1", "aws-iso-b"),
        ] {
            assert_eq!(region.parse::<Region>().unwrap().partition(), partition);
        }
    }
}
