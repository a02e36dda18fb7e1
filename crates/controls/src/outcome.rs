//! What a control says of a bucket.

use crate::Evidence;
use facts::Unreadable;
use serde::Serialize;
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

/// Why a control came to no verdict.
///
/// The serialized form is part of the fingerprint of findings, like that of [`Evidence`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shortfall {
    /// A fact that it needs could not be read.
    #[serde(serialize_with = "crate::evidence::unreadable")]
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
