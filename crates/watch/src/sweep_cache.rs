//! Keeps what the buckets of a sweep have in common, so that it is read once.

use collect::{Beforehand, KeyCache};
use facts::{KeySubject, Tags};
use findings::BucketOfKey;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::OnceCell;

/// The buckets that use a key. The first caller that needs them reads them.
type Asked = Arc<OnceCell<Vec<BucketOfKey>>>;

/// The keys of the buckets of one account and region, each read once.
///
/// They may be old, so they only decide whether a bucket must be evaluated. Everything that is
/// published is read again.
#[derive(Debug, Default)]
pub struct SweepCache {
    keys: Arc<KeyCache>,
    users: Mutex<BTreeMap<KeySubject, Asked>>,
}

impl SweepCache {
    pub(crate) fn beforehand(&self, tags: Option<Tags>) -> Beforehand {
        Beforehand { tags, keys: Arc::clone(&self.keys) }
    }

    /// Returns the buckets that use a key, which may not have been read yet.
    pub(crate) fn users(&self, key: &KeySubject) -> Asked {
        self.users
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(key.clone())
            .or_default()
            .clone()
    }
}
