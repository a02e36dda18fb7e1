//! What was told a moment ago.

use alerts::LATEST_IMPORT;
use jiff::Timestamp;
use std::{cell::RefCell, collections::HashSet};

/// What this process told, as long as an edit of it could be taken for an import. It is nothing to rely on, as processes come
/// and go: without it somebody who edits a finding within minutes of its alert could cause a second one.
#[derive(Debug, Default)]
pub(crate) struct Told(RefCell<HashSet<(String, Timestamp)>>);

impl Told {
    /// True where it was told that the finding changed by an observation at that moment.
    pub(crate) fn has(&self, id: &str, updated_at: Timestamp) -> bool {
        self.0.borrow().contains(&(id.to_owned(), updated_at))
    }

    /// Remembers it.
    pub(crate) fn remember(&self, id: &str, updated_at: Timestamp) {
        self.0.borrow_mut().insert((id.to_owned(), updated_at));
    }

    /// Forgets what cannot be taken for an import any more.
    pub(crate) fn forget_before(&self, now: Timestamp) {
        self.0.borrow_mut().retain(|(_, updated_at)| now.duration_since(*updated_at) <= LATEST_IMPORT);
    }
}
