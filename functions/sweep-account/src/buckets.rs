//! Some buckets of an account in one region, and the findings that stand about them.

use crate::{SweepAccount, time::Time};
use anyhow::{Context as _, anyhow};
use facts::{Account, BucketId, BucketName, Fact, NamePrefix, Place, Tags};
use findings::{Finding, RecordState, place_prefix};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use publish::Ids;
use queue::{Cell, Span};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    iter,
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, timeout_at};
use watch::{Hub, KeysChanged, Shared, Standing, Told};

/// How many buckets are looked at once: more than there are findings for, as those come at 300 a second at most.
const AT_ONCE: usize = 8;

/// How long what stands is taken to stand still.
const A_MOMENT: Duration = Duration::from_secs(60);

/// What became of some buckets.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Those that were not come to.
    pub(crate) rest: Option<Span>,
    /// Those that could not be judged.
    pub(crate) failed: Vec<BucketId>,
    /// The keys that some have begun or ceased to use.
    pub(crate) keys: KeysChanged,
}

/// What is known of the buckets before they are looked at.
struct Known {
    hub: Hub,
    standing: BTreeMap<BucketName, Vec<Finding>>,
    tags: Option<HashMap<String, Tags>>,
    shared: Arc<Shared>,
    read_at: Instant,
}

/// What came of one bucket.
enum Looked {
    Settled,
    Told(Told),
    Failed(BucketName),
    /// It was begun, and there was not time enough.
    Late(BucketName),
}

impl SweepAccount {
    /// Sweeps some buckets for as long as there is time. Takes 2 calls a bucket where nothing changed, and besides 1 for each 100
    /// buckets (tags), 1 for each 100 findings, and 3 or 4 for each key.
    pub(crate) async fn sweep_buckets(&self, span: Span, time: Time) -> anyhow::Result<Done> {
        let read_at = self.watch.now();
        let known = timeout_at(time.end, self.known(&span)).await.context("there was not time enough")??;
        self.tell_account(&span, &known.hub, read_at, time).await?;
        let mut left = candidates(&span, &known.standing).into_iter();
        let begun = iter::from_fn(|| if time.is_left() { left.next() } else { None });
        let looked = stream::iter(begun).map(|name| Box::pin(self.attend(&span.place, name, &known, time)));
        let looked: Vec<_> = looked.buffer_unordered(AT_ONCE).collect().await;
        let rest: BTreeSet<_> = late(&looked).cloned().chain(left).collect();
        report(&span, &looked, rest.len());
        // What a whole run does not even begin with, or end with, will not be done by the next.
        let in_vain = !rest.is_empty() && late(&looked).count() == looked.len();
        anyhow::ensure!(!in_vain, "there was not time enough for a single bucket");
        Ok(done(span, &looked, &rest))
    }

    /// Tells whether the account can be watched here, unless it stands that it can.
    async fn tell_account(&self, span: &Span, hub: &Hub, read_at: Timestamp, time: Time) -> anyhow::Result<()> {
        if span.readable && hub.enabled == Fact::Known(true) {
            return Ok(());
        }
        let security_hub = hub.enabled.clone();
        let account = Account { place: span.place.clone(), read_at, buckets: Fact::Known(()), security_hub };
        timeout_at(time.end, self.watch.tell_account(&account)).await.context("there was not time enough")??;
        Ok(())
    }

    /// Reads what many buckets have in common: what stands, and their tags.
    async fn known(&self, span: &Span) -> anyhow::Result<Known> {
        let read_at = Instant::now();
        let cells: Vec<_> = span.cells.iter().map(|cell| ids(&span.place, cell)).collect();
        let (first, others) = cells.split_first().context("a part without names")?;
        let (hub, mut found) = self.watch.hub_of_many(&span.place, first).await?;
        for cell in others {
            found.extend(hub.security_hub.standing_of_many(cell).await?);
        }
        let home = self.watch.home_hub().await;
        if span.strays && hub.security_hub.place() != home.place() {
            for cell in &cells {
                found.extend(home.standing_of_many(cell).await?);
            }
        }
        let mut standing = BTreeMap::<_, Vec<_>>::new();
        for finding in found {
            let bucket = finding.about.bucket().filter(|bucket| bucket.place() == span.place);
            if let Some(name) = bucket.map(|bucket| bucket.name().clone()).filter(|name| concerns(span, name)) {
                standing.entry(name).or_default().push(finding);
            }
        }
        let tags = self.tags(&span.place, &span.buckets).await;
        Ok(Known { hub, standing, tags, shared: self.shared(&span.sweep, &span.place), read_at })
    }

    /// The tags of many buckets; none where they must be read bucket by bucket.
    async fn tags(&self, place: &Place, buckets: &[BucketName]) -> Option<HashMap<String, Tags>> {
        let arn = |name: &BucketName| format!("arn:{}:s3:::{name}", place.region.partition());
        let arns: Vec<_> = buckets.iter().map(arn).collect();
        let (account, region) = (&place.account, &place.region);
        match collect::tags_of_many(self.watch.accounts(), place, &arns).await {
            Ok(Fact::Known(tags)) => Some(tags),
            Ok(Fact::Unreadable(why)) => {
                tracing::warn!(%account, %region, %why, "tags will be read bucket by bucket");
                None
            }
            Err(error) => {
                let error = anyhow!(error);
                tracing::warn!(%account, %region, error = format!("{error:#}"), "tags will be read bucket by bucket");
                None
            }
        }
    }

