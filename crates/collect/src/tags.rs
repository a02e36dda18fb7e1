//! The tags of a bucket.

use crate::{
    CollectError,
    error::{Question, code},
};
use aws_sdk_s3::{Client, types::Tag};
use facts::{BucketId, Fact, Tags};

/// The bucket's tags by [GetBucketTagging](https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketTagging.html);
/// none where there is no such bucket.
pub(crate) async fn of_bucket(s3: &Client, id: &BucketId) -> Result<Option<Fact<Tags>>, CollectError> {
    let request = s3.get_bucket_tagging().bucket(id.name().as_str()).expected_bucket_owner(id.account().as_str());
    match request.send().await {
        Ok(answer) => Ok(Some(Fact::Known(answer.tag_set.into_iter().map(pair).collect()))),
        Err(error) => match code(&error) {
            Some("NoSuchTagSet") => Ok(Some(Fact::Known(Tags::new()))),
            Some("NoSuchBucket") => Ok(None),
            _ => {
                let question = Question { permission: "s3:GetBucketTagging", subject: format!("bucket {}", id.name()) };
                question.unanswered(error).map(Some)
            }
        },
    }
}

fn pair(Tag { key, value, .. }: Tag) -> (String, String) {
    (key, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{answer, bucket, s3_error};
    use aws_sdk_s3::config::http::HttpResponse;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    async fn answered(response: fn() -> HttpResponse) -> Result<Option<Fact<Tags>>, CollectError> {
        let rule = mock!(Client::get_bucket_tagging)
            .match_requests(|r| r.expected_bucket_owner() == Some("111111111111"))
            .then_http_response(response);
        of_bucket(&mock_client!(aws_sdk_s3, RuleMode::MatchAny, [&rule]), &bucket()).await
    }

    #[tokio::test]
    async fn no_tags_are_known_and_refused_ones_are_not() {
        let tagged = answered(|| answer(200, include_str!("../tests/answers/tagging.xml"))).await.unwrap();
        let tags = [("data-classification", "restricted"), ("team", "a & b")];
        assert_eq!(tagged, Some(Fact::Known(tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into())));
        let untagged = answered(|| s3_error(404, "NoSuchTagSet")).await.unwrap();
        assert_eq!(untagged, Some(Fact::Known(Tags::new())));
        assert_eq!(answered(|| s3_error(404, "NoSuchBucket")).await.unwrap(), None);
        let refused = answered(|| s3_error(403, "AccessDenied")).await.unwrap().unwrap();
        assert_eq!(refused.known().unwrap_err().to_string(), "`s3:GetBucketTagging` on bucket acme: AccessDenied");
    }
}
