//! Buckets that are let off, for a reason and until a day.

use crate::Control;
use facts::{AccountId, BucketId};
use iam_policy::Pattern;
use jiff::civil::Date;

/// An entry of `[[exempt]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exemption {
    /// The names of the buckets; `*` stands for any characters and `?` for one.
    pub buckets: Pattern,
    /// The accounts; all of them where none is named.
    pub accounts: Vec<AccountId>,
    /// The slugs of the controls; all of them where none is named.
    pub controls: Vec<&'static str>,
    /// Why.
    pub reason: String,
    /// The last day, in UTC, on which it applies.
    pub until: Date,
}

impl Exemption {
    /// Whether it is about a control of a bucket, be it over or not.
    #[must_use]
    pub fn concerns(&self, bucket: &BucketId, control: &Control) -> bool {
        self.buckets.matches(bucket.name().as_str())
            && (self.accounts.is_empty() || self.accounts.contains(bucket.account()))
            && (self.controls.is_empty() || self.controls.contains(&control.slug))
    }
}
