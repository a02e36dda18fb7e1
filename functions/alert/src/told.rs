//! What was decided a moment ago.

use alerts::Key;
use jiff::{SignedDuration, Timestamp};
use std::{cell::RefCell, collections::HashMap};

/// How long it is remembered: much longer than an edit can be taken for an import, or a message waits to come again.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(2);

/// Of which findings people were told, or need not be, and when what they are about was read then. Only this process knows,
/// and processes come and go: without it people may be told twice, or of what was so before, but not too little.
#[derive(Debug, Default)]
pub(crate) struct Told(RefCell<HashMap<Key, Timestamp>>);

impl Told {
    /// True where it was decided what people are told of the finding as it was at that moment, or later.
    pub(crate) fn has(&self, key: &Key, updated_at: Timestamp) -> bool {
        self.0.borrow().get(key).is_some_and(|known| updated_at <= *known)
    }

    /// Remembers it.
    pub(crate) fn remember(&self, key: &Key, updated_at: Timestamp) {
        let mut told = self.0.borrow_mut();
        let known = told.entry(key.clone()).or_insert(updated_at);
        *known = updated_at.max(*known);
    }

    /// Forgets what is long ago.
    pub(crate) fn forget_before(&self, now: Timestamp) {
        self.0.borrow_mut().retain(|_, updated_at| now.duration_since(*updated_at) <= REMEMBERED);
    }
}
