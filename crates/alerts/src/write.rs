//! Writes messages about findings.

use crate::{AlertMessage, FindingEvent, digest, single};
use facts::Region;

impl AlertMessage {
    /// Writes the message about one finding. `home` is the region in which Security Hub aggregates
    /// all findings.
    #[must_use]
    pub fn about(event: &FindingEvent, home: &Region) -> Self {
        single::message(event, home)
    }

    /// Writes the message about many findings. There must be at least one.
    #[must_use]
    pub fn digest(event: &[&FindingEvent], home: &Region) -> Self {
        digest::message(event, home)
    }
}
