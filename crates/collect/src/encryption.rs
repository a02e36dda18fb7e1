//! The default encryption of a bucket.

use crate::{
    Accounts, CollectError,
    error::{Question, code},
    key,
};
use aws_sdk_s3::{
    Client,
    config::http::HttpResponse,
    error::SdkError,
    operation::get_bucket_encryption::GetBucketEncryptionError,
    types::{ServerSideEncryptionByDefault, ServerSideEncryptionRule},
};
use facts::{BucketId, DefaultEncryption, EncryptionRule, Fact, KeyReference};

/// What [GetBucketEncryption](https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketEncryption.html) tells, the key
/// not yet looked up; none where there is no such bucket.
pub(crate) async fn declared(
    s3: &Client,
    id: &BucketId,
) -> Result<Option<Fact<DefaultEncryption<KeyReference>>>, CollectError> {
    let request = s3.get_bucket_encryption().bucket(id.name().as_str()).expected_bucket_owner(id.account().as_str());
    let rules = match request.send().await {
        Ok(answer) => answer.server_side_encryption_configuration.map(|configuration| configuration.rules),
        Err(error) => return failed(error, id),
    };
    let rules: Vec<_> = rules.unwrap_or_default().into_iter().map(rule).collect();
    Ok(Some(Fact::Known(DefaultEncryption::of(&rules))))
}

fn failed(
    error: SdkError<GetBucketEncryptionError, HttpResponse>,
    id: &BucketId,
) -> Result<Option<Fact<DefaultEncryption<KeyReference>>>, CollectError> {
    let subject = format!("bucket {}", id.name());
    match code(&error) {
        Some("NoSuchBucket") => Ok(None),
        // A bucket made before January 2023 may have no configuration; what it has then is SSE-S3.
        Some("ServerSideEncryptionConfigurationNotFoundError") => Ok(Some(Fact::Known(DefaultEncryption::SseS3))),
        _ => match other_region(&error, id) {
            Some(region) => Err(CollectError::OtherRegion { subject, region }),
            None => Question { permission: "s3:GetEncryptionConfiguration", subject }.refused(error).map(Some),
        },
    }
}

/// The region that [S3 names](https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html) when it is asked
/// in another than the bucket's.
fn other_region(error: &SdkError<GetBucketEncryptionError, HttpResponse>, id: &BucketId) -> Option<String> {
    let region = error.raw_response()?.headers().get("x-amz-bucket-region")?;
    let misplaced = matches!(
        code(error)?,
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException"
    );
    (misplaced && region != id.region().as_str()).then(|| region.to_owned())
}

fn rule(rule: ServerSideEncryptionRule) -> EncryptionRule {
    let default = |default: ServerSideEncryptionByDefault| {
        let Ok(key) = default.kms_master_key_id.unwrap_or_default().parse::<KeyReference>();
        (default.sse_algorithm.as_str().into(), key)
    };
    EncryptionRule { default: rule.apply_server_side_encryption_by_default.map(default) }
}

/// Looks up the key that the default encryption names.
pub(crate) async fn with_key(
    accounts: &Accounts,
    id: &BucketId,
    declared: Fact<DefaultEncryption<KeyReference>>,
) -> Result<Fact<DefaultEncryption>, CollectError> {
    let declared = match declared {
        Fact::Known(declared) => declared,
        Fact::Unreadable(why) => return Ok(Fact::Unreadable(why)),
    };
    Ok(Fact::Known(match declared {
        DefaultEncryption::Kms(reference) => DefaultEncryption::Kms(key::look_up(accounts, id, reference).await?),
        DefaultEncryption::KmsDsse(reference) => {
            DefaultEncryption::KmsDsse(key::look_up(accounts, id, reference).await?)
        }
        DefaultEncryption::SseS3 => DefaultEncryption::SseS3,
        DefaultEncryption::Unknown(algorithm) => DefaultEncryption::Unknown(algorithm),
        DefaultEncryption::Contradictory => DefaultEncryption::Contradictory,
    }))
}
