//! Finds the buckets that use a key or name it by an alias.
//!
//! Uses [global secondary
//! indexes](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html). They are
//! "eventually consistent": a bucket that was committed a moment ago may be missing. Rows without
//! the attribute are not in the index.

use crate::{State, StateError, row};
use aws_sdk_dynamodb::types::AttributeValue;
use facts::{BucketId, KeySubject, KeyUser, Place};
use findings::BucketOfKey;
use std::collections::HashMap;

/// A page of the buckets that use a key, or that name it by an alias.
#[derive(Debug, Default)]
pub struct KeyIndex {
    /// The buckets of the page.
    pub buckets: Vec<BucketOfKey>,
    /// The last bucket that the query read, after which the next page begins; `None` at the end.
    pub next: Option<BucketId>,
}

impl State {
    /// Returns a page of the buckets that use a key or name it by an alias.
    ///
    /// The page begins after the bucket `after`, or with the first bucket. 1 call.
    ///
    /// # Errors
    /// Returns an error if the call fails.
    pub async fn buckets_of(
        &self,
        subject: &KeySubject,
        after: Option<&BucketId>,
    ) -> Result<KeyIndex, StateError> {
        let (index, attribute) = match subject {
            KeySubject::Key(_) => ("by-key", "key"),
            KeySubject::Alias(_) => ("by-alias", "alias"),
        };
        let arn = AttributeValue::S(subject.as_str().to_owned());
        let start = after.map(|bucket| {
            let mut start = crate::table::key_of_bucket(bucket);
            start.insert(attribute.to_owned(), arn.clone());
            start
        });
        let query = self.client.query().table_name(&self.table).index_name(index);
        let query = query
            .key_condition_expression("#subject = :subject")
            .expression_attribute_names("#subject", attribute)
            .expression_attribute_values(":subject", arn)
            .set_exclusive_start_key(start);
        let page = query.send().await.map_err(|error| self.failed("dynamodb:Query", error))?;
        Ok(KeyIndex {
            buckets: page.items.unwrap_or_default().iter().filter_map(bucket_of_key).collect(),
            next: page.last_evaluated_key.as_ref().and_then(bucket_of_keys),
        })
    }

    /// Returns all buckets that use a key or name it by an alias. 1 call for each MB of the index:
    /// some thousand buckets.
    ///
    /// # Errors
    /// Returns an error if a call fails.
    pub async fn all_buckets_of(
        &self,
        subject: &KeySubject,
    ) -> Result<Vec<BucketOfKey>, StateError> {
        let (mut all, mut next) = (Vec::new(), None);
        loop {
            let page = self.buckets_of(subject, next.as_ref()).await?;
            all.extend(page.buckets);
            next = page.next;
            if next.is_none() {
                return Ok(all);
            }
        }
    }
}

fn bucket_of_key(attributes: &HashMap<String, AttributeValue>) -> Option<BucketOfKey> {
    let text = |name: &str| attributes.get(name).and_then(|value| value.as_s().ok()).cloned();
    let level = text("level").and_then(|word| row::level(&word).ok());
    Some(BucketOfKey {
        user: KeyUser { bucket: bucket_of_keys(attributes)?, class: text("class") },
        level,
    })
}

/// Returns the bucket that the partition key and the sort key of a row name.
fn bucket_of_keys(attributes: &HashMap<String, AttributeValue>) -> Option<BucketId> {
    let text = |name: &str| attributes.get(name).and_then(|value| value.as_s().ok());
    let mut parts = text("place")?.split('/');
    let (_partition, account, region) = (parts.next()?, parts.next()?, parts.next()?);
    let place = Place { account: account.parse().ok()?, region: region.parse().ok()? };
    let name = text("item")?.strip_prefix("bucket/")?.parse().ok()?;
    BucketId::new(place.account, place.region, name).ok()
}
