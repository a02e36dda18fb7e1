//! The facts of one bucket.

use crate::{BucketEncryption, BucketId, Fact, KeyUser, PolicyDocument};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// The tags of a bucket, by key.
pub type Tags = BTreeMap<String, String>;

/// The facts of one bucket, as they were read from AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// The account, region and name of the bucket.
    pub id: BucketId,
    /// The moment just before the first of these facts was read. A later change has an event of its
    /// own.
    pub read_at: Timestamp,
    /// The bucket's tags. A bucket without tags is `Known` and empty.
    pub tags: Fact<Tags>,
    /// The default encryption of the bucket, with its key.
    pub encryption: Fact<BucketEncryption>,
    /// The bucket policy. A bucket without a policy is `Known(None)`.
    pub policy: Fact<Option<PolicyDocument>>,
    /// Other buckets that use the key of the default encryption, from the table of states. `None`
    /// if nothing depends on them, so that they were not looked up.
    pub key_users: Option<Fact<Vec<KeyUser>>>,
}
