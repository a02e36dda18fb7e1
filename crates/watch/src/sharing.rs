//! What the buckets of a sweep have in common, read once.

use collect::{Beforehand, Keys};
use facts::{BucketId, KeyArn, KeyUser, Tags};
use findings::KeyUse;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::OnceCell;

/// Who uses a key for another class than one, asked once.
type Asked = Arc<OnceCell<Vec<KeyUse>>>;

/// What the buckets of one account and region have in common. It is as old as itself, and good only to tell whether a bucket
/// must be looked at: what is told is always read anew.
#[derive(Debug, Default)]
pub struct Shared {
    keys: Arc<Keys>,
    uses: Mutex<HashMap<(KeyArn, String), Asked>>,
}

impl Shared {
    pub(crate) fn beforehand(&self, tags: Option<Tags>) -> Beforehand {
        Beforehand { tags, keys: Arc::clone(&self.keys) }
    }

    /// Who uses a key for another class than one.
    pub(crate) fn uses(&self, key: &KeyArn, class: &str) -> Asked {
        let asked = (key.clone(), class.to_owned());
        self.uses.lock().unwrap_or_else(PoisonError::into_inner).entry(asked).or_default().clone()
    }
}

/// The users of a key besides one bucket.
pub(crate) fn besides(uses: &[KeyUse], bucket: &BucketId) -> Vec<KeyUser> {
    uses.iter().map(|used| &used.user).filter(|user| user.bucket != *bucket).cloned().collect()
}
