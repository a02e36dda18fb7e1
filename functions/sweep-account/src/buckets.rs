//! Sweeps some buckets of an account in one region, and the items of its deleted buckets.

use crate::{SweepAccount, error::SweepError, part_done::PartDone, time::SweepTime};
use facts::{Account, BucketId, BucketName, Fact, NameRange, Place, Tags};
use findings::{Item, transitions_in_words};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use queue::SweepPart;
use state::Row;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    iter, mem,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::time::timeout_at;
use watch::{Compared, Depth, Destination, Reconciled, SweepCache, Sweeping, Swept, WatchError};

/// The number of buckets that are swept at once.
const AT_ONCE: usize = 8;

/// The number of buckets after which an audit compares them with Security Hub. Their states are
/// kept in memory until then.
const AUDITED_AT_ONCE: usize = 100;

/// The data that is read for many buckets at once, before each is looked at.
struct PartFacts {
    destination: Destination,
    /// The item of each bucket, removed when the bucket is looked at.
    items: Mutex<BTreeMap<BucketName, Item>>,
    tags: Option<HashMap<String, Tags>>,
    shared: Arc<SweepCache>,
    /// The buckets whose settings and state agree, to be compared with what Security Hub holds.
    /// `None` if this is no audit.
    unchanged: Option<Mutex<Vec<Compared>>>,
    /// True if no sweep has looked at the account before.
    is_new: bool,
    /// The buckets with changes that no event has announced so far.
    unannounced: Mutex<Vec<BucketId>>,
}

/// The result of looking at one bucket.
enum Looked {
    Unchanged,
    Reconciled,
    Failed(BucketName),
    /// The bucket was begun, but not finished in time.
    Late(BucketName),
}

impl SweepAccount {
    /// Sweeps some buckets for as long as there is time. If nothing changed, that takes
    ///
    /// - 2 calls for each bucket
    /// - 1 for each 100 buckets, for their tags
    /// - 1 for each MB of items (some 300 buckets)
    /// - 3 or 4 for each key
    /// - 4 for the part
    pub(crate) async fn sweep_buckets(
        &self,
        part: SweepPart,
        time: SweepTime,
    ) -> Result<PartDone, SweepError> {
        let read_at = self.watch.now();
        let destination = self.watch.destination_of(&part.place).await?;
        self.report_readable(&part, &destination, read_at, time).await?;
        let (known, candidates) = timeout_at(time.end, self.known(&part, destination))
            .await
            .map_err(|_| SweepError::TimeLimit)??;
        let (mut left, mut looked, mut unaudited) =
            (candidates.into_iter(), Vec::new(), Vec::new());
        loop {
            let begun = iter::from_fn(|| if time.is_left() { left.next() } else { None })
                .take(AUDITED_AT_ONCE);
            let some = stream::iter(begun)
                .map(|name| Box::pin(self.attend(&part.place, name, &known, time)));
            let some: Vec<_> = some.buffer_unordered(AT_ONCE).collect().await;
            if some.is_empty() {
                break;
            }
            looked.extend(some);
            unaudited.extend(self.audit(&known, time).await);
        }
        let rest: BTreeSet<_> = late(&looked).cloned().chain(left).collect();
        report(&part, &looked, rest.len());
        // If a whole run finishes no bucket, the next run will not finish one either.
        let in_vain = !rest.is_empty() && late(&looked).count() == looked.len();
        if in_vain {
            return Err(SweepError::NoBucketFinished);
        }
        let unannounced = known.unannounced.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(PartDone { unaudited, unannounced, ..done(part, &looked, &rest) })
    }

    /// Compares the settled buckets with what Security Hub holds, and repairs what differs. Returns
    /// the buckets for which that failed. 1 call for each 20 buckets or 100 findings.
    async fn audit(&self, known: &PartFacts, time: SweepTime) -> Vec<BucketId> {
        let Some(unchanged) = &known.unchanged else { return Vec::new() };
        let buckets = mem::take(&mut *unchanged.lock().unwrap_or_else(PoisonError::into_inner));
        let all: Vec<_> = buckets.iter().map(|compared| compared.bucket.clone()).collect();
        let Ok(compared) =
            timeout_at(time.end, self.watch.compare(&known.destination, buckets, Depth::All)).await
        else {
            tracing::error!(buckets = all.len(), "not audited: time limit reached");
            return all;
        };
        let failed = |(bucket, repaired): (BucketId, Result<usize, WatchError>)| {
            let error = repaired.err()?;
            metrics::counter!("Failures").increment(1);
            tracing::error!(%bucket, error = calls::with_causes(&error), "not audited");
            Some(bucket)
        };
        compared.into_iter().filter_map(failed).collect()
    }

