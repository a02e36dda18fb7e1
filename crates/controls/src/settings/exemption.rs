//! Exemptions: buckets that are exempt from controls, for a reason and until a day.

use crate::Control;
use facts::{AccountId, BucketId};
use iam_policy::Pattern;
use jiff::civil::Date;

/// An entry of `[[exempt]]`: buckets that are exempt from controls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exemption {
    /// The pattern of the bucket names. `*` matches any characters and `?` matches one.
    pub buckets: Pattern,
    /// The accounts that own the buckets. Empty for all accounts.
    pub accounts: Vec<AccountId>,
    /// The slugs of the controls. Empty for all controls.
    pub controls: Vec<&'static str>,
    /// The reason for the exemption.
    pub reason: String,
    /// The last day, in UTC, on which the exemption applies.
    pub until: Date,
}

impl Exemption {
    /// True if the exemption covers a control of a bucket, even if the exemption has ended.
    #[must_use]
    pub fn concerns(&self, bucket: &BucketId, control: &Control) -> bool {
        self.buckets.matches(bucket.name().as_str())
            && (self.accounts.is_empty() || self.accounts.contains(bucket.account()))
            && (self.controls.is_empty() || self.controls.contains(&control.slug))
    }
}
