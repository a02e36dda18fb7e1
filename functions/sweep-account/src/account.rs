//! Sweeps a whole account: lists its buckets by region, and divides them into parts. Retires an
//! account that left.

use crate::{
    SweepAccount,
    error::SweepError,
    partition::{BucketRange, partition},
    time::SweepTime,
};
use collect::{Listed, Listing};
use facts::{Account, AccountId, BucketName, Fact, Place, Region, Unreadable};
use findings::{About, spread};
use jiff::{SignedDuration, Timestamp};
use organization::Membership;
use queue::{MembershipChange, SweepPart};
use state::{AccountState, Departure};
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::timeout_at;
use watch::{Retired, Watch};

/// The time that the role of an account may take to appear after the account joined.
/// [StackSets](https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stacksets-orgs-manage-auto-deployment.html)
/// create it "automatically", and no page says how soon.
const ROLE_COMES_WITHIN: SignedDuration = SignedDuration::from_hours(1);

/// The number of seconds after which a new account is tried again.
const TRY_AGAIN_AFTER: u16 = 300;

/// The most buckets that a part has.
const A_PART: usize = 500;

/// The buckets of an account, by region. A region may have none.
type Buckets = BTreeMap<Region, Vec<BucketName>>;

impl SweepAccount {
    /// Sweeps an account if it is a member now, and retires it if it left the organization or was
    /// closed. Takes 1 call to read the membership, a few more for a member, and the calls of the
    /// sweep.
    pub(crate) async fn sweep_changed(
        &self,
        sweep: &str,
        change: MembershipChange,
        time: SweepTime,
    ) -> Result<(), SweepError> {
        let MembershipChange { account, changed_at } = &change;
        match self.watch.membership(account).await? {
            Membership::Stranger => self.retire(account, "left the organization", time).await,
            Membership::Closed(state) => self.retire(account, &format!("is {state}"), time).await,
            Membership::Member => {
                self.watch
                    .state()
                    .forget_departure(&self.watch.accounts().home().account, account)
                    .await?;
                let is_new = self.watch.now().duration_since(*changed_at) < ROLE_COMES_WITHIN;
                if is_new && !self.is_prepared(account).await? {
                    tracing::info!(%account, "account tried again later: its role or Security Hub does not exist yet");
                    return Ok(self.watch.sweep_later(&change, TRY_AGAIN_AFTER).await?);
                }
                Box::pin(self.sweep_account(sweep, account, time)).await
            }
        }
    }