    /// Publishes whether the account can be watched in the place of a part. If Security Hub is on,
    /// only the first part of a place does so.
    async fn report_readable(
        &self,
        part: &SweepPart,
        destination: &Destination,
        read_at: Timestamp,
        time: SweepTime,
    ) -> Result<(), SweepError> {
        if part.range.from.is_some() && destination.enabled == Fact::Known(true) {
            return Ok(());
        }
        let security_hub = destination.enabled.clone();
        let account =
            Account { place: part.place.clone(), read_at, buckets: Fact::Known(()), security_hub };
        timeout_at(time.end, self.watch.reconcile_account(&account))
            .await
            .map_err(|_| SweepError::TimeLimit)??;
        Ok(())
    }

    /// Reads the items and tags of many buckets at once. Also returns the buckets to look at: those
    /// that exist, and those that have an item.
    async fn known(
        &self,
        part: &SweepPart,
        destination: Destination,
    ) -> Result<(PartFacts, BTreeSet<BucketName>), SweepError> {
        let rows = self.watch.state().buckets(&part.place, &part.range).await?;
        let mut candidates: BTreeSet<_> = part.buckets.iter().cloned().collect();
        // An audit looks at the findings of deleted buckets, too.
        let is_over = |row: &Row| matches!(row, Row::Item(item) if !part.audit && item.gone && item.published == item.version);
        candidates
            .extend(rows.iter().filter(|(_, row)| !is_over(row)).map(|(name, _)| name.clone()));
        let item = |(name, row)| match row {
            Row::Item(item) => Some((name, *item)),
            // The evaluation of the bucket rebuilds the item.
            Row::Unreadable { .. } => None,
        };
        let mut items: BTreeMap<_, _> = rows.into_iter().filter_map(item).collect();
        let missing = candidates
            .iter()
            .filter(|name| !items.contains_key(*name))
            .map(|name| bucket_id(&part.place, name));
        let missing = missing.collect::<Result<Vec<_>, SweepError>>()?;
        if !missing.is_empty() {
            self.watch.refuse_departed(&part.place.account).await?;
        }
        let adopted = self.watch.adopt_many(&missing, &destination, part.is_new).await?;
        items.extend(adopted.into_iter().map(|(bucket, item)| (bucket.name().clone(), item)));
        let tags = self.tags(&part.place, &part.buckets).await;
        let shared = self.shared(&part.sweep, &part.place);
        let unchanged = part.audit.then(Mutex::default);
        let (items, unannounced) = (Mutex::new(items), Mutex::default());
        Ok((
            PartFacts {
                destination,
                items,
                tags,
                shared,
                unchanged,
                is_new: part.is_new,
                unannounced,
            },
            candidates,
        ))
    }

    /// Reads the tags of many buckets at once. `None` if they must be read bucket by bucket.
    async fn tags(&self, place: &Place, buckets: &[BucketName]) -> Option<HashMap<String, Tags>> {
        let arn = |name: &BucketName| format!("arn:{}:s3:::{name}", place.region.partition());
        let arns: Vec<_> = buckets.iter().map(arn).collect();
        let (account, region) = (&place.account, &place.region);
        match collect::tags_of_many(self.watch.accounts(), place, &arns).await {
            Ok(Fact::Known(tags)) => Some(tags),
            Ok(Fact::Unreadable(why)) => {
                tracing::warn!(%account, %region, %why, "tags read bucket by bucket: they could not be read together");
                None
            }
            Err(error) => {
                tracing::warn!(%account, %region, error = calls::with_causes(&error), "tags read bucket by bucket: they could not be read together");
                None
            }
        }
    }

