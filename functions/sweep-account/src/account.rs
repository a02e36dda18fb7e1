//! A whole account: which buckets it has, and where.

use crate::{
    SweepAccount,
    partition::{Part, partition},
    time::Time,
};
use collect::{Listed, Listing};
use facts::{Account, AccountId, BucketName, Fact, Place, Region, Unreadable};
use findings::{About, spread};
use jiff::Timestamp;
use queue::SweepPart;
use state::AccountState;
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
        let home = self.watch.accounts().home().region.clone();
        let AccountState { regions: known, audited_at } = self.watch.state().account(account, &home).await?;
        let mut buckets = match self.list(account).await? {
            Fact::Known(buckets) => buckets,
            Fact::Unreadable(why) => return self.report_unreadable(account, why, known, read_at).await,
        };
        for region in known.iter().chain([&home]) {
            buckets.entry(region.clone()).or_default();
        }
        let is_new = audited_at.is_none();
        let every_days = self.watch.settings().audit_every_days;
        let audit = audited_at.is_some_and(|last| spread::is_due(account.as_str(), every_days, last, read_at));
        if is_new {
            self.add_regions(account, &mut buckets).await?;
        }
        if is_new || audit {
            self.add_held(account, &mut buckets, is_new).await?;
        }
        let regions: Vec<_> = buckets.keys().filter(|region| !known.contains(region)).cloned().collect();
        let count: usize = buckets.values().map(Vec::len).sum();
        let parts = parts(buckets, &Sweep { sweep, account, is_new, audit });
        tracing::info!(sweep, %account, buckets = count, parts = parts.len(), is_new, audit, "listed");
        if count > A_PART {
            self.requeue(parts).await?
        } else {
            self.sweep_here(parts, time).await?
        }
        for region in regions {
            self.watch.state().note_region(&Place { account: account.clone(), region }).await?;
        }
        // Written last, so that a run that is repeated does the same. What was requeued is audited all the same.
        if is_new || audit {
            self.watch.state().note_audited(account, &home, read_at).await?;
        }
        Ok(())
    }

    /// Adds the regions in which Security Hub has findings, though the account may have no buckets there any more: in an account
    /// without state nothing else knows of them. 1 call for each 100 findings.
    async fn add_regions(&self, account: &AccountId, buckets: &mut Buckets) -> anyhow::Result<()> {
        for region in self.watch.home_hub().await.regions_of(account).await? {
            buckets.entry(region).or_default();
        }
        Ok(())
    }

    /// Adds the buckets of which Security Hub has active findings: neither S3 nor the state may know of them any more. A region
    /// whose Security Hub refuses is left out: its part reports that. 1 call for each region, and 1 for each 100 findings.
    async fn add_held(&self, account: &AccountId, buckets: &mut Buckets, is_new: bool) -> anyhow::Result<()> {
        for (region, names) in buckets {
            let place = Place { account: account.clone(), region: region.clone() };
            let held = self.watch.subjects_held(&place, is_new).await?;
            names.extend(held.iter().filter_map(About::bucket).map(|bucket| bucket.name().clone()));
            names.sort();
            names.dedup();
        }
        Ok(())
    }

    /// The names of an account's buckets: of all that is read of them, only these are kept.
    async fn list(&self, account: &AccountId) -> anyhow::Result<Fact<Buckets>> {
        let (mut listing, mut buckets) = (Listing::of(self.watch.accounts(), account).await, Buckets::new());
        while let Some(page) = listing.page().await? {
            let listed = match page {
                Fact::Known(listed) => listed,
                Fact::Unreadable(why) => return Ok(Fact::Unreadable(why)),
            };
            for Listed { region, name } in listed {
                // A bucket that cannot be asked about holds up no other.
                match (region, name.parse()) {
                    (Some(region), Ok(name)) => buckets.entry(region).or_default().push(name),
                    (None, _) => {
                        metrics::counter!("Failures").increment(1);
                        tracing::error!(%account, bucket = name, "bucket not swept: S3 does not tell its region");
                    }
                    (Some(region), Err(error)) => {
                        metrics::counter!("Failures").increment(1);
                        tracing::error!(%account, %region, %error, "bucket not swept: its name is not understood");
                    }
                }
            }
        }
        Ok(Fact::Known(buckets))
    }

    /// Sweeps the parts of an account, and requeues those that it does not reach.
    async fn sweep_here(&self, parts: Vec<SweepPart>, time: Time) -> anyhow::Result<()> {
        let mut left = Vec::new();
        for part in parts {
            if time.is_left() {
                self.sweep_part(part, time).await?;
            } else {
                left.push(part);
            }
        }
        self.requeue(left).await
    }

    /// The account cannot be read: that is the finding, in the home region and wherever the account has state.
    async fn report_unreadable(
        &self,
        account: &AccountId,
        why: Unreadable,
        known: BTreeSet<Region>,
        read_at: Timestamp,
    ) -> anyhow::Result<()> {
        tracing::warn!(%account, %why, "the account cannot be read");
        let home = self.watch.accounts().home().region.clone();
        for region in known.into_iter().chain([home]).collect::<BTreeSet<_>>() {
            let place = Place { account: account.clone(), region };
            let (buckets, security_hub) = (Fact::Unreadable(why.clone()), Fact::Unreadable(why.clone()));
            self.watch.reconcile_account(&Account { place, read_at, buckets, security_hub }).await?;
        }
        Ok(())
    }
}

/// The sweep of an account, as far as all its parts have it in common.
struct Sweep<'a> {
    sweep: &'a str,
    account: &'a AccountId,
    is_new: bool,
    audit: bool,
}

/// The parts of an account, numbered in the order of their regions.
fn parts(buckets: Buckets, &Sweep { sweep, account, is_new, audit }: &Sweep<'_>) -> Vec<SweepPart> {
    let parts = buckets
        .into_iter()
        .flat_map(|(region, buckets)| partition(buckets, A_PART).into_iter().map(move |part| (region.clone(), part)));
    let part = |(part, (region, Part { range, buckets }))| SweepPart {
        sweep: sweep.to_owned(),
        part,
        requeues: 0,
        failed: 0,
        place: Place { account: account.clone(), region },
        range,
        is_new,
        audit,
        buckets,
    };
    (0..).zip(parts).map(part).collect()
}
