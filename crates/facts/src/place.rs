//! An account and a region.

use crate::{AccountId, Region};
use std::fmt;

/// An account and a region: the place of a bucket or of a Security Hub.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The account.
    pub account: AccountId,
    /// The region.
    pub region: Region,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "account {}, region {}", self.account, self.region)
    }
}
