//! Reads the tags of buckets, of one or of many at once. The crate `controls` finds the class in
//! them.

use crate::{
    Accounts, CollectError,
    error::{Question, code},
};
use aws_sdk_resourcegroupstagging::Client as Tagging;
use aws_sdk_s3::{Client, types::Tag};
use facts::{BucketId, Fact, Place, Tags};
use std::collections::HashMap;

/// Reads the tags of a bucket with
/// [GetBucketTagging](https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketTagging.html).
/// If S3 refuses, the tagging API is asked, because no bucket policy can refuse that call. Returns
/// `None` if the bucket does not exist.
pub(crate) async fn of_bucket(
    s3: &Client,
    tagging: &Tagging,
    id: &BucketId,
) -> Result<Option<Fact<Tags>>, CollectError> {
    let told = by_bucket(s3, id).await?;
    let Some(Fact::Unreadable(why)) = told else { return Ok(told) };
    match in_bulk(tagging, &id.place(), &[id.arn()]).await? {
        // A bucket that is missing has no tags, or is too new for the index. So its tags stay
        // unreadable.
        Fact::Known(mut found) => {
            Ok(Some(found.remove(&id.arn()).map_or(Fact::Unreadable(why), Fact::Known)))
        }
        Fact::Unreadable(_) => Ok(Some(Fact::Unreadable(why))),
    }
}

async fn by_bucket(s3: &Client, id: &BucketId) -> Result<Option<Fact<Tags>>, CollectError> {
    let request = s3
        .get_bucket_tagging()
        .bucket(id.name().as_str())
        .expected_bucket_owner(id.account().as_str());
    match request.send().await {
        Ok(answer) => Ok(Some(Fact::Known(answer.tag_set.into_iter().map(pair).collect()))),
        Err(error) => match code(&error) {
            Some("NoSuchTagSet") => Ok(Some(Fact::Known(Tags::new()))),
            Some("NoSuchBucket") => Ok(None),
            _ => {
                let question = Question {
                    permission: "s3:GetBucketTagging",
                    subject: format!("bucket {}", id.name()),
                };
                question.classify(error).map(Some)
            }
        },
    }
}

/// The most resources that one call of
/// [GetResources](https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html)
/// takes.
const AT_ONCE: usize = 100;

/// Reads the tags of many buckets of one account and region, by ARN. A bucket that is missing in
/// the answer has no tags, or had none a moment ago. 1 call for each 100 buckets.
///
/// # Errors
/// Returns an error if a call fails without a refusal.
pub async fn of_many(
    accounts: &Accounts,
    place: &Place,
    buckets: &[String],
) -> Result<Fact<HashMap<String, Tags>>, CollectError> {
    let tagging = accounts.clients(place).await.tagging;
    let mut found = HashMap::new();
    for some in buckets.chunks(AT_ONCE) {
        match in_bulk(&tagging, place, some).await? {
            Fact::Known(tags) => found.extend(tags),
            Fact::Unreadable(why) => return Ok(Fact::Unreadable(why)),
        }
    }
    Ok(Fact::Known(found))
}

async fn in_bulk(
    tagging: &Tagging,
    place: &Place,
    buckets: &[String],
) -> Result<Fact<HashMap<String, Tags>>, CollectError> {
    let question =
        Question { permission: "tag:GetResources", subject: format!("buckets of {place}") };
    match tagging.get_resources().set_resource_arn_list(Some(buckets.to_vec())).send().await {
        Ok(answer) => {
            let listed = answer.resource_tag_mapping_list.unwrap_or_default().into_iter();
            let tags = |list: Option<Vec<aws_sdk_resourcegroupstagging::types::Tag>>| {
                list.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect()
            };
            Ok(Fact::Known(
                listed.filter_map(|of| Some((of.resource_arn?, tags(of.tags)))).collect(),
            ))
        }
        Err(error) => question.classify(error),
    }
}

fn pair(Tag { key, value, .. }: Tag) -> (String, String) {
    (key, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{answer, bucket, kms_error, s3_error};
    use aws_sdk_s3::config::http::HttpResponse;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    async fn answered(response: fn() -> HttpResponse) -> Result<Option<Fact<Tags>>, CollectError> {
        let rule = mock!(Client::get_bucket_tagging)
            .match_requests(|r| r.expected_bucket_owner() == Some("111111111111"))
            .then_http_response(response);
        by_bucket(&mock_client!(aws_sdk_s3, RuleMode::MatchAny, [&rule]), &bucket()).await
    }

    #[tokio::test]
    async fn tags_of_many_buckets_are_returned_by_arn() {
        let arns = ["arn:aws:s3:::acme".to_owned(), "arn:aws:s3:::untagged".to_owned()];
        let rule = mock!(Tagging::get_resources)
            .match_requests(|request| request.resource_arn_list().len() == 2)
            .then_http_response(|| answer(200, include_str!("../tests/answers/resources.json")));
        let tagging = mock_client!(aws_sdk_resourcegroupstagging, RuleMode::MatchAny, [&rule]);
        let Fact::Known(found) = in_bulk(&tagging, &bucket().place(), &arns).await.unwrap() else {
            panic!()
        };
        let tags: Tags = [("data-classification".to_owned(), "restricted".to_owned())].into();
        assert_eq!(found, [("arn:aws:s3:::acme".to_owned(), tags)].into());
    }

    #[tokio::test]
    async fn tags_that_s3_refuses_are_read_from_the_tagging_api() {
        let refused =
            mock!(Client::get_bucket_tagging).then_http_response(|| s3_error(403, "AccessDenied"));
        let s3 = mock_client!(aws_sdk_s3, RuleMode::MatchAny, [&refused]);
        let told = mock!(Tagging::get_resources)
            .then_http_response(|| answer(200, include_str!("../tests/answers/resources.json")));
        let tagging = mock_client!(aws_sdk_resourcegroupstagging, RuleMode::MatchAny, [&told]);
        let Some(Fact::Known(tags)) = of_bucket(&s3, &tagging, &bucket()).await.unwrap() else {
            panic!()
        };
        assert_eq!(tags["data-classification"], "restricted");
        let none = mock!(Tagging::get_resources)
            .then_http_response(|| kms_error(400, "AccessDeniedException"));
        let tagging = mock_client!(aws_sdk_resourcegroupstagging, RuleMode::MatchAny, [&none]);
        let Some(Fact::Unreadable(why)) = of_bucket(&s3, &tagging, &bucket()).await.unwrap() else {
            panic!()
        };
        assert_eq!(why.permission, "s3:GetBucketTagging");
    }

    #[tokio::test]
    async fn absent_tags_are_known_and_refused_tags_are_unreadable() {
        let tagged =
            answered(|| answer(200, include_str!("../tests/answers/tagging.xml"))).await.unwrap();
        let tags = [("data-classification", "restricted"), ("team", "a & b")];
        assert_eq!(
            tagged,
            Some(Fact::Known(tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into()))
        );
        let untagged = answered(|| s3_error(404, "NoSuchTagSet")).await.unwrap();
        assert_eq!(untagged, Some(Fact::Known(Tags::new())));
        assert_eq!(answered(|| s3_error(404, "NoSuchBucket")).await.unwrap(), None);
        let refused = answered(|| s3_error(403, "AccessDenied")).await.unwrap().unwrap();
        assert_eq!(
            refused.known().unwrap_err().to_string(),
            "`s3:GetBucketTagging` on bucket acme: AccessDenied"
        );
    }
}
