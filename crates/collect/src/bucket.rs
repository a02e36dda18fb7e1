//! Everything that the controls ask about one bucket.

use crate::{
    Accounts, CollectError, Keys, accounts::Clients, bucket_policy, encryption, listing, tags,
};
use facts::{Bucket, BucketId, Fact, Tags};
use jiff::Timestamp;
use std::sync::Arc;

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

/// What is known of a bucket before it is read, from having read many.
#[derive(Debug, Default)]
pub struct Beforehand {
    /// Its tags, if they were read.
    pub tags: Option<Tags>,
    /// The keys that its neighbours use.
    pub keys: Arc<Keys>,
}

/// Reads a bucket: its encryption, its policy, its tags, and the key that the encryption names. `now` is the time of the
/// call. Takes 3 calls, 1 more where all is refused, 1 or more to KMS where a KMS key is named, and 2 or 3 more where a customer manages it; 2 in all
/// where tags and key are known beforehand.
///
/// # Errors
/// What did not get through; [`CollectError::OtherRegion`] where the bucket lies elsewhere.
pub async fn bucket(
    accounts: &Accounts,
    id: &BucketId,
    now: Timestamp,
    Beforehand { tags, keys }: Beforehand,
) -> Result<Collected, CollectError> {
    let Clients { s3, tagging, .. } = accounts.clients(&id.place()).await;
    let tags = async {
        match tags {
            Some(tags) => Ok(Some(Fact::Known(tags))),
            None => tags::of_bucket(&s3, &tagging, id).await,
        }
    };
    let (declared, policy, tags) =
        tokio::join!(encryption::declared(&s3, id), bucket_policy::of_bucket(&s3, id), tags);
    let (Some(declared), Some(policy), Some(tags)) = (declared?, policy?, tags?) else {
        return Ok(Collected::Gone { read_at: now });
    };
    if let (Fact::Unreadable(_), Fact::Unreadable(_)) = (&declared, &policy)
        && !listing::has(&s3, id).await?
    {
        return Ok(Collected::Gone { read_at: now });
    }
    let encryption = encryption::with_key(accounts, id, declared, &keys).await?;
    Ok(Collected::Present(Box::new(Bucket {
        id: id.clone(),
        read_at: now,
        tags,
        encryption,
        policy,
        key_users: None,
    })))
}
