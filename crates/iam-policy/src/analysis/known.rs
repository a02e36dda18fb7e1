//! What is known of the condition keys of a set of requests.

use fixedbitset::FixedBitSet;
use std::collections::BTreeMap;

/// The elements that each key may still have; all of them for a key that is not here. No key is without any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Known(BTreeMap<usize, FixedBitSet>);

impl Known {
    /// Whether some request has one of these elements under a key.
    pub(super) fn allows(&self, key: usize, elements: &FixedBitSet) -> bool {
        match self.0.get(&key) {
            Some(known) => !known.is_disjoint(elements),
            None => !elements.is_clear(),
        }
    }

    /// What is known where both hold; none where there are no such requests.
    pub(super) fn and(&self, other: &Self) -> Option<Self> {
        let mut both = self.clone();
        other.0.iter().all(|(key, elements)| both.narrow(*key, elements)).then_some(both)
    }

    /// Keeps the requests that have one of these elements under a key; false where there are none.
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
