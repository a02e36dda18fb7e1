//! Evaluates one bucket: reads its state and its settings, and publishes its findings.
//!
//! The crate `controls` judges the settings, and `findings` decides what to import.

use crate::{
    Destination, Destinations, SweepCache, Watch, WatchError,
    protocol::{self, Next, Reconciled, Refusal, World},
};
use collect::{Beforehand, Collected};
use controls::judge;
use facts::{Bucket, BucketId, Fact, KeyArn, KeyLookup, KeySubject, KeyUser, Place, Region, Tags};
use findings::{
    About, ApiCall, Compliance, Finding, Item, Looking, Neighbours, Observation, Seen, Slug, Terms,
    Workflow, plan,
};
use jiff::Timestamp;
use queue::{OtherUser, ReevaluateKeyUsers};
use state::Row;
use std::collections::BTreeMap;

/// A bucket of a sweep, with what is known from reading many buckets at once.
#[derive(Debug)]
pub struct Swept {
    /// The state of the bucket.
    pub item: Item,
    /// The tags of the bucket, if they could be read.
    pub tags: Option<Tags>,
    /// True if no sweep has looked at the account before.
    pub is_new: bool,
}

/// The result of sweeping a bucket.
#[derive(Debug)]
pub enum Sweeping {
    /// The state, if nothing differs from it.
    Unchanged(Item),
    /// The result of an evaluation, if something differed. The difference was published.
    Reconciled(Reconciled),
}

/// A bucket, as an evaluation reads and writes it.
pub(crate) struct BucketWorld<'a> {
    watch: &'a Watch,
    id: &'a BucketId,
    about: About,
    destination: &'a Destination,
    api_calls: &'a [ApiCall],
    /// The reason not to read the bucket; `None` if it is read.
    unread: Option<Unread>,
}

/// A reason not to read a bucket.
pub(crate) enum Unread {
    /// The bucket is known to be in another region.
    Elsewhere,
    /// The account of the bucket is not watched any more, for this reason.
    Retired(String),
}

impl Watch {
    /// Evaluates a bucket because of some API calls.
    ///
    /// If nothing changed and the key is of the bucket's account, that takes 7 calls: the item and
    /// 6 reads of S3 and KMS. Calls that may be added:
    ///
    /// - DescribeHub, once for each place of the run;
    /// - the query for other buckets with the same key, if a control needs them;
    /// - if something changed, the same reads once more, and up to 9 calls to commit and publish.
    ///   More if the findings move to another Security Hub.
    ///
    /// # Errors
    /// Returns an error if a call fails or Security Hub refuses a finding. The next evaluation does
    /// what is missing.
    pub async fn reconcile(
        &self,
        destinations: &Destinations,
        bucket: &BucketId,
        api_calls: &[ApiCall],
    ) -> Result<Reconciled, WatchError> {
        match self.reconcile_here(destinations, bucket, api_calls).await {
            Err(error) => match error.other_region() {
                Some(region) => {
                    self.reconcile_in_other_region(destinations, region.parse()?, bucket, api_calls)
                        .await
                }
                None => Err(error),
            },
            reconciled => reconciled,
        }
    }

    /// Evaluates a bucket again, some time after an event or after a sweep found a change.
    ///
    /// Returns what must follow, usually [`Watch::compare`]. Other events may have arrived
    /// meanwhile. If none of them has announced what the sweep found, counts that as
    /// `DriftFoundBySweep`. As many calls as [`Watch::reconcile`].
    ///
    /// # Errors
    /// See [`Watch::reconcile`].
    pub async fn look_again(
        &self,
        destinations: &Destinations,
        bucket: &BucketId,
        api_calls: &[ApiCall],
    ) -> Result<(Reconciled, Next), WatchError> {
        let destination = self.prepare_destination(destinations, &bucket.place()).await?;
        let world = self.world(bucket, &destination, api_calls);
        let looking = Looking::SecondLook { delay: self.second_look };
        let terms = Terms { looking, ..self.terms(&destination, api_calls) };
        match protocol::second_look(&world, &terms, self.second_look).await {
            Ok((reconciled, next)) => {
                count(&reconciled.item);
                Ok((reconciled, next))
            }
            Err(error) if error.other_region().is_some() => {
                let reconciled = self.reconcile(destinations, bucket, api_calls).await?;
                let next = if reconciled.changed { Next::LookAgain } else { Next::Nothing };
                Ok((reconciled, next))
            }
            Err(error) => Err(error),
        }
    }

