//! What happened to a finding since the import before.
//!
//! Agrees with the table in `docs/finding-lifecycle.md`.

use crate::{Compliance, Summary};
use std::fmt;

/// What happened to a finding since the import before. Alerts are made from transitions, so that what is merely still
/// so makes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// It fails, and did not before.
    Opened,
    /// It still fails, and worse.
    Worsened,
    /// It still fails, less badly.
    Eased,
    /// The same verdict, on other evidence.
    Changed,
    /// It failed or could not be told, and passes.
    Resolved,
    /// It could be told before, or is new, and cannot be told.
    Unreadable,
    /// It is new, and passes.
    FirstSeen,
    /// The bucket is no more, or the control no longer applies to it.
    Gone,
    /// It stands in another Security Hub now.
    Moved,
    /// Nothing; it was only time to import it again.
    Unchanged,
}

impl Transition {
    const ALL: [Self; 10] = [
        Self::Opened,
        Self::Worsened,
        Self::Eased,
        Self::Changed,
        Self::Resolved,
        Self::Unreadable,
        Self::FirstSeen,
        Self::Gone,
        Self::Moved,
        Self::Unchanged,
    ];

    /// The transition that a word in a finding names, if it is one.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|transition| transition.as_str() == word)
    }

    /// The word in the finding.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Worsened => "worsened",
            Self::Eased => "eased",
            Self::Changed => "changed",
            Self::Resolved => "resolved",
            Self::Unreadable => "unreadable",
            Self::FirstSeen => "first-seen",
            Self::Gone => "gone",
            Self::Moved => "moved",
            Self::Unchanged => "unchanged",
        }
    }

    /// Compares two verdicts of one control; `before` is `None` if there was no active finding.
    pub(crate) fn between(before: Option<&Summary>, now: &Summary) -> Self {
        use Compliance::{Failed, Passed, Warning};
        let Some(before) = before else {
            return match now.status {
                Failed => Self::Opened,
                Warning => Self::Unreadable,
                Passed => Self::FirstSeen,
            };
        };
        match (before.status, now.status) {
            (Failed, Failed) if now.severity > before.severity => Self::Worsened,
            (Failed, Failed) if now.severity < before.severity => Self::Eased,
            (Failed, Failed) | (Warning, Warning) | (Passed, Passed)
                if before.fingerprint == now.fingerprint =>
            {
                Self::Unchanged
            }
            (Failed, Failed) | (Warning, Warning) | (Passed, Passed) => Self::Changed,
            (Passed | Warning, Failed) => Self::Opened,
            (Failed | Warning, Passed) => Self::Resolved,
            (Passed | Failed, Warning) => Self::Unreadable,
        }
    }

    /// True if it is new work to do.
    pub(crate) fn is_news(self) -> bool {
        matches!(self, Self::Opened | Self::Worsened | Self::Unreadable)
    }
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
