//! The time limits of a run.

use tokio::time::Instant;

/// The time limits of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeLimits {
    /// No bucket is begun after this moment, half of the time. Messages may name hundreds of
    /// buckets, and those that were begun must be finished.
    pub(crate) begin_until: Instant,
    /// An evaluation that has not ended by this moment, three quarters of the time, has failed. The
    /// steps after the evaluations need the rest.
    pub(crate) evaluate_until: Instant,
    pub(crate) end: Instant,
}

impl TimeLimits {
    pub(crate) fn until(end: Instant) -> Self {
        let now = Instant::now();
        let quarter = end.saturating_duration_since(now) / 4;
        Self { begin_until: now + quarter * 2, evaluate_until: now + quarter * 3, end }
    }
}
