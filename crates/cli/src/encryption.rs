//! Reads the default encryption of a bucket, as `aws s3api get-bucket-encryption` prints it.

use crate::input;
use anyhow::{Context, bail};
use facts::{BucketEncryption, EncryptionRule, KeyReference};
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

/// An item of `Rules` of
/// [GetBucketEncryption](https://docs.aws.amazon.com/AmazonS3/latest/API/API_ServerSideEncryptionRule.html).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rule {
    apply_server_side_encryption_by_default: Option<Default>,
    #[serde(default)]
    bucket_key_enabled: bool,
    blocked_encryption_types: Option<Blocked>,
}

#[derive(Deserialize)]
struct Default {
    #[serde(rename = "SSEAlgorithm")]
    algorithm: String,
    #[serde(rename = "KMSMasterKeyID", default)]
    key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Blocked {
    #[serde(default)]
    encryption_type: Vec<String>,
}

/// Reads a file. It holds the whole answer of the AWS CLI, its configuration, or only the
/// `ApplyServerSideEncryptionByDefault` of its rule.
pub(crate) fn read(path: &Path) -> anyhow::Result<BucketEncryption<KeyReference>> {
    let text = input::text(path)?;
    let understood = || format!("{} is not the encryption of a bucket", input::name(path));
    let rules = rules(&text).with_context(understood)?;
    Ok(BucketEncryption::of(&rules.into_iter().map(rule).collect::<Vec<_>>()))
}

fn rules(text: &str) -> anyhow::Result<Vec<Rule>> {
    let answer: Value = serde_json::from_str(text)?;
    let configuration = answer.get("ServerSideEncryptionConfiguration").unwrap_or(&answer);
    if let Some(rules) = configuration.get("Rules") {
        return Ok(Vec::deserialize(rules)?);
    }
    if configuration.get("SSEAlgorithm").is_none() {
        bail!("it has neither `Rules` nor `SSEAlgorithm`");
    }
    Ok(vec![Rule {
        apply_server_side_encryption_by_default: Some(Default::deserialize(configuration)?),
        bucket_key_enabled: false,
        blocked_encryption_types: None,
    }])
}

fn rule(rule: Rule) -> EncryptionRule {
    let default = |Default { algorithm, key }: Default| {
        let Ok(key) = key.parse::<KeyReference>();
        (algorithm.as_str().into(), key)
    };
    let blocked = rule.blocked_encryption_types.map(|blocked| blocked.encryption_type);
    EncryptionRule {
        default: rule.apply_server_side_encryption_by_default.map(default),
        bucket_key: rule.bucket_key_enabled,
        blocks_sse_c: blocked.unwrap_or_default().iter().any(|kind| kind == "SSE-C"),
    }
}
