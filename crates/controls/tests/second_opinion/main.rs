//! Asks [iam-rs](https://docs.rs/iam-rs) about single requests. It shares no code with the analysis.
//!
//! - For random policies, it confirms the witness of each alarm and contradicts no pass.
//! - For the cases in `tests/cases`, a remedy makes the control pass and refuses nothing that must
//!   keep working.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may stop at the first thing that is not as expected"
)]

mod buckets;
#[path = "../case/mod.rs"]
mod case;
mod evaluator;
mod keys;
mod remedies;
mod statements;

use controls::{Evidence, Outcome, Shortfall};
use evaluator::Concrete;
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
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
