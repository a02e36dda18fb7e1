//! The time limits of a run.

use tokio::time::Instant;

/// The time limits of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SweepTime {
    /// No bucket is begun after this moment. A quarter of the time is kept to finish those that
    /// were begun.
    pub(crate) begin_until: Instant,
    /// Work that is not done by this moment has failed.
    pub(crate) end: Instant,
}

impl SweepTime {
    /// Divides the time from now until `end`.
    pub(crate) fn until(end: Instant) -> Self {
        let now = Instant::now();
        Self { begin_until: now + end.saturating_duration_since(now) * 3 / 4, end }
    }

    /// Returns true while another bucket or part can be begun.
    pub(crate) fn is_left(self) -> bool {
        Instant::now() < self.begin_until
    }
}
