//! Everything that the controls ask about one bucket.

use crate::{Accounts, CollectError, bucket_policy, encryption, tags};
use aws_sdk_s3::Client;
use facts::{Bucket, BucketId};
use jiff::Timestamp;

/// What became of reading a bucket.
#[derive(Debug)]
pub enum Collected {
    /// The bucket's facts.
    Present(Box<Bucket>),
    /// S3 says that there is no such bucket.
    Gone {
        /// The moment just before it was asked.
        read_at: Timestamp,
    },
}

/// Reads a bucket: its encryption, its policy, its tags, and the key that the encryption names. `now` is the time of the
/// call. Takes 3 calls, 1 or more to KMS where a KMS key is named, and 2 or 3 more where a customer manages it.
///
/// # Errors
/// What did not get through; [`CollectError::OtherRegion`] where the bucket lies elsewhere.
pub async fn bucket(accounts: &Accounts, id: &BucketId, now: Timestamp) -> Result<Collected, CollectError> {
    let s3 = Client::new(&accounts.config(id.account(), id.region()).await);
    let (declared, policy, tags) =
        tokio::join!(encryption::declared(&s3, id), bucket_policy::of_bucket(&s3, id), tags::of_bucket(&s3, id));
    let (Some(declared), Some(policy), Some(tags)) = (declared?, policy?, tags?) else {
        return Ok(Collected::Gone { read_at: now });
    };
    let encryption = encryption::with_key(accounts, id, declared).await?;
    Ok(Collected::Present(Box::new(Bucket { id: id.clone(), read_at: now, tags, encryption, policy })))
}
