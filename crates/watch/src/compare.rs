//! Compares what Security Hub holds of many buckets with the state, and repairs what differs.
//!
//! `findings::repairs` decides what to repair.

use crate::{Destination, Watch, WatchError, protocol};
use facts::BucketId;
use findings::{About, Held, Item, Repairs, Slug, repairs, worth_comparing};
use std::{collections::BTreeSet, sync::Arc};

/// The number of buckets that one call of
/// [GetFindings](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_GetFindings.html)
/// asks for: the most values of one attribute.
const AT_ONCE: usize = 20;

/// A bucket to be compared.
#[derive(Debug, Clone)]
pub struct Compared {
    /// The bucket.
    pub bucket: BucketId,
    /// The state of the bucket, which was published.
    pub item: Item,
    /// The version that was published before the evaluation which the second look follows.
    pub since: u64,
}

/// The amount of findings that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// As many findings as one call returns for 20 buckets, for second looks. One event may cause
    /// hundreds of second looks.
    OneCall,
    /// All findings, for the audit.
    All,
}

impl Watch {
    /// True if a state was published, and long enough ago for Security Hub to show it.
    #[must_use]
    pub fn is_comparable(&self, item: &Item) -> bool {
        item.version > 0 && self.now().duration_since(item.read_at) >= self.second_look
    }

    /// Compares what Security Hub holds of some buckets of one place with their state, and repairs
    /// what differs.
    ///
    /// Returns the number of repaired findings for each bucket, in the order of `buckets`. Usually
    /// 1 call for each 20 buckets, or 1 for each 100 findings if all are compared.  A repair of
    /// workflow statuses takes up to 4 more calls for each bucket. A repair by import evaluates the
    /// bucket again.
    pub async fn compare(
        &self,
        destination: &Destination,
        buckets: Vec<Compared>,
        depth: Depth,
    ) -> Vec<(BucketId, Result<usize, WatchError>)> {
        let mut compared = Vec::new();
        let mut left = buckets.into_iter();
        loop {
            let some: Vec<_> = left.by_ref().take(AT_ONCE).collect();
            if some.is_empty() {
                return compared;
            }
            let only = match depth {
                Depth::OneCall => {
                    worth_comparing(&some.iter().map(|it| (&it.item, it.since)).collect::<Vec<_>>())
                }
                Depth::All => None,
            };
            let prefixes: Vec<_> =
                some.iter().map(|it| About::Bucket(it.bucket.clone()).id_prefix()).collect();
            match destination.security_hub.active(&prefixes, only.as_ref()).await {
                Ok(held) => {
                    for Compared { bucket, item, .. } in some {
                        let repaired =
                            self.repair(destination, &bucket, item, &held, only.as_ref()).await;
                        compared.push((bucket, repaired));
                    }
                }
                Err(error) => {
                    let error = Arc::new(error);
                    let unknown = || WatchError::HeldUnknown(Arc::clone(&error));
                    compared.extend(some.into_iter().map(|it| (it.bucket, Err(unknown()))));
                }
            }
        }
    }

    async fn repair(
        &self,
        destination: &Destination,
        bucket: &BucketId,
        item: Item,
        held: &[Held],
        only: Option<&BTreeSet<Slug>>,
    ) -> Result<usize, WatchError> {
        let about = About::Bucket(bucket.clone());
        let (prefix, version) = (about.id_prefix(), item.version);
        let held: Vec<_> =
            held.iter().filter(|held| held.id.starts_with(&prefix)).cloned().collect();
        let found = repairs(&item, &about, &held, only, self.now());
        if found == Repairs::default() {
            return Ok(0);
        }
        let (world, terms) = (self.world(bucket, destination, &[]), self.terms(destination, &[]));
        protocol::repair(&world, &terms, item, &found)
            .await
            .map_err(|error| WatchError::Unrepaired(Box::new(error)))?;
        metrics::counter!("FindingsRepaired").increment(found.count() as u64);
        let Repairs { import, set_new, set_resolved } = &found;
        let imported: Vec<_> = import.keys().map(Slug::as_str).collect();
        let (account, region, name) = (bucket.account(), bucket.region(), bucket.name());
        let (imported, reopened, resolved) =
            (imported.join(" "), set_new.join(" "), set_resolved.join(" "));
        tracing::warn!(%account, %region, bucket = %name, version, imported, reopened, resolved, "Security Hub repaired");
        Ok(found.count())
    }
}
