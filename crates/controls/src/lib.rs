//! Judges facts by the settings: facts and settings in, a verdict for each control out.
//!
//! A control is one rule that a bucket or an account must keep. It is one file in `control/`, one
//! entry in [`ALL`], and one slug everywhere. [`judge()`] applies the controls that the class of a
//! bucket requires. [`judge_key_policy`] and [`judge_bucket_policy`] apply the controls that a
//! policy alone decides, before there is a bucket.
//!
//! Judging performs no I/O and cannot fail. A control that needs a fact which could not be read
//! returns [`Outcome::Undetermined`]. The exception is `account-readable`, which fails if the
//! buckets cannot be read.

mod call;
mod catalogue;
mod class;
mod control;
mod evidence;
#[cfg(test)]
mod example;
mod judge;
mod key_access;
mod key_permissions;
mod kms_actions;
mod level;
mod log_delivery;
mod outcome;
mod policy;
mod policy_verdict;
mod remedy;
mod s3_actions;
mod settings;
mod unrefused;

pub use catalogue::{ALL, Adapt, Control, OF_BUCKETS, Rule, Subject};
pub use evidence::{
    CloseStatement, Evidence, ExpectedEncryption, ExpectedKey, KeyIdentity, NotRefused, PolicyOf,
    PolicyProblem, ProbedRequest, Unrefused, UploadKey,
};
pub use iam_policy::Witness;
pub use judge::{Judgement, Verdict, judge, judge_account};
pub use key_access::{How, KeyAccess};
pub use key_permissions::AllowedBy;
pub use level::Level;
pub use outcome::{Outcome, Severity, Shortfall};
pub use policy::{judge_bucket_policy, judge_bucket_policy_and_encryption, judge_key_policy};
pub use policy_verdict::{BucketPolicyVerdict, KeyPolicyVerdict};
pub use remedy::{Remedy, Replacement, parts_of_remedy};
pub use settings::{
    Alerts, Class, ClassName, Exemption, LogBuckets, OrganizationId, RootDelegation, Settings,
    SettingsError,
};
