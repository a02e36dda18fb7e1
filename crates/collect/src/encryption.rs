//! Reads the default encryption of a bucket, and looks up the key that it names.

use crate::{
    Accounts, CollectError, KeyCache,
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
use facts::{BucketEncryption, BucketId, DefaultEncryption, EncryptionRule, Fact, KeyReference};

/// Reads the encryption of a bucket with
/// [GetBucketEncryption](https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketEncryption.html).
/// Does not look up the key. Returns `None` if the bucket does not exist.
pub(crate) async fn declared(
    s3: &Client,
    id: &BucketId,
) -> Result<Option<Fact<BucketEncryption<KeyReference>>>, CollectError> {
    let request = s3
        .get_bucket_encryption()
        .bucket(id.name().as_str())
        .expected_bucket_owner(id.account().as_str());
    match request.send().await {
        Ok(answer) => {
            let configuration = answer.server_side_encryption_configuration;
            let configuration =
                configuration.ok_or_else(|| question(id).incomplete("a configuration"))?;
            let rules: Vec<_> = configuration.rules.into_iter().map(rule).collect();
            Ok(Some(Fact::Known(BucketEncryption::of(&rules))))
        }
        Err(error) => failed(error, id),
    }
}

fn failed(
    error: SdkError<GetBucketEncryptionError, HttpResponse>,
    id: &BucketId,
) -> Result<Option<Fact<BucketEncryption<KeyReference>>>, CollectError> {
    match code(&error) {
        Some("NoSuchBucket") => Ok(None),
        // A bucket created before January 2023 may have no configuration. Its objects get SSE-S3.
        Some("ServerSideEncryptionConfigurationNotFoundError") => {
            Ok(Some(Fact::Known(BucketEncryption::of(&[]))))
        }
        _ => match other_region(&error, id) {
            Some(region) => {
                Err(CollectError::OtherRegion { subject: question(id).subject, region })
            }
            None => question(id).classify(error).map(Some),
        },
    }
}

fn question(id: &BucketId) -> Question {
    Question {
        permission: "s3:GetEncryptionConfiguration",
        subject: format!("bucket {}", id.name()),
    }
}

/// Returns the region that [S3
/// names](https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html) if it is
/// called in another region than the bucket's; `None` if the error has another cause.
fn other_region(
    error: &SdkError<GetBucketEncryptionError, HttpResponse>,
    id: &BucketId,
) -> Option<String> {
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
    let blocked = rule
        .blocked_encryption_types
        .and_then(|blocked| blocked.encryption_type)
        .unwrap_or_default();
    EncryptionRule {
        default: rule.apply_server_side_encryption_by_default.map(default),
        bucket_key: rule.bucket_key_enabled.unwrap_or(false),
        blocks_sse_c: blocked.iter().any(|kind| kind.as_str() == "SSE-C"),
    }
}

/// Replaces the reference to a key in the default encryption with the key itself.
pub(crate) async fn with_key(
    accounts: &Accounts,
    id: &BucketId,
    declared: Fact<BucketEncryption<KeyReference>>,
    keys: &KeyCache,
) -> Result<Fact<BucketEncryption>, CollectError> {
    let BucketEncryption { default, bucket_key, blocks_sse_c } = match declared {
        Fact::Known(declared) => declared,
        Fact::Unreadable(why) => return Ok(Fact::Unreadable(why)),
    };
    let default = match default {
        DefaultEncryption::Kms(reference) => {
            DefaultEncryption::Kms(key::look_up(accounts, id, reference, keys).await?)
        }
        DefaultEncryption::KmsDsse(reference) => {
            DefaultEncryption::KmsDsse(key::look_up(accounts, id, reference, keys).await?)
        }
        DefaultEncryption::SseS3 => DefaultEncryption::SseS3,
        DefaultEncryption::Unknown(algorithm) => DefaultEncryption::Unknown(algorithm),
        DefaultEncryption::Contradictory => DefaultEncryption::Contradictory,
    };
    Ok(Fact::Known(BucketEncryption { default, bucket_key, blocks_sse_c }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{answer, bucket, s3_error};
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    async fn answered(
        response: fn() -> HttpResponse,
    ) -> Result<Option<Fact<BucketEncryption<KeyReference>>>, CollectError> {
        let rule = mock!(Client::get_bucket_encryption)
            .match_requests(|r| {
                r.bucket() == Some("acme") && r.expected_bucket_owner() == Some("111111111111")
            })
            .then_http_response(response);
        declared(&mock_client!(aws_sdk_s3, RuleMode::MatchAny, [&rule]), &bucket()).await
    }

    async fn default_of(
        response: fn() -> HttpResponse,
    ) -> Option<Fact<DefaultEncryption<KeyReference>>> {
        answered(response).await.unwrap().map(|fact| fact.map(|encryption| encryption.default))
    }

    #[tokio::test]
    async fn rules_are_read_as_s3_writes_them() {
        let key = |text: &str| text.parse::<KeyReference>().unwrap();
        let cases: [(fn() -> HttpResponse, _); 4] = [
            (
                || answer(200, include_str!("../tests/answers/encryption-sse-s3.xml")),
                DefaultEncryption::SseS3,
            ),
            (
                || answer(200, include_str!("../tests/answers/encryption-kms-alias.xml")),
                DefaultEncryption::Kms(key("alias/acme")),
            ),
            (
                || answer(200, include_str!("../tests/answers/encryption-kms-no-key.xml")),
                DefaultEncryption::Kms(KeyReference::Absent),
            ),
            (
                || answer(200, include_str!("../tests/answers/encryption-dsse.xml")),
                DefaultEncryption::KmsDsse(key(
                    "arn:aws:kms:us-east-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab",
                )),
            ),
        ];
        for (response, expected) in cases {
            assert_eq!(default_of(response).await, Some(Fact::Known(expected)));
        }
    }

    #[tokio::test]
    async fn the_bucket_key_and_the_block_of_sse_c_are_read() {
        let answers: [(fn() -> HttpResponse, _); 2] = [
            (
                || answer(200, include_str!("../tests/answers/encryption-blocked-types-only.xml")),
                (false, true),
            ),
            (
                || answer(200, include_str!("../tests/answers/encryption-bucket-key.xml")),
                (true, false),
            ),
        ];
        for (response, expected) in answers {
            let Some(Fact::Known(encryption)) = answered(response).await.unwrap() else { panic!() };
            assert_eq!((encryption.bucket_key, encryption.blocks_sse_c), expected);
        }
    }

    #[tokio::test]
    async fn the_error_code_decides_regardless_of_the_status() {
        let none: [fn() -> HttpResponse; 2] = [
            || s3_error(404, "ServerSideEncryptionConfigurationNotFoundError"),
            || s3_error(400, "ServerSideEncryptionConfigurationNotFoundError"),
        ];
        for response in none {
            assert_eq!(default_of(response).await, Some(Fact::Known(DefaultEncryption::SseS3)));
        }
        assert_eq!(answered(|| s3_error(404, "NoSuchBucket")).await.unwrap(), None);
        let refusals: [fn() -> HttpResponse; 3] = [
            || s3_error(403, "AccessDenied"),
            || s3_error(403, "AllAccessDisabled"),
            || s3_error(405, "MethodNotAllowed"),
        ];
        for response in refusals {
            let fact = answered(response).await.unwrap().unwrap();
            assert_eq!(fact.known().unwrap_err().permission, "s3:GetEncryptionConfiguration");
        }
    }

    #[tokio::test]
    async fn an_answer_that_does_not_concern_the_bucket_is_an_error() {
        let others: [fn() -> HttpResponse; 3] = [
            || s3_error(400, "ExpiredToken"),
            || s3_error(403, "RequestTimeTooSkewed"),
            || answer(400, ""),
        ];
        for response in others {
            assert!(matches!(answered(response).await.unwrap_err(), CollectError::Call { .. }));
        }
    }

    #[tokio::test]
    async fn a_bucket_in_another_region_is_an_error_that_names_the_region() {
        let moved = || {
            let mut response = s3_error(301, "PermanentRedirect");
            response.headers_mut().insert("x-amz-bucket-region", "eu-west-1");
            response
        };
        let error = answered(moved).await.unwrap_err();
        assert!(
            matches!(&error, CollectError::OtherRegion { region, .. } if region == "eu-west-1"),
            "{error}"
        );
    }
}
