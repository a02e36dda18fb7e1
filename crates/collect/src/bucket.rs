//! Reads every fact that the controls need about one bucket, except the other buckets that use its
//! key.

use crate::{
    Accounts, CollectError, KeyCache, accounts::Clients, bucket_policy, encryption, listing, tags,
};
use facts::{Bucket, BucketId, Fact, Tags};
use jiff::Timestamp;
use std::sync::Arc;

/// The result of reading a bucket.
#[derive(Debug)]
pub enum Collected {
    /// The bucket's facts.
    Present(Box<Bucket>),
    /// The account has no such bucket: S3 does not know it, or refuses it and does not list it.
    Gone {
        /// The time just before S3 was called.
        read_at: Timestamp,
    },
}

/// Facts about a bucket that are known before it is read, because many buckets were read together.
#[derive(Debug, Default)]
pub struct Beforehand {
    /// The tags of the bucket; `None` if they were not read.
    pub tags: Option<Tags>,
    /// The keys that other buckets of the account use.
    pub keys: Arc<KeyCache>,
}

/// Reads a bucket: its encryption, its policy, its tags, and the key that the encryption names.
/// `now` is the time of the call.
///
/// Takes 3 calls, or 2 if tags and key are known beforehand. Further calls:
///
/// - 1 to the tagging API if S3 refuses the tags;
/// - 1 or more to list the bucket if S3 refuses both encryption and policy;
/// - 1 or more to KMS if the encryption names a KMS key;
/// - 2 or 3 more if a customer manages that key.
///
/// # Errors
/// Returns an error if a call fails without a refusal, or if an answer is incomplete. Returns
/// [`CollectError::OtherRegion`] if the bucket is in another region.
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
