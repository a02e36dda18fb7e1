//! The statuses of a finding, in the words of ASFF.

/// The compliance status, `Compliance.Status` in ASFF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compliance {
    /// The control passed.
    Passed,
    /// The control failed.
    Failed,
    /// The control could not be determined.
    Warning,
}

impl Compliance {
    /// Returns the word of ASFF.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "PASSED",
            Self::Failed => "FAILED",
            Self::Warning => "WARNING",
        }
    }

    /// Returns the status that a word of ASFF names; `None` if cmkwatch does not use the word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Passed, Self::Failed, Self::Warning]
            .into_iter()
            .find(|status| status.as_str() == word)
    }
}

/// The state of the record, `RecordState` in ASFF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordState {
    /// The finding applies.
    Active,
    /// The subject does not exist any more, the control does not apply any more, or another
    /// Security Hub stores the finding.
    Archived,
}

/// The workflow status, `Workflow.Status` in ASFF: the customer's progress with the finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workflow {
    /// Nobody has looked at the finding yet.
    New,
    /// The owner of the resource was notified.
    Notified,
    /// The customer decided to take no action.
    Suppressed,
    /// Nothing is left to do.
    Resolved,
}

impl Workflow {
    /// Returns the word of ASFF.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Notified => "NOTIFIED",
            Self::Suppressed => "SUPPRESSED",
            Self::Resolved => "RESOLVED",
        }
    }

    /// Returns the status that a word of ASFF names; `None` for another word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        let all = [Self::New, Self::Notified, Self::Suppressed, Self::Resolved];
        all.into_iter().find(|status| status.as_str() == word)
    }
}
