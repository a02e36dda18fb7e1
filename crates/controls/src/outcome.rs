//! What a control says of a bucket.

use facts::Unreadable;
use std::fmt;

/// What a control says of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// What must hold, holds: as these facts show.
    Passed(Vec<Evidence>),
    /// It does not hold.
    Failed {
        /// How bad it is.
        severity: Severity,
        /// The facts that show it, with what was wanted.
        evidence: Vec<Evidence>,
    },
    /// The question does not arise, for this reason.
    NotApplicable(String),
    /// It cannot be said whether it holds.
    Undetermined(Vec<Shortfall>),
}

impl Outcome {
    /// Undetermined because of one fact that could not be read.
    #[must_use]
    pub fn unreadable(why: &Unreadable) -> Self {
        Self::Undetermined(vec![Shortfall::Unreadable(why.clone())])
    }

    /// Undetermined because of one value that this version does not know.
    #[must_use]
    pub fn not_understood(evidence: Evidence) -> Self {
        Self::Undetermined(vec![Shortfall::NotUnderstood(evidence)])
    }
}

/// A fact, its value, and the value that was wanted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Evidence {
    /// What was looked at: `default encryption`.
    pub fact: &'static str,
    /// What it is. May hold text from outside.
    pub value: String,
    /// What it should be.
    pub wanted: String,
}

impl Evidence {
    /// Puts the three together.
    #[must_use]
    pub fn new(fact: &'static str, value: impl Into<String>, wanted: impl Into<String>) -> Self {
        Self { fact, value: value.into(), wanted: wanted.into() }
    }
}

/// Why a control came to no verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shortfall {
    /// A fact that it needs could not be read.
    Unreadable(Unreadable),
    /// A value was read that this version does not know.
    NotUnderstood(Evidence),
}

/// How bad a failure is, in the words of
/// [ASFF](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_Severity.html), least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// No issue was found.
    Informational,
    /// The issue needs no action of its own.
    Low,
    /// The issue must be addressed, but not urgently.
    Medium,
    /// The issue must be addressed as a priority.
    High,
    /// The issue must be remediated at once, lest it get worse.
    Critical,
}

impl Severity {
    /// All severities, least first.
    pub const ALL: [Self; 5] =
        [Self::Informational, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The label of ASFF.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "INFORMATIONAL",
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
            Self::Critical => "CRITICAL",
        }
    }

    /// The severity that a label of ASFF names, if it is one.
    #[must_use]
    pub fn of_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == label)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
