//! A whole account: which buckets it has, and where.

use crate::{
    SweepAccount,
    partition::{Part, partition},
    time::Time,
};
use collect::{Listed, Listing};
use facts::{Account, AccountId, BucketName, Fact, Place, Region, Unreadable};
use jiff::{SignedDuration, Timestamp};
use publish::Held;
use queue::Span;
use std::collections::{BTreeMap, BTreeSet};

/// How many buckets a part has at most.
const A_PART: usize = 500;

/// The buckets of an account, by region; a region may have none.
type Buckets = BTreeMap<Region, Vec<BucketName>>;

impl SweepAccount {
    /// Lists the buckets of an account and sweeps them, in this run if there are no more than a few hundred.
    pub(crate) async fn sweep_account(&self, sweep: &str, account: &AccountId, time: Time) -> anyhow::Result<()> {
        if self.watch.settings().excludes(account) {
            tracing::info!(sweep, %account, "excluded by the settings");
            return Ok(());
        }
        let read_at = self.watch.now();
        let held = self.watch.home_hub().await.held_for(account).await?;
        let mut regions = match self.list(account).await? {
            Fact::Known(regions) => regions,
            Fact::Unreadable(why) => return self.tell_unreadable(account, why, &held, read_at).await,
        };
        self.touch_others(account, &held, &mut regions).await?;
        let buckets: usize = regions.values().map(Vec::len).sum();
        let spans = spans(sweep, account, regions, &self.told_lately(&held, read_at), &held);
        tracing::info!(sweep, %account, buckets, parts = spans.len(), "listed");
        if buckets > A_PART { self.put_off(spans).await } else { self.sweep_here(spans, time).await }
    }

    /// The names of an account's buckets: of all that is read of them, only these are kept.
    async fn list(&self, account: &AccountId) -> anyhow::Result<Fact<Buckets>> {
        let (mut listing, mut regions) = (Listing::of(self.watch.accounts(), account).await, Buckets::new());
        while let Some(page) = listing.page().await? {
            let listed = match page {
                Fact::Known(listed) => listed,
                Fact::Unreadable(why) => return Ok(Fact::Unreadable(why)),
            };
            for Listed { region, name } in listed {
                match name.parse() {
                    Ok(name) => regions.entry(region).or_default().push(name),
                    // It holds up no other bucket.
                    Err(error) => {
                        metrics::counter!("Failures").increment(1);
                        tracing::error!(%account, %region, %error, "a bucket that cannot be asked about");
                    }
                }
            }
        }
        Ok(Fact::Known(regions))
    }

    /// Sweeps the parts of an account, and puts off those that it does not come to.
    async fn sweep_here(&self, spans: Vec<Span>, time: Time) -> anyhow::Result<()> {
        let mut left = Vec::new();
        for span in spans {
            if time.is_left() {
                self.sweep_span(span, time).await?;
            } else {
                left.push(span);
            }
        }
        self.put_off(left).await
    }

    /// Adds the regions in which the account has no bucket, but findings; and the home region, in which it is told whether the
    /// account can be read.
    async fn touch_others(&self, account: &AccountId, held: &[Held], regions: &mut Buckets) -> anyhow::Result<()> {
        let home = self.watch.home_hub().await;
        let held = held.iter().filter(|held| held.about.bucket().is_some() || !held.passed);
        let seen: BTreeSet<_> = held
            .map(|held| held.about.place().region)
            .chain(regions.keys().cloned())
            .chain([home.place().region.clone()])
            .collect();
        let others = home.other_regions(account, &seen).await?;
        for region in seen.into_iter().chain(others) {
            regions.entry(region).or_default();
        }
        Ok(())
    }

    /// The regions of which it stands that the account can be watched, and need not be said again yet.
    fn told_lately(&self, held: &[Held], now: Timestamp) -> BTreeSet<Region> {
        let days = i64::from(self.watch.settings().refresh_after_days);
        let is_recent = |moment: Timestamp| now.duration_since(moment) < SignedDuration::from_hours(24 * days);
        let told = held.iter().filter(|held| held.about.bucket().is_none() && held.passed);
        told.filter(|held| held.updated_at.is_some_and(is_recent)).map(|held| held.about.place().region).collect()
    }

    /// The account cannot be read: that is the finding, and all that can be said of it, in the home region and wherever
    /// something else stands.
    async fn tell_unreadable(
        &self,
        account: &AccountId,
        why: Unreadable,
        held: &[Held],
        read_at: Timestamp,
    ) -> anyhow::Result<()> {
        tracing::warn!(%account, %why, "the account cannot be read");
        let of_accounts = held.iter().filter(|held| held.about.bucket().is_none());
        let home = self.watch.accounts().home().region.clone();
        let regions: BTreeSet<_> = of_accounts.map(|held| held.about.place().region).chain([home]).collect();
        for region in regions {
            let place = Place { account: account.clone(), region };
            let (buckets, security_hub) = (Fact::Unreadable(why.clone()), Fact::Unreadable(why.clone()));
            self.watch.tell_account(&Account { place, read_at, buckets, security_hub }).await?;
        }
        Ok(())
    }
}

/// The parts of an account, numbered in the order of their regions.
fn spans(sweep: &str, account: &AccountId, regions: Buckets, readable: &BTreeSet<Region>, held: &[Held]) -> Vec<Span> {
    let of_buckets = held.iter().filter_map(|held| held.about.bucket());
    let strays: BTreeSet<_> = of_buckets.map(|bucket| bucket.region().clone()).collect();
    let parts = regions.into_iter().flat_map(|(region, buckets)| {
        let parts = partition(&region, buckets, A_PART);
        parts.into_iter().map(move |part| (region.clone(), part))
    });
    let span = |(part, (region, Part { cells, buckets }))| Span {
        sweep: sweep.to_owned(),
        part,
        hop: 0,
        failed: 0,
        strays: strays.contains(&region),
        readable: readable.contains(&region),
        place: Place { account: account.clone(), region },
        cells,
        after: None,
        buckets,
    };
    (0..).zip(parts).map(span).collect()
}
