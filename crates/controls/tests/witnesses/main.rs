//! Random policies: each alarm has a witness that [iam-rs](https://docs.rs/iam-rs) confirms, and
//! iam-rs finds no request that contradicts a pass.
//!
//! The crate iam-rs evaluates one request at a time and shares no code with the analysis.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may stop at the first thing that is not as expected"
)]

mod buckets;
mod keys;
mod second_opinion;
mod statements;

use controls::{Evidence, Outcome, Shortfall};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use second_opinion::Concrete;
use serde_json::{Value, json};

/// The number of random policies of each kind.
const POLICIES: usize = 2_000;

/// The number of verdicts of each kind.
#[derive(Debug, Default)]
struct Count {
    passed: usize,
    failed: usize,
    /// Undetermined because no witness was found.
    without_witness: usize,
    /// Undetermined for another reason.
    undetermined: usize,
    /// Undetermined without a witness, although iam-rs finds a request.
    missed: usize,
}

impl Count {
    /// Counts an outcome and checks it. `open` asks iam-rs for a request that the control wants
    /// refused, and `check` checks the evidence of an alarm.
    fn add(
        &mut self,
        slug: &str,
        policy: &str,
        outcome: &Outcome,
        open: impl FnOnce() -> Option<Concrete>,
        check: impl Fn(&Evidence),
    ) {
        match outcome {
            Outcome::Passed(_) => {
                self.passed += 1;
                let open = open();
                assert!(open.is_none(), "{slug} passes, and iam-rs finds {open:?}: {policy}");
            }
            Outcome::Failed { evidence, .. } => {
                self.failed += 1;
                evidence.iter().for_each(check);
            }
            Outcome::Undetermined(why) if matches!(why[..], [Shortfall::NoWitness(_), ..]) => {
                println!("no witness: {slug} {policy}");
                self.without_witness += 1;
                self.missed += usize::from(open().is_some());
            }
            Outcome::Undetermined(_) => self.undetermined += 1,
            Outcome::NotApplicable(why) => panic!("{why}"),
        }
    }
}

/// Returns random policies, the same in each run.
fn policies(statements: impl Strategy<Value = Vec<Value>>) -> impl Iterator<Item = Vec<Value>> {
    let mut runner = TestRunner::deterministic();
    std::iter::repeat_with(move || statements.new_tree(&mut runner).unwrap().current())
        .take(POLICIES)
}

fn text(statements: &[Value]) -> String {
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}