    async fn attend(&self, place: &Place, name: BucketName, known: &Known, time: Time) -> Looked {
        let Ok(looked) = timeout_at(time.end, self.look(place, &name, known)).await else { return Looked::Late(name) };
        let (account, region) = (&place.account, &place.region);
        match looked {
            Ok(None) => Looked::Settled,
            Ok(Some(told)) => {
                tracing::info!(%account, %region, bucket = %name, told = %told.transitions.join(" "), "judged");
                Looked::Told(told)
            }
            Err(error) => {
                metrics::counter!("Failures").increment(1);
                tracing::error!(%account, %region, bucket = %name, error = format!("{error:#}"), "not judged");
                Looked::Failed(name)
            }
        }
    }

    /// Looks at a bucket; none where it is as it was.
    async fn look(&self, place: &Place, name: &BucketName, known: &Known) -> anyhow::Result<Option<Told>> {
        let bucket = &BucketId::new(place.account.clone(), place.region.clone(), name.clone())?;
        let standing = known.standing.get(bucket.name()).map(Vec::as_slice).unwrap_or_default();
        let tags = known.tags.as_ref().map(|tags| tags.get(&bucket.arn()).cloned().unwrap_or_default());
        let hub = known.hub.security_hub.place();
        if self.watch.is_settled(bucket, standing, hub, &known.shared, tags).await? {
            return Ok(None);
        }
        // What stood when the part was begun may not stand any more; that nothing stood a moment ago, for a new bucket, is good
        // enough.
        let known = match standing {
            [] if known.read_at.elapsed() < A_MOMENT => Some(Standing { hub: known.hub.clone(), findings: Vec::new() }),
            _ => None,
        };
        let strays = standing.iter().filter(|finding| finding.place != *hub).cloned().collect();
        self.watch.follow_with(bucket, known, strays).await.map(Some)
    }
}

/// The buckets that there were when the account was listed, and those that findings stand about, in their order.
fn candidates(span: &Span, standing: &BTreeMap<BucketName, Vec<Finding>>) -> BTreeSet<BucketName> {
    let stands = |(_, findings): &(&BucketName, &Vec<Finding>)| {
        findings.iter().any(|finding| finding.record_state == RecordState::Active)
    };
    let standing = standing.iter().filter(stands).map(|(name, _)| name);
    span.buckets.iter().chain(standing).cloned().collect()
}

fn late(looked: &[Looked]) -> impl Iterator<Item = &BucketName> {
    looked.iter().filter_map(|looked| match looked {
        Looked::Late(name) => Some(name),
        Looked::Settled | Looked::Told(_) | Looked::Failed(_) => None,
    })
}

fn done(span: Span, looked: &[Looked], rest: &BTreeSet<BucketName>) -> Done {
    let mut done = Done::default();
    for looked in looked {
        match looked {
            Looked::Told(told) => done.keys.extend(&told.keys),
            Looked::Failed(name) => {
                let (account, region) = (span.place.account.clone(), span.place.region.clone());
                done.failed.extend(BucketId::new(account, region, name.clone()));
            }
            Looked::Settled | Looked::Late(_) => {}
        }
    }
    done.rest = remainder(span, rest);
    done
}

fn report(span: &Span, looked: &[Looked], rest: usize) {
    let count = |is: fn(&Looked) -> bool| looked.iter().filter(|looked| is(looked)).count();
    let told = count(|looked| matches!(looked, Looked::Told(_)));
    let failed = count(|looked| matches!(looked, Looked::Failed(_)));
    let (account, region) = (&span.place.account, &span.place.region);
    let (sweep, part, hop) = (&span.sweep, span.part, span.hop);
    tracing::info!(sweep, %account, %region, part, hop, buckets = looked.len(), told, failed, rest, "swept");
}

/// What is left of some buckets: those from the first on that is not done.
fn remainder(span: Span, rest: &BTreeSet<BucketName>) -> Option<Span> {
    let after = Some(rest.first()?.clone());
    let buckets = span.buckets.iter().filter(|name| rest.contains(name)).cloned().collect();
    Some(Span { hop: span.hop + 1, after, buckets, ..span })
}

/// Whether a name is one of a part, and not done yet.
fn concerns(span: &Span, name: &BucketName) -> bool {
    span.after.as_ref().is_none_or(|after| after <= name) && span.cells.iter().any(|cell| cell.contains(name))
}

/// The ids of the findings of buckets with such names.
fn ids(place: &Place, Cell { begin_with, but_not }: &Cell) -> Ids {
    let beginning = place_prefix(place);
    let id = |prefix: &NamePrefix| format!("{beginning}{prefix}");
    Ids { begin_with: begin_with.iter().map(id).collect(), but_not: but_not.as_ref().map(id) }
}
