//! A whole account: which buckets it has, and where.

use crate::{
    SweepAccount,
    buckets::Done,
    partition::{Part, partition},
    time::Time,
};
use collect::{Listed, Listing};
use facts::{Account, AccountId, BucketName, Fact, Place, Region, Unreadable};
use findings::{Compliance, Finding, RecordState};
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
        let mut regions = match self.list(account).await? {
            Fact::Known(regions) => regions,
            Fact::Unreadable(why) => return self.tell_unreadable(sweep, account, why).await,
        };
        let held = self.watch.home_hub().await.held_for(account).await?;
        self.touch_others(account, &held, &mut regions).await?;
        let buckets: usize = regions.values().map(Vec::len).sum();
        let spans = spans(sweep, account, regions, &regions_of_buckets(&held));
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

    /// Sweeps what is left of an account. What it does not come to it puts off, and so it does with a region that fails: the
    /// others are not held up, or done again, because of it.
    async fn sweep_here(&self, spans: Vec<Span>, time: Time) -> anyhow::Result<()> {
        let mut left = Vec::new();
        for span in spans {
            let again = Span { hop: span.hop + 1, ..span.clone() };
            if !time.is_left() {
                left.push(again);
                continue;
            }
            match self.sweep_buckets(span, time).await {
                Ok(Done { failed: 0, rest }) => left.extend(rest),
                Ok(_) => left.push(again),
                Err(error) => {
                    let (account, region) = (&again.place.account, &again.place.region);
                    tracing::error!(%account, %region, error = format!("{error:#}"), "put off");
                    left.push(again);
                }
            }
        }
        self.put_off(left).await
    }

    /// Adds the regions in which the account has no bucket, but findings; and the home region, in which it is told whether the
    /// account can be read.
    async fn touch_others(&self, account: &AccountId, held: &[Finding], regions: &mut Buckets) -> anyhow::Result<()> {
        let home = self.watch.home_hub().await;
        let held = held.iter().filter(|finding| finding.about.bucket().is_some() || is_open(finding));
        let seen: BTreeSet<_> = held
            .map(|finding| finding.about.place().region)
            .chain(regions.keys().cloned())
            .chain([home.place().region.clone()])
            .collect();
        let others = home.other_regions(account, &seen).await?;
        for region in seen.into_iter().chain(others) {
            regions.entry(region).or_default();
        }
        Ok(())
    }

    /// The account cannot be read: that is the finding, and all that can be said of it.
    async fn tell_unreadable(&self, sweep: &str, account: &AccountId, why: Unreadable) -> anyhow::Result<()> {
        tracing::warn!(sweep, %account, why = %why, "the account cannot be read");
        let place = Place { account: account.clone(), region: self.watch.accounts().home().region.clone() };
        let (buckets, security_hub) = (Fact::Unreadable(why.clone()), Fact::Unreadable(why));
        let told = Account { place, read_at: self.watch.now(), buckets, security_hub };
        self.watch.tell_account(&told).await?;
        Ok(())
    }
}

/// The parts of an account, numbered in the order of their regions.
fn spans(sweep: &str, account: &AccountId, regions: Buckets, strays: &BTreeSet<Region>) -> Vec<Span> {
    let parts = regions.into_iter().flat_map(|(region, buckets)| {
        let parts = partition(&region, buckets, A_PART);
        parts.into_iter().map(move |part| (region.clone(), part))
    });
    let span = |(part, (region, Part { cells, buckets }))| Span {
        sweep: sweep.to_owned(),
        part,
        hop: 0,
        strays: strays.contains(&region),
        place: Place { account: account.clone(), region },
        cells,
        after: None,
        buckets,
    };
    (0..).zip(parts).map(span).collect()
}

fn regions_of_buckets(held: &[Finding]) -> BTreeSet<Region> {
    held.iter().filter_map(|finding| finding.about.bucket()).map(|bucket| bucket.region().clone()).collect()
}

/// True for a finding about an account that may be resolved now.
fn is_open(finding: &Finding) -> bool {
    finding.record_state == RecordState::Active && finding.compliance != Compliance::Passed
}
