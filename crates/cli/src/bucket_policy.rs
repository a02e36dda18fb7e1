//! `cmkwatch bucket-policy`: judges a bucket policy before it is applied.

use crate::{
    encryption,
    exit::Exit,
    input::{self, Requirements},
    report::{self, Output, VerdictLine},
};
use anyhow::bail;
use controls::{
    BucketPolicyVerdict, Evidence, Outcome, Subject, judge_bucket_policy,
    judge_bucket_policy_and_encryption,
};
use facts::{AccountId, BucketEncryption, BucketId, BucketName, KeyArn, KeyReference};
use serde_json::json;
use std::path::{Path, PathBuf};

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
    #[command(flatten)]
    requirements: Requirements,
    /// The default encryption of the bucket, as `aws s3api get-bucket-encryption` prints it. The
    /// controls that depend on the encryption are judged, too
    #[arg(long, value_name = "FILE")]
    encryption: Option<PathBuf>,
    /// The format of the verdicts
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let Arguments { file, bucket: name, key_arn: key, requirements, .. } = arguments;
    let class = requirements.class()?;
    let policy = input::policy(file)?;
    let bucket = format!("arn:{}:s3:::{name}", key.region().partition());
    let account = arguments.account.as_ref().unwrap_or(key.account());
    let verdicts: Vec<_> = match &arguments.encryption {
        None => judge_bucket_policy(&policy, &bucket, account, key, &class).into(),
        Some(path) => {
            let id = BucketId::new(account.clone(), key.region().clone(), name.clone())?;
            if path == file && path == Path::new("-") {
                bail!("standard input cannot be both the policy and the encryption");
            }
            let encryption = encryption::read(path)?;
            if let Some(other) = other_key(&encryption, &id, key) {
                bail!("{} names the key {other}, and not --key-arn {key}", input::name(path));
            }
            judge_bucket_policy_and_encryption(&policy, &id, encryption, key, &class).into()
        }
    };
    let lines: Vec<_> = verdicts.into_iter().map(line).collect();
    let subject = Subject {
        bucket: Some(bucket),
        key: Some(key.clone()),
        bucket_policy: policy.ok(),
        ..Subject::default()
    };
    let subject = subject.trusting(&class);
    report::print(&lines, &subject, arguments.output)?;
    Ok(Exit::of(lines.iter().map(|line| &line.outcome)))
}

/// Returns the ARN that the encryption names if it is not that of the key. An alias may be any
/// key's.
fn other_key(
    encryption: &BucketEncryption<KeyReference>,
    id: &BucketId,
    key: &KeyArn,
) -> Option<KeyArn> {
    match encryption.default.key()?.within(&id.place()) {
        KeyReference::Arn(named) if named != *key => Some(named),
        _ => None,
    }
}

fn line(BucketPolicyVerdict { control, outcome }: BucketPolicyVerdict) -> VerdictLine {
    let requests: Vec<_> = match &outcome {
        Outcome::Failed { evidence, .. } => evidence.iter().map(Evidence::value).collect(),
        _ => Vec::new(),
    };
    VerdictLine { control, outcome, more: json!({ "requests": requests }) }
}
