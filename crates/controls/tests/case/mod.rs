//! The cases of policies in `tests/cases/`, one file for each control. Each case names the AWS page
//! that it follows.
#![allow(dead_code, reason = "each test looks at a part of a case")]

use controls::{Class, Outcome, Settings, judge_bucket_policy, judge_key_policy};
use facts::KeyArn;
use iam_policy::Policy;
use serde::Deserialize;
use serde_json::Value;
use std::{fs, path::Path};

/// The bucket that the policies are for.
pub(crate) const BUCKET: &str = "arn:aws:s3:::acme";
/// The key that the policies are for.
pub(crate) const KEY: &str =
    "arn:aws:kms:us-east-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// A policy, with the verdict of a control that a careful reader expects.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) case: String,
    pub(crate) page: String,
    /// `passed`, `undetermined`, or `failed` with the severity.
    pub(crate) expect: String,
    /// Texts that the evidence contains, among others.
    #[serde(default)]
    pub(crate) evidence: Vec<String>,
    /// Texts that the evidence does not contain.
    #[serde(default)]
    pub(crate) absent: Vec<String>,
    /// True if the class rejects a key policy that leaves the key to IAM.
    #[serde(default)]
    reject: bool,
    #[serde(default)]
    trusted: Vec<String>,
    #[serde(default)]
    organizations: Vec<String>,
    /// `allowed-keys` of the class.
    #[serde(default)]
    keys: Vec<String>,
    pub(crate) policy: Value,
}

impl Case {
    /// Returns the cases of a control.
    pub(crate) fn all(slug: &str) -> Vec<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cases/{slug}.json"));
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    }

    /// Returns the class by which the policy is judged.
    pub(crate) fn class(&self) -> Class {
        let delegation = if self.reject { "reject" } else { "accept" };
        let settings = format!(
            "classification = {{ tag = \"t\", default = \"all\" }}\n\
             class.all = {{ level = \"enforced\", allowed-keys = {:?} }}\n[key-policy]\n\
             root-delegation = \"{delegation}\"\ntrusted-accounts = {:?}\n\
             trusted-organizations = {:?}",
            self.keys, self.trusted, self.organizations
        );
        settings.parse::<Settings>().unwrap().default
    }

    /// Judges a policy by the class of the case.
    pub(crate) fn judged(&self, slug: &str, policy: &Value) -> Outcome {
        let policy = policy.to_string().parse::<Policy>();
        assert!(policy.is_ok(), "{}: {policy:?}", self.case);
        let (key, class): (KeyArn, _) = (KEY.parse().unwrap(), self.class());
        let keys = judge_key_policy(&policy, &key, &class).map(|it| (it.control.slug, it.outcome));
        let buckets = judge_bucket_policy(&policy, BUCKET, key.account(), &key, &class)
            .map(|it| (it.control.slug, it.outcome));
        keys.into_iter().chain(buckets).find(|(found, _)| *found == slug).unwrap().1
    }
}
