//! The policy of a bucket or a key, as it was read.

use iam_policy::{NotAPolicy, Policy};

/// A policy, or the reason why this version of cmkwatch cannot parse it. The reason says nothing
/// about what the policy allows.
pub type PolicyDocument = Result<Policy, NotAPolicy>;
