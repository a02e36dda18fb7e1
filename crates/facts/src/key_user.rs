//! Who else uses a key.

use crate::BucketId;

/// Another bucket whose default encryption names the same key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyUser {
    /// The bucket.
    pub bucket: BucketId,
    /// Its class; none where that could not be read.
    pub class: Option<String>,
}
