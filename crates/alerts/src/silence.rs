//! The reasons why an event of Security Hub does not become an alert.
//!
//! `docs/operations.md` explains each reason.

use findings::Transition;
use std::fmt;

/// An event that does not become an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silent {
    /// The id of the finding.
    pub finding: String,
    /// The change that the event reports.
    pub transition: Transition,
    /// The reason.
    pub reason: Silence,
}

/// The reason why an event of Security Hub does not become an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Silence {
    /// Somebody edited the finding. The bucket did not change.
    Edit,
    /// The finding was imported again without a change: a refresh, or the first import into another
    /// Security Hub.
    Unchanged,
    /// The change needs nobody: a new finding that passes, a lower severity, or other evidence. The
    /// last alert is still true.
    Minor,
    /// The finding was archived because another Security Hub stores it now.
    Moved,
    /// The finding was archived because its bucket was deleted or its control does not apply any
    /// more.
    Gone,
    /// The finding was archived because this version of cmkwatch does not have its control.
    ControlRemoved,
    /// The workflow status is not NEW: somebody has already taken up, resolved or suppressed the
    /// finding.
    TakenUp,
    /// The finding passes and is not RESOLVED yet. The event of RESOLVED follows, and becomes the
    /// alert.
    NotClosed,
    /// The severity is below `alerts.minimum-severity`.
    BelowMinimum,
    /// The finding opened and was resolved, or the other way round, before anybody was alerted.
    CancelledOut,
    /// A later event about the same finding arrived at the same time. The later event was decided
    /// instead.
    LaterEvent,
    /// The change was alerted before: the event was delivered twice, or the finding was repaired.
    AlreadyAlerted,
    /// An earlier alert says the same, or something worse.
    AlreadyKnown,
    /// A newer change of the finding has already been decided.
    NewerAlerted,
    /// The finding changed more than 30 days before this import, which only repeats it.
    OldChange,
}

impl Silence {
    /// All reasons, in the order of the type.
    pub const ALL: [Self; 15] = [
        Self::Edit,
        Self::Unchanged,
        Self::Minor,
        Self::Moved,
        Self::Gone,
        Self::ControlRemoved,
        Self::TakenUp,
        Self::NotClosed,
        Self::BelowMinimum,
        Self::CancelledOut,
        Self::LaterEvent,
        Self::AlreadyAlerted,
        Self::AlreadyKnown,
        Self::NewerAlerted,
        Self::OldChange,
    ];

    /// Returns the word for logs and for the dimension `Reason` of the metric `FindingsNotAlerted`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edit => "edit",
            Self::Unchanged => "unchanged",
            Self::Minor => "minor",
            Self::Moved => "moved",
            Self::Gone => "gone",
            Self::ControlRemoved => "control-removed",
            Self::TakenUp => "taken-up",
            Self::NotClosed => "not-closed-yet",
            Self::BelowMinimum => "below-minimum-severity",
            Self::CancelledOut => "cancelled-out",
            Self::LaterEvent => "later-event",
            Self::AlreadyAlerted => "already-alerted",
            Self::AlreadyKnown => "already-known",
            Self::NewerAlerted => "newer-alerted",
            Self::OldChange => "old-change",
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A reason that is missing in the list, or that shares its word, would not be counted or
    /// documented.
    #[test]
    fn every_reason_is_listed_once_with_its_own_word() {
        assert_eq!(
            Silence::ALL.map(Silence::as_str).iter().collect::<BTreeSet<_>>().len(),
            Silence::ALL.len()
        );
        assert!(Silence::ALL.is_sorted(), "in the order of the type");
        assert_eq!(Silence::ALL.last().map(|last| *last as usize), Some(Silence::ALL.len() - 1));
    }

    #[test]
    fn the_docs_explain_every_reason() {
        let docs = include_str!("../../../docs/operations.md");
        let (_, section) = docs
            .split_once("### Why was there no alert?")
            .expect("docs/operations.md has that section");
        for reason in Silence::ALL {
            assert!(section.contains(&format!("| `{reason}` |")), "{reason}");
        }
    }
}
