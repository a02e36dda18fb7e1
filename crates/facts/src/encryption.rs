//! The default encryption of a bucket: the rules that S3 returns, and the one default that follows
//! from them.
//!
//! Follows
//! [ServerSideEncryptionRule](https://docs.aws.amazon.com/AmazonS3/latest/API/API_ServerSideEncryptionRule.html).

use crate::{KeyReference, UsedKey};

/// A rule of
/// [GetBucketEncryption](https://docs.aws.amazon.com/AmazonS3/latest/API/API_ServerSideEncryptionRule.html).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionRule {
    /// `SSEAlgorithm` and `KMSMasterKeyID`. `None` if the rule has no
    /// `ApplyServerSideEncryptionByDefault`.
    pub default: Option<(Algorithm, KeyReference)>,
    /// `BucketKeyEnabled`.
    pub bucket_key: bool,
    /// True if `BlockedEncryptionTypes` contains `SSE-C`.
    pub blocks_sse_c: bool,
}

/// Everything that S3 returns about a bucket's encryption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketEncryption<K = UsedKey> {
    /// The encryption of an upload that requests none.
    pub default: DefaultEncryption<K>,
    /// True if the default encryption uses an [S3 Bucket
    /// Key](https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-key.html).
    pub bucket_key: bool,
    /// True if S3 refuses [uploads with keys of the caller's
    /// own](https://docs.aws.amazon.com/AmazonS3/latest/userguide/blocking-unblocking-s3-c-encryption-gpb.html).
    pub blocks_sse_c: bool,
}

impl BucketEncryption<KeyReference> {
    /// Combines the rules of a bucket.
    #[must_use]
    pub fn of(rules: &[EncryptionRule]) -> Self {
        Self {
            default: DefaultEncryption::of(rules),
            bucket_key: rules.iter().any(|rule| rule.default.is_some() && rule.bucket_key),
            blocks_sse_c: rules.iter().any(|rule| rule.blocks_sse_c),
        }
    }
}

/// The values of `SSEAlgorithm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Algorithm {
    /// `AES256`: SSE-S3.
    Aes256,
    /// `aws:kms`: SSE-KMS.
    Kms,
    /// `aws:kms:dsse`: dual-layer encryption with a KMS key.
    KmsDsse,
    /// Another algorithm, such as `aws:fsx`.
    Other(String),
}

impl From<&str> for Algorithm {
    fn from(text: &str) -> Self {
        match text {
            "AES256" => Self::Aes256,
            "aws:kms" => Self::Kms,
            "aws:kms:dsse" => Self::KmsDsse,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// The encryption of an upload that requests none.
///
/// `K` is the form in which the key is known: first a [`KeyReference`] and, once that was looked
/// up, a [`UsedKey`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultEncryption<K = UsedKey> {
    /// SSE-S3 (`AES256`), explicit or not: [every bucket has at least
    /// that](https://docs.aws.amazon.com/AmazonS3/latest/userguide/default-bucket-encryption.html).
    SseS3,
    /// `aws:kms` with the given key.
    Kms(K),
    /// `aws:kms:dsse` with the given key.
    KmsDsse(K),
    /// An algorithm that this version of cmkwatch does not know.
    Unknown(String),
    /// Several rules that differ. S3 documents one rule, so it is not known which of them applies.
    Contradictory,
}

impl DefaultEncryption<KeyReference> {
    /// Combines the rules of a bucket. A rule without `ApplyServerSideEncryptionByDefault` does not
    /// set the default. If no rule sets it, SSE-S3 applies.
    fn of(rules: &[EncryptionRule]) -> Self {
        let mut defaults = rules.iter().filter_map(|rule| rule.default.as_ref());
        let Some(first) = defaults.next() else { return Self::SseS3 };
        if defaults.any(|other| other != first) {
            return Self::Contradictory;
        }
        let (algorithm, key) = first.clone();
        match algorithm {
            Algorithm::Aes256 => Self::SseS3,
            Algorithm::Kms => Self::Kms(key),
            Algorithm::KmsDsse => Self::KmsDsse(key),
            Algorithm::Other(name) => Self::Unknown(name),
        }
    }
}

impl<K> DefaultEncryption<K> {
    /// Returns the KMS key, or `None` if no KMS key is used.
    #[must_use]
    pub fn key(&self) -> Option<&K> {
        match self {
            Self::Kms(key) | Self::KmsDsse(key) => Some(key),
            Self::SseS3 | Self::Unknown(_) | Self::Contradictory => None,
        }
    }

    /// Returns the same encryption with its key in another form.
    #[must_use]
    pub fn map_key<L>(self, change: impl FnOnce(K) -> L) -> DefaultEncryption<L> {
        match self {
            Self::SseS3 => DefaultEncryption::SseS3,
            Self::Kms(key) => DefaultEncryption::Kms(change(key)),
            Self::KmsDsse(key) => DefaultEncryption::KmsDsse(change(key)),
            Self::Unknown(algorithm) => DefaultEncryption::Unknown(algorithm),
            Self::Contradictory => DefaultEncryption::Contradictory,
        }
    }

    /// Returns the algorithm as S3 writes it, or a description if several rules differ.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        match self {
            Self::SseS3 => "AES256",
            Self::Kms(_) => "aws:kms",
            Self::KmsDsse(_) => "aws:kms:dsse",
            Self::Unknown(name) => name,
            Self::Contradictory => "several rules that differ",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(algorithm: &str, key: &str) -> EncryptionRule {
        let default = Some((algorithm.into(), key.parse().unwrap()));
        EncryptionRule { default, bucket_key: false, blocks_sse_c: false }
    }

    #[test]
    fn rules_combine_into_one_default() {
        let silent = EncryptionRule { default: None, bucket_key: true, blocks_sse_c: true };
        let key: KeyReference = "alias/a".parse().unwrap();
        for (rules, expected) in [
            (vec![], DefaultEncryption::SseS3),
            (vec![silent.clone()], DefaultEncryption::SseS3),
            (vec![rule("AES256", "")], DefaultEncryption::SseS3),
            (vec![rule("aws:kms", "")], DefaultEncryption::Kms(KeyReference::Absent)),
            (vec![silent, rule("aws:kms", "alias/a")], DefaultEncryption::Kms(key.clone())),
            (
                vec![rule("aws:kms", "alias/a"), rule("aws:kms", "alias/a")],
                DefaultEncryption::Kms(key.clone()),
            ),
            (
                vec![rule("aws:kms", "alias/a"), rule("AES256", "")],
                DefaultEncryption::Contradictory,
            ),
            (vec![rule("aws:kms:dsse", "alias/a")], DefaultEncryption::KmsDsse(key)),
            (vec![rule("aws:fsx", "")], DefaultEncryption::Unknown("aws:fsx".into())),
        ] {
            assert_eq!(DefaultEncryption::of(&rules), expected, "{rules:?}");
        }
    }

    #[test]
    fn a_bucket_key_needs_a_default_and_a_block_of_sse_c_does_not() {
        let silent = EncryptionRule { default: None, bucket_key: true, blocks_sse_c: true };
        let with_key = EncryptionRule { bucket_key: true, ..rule("aws:kms", "alias/a") };
        for (rules, bucket_key, blocks_sse_c) in [
            (vec![], false, false),
            (vec![silent.clone()], false, true),
            (vec![with_key.clone()], true, false),
            (vec![silent, with_key], true, true),
        ] {
            let encryption = BucketEncryption::of(&rules);
            assert_eq!(
                (encryption.bucket_key, encryption.blocks_sse_c),
                (bucket_key, blocks_sse_c),
                "{rules:?}"
            );
        }
    }
}
