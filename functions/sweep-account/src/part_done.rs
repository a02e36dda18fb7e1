//! The result of sweeping some buckets.

use facts::BucketId;
use queue::SweepPart;

/// The result of sweeping some buckets.
#[derive(Debug, Default)]
pub(crate) struct PartDone {
    /// The buckets that were not reached.
    pub(crate) rest: Option<SweepPart>,
    /// The buckets that could not be evaluated.
    pub(crate) failed: Vec<BucketId>,
    /// The buckets whose findings could not be compared or repaired.
    pub(crate) unaudited: Vec<BucketId>,
    /// The buckets with changes that no event has announced so far.
    pub(crate) unannounced: Vec<BucketId>,
}
