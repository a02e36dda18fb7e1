//! `cmkwatch bucket-policy`: judges a bucket policy before it is applied.

use crate::{
    exit::Exit,
    input,
    report::{self, Output, VerdictLine},
};
use controls::{BucketPolicyVerdict, Evidence, Outcome, Subject, judge_bucket_policy};
use facts::{AccountId, BucketName, KeyArn};
use serde_json::json;
use std::path::PathBuf;

/// Judge a bucket policy: does it refuse plain HTTP, other keys and SSE-C?
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The policy, as JSON; `-` is standard input
    file: PathBuf,
    /// The bucket that the policy is for
    #[arg(long, value_name = "NAME")]
    bucket: BucketName,
    /// The ARN of the customer-managed key of the bucket's default encryption
    #[arg(long, value_name = "ARN")]
    key_arn: KeyArn,
    /// The account that owns the bucket, for conditions on it; the key's account if omitted
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// The settings to judge by, in place of the built-in settings
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// The class of the bucket, in place of the default class
    #[arg(long, value_name = "NAME")]
    class: Option<String>,
    /// The format of the verdicts
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let settings = input::settings(arguments.settings.as_deref())?;
    let class = input::class(settings, arguments.class.as_deref())?;
    let policy = input::policy(&arguments.file)?;
    let key = &arguments.key_arn;
    let bucket = format!("arn:{}:s3:::{}", key.region().partition(), arguments.bucket);
    let account = arguments.account.as_ref().unwrap_or(key.account());
    let lines = judge_bucket_policy(&policy, &bucket, account, key, &class).map(line);
    let subject = Subject { bucket: Some(bucket), key: Some(key.clone()), ..Subject::default() };
    let subject = subject.trusting(&class);
    report::print(&lines, &subject, arguments.output)?;
    Ok(Exit::of(lines.iter().map(|line| &line.outcome)))
}

fn line(BucketPolicyVerdict { control, outcome }: BucketPolicyVerdict) -> VerdictLine {
    let requests: Vec<_> = match &outcome {
        Outcome::Failed { evidence, .. } => evidence.iter().map(Evidence::value).collect(),
        _ => Vec::new(),
    };
    VerdictLine { control, outcome, more: json!({ "requests": requests }) }
}
