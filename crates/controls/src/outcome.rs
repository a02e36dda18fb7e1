//! The outcome of a control, with the severity of a failure.

use crate::Evidence;
use facts::Unreadable;
use serde::Serialize;
use std::fmt;

/// The outcome of a control for one bucket or account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The control holds, as these facts show.
    Passed(Vec<Evidence>),
    /// The control does not hold.
    Failed {
        /// The severity of the failure.
        severity: Severity,
        /// The facts that show the failure, with the expected values.
        evidence: Vec<Evidence>,
    },
    /// The control does not apply, for this reason.
    NotApplicable(String),
    /// The facts do not show whether the control holds.
    Undetermined(Vec<Shortfall>),
}

impl Outcome {
    /// Returns an undetermined outcome for a fact that could not be read.
    #[must_use]
    pub fn unreadable(why: &Unreadable) -> Self {
        Self::Undetermined(vec![Shortfall::Unreadable(why.clone())])
    }

    /// Returns an undetermined outcome for a value that this version does not know.
    #[must_use]
    pub fn not_understood(evidence: Evidence) -> Self {
        Self::Undetermined(vec![Shortfall::NotUnderstood(evidence)])
    }
}

/// The reason why a control reached no verdict.
///
/// The serialized form is part of the fingerprint of findings, like that of [`Evidence`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shortfall {
    /// A fact that the control needs could not be read.
    #[serde(serialize_with = "crate::evidence::unreadable")]
    Unreadable(Unreadable),
    /// A value was read that this version does not know.
    NotUnderstood(Evidence),
    /// The analysis finds a request possible, but no example of such a request was found. So it may
    /// be that there is none.
    NoWitness(Evidence),
}

/// The severity of a failure, in the terms of
/// [ASFF](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_Severity.html), least severe
/// first.
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
    /// The issue must be remediated at once, so that it does not get worse.
    Critical,
}

impl Severity {
    /// All severities, least severe first.
    pub const ALL: [Self; 5] =
        [Self::Informational, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Returns the label of the severity in ASFF.
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

    /// Returns the severity with this ASFF label, or `None` if there is none.
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
