//! The policy of a bucket or a key, as it was read.

use iam_policy::{NotAPolicy, Policy};

/// A policy, or why this version cannot read it, which says nothing of what it does.
pub type PolicyDocument = Result<Policy, NotAPolicy>;
