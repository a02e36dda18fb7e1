//! The levels of encryption that a class of data can require.

use serde::Deserialize;
use std::fmt;

/// The encryption that a class of data requires, lowest level first. A level includes the controls
/// of all levels below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The encryption of Amazon S3 itself is enough. No control of buckets applies.
    SseS3,
    /// Default encryption with any KMS key, AWS-managed or customer-managed.
    Kms,
    /// Default encryption with a customer-managed key that is worth having: usable, rotated and
    /// restricted by its policy.
    Cmk,
    /// Requirements of level `cmk`, enforced by the bucket policy.
    Enforced,
}

impl Level {
    /// All levels, lowest first.
    pub const ALL: [Self; 4] = [Self::SseS3, Self::Kms, Self::Cmk, Self::Enforced];

    /// Returns the level with a name; `None` for another word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == word)
    }

    /// Returns the name of the level, as the settings spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SseS3 => "sse-s3",
            Self::Kms => "kms",
            Self::Cmk => "cmk",
            Self::Enforced => "enforced",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
