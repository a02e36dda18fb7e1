//! Everything that was read of one bucket.

use crate::{BucketEncryption, BucketId, Fact, KeyUser, PolicyDocument};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// The tags of a bucket, by key.
pub type Tags = BTreeMap<String, String>;

/// The facts of one bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Which bucket.
    pub id: BucketId,
    /// The moment just before the first of these facts was asked for: a change after it has an event of its own.
    pub read_at: Timestamp,
    /// The bucket's tags; no tags at all is `Known` and empty.
    pub tags: Fact<Tags>,
    /// The bucket's encryption, with the key of its default.
    pub encryption: Fact<BucketEncryption>,
    /// The bucket policy; no policy at all is `Known` and none.
    pub policy: Fact<Option<PolicyDocument>>,
    /// The other buckets that use the key of the default encryption, as their findings tell; none where that was not asked,
    /// because nothing depends on it.
    pub key_users: Option<Fact<Vec<KeyUser>>>,
}
