//! The transition of a finding: what happened since the import before.
//!
//! This module must agree with the table in `docs/finding-lifecycle.md`.

use crate::{Compliance, Slug, Summary};
use std::fmt;

/// The change of a finding since the import before. Alerts are made from transitions, so a finding
/// that has not changed makes no alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// The control fails, and did not fail before.
    Opened,
    /// The control still fails, with a higher severity.
    Worsened,
    /// The control still fails, with a lower severity.
    Eased,
    /// The verdict is the same, with other evidence.
    Changed,
    /// The control passes. Before, it failed or was undetermined.
    Resolved,
    /// The control is undetermined. Before, it was determined or had no active finding.
    Unreadable,
    /// The control passes, and had no active finding before.
    FirstSeen,
    /// The bucket does not exist any more, or the control does not apply any more.
    Gone,
    /// The finding is stored in another Security Hub now.
    Moved,
    /// Nothing changed. The finding is imported again, to refresh it or to move it.
    Unchanged,
}

impl Transition {
    pub(crate) const ALL: [Self; 10] = [
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

    /// Returns the transition that a word in a finding names; `None` for another word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|transition| transition.as_str() == word)
    }

    /// Returns the word that the finding holds.
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

    /// Returns true if the transition is new work for somebody.
    pub(crate) fn is_new_work(self) -> bool {
        matches!(self, Self::Opened | Self::Worsened | Self::Unreadable)
    }
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The transition of one control of a bucket or an account. As text: `key-usable:opened`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlTransition {
    /// The control.
    pub slug: Slug,
    /// The transition.
    pub transition: Transition,
}

impl fmt::Display for ControlTransition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.slug, self.transition)
    }
}

/// Writes transitions into one field of a log line, with spaces between them.
#[must_use]
pub fn transitions_in_words(transitions: &[ControlTransition]) -> String {
    transitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