    /// Evaluates a bucket of a sweep, if it differs from its state.
    ///
    /// The bucket is first compared by 2 calls and by what is known from reading many buckets. If
    /// nothing differs, that is all.
    ///
    /// # Errors
    /// See [`Watch::reconcile`].
    pub async fn reconcile_in_sweep(
        &self,
        bucket: &BucketId,
        destination: &Destination,
        swept: Swept,
        shared: &SweepCache,
    ) -> Result<Sweeping, WatchError> {
        let Swept { item, tags, is_new } = swept;
        let world = self.world(bucket, destination, &[]);
        let is_new = is_new || !self.has_events(bucket.region());
        let terms = Terms { looking: Looking::Sweep { is_new }, ..self.terms(destination, &[]) };
        let seen = match world.look(shared.beforehand(tags), Some(shared)).await {
            Err(error) if error.other_region().is_some() => {
                return self
                    .reconcile(&Destinations::default(), bucket, &[])
                    .await
                    .map(Sweeping::Reconciled);
            }
            seen => seen?,
        };
        if plan(&item, &seen, &terms, self.now()).is_done() {
            count(&item);
            return Ok(Sweeping::Unchanged(item));
        }
        // Keys and tags were read for many buckets and may be old. So everything is read again
        // before a commit.
        let reconciled = protocol::evaluate(&world, &terms, Some(item)).await?;
        count(&reconciled.item);
        Ok(Sweeping::Reconciled(reconciled))
    }

    async fn reconcile_here(
        &self,
        destinations: &Destinations,
        bucket: &BucketId,
        api_calls: &[ApiCall],
    ) -> Result<Reconciled, WatchError> {
        let destination = self.prepare_destination(destinations, &bucket.place()).await?;
        let (world, terms) =
            (self.world(bucket, &destination, api_calls), self.terms(&destination, api_calls));
        let reconciled = protocol::evaluate(&world, &terms, None).await?;
        count(&reconciled.item);
        Ok(reconciled)
    }

    /// Evaluates a bucket in `region`, because S3 says that it is there and not in the region of
    /// `bucket`.
    ///
    /// Either the bucket was deleted and created again there, or an event named the region of the
    /// call. Findings of the assumed region are about a bucket that does not exist, and are
    /// archived.
    async fn reconcile_in_other_region(
        &self,
        destinations: &Destinations,
        region: Region,
        bucket: &BucketId,
        api_calls: &[ApiCall],
    ) -> Result<Reconciled, WatchError> {
        let there = BucketId::new(bucket.account().clone(), region, bucket.name().clone())?;
        let reconciled = self.reconcile_here(destinations, &there, api_calls).await;
        let destination = self.destination_of(&bucket.place()).await?;
        let world = BucketWorld {
            unread: Some(Unread::Elsewhere),
            ..self.world(bucket, &destination, api_calls)
        };
        // The old findings are archived even if the evaluation in the other region failed. The
        // first error is kept.
        match protocol::evaluate(&world, &self.terms(&destination, api_calls), None).await {
            Ok(_) => reconciled,
            Err(error) => {
                let bucket = bucket.to_string();
                tracing::error!(
                    bucket,
                    error = calls::with_causes(&error),
                    "findings of the wrong region not archived"
                );
                Err(reconciled.err().unwrap_or(error))
            }
        }
    }

