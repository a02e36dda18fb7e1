//! Facts and settings in, a verdict for each control out.
//!
//! A control is one rule that a bucket must keep: one file in `control/`, one entry in [`ALL`], one slug everywhere.
//! [`judge()`] applies those that the bucket's class requires; [`judge_key_policy`] and [`judge_bucket_policy`] apply those that
//! a policy decides, before there is a bucket. Nothing here reads, waits or can fail: a fact that could not be read makes the
//! outcome [`Outcome::Undetermined`].

mod call;
mod catalogue;
mod class;
mod control;
mod evidence;
#[cfg(test)]
mod example;
mod judge;
mod key_access;
mod level;
mod log_delivery;
mod outcome;
mod policy;
mod settings;
mod unrefused;

pub use catalogue::{ALL, Control, OF_BUCKETS, Rule, Subject, parts_of_remedy};
pub use evidence::{
    CloseStatement, Evidence, ExpectedEncryption, ExpectedKey, KeyIdentity, NotRefused, PolicyOf,
    PolicyProblem, ProbedRequest, Unrefused, UploadKey,
};
pub use judge::{Judgement, Verdict, judge, judge_account};
pub use key_access::{How, KeyAccess};
pub use level::Level;
pub use outcome::{Outcome, Severity, Shortfall};
pub use policy::{BucketPolicyVerdict, KeyPolicyVerdict, judge_bucket_policy, judge_key_policy};
pub use settings::{
    Alerts, Class, ClassName, Exemption, LogBuckets, OrganizationId, RootDelegation, Settings,
    SettingsError,
};
