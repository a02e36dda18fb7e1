//! Other buckets that use a key.

use crate::BucketId;

/// Another bucket whose default encryption names the same key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyUser {
    /// The bucket.
    pub bucket: BucketId,
    /// The class of the bucket. `None` if the class could not be read.
    pub class: Option<String>,
}