    pub(crate) fn world<'a>(
        &'a self,
        id: &'a BucketId,
        destination: &'a Destination,
        api_calls: &'a [ApiCall],
    ) -> BucketWorld<'a> {
        BucketWorld {
            watch: self,
            id,
            about: About::Bucket(id.clone()),
            destination,
            api_calls,
            unread: None,
        }
    }

    /// Archives the findings of a bucket whose account is not watched any more, in `destination`.
    ///
    /// 4 calls, or 5 if the users of its key must be evaluated. Some more if the findings are
    /// stored in another Security Hub.
    pub(crate) async fn retire_bucket(
        &self,
        bucket: &BucketId,
        destination: &Destination,
        because: &str,
    ) -> Result<(), WatchError> {
        let unread = Some(Unread::Retired(because.to_owned()));
        let world = BucketWorld { unread, ..self.world(bucket, destination, &[]) };
        protocol::evaluate(&world, &self.terms(destination, &[]), None).await.map(drop)
    }

    /// Returns the items of buckets that have none, filled from the findings that Security Hub
    /// holds.
    ///
    /// `is_new` says that the account has no state yet. Then its findings may be stored in the
    /// hub's own Security Hub, too.
    ///
    /// # Errors
    /// Returns an error if a call fails.
    pub async fn adopt_many(
        &self,
        buckets: &[BucketId],
        destination: &Destination,
        is_new: bool,
    ) -> Result<BTreeMap<BucketId, Item>, WatchError> {
        let prefixes: Vec<_> =
            buckets.iter().map(|bucket| About::Bucket(bucket.clone()).id_prefix()).collect();
        let mut held = self.findings_held(&destination.security_hub, &prefixes).await?;
        let home = self.home_security_hub().await;
        if is_new && destination.security_hub.place() != home.place() {
            held.extend(self.findings_held(&home, &prefixes).await?);
        }
        let mut by_bucket = BTreeMap::<_, Vec<Finding>>::new();
        for finding in held {
            if let About::Bucket(bucket) = &finding.about {
                by_bucket.entry(bucket.clone()).or_default().push(finding);
            }
        }
        let adopt = |bucket: &BucketId| {
            let held = by_bucket.get(bucket).map(Vec::as_slice).unwrap_or_default();
            (bucket.clone(), Item::adopt(held, &destination.stored_in, self.now()))
        };
        Ok(buckets.iter().map(adopt).collect())
    }

    /// Returns the item that replaces a row which cannot be read: adopted from Security Hub, with
    /// the version of the row.
    pub(crate) fn rebuilt(&self, about: &About, item: Item, version: u64, why: &str) -> Item {
        metrics::counter!("StateUnreadable").increment(1);
        tracing::error!(
            item = about.id_prefix(),
            version,
            why,
            "state not readable: rebuilt from Security Hub"
        );
        Item { version, ..item }
    }
}

impl BucketWorld<'_> {
    async fn look(
        &self,
        beforehand: Beforehand,
        shared: Option<&SweepCache>,
    ) -> Result<Seen, WatchError> {
        let now = self.watch.now();
        match &self.unread {
            Some(Unread::Elsewhere) => return Ok(Seen::gone(self.id, now)),
            Some(Unread::Retired(because)) => return Ok(Seen::retired(&self.about, now, because)),
            None => {}
        }
        let mut bucket =
            match collect::bucket(&self.watch.accounts, self.id, now, beforehand).await? {
                Collected::Present(bucket) => bucket,
                Collected::Gone { read_at } => return Ok(Seen::gone(self.id, read_at)),
            };
        let mut judgement = judge(&bucket, &self.watch.settings);
        if let (true, Some(key), Fact::Known(class)) =
            (judgement.wants_key_users, found_key(&bucket), &judgement.class)
        {
            bucket.key_users =
                Some(Fact::Known(self.other_users(key, class.name.as_str(), shared).await?));
            judgement = judge(&bucket, &self.watch.settings);
        }
        let (stored_in, tag) =
            (&self.destination.stored_in.place, self.watch.settings.tag.as_str());
        Ok(Seen::bucket(&Observation { bucket: &bucket, judgement: &judgement, stored_in, tag }))
    }

    /// Returns true if `place` is another Security Hub than the current one, and is switched off.
    /// It holds no findings any more.
    async fn is_forgotten(&self, place: &Place) -> Result<bool, WatchError> {
        Ok(*place != self.destination.stored_in.place && self.watch.is_off(place).await?)
    }

    /// Returns the buckets of other classes that use a key.
    async fn other_users(
        &self,
        key: KeyArn,
        class: &str,
        shared: Option<&SweepCache>,
    ) -> Result<Vec<KeyUser>, WatchError> {
        let subject = KeySubject::Key(key);
        let ask = || async { self.watch.state.all_buckets_of(&subject).await };
        let all = match shared {
            Some(shared) => shared.users(&subject).get_or_try_init(ask).await?.clone(),
            None => ask().await?,
        };
        let is_other =
            |user: &KeyUser| user.bucket != *self.id && user.class.as_deref() != Some(class);
        let mut others: Vec<_> =
            all.into_iter().map(|bucket| bucket.user).filter(is_other).collect();
        others.sort();
        Ok(others)
    }
}