    /// Returns true if the role in an account exists, and Security Hub is enabled there in the home
    /// region.
    async fn is_prepared(&self, account: &AccountId) -> Result<bool, SweepError> {
        if matches!(list(&self.watch, account).await?, Fact::Unreadable(why) if is_refused_role(&why))
        {
            return Ok(false);
        }
        let region = self.watch.accounts().home().region.clone();
        match self.watch.destination_of(&Place { account: account.clone(), region }).await {
            Ok(destination) => Ok(destination.enabled == Fact::Known(true)),
            // The sweep reports a Security Hub that refuses cmkwatch.
            Err(error) if error.closed().is_some() => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Archives the findings of an account that is not watched any more, and removes its state. The
    /// role in an account without state is not assumed.
    async fn retire(
        &self,
        account: &AccountId,
        why: &str,
        time: SweepTime,
    ) -> Result<(), SweepError> {
        let (state, Place { account: hub, region: home }) =
            (self.watch.state(), self.watch.accounts().home().clone());
        let AccountState { regions, audited_at } = state.account(account, &home).await?;
        // From now on, late messages cannot bring its findings back.
        state.note_departure(&hub, account, Departure::Begun, self.watch.now()).await?;
        let is_known = !regions.is_empty() || audited_at.is_some();
        let has_role = is_known
            && !matches!(list(&self.retiring, account).await?, Fact::Unreadable(why) if is_refused_role(&why));
        let because = format!("account {account} {why}");
        let mut all = Retired::default();
        for region in regions.iter().chain([&home]).collect::<BTreeSet<_>>() {
            let place = Place { account: account.clone(), region: region.clone() };
            let retired = timeout_at(time.end, self.retiring.retire(&place, has_role, &because));
            let Retired { archived, left_behind } =
                retired.await.map_err(|_| SweepError::TimeLimit)??;
            metrics::counter!("FindingsLeftBehind").increment(left_behind as u64);
            all = Retired {
                archived: all.archived + archived,
                left_behind: all.left_behind + left_behind,
            };
        }
        state.remove_account(account, &home, &regions).await?;
        state.note_departure(&hub, account, Departure::Retired, self.watch.now()).await?;
        let Retired { archived, left_behind } = all;
        if left_behind > 0 {
            tracing::warn!(%account, why, has_role, archived, left_behind, "findings left behind: they expire in 90 days");
        } else {
            tracing::info!(%account, why, has_role, archived, "the account is not watched any more");
        }
        Ok(())
    }

    /// Lists the buckets of an account. Sweeps them in this run if they are at most `A_PART`, and
    /// otherwise queues their parts.
    pub(crate) async fn sweep_account(
        &self,
        sweep: &str,
        account: &AccountId,
        time: SweepTime,
    ) -> Result<(), SweepError> {
        if self.watch.settings().excludes(account) {
            tracing::info!(sweep, %account, "excluded by the settings");
            return Ok(());
        }
        let read_at = self.watch.now();
        let home = self.watch.accounts().home().region.clone();
        let AccountState { regions: known, audited_at } =
            self.watch.state().account(account, &home).await?;
        let mut buckets = match list(&self.watch, account).await? {
            Fact::Known(buckets) => buckets,
            Fact::Unreadable(why) => {
                return self.report_unreadable(account, why, known, read_at, time).await;
            }
        };
        for region in known.iter().chain([&home]) {
            buckets.entry(region.clone()).or_default();
        }
        let is_new = audited_at.is_none();
        let every_days = self.watch.settings().audit_every_days;
        let audit = audited_at
            .is_some_and(|last| spread::is_due(account.as_str(), every_days, last, read_at));
        if is_new {
            self.add_regions(account, &mut buckets).await?;
        }
        if is_new || audit {
            self.add_held(account, &mut buckets, is_new).await?;
        }
        let regions: Vec<_> =
            buckets.keys().filter(|region| !known.contains(region)).cloned().collect();
        let count: usize = buckets.values().map(Vec::len).sum();
        let parts = parts(buckets, &SweepContext { sweep, account, is_new, audit });
        tracing::info!(sweep, %account, buckets = count, parts = parts.len(), is_new, audit, "listed");
        if count > A_PART {
            self.requeue(parts).await?
        } else {
            self.sweep_here(parts, time).await?
        }
        for region in regions {
            self.watch.state().note_region(&Place { account: account.clone(), region }).await?;
        }
        // Written last, so that a run that is repeated does the same. Requeued parts are audited
        // all the same.
        if is_new || audit {
            self.watch.state().note_audited(account, &home, read_at).await?;
        }
        Ok(())
    }

    /// Adds the regions in which Security Hub has findings, though the account may have no buckets
    /// there any more. If the account has no state, nothing else names these regions. 1 call for
    /// each 100 findings.
    async fn add_regions(
        &self,
        account: &AccountId,
        buckets: &mut Buckets,
    ) -> Result<(), SweepError> {
        for region in self.watch.home_security_hub().await.regions_of(account).await? {
            buckets.entry(region).or_default();
        }
        Ok(())
    }

    /// Adds the buckets that Security Hub has active findings of: they may be missing in both S3
    /// and the state. A region whose Security Hub refuses is left out, because its part reports
    /// that. 1 call for each region, and 1 for each 100 findings.
    async fn add_held(
        &self,
        account: &AccountId,
        buckets: &mut Buckets,
        is_new: bool,
    ) -> Result<(), SweepError> {
        for (region, names) in buckets {
            let place = Place { account: account.clone(), region: region.clone() };
            let held = self.watch.subjects_held(&place, is_new).await?;
            names.extend(held.iter().filter_map(About::bucket).map(|bucket| bucket.name().clone()));
            names.sort();
            names.dedup();
        }
        Ok(())
    }

    /// Sweeps the parts of an account, and requeues those that it does not reach.
    async fn sweep_here(&self, parts: Vec<SweepPart>, time: SweepTime) -> Result<(), SweepError> {
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

    /// Publishes that the account cannot be read, in the home region and in each region where the
    /// account has state. Retires the account if it left.
    async fn report_unreadable(
        &self,
        account: &AccountId,
        why: Unreadable,
        known: BTreeSet<Region>,
        read_at: Timestamp,
        time: SweepTime,
    ) -> Result<(), SweepError> {
        // The account may have left since the sweep began.
        if is_refused_role(&why) {
            match self.watch.membership(account).await? {
                Membership::Member => {}
                Membership::Stranger => {
                    return self.retire(account, "left the organization", time).await;
                }
                Membership::Closed(state) => {
                    return self.retire(account, &format!("is {state}"), time).await;
                }
            }
        }
        tracing::warn!(%account, %why, "the account cannot be read");
        let home = self.watch.accounts().home().region.clone();
        for region in known.into_iter().chain([home]).collect::<BTreeSet<_>>() {
            let place = Place { account: account.clone(), region };
            let (buckets, security_hub) =
                (Fact::Unreadable(why.clone()), Fact::Unreadable(why.clone()));
            self.watch
                .reconcile_account(&Account { place, read_at, buckets, security_hub })
                .await?;
        }
        Ok(())
    }
}

/// Lists the buckets of an account by region. Of everything that a page contains, only the names
/// are kept.
async fn list(watch: &Watch, account: &AccountId) -> Result<Fact<Buckets>, SweepError> {
    let (mut listing, mut buckets) = (Listing::of(watch.accounts(), account).await, Buckets::new());
    while let Some(page) = listing.page().await? {
        let listed = match page {
            Fact::Known(listed) => listed,
            Fact::Unreadable(why) => return Ok(Fact::Unreadable(why)),
        };
        for Listed { region, name } in listed {
            // A bucket whose region or name cannot be read does not hold up the others.
            match (region, name.parse()) {
                (Some(region), Ok(name)) => buckets.entry(region).or_default().push(name),
                (None, _) => {
                    metrics::counter!("Failures").increment(1);
                    tracing::error!(%account, bucket = name, "bucket not swept: S3 did not return its region");
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

fn is_refused_role(why: &Unreadable) -> bool {
    why.permission == "sts:AssumeRole"
}

/// The fields that all parts of an account's sweep share.
struct SweepContext<'a> {
    sweep: &'a str,
    account: &'a AccountId,
    is_new: bool,
    audit: bool,
}

/// Returns the parts of an account, numbered in the order of their regions.
fn parts(
    buckets: Buckets,
    &SweepContext { sweep, account, is_new, audit }: &SweepContext<'_>,
) -> Vec<SweepPart> {
    let parts = buckets.into_iter().flat_map(|(region, buckets)| {
        partition(buckets, A_PART).into_iter().map(move |part| (region.clone(), part))
    });
    let part = |(part, (region, BucketRange { range, buckets }))| SweepPart {
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
