//! The parts of a verdict that decide if anything changed.

use crate::{Compliance, Finding};
use controls::Severity;

/// The parts of a verdict that decide if anything changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The status.
    pub status: Compliance,
    /// The severity.
    pub severity: Severity,
    /// The fingerprint: the first half of a SHA-256 of what was judged, without prose.
    pub fingerprint: String,
}

impl Summary {
    /// Returns the summary of a finding.
    pub(crate) fn of(finding: &Finding) -> Self {
        let fingerprint = finding.fingerprint.clone();
        Self { status: finding.compliance, severity: finding.severity, fingerprint }
    }

    pub(crate) fn passed(&self) -> bool {
        self.status == Compliance::Passed
    }
}
