//! The parts of a verdict that decide if anything changed.

use crate::Compliance;
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
    pub(crate) fn passed(&self) -> bool {
        self.status == Compliance::Passed
    }
}
