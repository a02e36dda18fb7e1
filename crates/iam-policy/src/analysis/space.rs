//! The requests that are still in question.

use super::shape::Shape;
use crate::Pattern;
use fixedbitset::FixedBitSet;
use std::collections::BTreeMap;

/// A set of requests, by what they all have.
#[derive(Debug, Clone)]
pub(super) struct Space {
    /// Patterns that the action matches, all of them, in small letters.
    pub(super) actions: Vec<Pattern>,
    /// Sets that the resource is in, all of them.
    pub(super) resources: Vec<Shape>,
    /// The values that a condition key may still have; all of them where the key is not here.
    keys: BTreeMap<usize, FixedBitSet>,
}

impl Space {
    /// All requests of an action on a resource.
    pub(super) fn new(action: &str, resource: &str) -> Self {
        Self {
            actions: vec![Pattern::wildcard(&action.to_lowercase())],
            resources: vec![Shape::arn(resource, crate::Version::V2008)],
            keys: BTreeMap::new(),
        }
    }

    /// Those of a key's values that are both possible still and among `values`; none where there are no such.
    pub(super) fn masked(&self, key: usize, values: &FixedBitSet) -> Option<FixedBitSet> {
        let both = match self.keys.get(&key) {
            Some(known) => {
                let mut both = known.clone();
                both.intersect_with(values);
                both
            }
            None => values.clone(),
        };
        (!both.is_clear()).then_some(both)
    }

    /// Keeps the requests whose key has one of these values; false where there are none.
    #[must_use]
    pub(super) fn narrow(&mut self, key: usize, values: &FixedBitSet) -> bool {
        let both = self.masked(key, values);
        both.map(|both| self.keys.insert(key, both)).is_some()
    }
}
