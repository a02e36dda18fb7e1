//! `cmkwatch key-policy`: judges a key policy before it is applied.

use crate::{
    exit::Exit,
    input::{self, Requirements},
    report::{self, Output, VerdictLine},
};
use controls::{KeyAccess, KeyPolicyVerdict, Subject, judge_key_policy};
use facts::KeyArn;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Judge a key policy: which principals can use the key other than through S3?
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The policy, as JSON; `-` is standard input
    file: PathBuf,
    /// The ARN of the key that the policy is for
    #[arg(long, value_name = "ARN")]
    key_arn: KeyArn,
    #[command(flatten)]
    requirements: Requirements,
    /// The format of the verdicts
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let class = arguments.requirements.class()?;
    let policy = input::policy(&arguments.file)?;
    let lines = judge_key_policy(&policy, &arguments.key_arn, &class).map(line);
    let subject = Subject {
        key: Some(arguments.key_arn.clone()),
        key_policy: policy.ok(),
        ..Subject::default()
    };
    let subject = subject.trusting(&class);
    report::print(&lines, &subject, arguments.output)?;
    Ok(Exit::of(lines.iter().map(|line| &line.outcome)))
}

fn line(verdict: KeyPolicyVerdict) -> VerdictLine {
    let KeyPolicyVerdict { control, outcome, delegates_to_iam, accesses } = verdict;
    let accesses: Vec<_> = accesses.iter().map(as_json).collect();
    VerdictLine {
        control,
        outcome,
        more: json!({ "delegates_to_iam": delegates_to_iam, "uses": accesses }),
    }
}

fn as_json(KeyAccess { statement, principal, operations, how, .. }: &KeyAccess) -> Value {
    json!({ "statement": statement, "principal": principal, "operations": operations, "how": how.as_str() })
}
