//! How well a bucket's data must be encrypted.

use serde::Deserialize;
use std::fmt;

/// What a class of data requires, lowest first; a level includes the controls of all below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Amazon S3's own encryption is enough: no control applies.
    SseS3,
    /// Default encryption with a KMS key, whosoever's.
    Kms,
    /// ... with a customer-managed key that is worth having.
    Cmk,
    /// ... and the bucket policy enforces it.
    Enforced,
}

impl Level {
    /// All levels, lowest first.
    pub const ALL: [Self; 4] = [Self::SseS3, Self::Kms, Self::Cmk, Self::Enforced];

    /// The name, as the settings write it.
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
