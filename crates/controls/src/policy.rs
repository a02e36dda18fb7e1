//! The controls that a policy alone decides, before there is a bucket.

use crate::{Class, Control, Outcome, Use, control, unrefused::Owned};
use facts::{AccountId, KeyArn};
use iam_policy::Policy;

/// What a control says of a key policy.
#[derive(Debug)]
pub struct KeyPolicyVerdict {
    /// The control.
    pub control: &'static Control,
    /// What it says.
    pub outcome: Outcome,
    /// Whether a statement leaves the key to the IAM policies of its own account.
    pub delegates_to_iam: bool,
    /// The uses that make it fail.
    pub uses: Vec<Use>,
}

/// What a control says of a bucket policy.
#[derive(Debug)]
pub struct BucketPolicyVerdict {
    /// The control.
    pub control: &'static Control,
    /// What it says.
    pub outcome: Outcome,
    /// The requests that are not refused, each in a line.
    pub requests: Vec<String>,
}

/// Judges a key policy by what a class requires: `key-used-only-via-s3` and `key-policy-closed`.
#[must_use]
pub fn judge_key_policy(policy: &Policy, key: &KeyArn, class: &Class) -> [KeyPolicyVerdict; 2] {
    [control::key_used_only_via_s3(policy, key, class), control::key_policy_closed(policy, key, class)]
}

/// Judges a bucket policy: `tls-only`, `uploads-use-cmk` and, as far as a policy decides it, `ssec-blocked`. `bucket` is the
/// bucket's ARN, `owner` its account, and `key` the key of its default encryption.
#[must_use]
pub fn judge_bucket_policy(policy: &Policy, bucket: &str, owner: &AccountId, key: &KeyArn) -> [BucketPolicyVerdict; 3] {
    let of = Owned { bucket, owner };
    [
        control::tls_only(Some(policy), of),
        control::uploads_use_cmk(Some(policy), of, key),
        control::ssec_blocked(Some(policy), of),
    ]
}
