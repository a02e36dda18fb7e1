//! Policies, each with the verdict of a control that a careful reader expects.
//!
//! The cases are in `tests/cases/`, one file for each control. Each case names the AWS page that it
//! follows.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may stop at the first thing that is not as expected"
)]

use controls::{
    Class, Evidence, Outcome, Settings, Shortfall, judge_bucket_policy, judge_key_policy,
};
use iam_policy::Policy;
use serde::Deserialize;
use std::{fs, path::Path};

const BUCKET: &str = "arn:aws:s3:::acme";
const KEY: &str = "arn:aws:kms:us-east-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    case: String,
    page: String,
    /// `passed`, `undetermined`, or `failed` with the severity.
    expect: String,
    /// Texts that the evidence contains, among others.
    #[serde(default)]
    evidence: Vec<String>,
    /// Texts that the evidence does not contain.
    #[serde(default)]
    absent: Vec<String>,
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
    policy: serde_json::Value,
}

fn class(case: &Case) -> Class {
    let delegation = if case.reject { "reject" } else { "accept" };
    let settings = format!(
        "classification = {{ tag = \"t\", default = \"all\" }}\nclass.all = {{ level = \"enforced\", allowed-keys = {:?} }}\n[key-policy]\n\
         root-delegation = \"{delegation}\"\ntrusted-accounts = {:?}\ntrusted-organizations = {:?}",
        case.keys, case.trusted, case.organizations
    );
    settings.parse::<Settings>().unwrap().default
}

fn judged(control: &str, case: &Case) -> Outcome {
    let (policy, key) = (case.policy.to_string().parse::<Policy>(), KEY.parse().unwrap());
    assert!(policy.is_ok(), "{}: {policy:?}", case.case);
    let keys = judge_key_policy(&policy, &key, &class(case))
        .map(|verdict| (verdict.control.slug, verdict.outcome));
    let buckets = judge_bucket_policy(&policy, BUCKET, key.account(), &key, &class(case))
        .map(|verdict| (verdict.control.slug, verdict.outcome));
    keys.into_iter().chain(buckets).find(|(slug, _)| *slug == control).unwrap().1
}

fn described(outcome: &Outcome) -> (String, String) {
    let join = |evidence: &[Evidence]| {
        evidence
            .iter()
            .map(|e| format!("{}: {}", e.fact(), e.value()))
            .collect::<Vec<_>>()
            .join("\n")
    };
    match outcome {
        Outcome::Passed(evidence) => ("passed".into(), join(evidence)),
        Outcome::Failed { severity, evidence } => (format!("failed {severity}"), join(evidence)),
        Outcome::Undetermined(shortfalls) => {
            let not_understood = |shortfall: &Shortfall| match shortfall {
                Shortfall::NotUnderstood(evidence) | Shortfall::NoWitness(evidence) => {
                    Some(evidence.clone())
                }
                Shortfall::Unreadable(_) => None,
            };
            let evidence: Vec<_> = shortfalls.iter().filter_map(not_understood).collect();
            ("undetermined".into(), join(&evidence))
        }
        Outcome::NotApplicable(why) => (format!("not applicable: {why}"), String::new()),
    }
}

fn check(control: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cases/{control}.json"));
    let cases: Vec<Case> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    for case in cases {
        let (verdict, evidence) = described(&judged(control, &case));
        assert_eq!(verdict, case.expect, "{}: {evidence}", case.case);
        for words in &case.evidence {
            assert!(evidence.contains(words), "{}: `{words}` is not in {evidence}", case.case);
        }
        for words in &case.absent {
            assert!(!evidence.contains(words), "{}: `{words}` is in {evidence}", case.case);
        }
        assert!(case.page.starts_with("https://"), "{}", case.case);
    }
}

#[test]
fn key_used_only_via_s3() {
    check("key-used-only-via-s3");
}

#[test]
fn key_policy_closed() {
    check("key-policy-closed");
}

#[test]
fn tls_only() {
    check("tls-only");
}

#[test]
fn uploads_use_cmk() {
    check("uploads-use-cmk");
}

#[test]
fn ssec_blocked() {
    check("ssec-blocked");
}
