//! One bucket: read, judged, told, until there is nothing to add.

use crate::{Hub, Shared, Watch, hubs::ids_of, sharing::besides, uses::KeysChanged};
use anyhow::{Context, bail};
use collect::{Beforehand, CollectError, Collected};
use controls::{Judgement, Outcome, judge};
use facts::{Account, Bucket, BucketId, Fact, KeyArn, Place, Region, ResolvedKey};
use findings::{ApiCall, Finding, Observation, Plan, after, fields, latest, plan_again, plan_gone};
use jiff::Timestamp;

/// How often a bucket is looked at before it is left to a later run: it changes faster than it can be judged.
const MOST_LOOKS: usize = 5;

/// What came of looking at a bucket.
#[derive(Debug, Default)]
pub struct Told {
    /// What happened to its findings: `key-usable:opened`, and so on.
    pub transitions: Vec<String>,
    /// The keys that it has begun or ceased to use: for whoever else uses them.
    pub keys: KeysChanged,
}

/// Where a bucket's findings stand, and which.
#[derive(Debug)]
pub struct Standing {
    /// Where they are to stand.
    pub hub: Hub,
    /// All of them, those that stand elsewhere too.
    pub findings: Vec<Finding>,
}

impl Watch {
    /// Judges a bucket and tells what changed. With a key of the bucket's account that is 7 calls where nothing changed, and up to
    /// 16 where something did and the next look finds it so; and 1 more of the hub where it
    /// matters who else uses the key, or where nothing stands.
    ///
    /// # Errors
    /// What did not get through, and what Security Hub did not take. Whoever tries again does the rest.
    pub async fn follow(&self, bucket: &BucketId, api_calls: &[ApiCall]) -> anyhow::Result<Told> {
        self.follow_from(bucket, api_calls, None).await
    }

    /// The same for a bucket of a sweep: `known` is what stands, if that was read a moment ago, and `strays` are findings that
    /// stand elsewhere than they are to.
    ///
    /// # Errors
    /// See [`Watch::follow`].
    pub async fn follow_with(
        &self,
        bucket: &BucketId,
        known: Option<Standing>,
        strays: Vec<Finding>,
    ) -> anyhow::Result<Told> {
        let known = match (known, strays.is_empty()) {
            (None, false) => {
                let Standing { hub, mut findings } = self.standing(bucket).await?;
                let new: Vec<_> = strays.into_iter().filter(|stray| !findings.contains(stray)).collect();
                findings.extend(new);
                Some(Standing { hub, findings })
            }
            (known, _) => known,
        };
        self.follow_from(bucket, &[], known).await
    }

    async fn follow_from(
        &self,
        bucket: &BucketId,
        api_calls: &[ApiCall],
        known: Option<Standing>,
    ) -> anyhow::Result<Told> {
        let read_at = self.now();
        match self.follow_here(bucket, api_calls, known).await {
            Err(error) => match other_region(&error) {
                Some(region) => self.follow_to(region.parse()?, bucket, read_at, api_calls).await,
                None => Err(error),
            },
            told => told,
        }
    }

    /// The bucket lies in another region than was thought: it was deleted and made again there, or an event named the
    /// region of the call. What stands in the region that was thought is about a bucket that was no more at `read_at`.
    async fn follow_to(
        &self,
        region: Region,
        bucket: &BucketId,
        read_at: Timestamp,
        api_calls: &[ApiCall],
    ) -> anyhow::Result<Told> {
        let there = BucketId::new(bucket.account().clone(), region, bucket.name().clone())?;
        let told = self.follow_here(&there, api_calls, None).await;
        // Whether or not that could be told, and without hiding why not.
        match self.archive(bucket, read_at, api_calls).await {
            Ok(()) => told,
            Err(error) => Err(match told {
                Ok(_) => error,
                Err(first) => first.context(format!("and, where it was thought to lie: {error:#}")),
            }),
        }
    }

    async fn archive(&self, bucket: &BucketId, read_at: Timestamp, api_calls: &[ApiCall]) -> anyhow::Result<()> {
        let (hub, standing) = self.hub_of(&bucket.place(), &ids_of(bucket)).await?;
        Ok(self.carry_out(&hub.security_hub, &plan_gone(bucket, read_at, api_calls, &standing)).await?)
    }

    /// Looks at the bucket, and again whenever there was something to tell, until there is not.
    async fn follow_here(
        &self,
        bucket: &BucketId,
        api_calls: &[ApiCall],
        mut known: Option<Standing>,
    ) -> anyhow::Result<Told> {
        let (mut first, mut done, mut transitions) = (None, Plan::default(), Vec::new());
        for _ in 0..MOST_LOOKS {
            let (collected, judgement) = self.look(bucket, Beforehand::default(), None).await?;
            let Standing { hub, findings } = match known.take() {
                Some(known) => known,
                None => self.standing(bucket).await?,
            };
            let findings = match done.resolve.is_empty() {
                true => findings,
                false => latest(findings, hub.security_hub.standing_under(&ids_of(bucket)).await?),
            };
            let before = first.get_or_insert_with(|| findings.clone());
            let plan = self.compare(
                bucket,
                &collected,
                judgement.as_ref(),
                api_calls,
                hub.security_hub.place(),
                &findings,
                &done,
            );
            if plan.is_empty() {
                count(judgement.as_ref());
                return Ok(Told { transitions, keys: KeysChanged::between(before, &findings) });
            }
            self.carry_out(&hub.security_hub, &plan).await?;
            transitions.extend(self::transitions(&plan));
            known = Some(Standing { hub, findings: after(findings, &plan) });
            done = plan;
        }
        bail!("the bucket was different at each of {MOST_LOOKS} looks")
    }

