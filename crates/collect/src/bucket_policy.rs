//! Reads the policy of a bucket. The crate `iam-policy` decides what the policy allows.

use crate::{
    CollectError,
    error::{Question, code},
};
use aws_sdk_s3::Client;
use facts::{BucketId, Fact, PolicyDocument};

/// Reads the policy of a bucket with
/// [GetBucketPolicy](https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketPolicy.html).
/// Returns `None` if the bucket does not exist, and a known `None` if it has no policy.
pub(crate) async fn of_bucket(
    s3: &Client,
    id: &BucketId,
) -> Result<Option<Fact<Option<PolicyDocument>>>, CollectError> {
    let question =
        Question { permission: "s3:GetBucketPolicy", subject: format!("bucket {}", id.name()) };
    let request = s3
        .get_bucket_policy()
        .bucket(id.name().as_str())
        .expected_bucket_owner(id.account().as_str());
    match request.send().await {
        Ok(answer) => {
            let text = answer.policy.ok_or_else(|| question.incomplete("a policy"))?;
            Ok(Some(Fact::Known(Some(text.parse()))))
        }
        Err(error) => match code(&error) {
            Some("NoSuchBucketPolicy") => Ok(Some(Fact::Known(None))),
            Some("NoSuchBucket") => Ok(None),
            _ => question.classify(error).map(Some),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{answer, bucket, s3_error};
    use aws_sdk_s3::config::http::HttpResponse;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    async fn answered(
        response: fn() -> HttpResponse,
    ) -> Result<Option<Fact<Option<PolicyDocument>>>, CollectError> {
        let rule = mock!(Client::get_bucket_policy)
            .match_requests(|r| r.expected_bucket_owner() == Some("111111111111"))
            .then_http_response(response);
        of_bucket(&mock_client!(aws_sdk_s3, RuleMode::MatchAny, [&rule]), &bucket()).await
    }

    #[tokio::test]
    async fn a_missing_policy_differs_from_a_refused_one() {
        let text = include_str!("../tests/answers/bucket-policy.json");
        let policy = answered(|| answer(200, include_str!("../tests/answers/bucket-policy.json")))
            .await
            .unwrap();
        assert_eq!(policy, Some(Fact::Known(Some(text.parse()))));
        let unclear = answered(|| answer(200, "{}")).await.unwrap();
        assert!(matches!(unclear, Some(Fact::Known(Some(Err(_))))), "{unclear:?}");
        assert_eq!(
            answered(|| s3_error(404, "NoSuchBucketPolicy")).await.unwrap(),
            Some(Fact::Known(None))
        );
        assert_eq!(answered(|| s3_error(404, "NoSuchBucket")).await.unwrap(), None);
        let refused = answered(|| s3_error(403, "AccessDenied")).await.unwrap().unwrap();
        assert_eq!(
            refused.known().unwrap_err().to_string(),
            "`s3:GetBucketPolicy` on bucket acme: AccessDenied"
        );
        assert!(answered(|| s3_error(503, "InternalError")).await.is_err());
    }
}
