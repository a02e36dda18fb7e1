//! Keys that many buckets use, each asked about once.

use facts::{Fact, Governance, KeyArn, KeyReference, ResolvedKey};
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::OnceCell;

/// What was read of the keys that the buckets of one account use. It is as old as itself: make a new one for each look at
/// the account.
#[derive(Debug, Default)]
pub struct Keys {
    pub(crate) resolved: Cells<String, Fact<ResolvedKey>>,
    pub(crate) governed: Cells<KeyArn, Governance>,
}

impl Keys {
    /// What a reference resolves to, by the ARN that it means.
    pub(crate) fn resolved(&self, meant: &KeyReference) -> Arc<OnceCell<Fact<ResolvedKey>>> {
        self.resolved.cell(meant.to_string())
    }
}

/// A value for each key, made by whoever asks first.
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