    async fn attend(
        &self,
        place: &Place,
        name: BucketName,
        known: &PartFacts,
        time: SweepTime,
    ) -> Looked {
        let Ok(looked) = timeout_at(time.end, self.look(place, &name, known)).await else {
            return Looked::Late(name);
        };
        let (account, region) = (&place.account, &place.region);
        match looked {
            Ok(Sweeping::Unchanged(item)) => {
                if let (Some(unchanged), true) = (&known.unchanged, self.watch.is_comparable(&item))
                    && let Ok(bucket) = bucket_id(place, &name)
                {
                    let compared = Compared { bucket, item, since: 0 };
                    unchanged.lock().unwrap_or_else(PoisonError::into_inner).push(compared);
                }
                Looked::Unchanged
            }
            Ok(Sweeping::Reconciled(reconciled)) => {
                let changed = transitions_in_words(&reconciled.transitions);
                tracing::info!(%account, %region, bucket = %name, changed, "evaluated");
                Looked::Reconciled
            }
            Err(error) => {
                metrics::counter!("Failures").increment(1);
                tracing::error!(%account, %region, bucket = %name, error = calls::with_causes(&error), "not evaluated");
                Looked::Failed(name)
            }
        }
    }

    /// Compares one bucket with its item, and evaluates the bucket if they differ.
    async fn look(
        &self,
        place: &Place,
        name: &BucketName,
        known: &PartFacts,
    ) -> Result<Sweeping, SweepError> {
        let bucket = &bucket_id(place, name)?;
        let item = known.items.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        let tags =
            known.tags.as_ref().map(|tags| tags.get(&bucket.arn()).cloned().unwrap_or_default());
        let item = item.unwrap_or_else(Item::unknown);
        let swept = Swept { item, tags, is_new: known.is_new };
        let sweeping =
            self.watch.reconcile_in_sweep(bucket, &known.destination, swept, &known.shared).await?;
        let (Sweeping::Unchanged(item) | Sweeping::Reconciled(Reconciled { item, .. })) = &sweeping;
        if item.unannounced.is_some() {
            known.unannounced.lock().unwrap_or_else(PoisonError::into_inner).push(bucket.clone());
        }
        Ok(sweeping)
    }
}

fn bucket_id(place: &Place, name: &BucketName) -> Result<BucketId, SweepError> {
    Ok(BucketId::new(place.account.clone(), place.region.clone(), name.clone())?)
}

fn late(looked: &[Looked]) -> impl Iterator<Item = &BucketName> {
    looked.iter().filter_map(|looked| match looked {
        Looked::Late(name) => Some(name),
        Looked::Unchanged | Looked::Reconciled | Looked::Failed(_) => None,
    })
}

fn done(part: SweepPart, looked: &[Looked], rest: &BTreeSet<BucketName>) -> PartDone {
    let failed = looked.iter().filter_map(|looked| match looked {
        Looked::Failed(name) => bucket_id(&part.place, name).ok(),
        Looked::Unchanged | Looked::Reconciled | Looked::Late(_) => None,
    });
    PartDone { failed: failed.collect(), rest: remainder(part, rest), ..PartDone::default() }
}

fn report(part: &SweepPart, looked: &[Looked], rest: usize) {
    let count = |is: fn(&Looked) -> bool| looked.iter().filter(|looked| is(looked)).count();
    let changed = count(|looked| matches!(looked, Looked::Reconciled));
    let failed = count(|looked| matches!(looked, Looked::Failed(_)));
    let (account, region) = (&part.place.account, &part.place.region);
    let (sweep, number, requeues) = (&part.sweep, part.part, part.requeues);
    let buckets = looked.len();
    tracing::info!(sweep, %account, %region, part = number, requeues, buckets, changed, failed, rest, "swept");
}

/// Returns the rest of a part: the names from the first one on that is not done. `None` if all are
/// done.
fn remainder(part: SweepPart, rest: &BTreeSet<BucketName>) -> Option<SweepPart> {
    let range = NameRange { from: Some(rest.first()?.clone()), before: part.range.before.clone() };
    let buckets = part.buckets.iter().filter(|name| rest.contains(name)).cloned().collect();
    Some(SweepPart { requeues: part.requeues + 1, range, buckets, ..part })
}
