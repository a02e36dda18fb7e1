//! What was decided a moment ago.

use alerts::Key;
use jiff::{SignedDuration, Timestamp};
use std::{cell::RefCell, collections::HashMap};

/// How long it is remembered: much longer than an edit can be taken for an import, or a message waits to come again.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(2);

/// Of which findings people were told, or need not be. Only this process knows, and processes come and go: without it people may
/// be told twice, or of what was so before, but not too little.
#[derive(Debug, Default)]
pub(crate) struct Told(RefCell<HashMap<Key, Decided>>);

/// What a finding was about was read `as_of`, when it was decided `at`.
#[derive(Debug, Clone, Copy)]
struct Decided {
    as_of: Timestamp,
    at: Timestamp,
}

impl Told {
    /// True where it was decided what people are told of the finding as it was at that moment, or later.
    pub(crate) fn has(&self, key: &Key, updated_at: Timestamp) -> bool {
        self.0.borrow().get(key).is_some_and(|decided| updated_at <= decided.as_of)
    }

    /// Remembers it.
    pub(crate) fn remember(&self, key: &Key, updated_at: Timestamp, now: Timestamp) {
        let mut told = self.0.borrow_mut();
        let decided = told.entry(key.clone()).or_insert(Decided { as_of: updated_at, at: now });
        *decided = Decided { as_of: updated_at.max(decided.as_of), at: now };
    }

    /// Forgets what was decided long ago.
    pub(crate) fn forget_before(&self, now: Timestamp) {
        self.0.borrow_mut().retain(|_, decided| now.duration_since(decided.at) <= REMEMBERED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_decided_is_known_for_two_hours_from_then_whenever_it_was_read() {
        let [read, later] = ["2026-11-20T04:00:00Z", "2026-11-20T05:00:00Z"].map(|at| at.parse().unwrap());
        let decided: Timestamp = "2026-11-25T04:00:00Z".parse().unwrap();
        let (told, key) = (Told::default(), ("id".to_owned(), "product".to_owned()));
        told.remember(&key, later, decided);
        told.remember(&key, read, decided);
        assert!(told.has(&key, read) && told.has(&key, later) && !told.has(&key, decided));
        told.forget_before(decided + SignedDuration::from_mins(119));
        assert!(told.has(&key, later));
        told.forget_before(decided + SignedDuration::from_mins(121));
        assert!(!told.has(&key, read));
    }
}
