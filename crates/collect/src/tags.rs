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
                question.refused(error).map(Some)
            }
        },
    }
}

fn pair(Tag { key, value, .. }: Tag) -> (String, String) {
    (key, value)
}
