//! The verdicts of controls on policies.

use crate::{Control, KeyAccess, Outcome};

/// The verdict of a control on a key policy.
#[derive(Debug)]
pub struct KeyPolicyVerdict {
    /// The control.
    pub control: &'static Control,
    /// The outcome of the control.
    pub outcome: Outcome,
    /// True if a statement leaves the key to the IAM policies of its own account.
    pub delegates_to_iam: bool,
    /// The uses of the key that make the control fail.
    pub accesses: Vec<KeyAccess>,
}

/// The verdict of a control on a bucket policy.
#[derive(Debug)]
pub struct BucketPolicyVerdict {
    /// The control.
    pub control: &'static Control,
    /// The outcome of the control.
    pub outcome: Outcome,
}
