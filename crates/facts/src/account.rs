//! What is known of an account that is watched.

use crate::{Fact, Place};
use jiff::Timestamp;

/// An account in one region, as far as it can be watched there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Which account, in which region.
    pub place: Place,
    /// The moment just before the first call that was made to read it.
    pub read_at: Timestamp,
    /// Whether its buckets could be listed, with the role that cmkwatch has in the account; what could not be read is the
    /// very thing that is asked about.
    pub buckets: Fact<()>,
    /// Whether Security Hub is enabled.
    pub security_hub: Fact<bool>,
}
