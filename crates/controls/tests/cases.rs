//! Judges the cases of policies in `tests/cases/`.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may stop at the first thing that is not as expected"
)]

mod case;

use case::Case;
use controls::{Evidence, Outcome, Shortfall};

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
    for case in Case::all(control) {
        let (verdict, evidence) = described(&case.judged(control, &case.policy));
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
