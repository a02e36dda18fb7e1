//! The facts of a watched account.

use crate::{Fact, Place};
use jiff::Timestamp;

/// The facts of an account in one region: whether cmkwatch can watch it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The account and the region.
    pub place: Place,
    /// The moment just before the first call that read these facts.
    pub read_at: Timestamp,
    /// `Known` if the buckets could be listed, with the role that cmkwatch has in the account.
    /// `Unreadable` is not a gap here: it is the fact that is judged.
    pub buckets: Fact<()>,
    /// True if Security Hub is enabled.
    pub security_hub: Fact<bool>,
}
