//! The possible values of the condition keys in a set of requests.

use fixedbitset::FixedBitSet;
use std::collections::BTreeMap;

/// The elements that each key may still have. A key that is not listed may have all of its
/// elements. A listed key has at least one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct KnownValues(BTreeMap<usize, FixedBitSet>);

impl KnownValues {
    /// True if some request has one of these elements under a key.
    pub(super) fn allows(&self, key: usize, elements: &FixedBitSet) -> bool {
        match self.0.get(&key) {
            Some(known) => !known.is_disjoint(elements),
            None => !elements.is_clear(),
        }
    }

    /// Returns the first possible element of a key, or `None` if the key may have all.
    pub(super) fn first(&self, key: usize) -> Option<usize> {
        self.0.get(&key)?.minimum()
    }

    /// Combines both, or returns `None` if no request fits both.
    pub(super) fn and(&self, other: &Self) -> Option<Self> {
        let mut both = self.clone();
        other.0.iter().all(|(key, elements)| both.narrow(*key, elements)).then_some(both)
    }

    /// Keeps the requests that have one of these elements under a key. Returns false if there are
    /// none.
    #[must_use]
    pub(super) fn narrow(&mut self, key: usize, elements: &FixedBitSet) -> bool {
        if !self.allows(key, elements) {
            return false;
        }
        self.0
            .entry(key)
            .and_modify(|known| known.intersect_with(elements))
            .or_insert_with(|| elements.clone());
        true
    }
}
