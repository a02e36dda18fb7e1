//! Keys that many buckets use. Each is read once.

use facts::{Fact, KeyAdministration, KeyArn, KeyLookup, KeyReference, Permissions};
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::OnceCell;

/// The keys that the buckets of one account use, as they were first read. A key is never read
/// again, so each sweep of the account needs a new `KeyCache`.
#[derive(Debug, Default)]
pub struct KeyCache {
    pub(crate) resolved: Cells<String, Fact<KeyLookup>>,
    pub(crate) governed: Cells<KeyArn, KeyAdministration>,
    pub(crate) permissions: Cells<KeyArn, Permissions>,
}

impl KeyCache {
    /// Returns the cell for the key that a reference names. `meant` is the reference with account
    /// and region, as [`KeyReference::within`] returns it.
    pub(crate) fn resolved(&self, meant: &KeyReference) -> Arc<OnceCell<Fact<KeyLookup>>> {
        self.resolved.cell(meant.to_string())
    }
}

/// Values by key. The first reader of a key fills its cell, and other readers wait for the value.
#[derive(Debug)]
pub(crate) struct Cells<K, V>(Mutex<HashMap<K, Arc<OnceCell<V>>>>);

impl<K, V> Default for Cells<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq, V> Cells<K, V> {
    pub(crate) fn cell(&self, key: K) -> Arc<OnceCell<V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone()
    }
}