impl World for BucketWorld<'_> {
    fn now(&self) -> Timestamp {
        self.watch.now()
    }

    async fn read(&self) -> Result<Item, WatchError> {
        let row = match self.watch.state.read(&self.about).await? {
            Some(Row::Item(item)) => return Ok(*item),
            row => row,
        };
        self.watch.refuse_departed(self.id.account()).await?;
        let prefix = [self.about.id_prefix()];
        let mut held = self.watch.findings_held(&self.destination.security_hub, &prefix).await?;
        let home = self.watch.home_security_hub().await;
        if held.is_empty() && self.destination.security_hub.place() != home.place() {
            // While Security Hub was off here, the findings may have been imported into that of the
            // home region.
            held = self.watch.findings_held(&home, &prefix).await?;
        }
        let adopted = Item::adopt(&held, &self.destination.stored_in, self.now());
        Ok(match row {
            Some(Row::Unreadable { version, why }) => {
                self.watch.rebuilt(&self.about, adopted, version, &why)
            }
            _ => adopted,
        })
    }

    async fn see(&self) -> Result<Seen, WatchError> {
        self.look(Beforehand::default(), None).await
    }

    async fn commit(&self, item: &Item, over: u64) -> Result<bool, WatchError> {
        if over == 0 {
            self.watch.note_region(&self.id.place()).await?;
        }
        Ok(self.watch.state.commit(&self.about, item, over).await?)
    }

    async fn workflows(&self, of: &Place) -> Result<BTreeMap<String, Workflow>, WatchError> {
        match self.is_forgotten(of).await? {
            true => Ok(BTreeMap::new()),
            false => {
                Ok(self.watch.security_hub(of).await.workflows(self.about.id_prefix()).await?)
            }
        }
    }

    async fn import(&self, to: &Place, findings: &[Finding]) -> Result<Vec<Refusal>, WatchError> {
        match self.is_forgotten(to).await? {
            true => Ok(Vec::new()),
            false => self.watch.import(to, findings).await,
        }
    }

    async fn set_workflow(&self, ids: &[String], workflow: Workflow) -> Result<(), WatchError> {
        Ok(self.destination.security_hub.set_workflow(ids, workflow).await?)
    }

    /// Counts `DriftFoundBySweep`.
    fn report_missed(&self, transitions: u32) {
        if transitions > 0 {
            metrics::counter!("DriftFoundBySweep").increment(transitions.into());
            let (account, region, name) = (self.id.account(), self.id.region(), self.id.name());
            let text = "changes found by the sweep: no event announced them";
            tracing::warn!(%account, %region, bucket = %name, transitions, "{text}");
        }
    }

    async fn ask_neighbours(&self, item: &Item) -> Result<(), WatchError> {
        let ask = |Neighbours { key, class }: &Neighbours| {
            let because_of = Some(OtherUser { bucket: self.id.clone(), class: class.clone() });
            let users = ReevaluateKeyUsers {
                subject: KeySubject::Key(key.clone()),
                after: None,
                because_of,
            };
            Ok::<_, WatchError>(users.message(self.api_calls)?)
        };
        let messages = item.neighbours.iter().map(ask).collect::<Result<Vec<_>, WatchError>>()?;
        Ok(self.watch.changes.send(&messages).await?)
    }
}

fn found_key(bucket: &Bucket) -> Option<KeyArn> {
    match bucket.encryption.known().ok()?.default.key()?.resolved.known().ok()? {
        KeyLookup::Found(key) => Some(key.arn.clone()),
        KeyLookup::AwsManagedDefault | KeyLookup::Missing => None,
    }
}

/// Counts `BucketsJudged`, and `Findings` by status.
fn count(item: &Item) {
    if item.gone || item.version == 0 {
        return;
    }
    metrics::counter!("BucketsJudged").increment(1);
    let mut statuses = BTreeMap::<&str, u64>::new();
    for observed in item.controls.values().filter_map(|state| state.observed.as_ref()) {
        *statuses.entry(observed.status.as_str()).or_default() += 1;
    }
    for status in
        [Compliance::Passed, Compliance::Failed, Compliance::Warning].map(Compliance::as_str)
    {
        let count = statuses.get(status).copied().unwrap_or_default();
        metrics::counter!("Findings", "Status" => status).increment(count);
    }
}

/// The empty set of repairs.
static NOTHING: BTreeMap<Slug, Timestamp> = BTreeMap::new();

impl Watch {
    pub(crate) fn terms<'a>(
        &'a self,
        destination: &'a Destination,
        api_calls: &'a [ApiCall],
    ) -> Terms<'a> {
        Terms {
            settings: &self.settings,
            generation: self.generation,
            security_hub: &destination.stored_in,
            looking: Looking::Message,
            api_calls,
            repair: &NOTHING,
        }
    }
}
