//! What the buckets of a sweep have in common, read once.

use collect::{Beforehand, Keys};
use facts::{BucketId, KeyArn, KeyUser, Tags};
use findings::KeyUse;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::OnceCell;

/// What the buckets of one account and region have in common. It is as old as itself, and good only to tell whether a bucket
/// must be looked at: what is told is always read anew.
#[derive(Debug, Default)]
pub struct Shared {
    keys: Arc<Keys>,
    uses: Mutex<HashMap<KeyArn, Arc<OnceCell<Vec<KeyUse>>>>>,
}

impl Shared {
    pub(crate) fn beforehand(&self, tags: Option<Tags>) -> Beforehand {
        Beforehand { tags, keys: Arc::clone(&self.keys) }
    }

    pub(crate) fn uses(&self, key: &KeyArn) -> Arc<OnceCell<Vec<KeyUse>>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default().clone()
    }
}

/// The users of a key besides one bucket.
pub(crate) fn besides(uses: &[KeyUse], bucket: &BucketId) -> Vec<KeyUser> {
    uses.iter().map(|used| &used.user).filter(|user| user.bucket != *bucket).cloned().collect()
}