    /// Whether there is nothing to tell of a bucket, as far as can be said with what is known of many: 2 calls. Where there may
    /// be, [`Watch::follow`] finds out.
    ///
    /// # Errors
    /// What did not get through.
    pub async fn is_settled(
        &self,
        bucket: &BucketId,
        standing: &[Finding],
        hub: &Place,
        shared: &Shared,
        tags: Option<facts::Tags>,
    ) -> anyhow::Result<bool> {
        let looked = self.look(bucket, shared.beforehand(tags), Some(shared)).await;
        let (collected, judgement) = match looked {
            Err(error) if other_region(&error).is_some() => return Ok(false),
            looked => looked?,
        };
        let plan = self.compare(bucket, &collected, judgement.as_ref(), &[], hub, standing, &Plan::default());
        if plan.is_empty() {
            count(judgement.as_ref());
        }
        Ok(plan.is_empty())
    }

    async fn standing(&self, bucket: &BucketId) -> anyhow::Result<Standing> {
        let (place, read_at) = (bucket.place(), self.now());
        let (hub, mut findings) = self.hub_of(&place, &ids_of(bucket)).await?;
        let home = self.home_hub().await;
        if findings.is_empty() && hub.security_hub.place() != home.place() {
            // They may have stood in the hub until now, while Security Hub was off.
            findings = home.standing_under(&ids_of(bucket)).await?;
        }
        if hub.enabled != Fact::Known(true) {
            let account = Account { place, read_at, buckets: Fact::Known(()), security_hub: hub.enabled.clone() };
            self.tell_account(&account).await.context("that Security Hub is closed there could not be told")?;
        }
        Ok(Standing { hub, findings })
    }

    async fn look(
        &self,
        id: &BucketId,
        beforehand: Beforehand,
        shared: Option<&Shared>,
    ) -> anyhow::Result<(Collected, Option<Judgement>)> {
        let mut collected = collect::bucket(&self.accounts, id, self.now(), beforehand).await?;
        let Collected::Present(bucket) = &mut collected else { return Ok((collected, None)) };
        let mut judgement = judge(bucket, &self.settings);
        if let (true, Some(key), Fact::Known(class)) = (judgement.wants_key_users, found_key(bucket), &judgement.class)
        {
            bucket.key_users = Some(Fact::Known(self.other_users(&key, class.name.as_str(), id, shared).await?));
            judgement = judge(bucket, &self.settings);
        }
        Ok((collected, Some(judgement)))
    }

    async fn other_users(
        &self,
        key: &KeyArn,
        class: &str,
        bucket: &BucketId,
        shared: Option<&Shared>,
    ) -> anyhow::Result<Vec<facts::KeyUser>> {
        let ask = || async { self.home_hub().await.users_of_another_class(key, class).await };
        Ok(match shared {
            Some(shared) => besides(shared.uses(key, class).get_or_try_init(ask).await?, bucket),
            None => besides(&ask().await?, bucket),
        })
    }

    #[allow(clippy::too_many_arguments, reason = "it is where all that was read comes together")]
    fn compare(
        &self,
        id: &BucketId,
        collected: &Collected,
        judgement: Option<&Judgement>,
        api_calls: &[ApiCall],
        hub: &Place,
        standing: &[Finding],
        carried_out: &Plan,
    ) -> Plan {
        match (collected, judgement) {
            (Collected::Gone { read_at }, _) => plan_gone(id, *read_at, api_calls, standing),
            (Collected::Present(_), None) => Plan::default(),
            (Collected::Present(bucket), Some(judgement)) => {
                let observation = Observation { bucket, judgement, api_calls, settings: &self.settings, hub };
                plan_again(&observation, standing, carried_out)
            }
        }
    }
}

fn found_key(bucket: &Bucket) -> Option<KeyArn> {
    match bucket.encryption.known().ok()?.default.key()?.resolved.known().ok()? {
        ResolvedKey::Found(key) => Some(key.arn.clone()),
        ResolvedKey::AwsManagedDefault | ResolvedKey::Missing => None,
    }
}

fn other_region(error: &anyhow::Error) -> Option<&str> {
    match error.downcast_ref()? {
        CollectError::OtherRegion { region, .. } => Some(region),
        _ => None,
    }
}

/// `encrypted-with-cmk:opened`, and so on.
pub(crate) fn transitions(plan: &Plan) -> impl Iterator<Item = String> {
    plan.import.iter().map(|finding| {
        let control = finding.generator_id.trim_start_matches("cmkwatch/");
        let transition = finding.product_fields.get(fields::TRANSITION).map_or("", String::as_str);
        format!("{control}:{transition}")
    })
}

/// The bucket, and what was said of it: `BucketsJudged`, and `Findings` by status.
fn count(judgement: Option<&Judgement>) {
    metrics::counter!("BucketsJudged").increment(1);
    for verdict in judgement.iter().flat_map(|judgement| &judgement.verdicts) {
        let status = match verdict.outcome {
            Outcome::Passed(_) => "PASSED",
            Outcome::Failed { .. } => "FAILED",
            Outcome::Undetermined(_) => "WARNING",
            Outcome::NotApplicable(_) => continue,
        };
        metrics::counter!("Findings", "Status" => status).increment(1);
    }
}
