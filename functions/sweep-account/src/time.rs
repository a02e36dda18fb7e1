//! How long a run may go on.

use tokio::time::Instant;

/// How long a run may go on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time {
    /// No bucket is begun after it: a quarter of the time that there was at first is left to those that were.
    pub(crate) begin_until: Instant,
    /// What is not done by then has failed.
    pub(crate) end: Instant,
}

impl Time {
    /// The time from now on.
    pub(crate) fn until(end: Instant) -> Self {
        let now = Instant::now();
        Self { begin_until: now + end.saturating_duration_since(now) * 3 / 4, end }
    }

    /// True while something can be begun.
    pub(crate) fn is_left(self) -> bool {
        Instant::now() < self.begin_until
    }
}
