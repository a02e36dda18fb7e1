//! One bucket: read, judged, told.

use crate::OnChange;
use anyhow::bail;
use collect::{CollectError, Collected};
use controls::judge;
use facts::{BucketId, Region};
use findings::{Actor, Finding, Observation, Plan, after, fields, latest, plan_again, plan_gone};
use jiff::Timestamp;
use publish::SecurityHub;

/// How often a bucket is looked at before it is left to a later run: it changes faster than it can be judged.
const MOST_LOOKS: usize = 5;

impl OnChange {
    /// Evaluates a bucket and tells its Security Hub what changed; the transitions, for the log. With a key of the bucket's
    /// account that is 4 calls where nothing changed, and up to 10 where something did and the next look finds it so.
    pub(crate) async fn evaluate(&self, bucket: &BucketId, actor: &Actor) -> anyhow::Result<Vec<String>> {
        let read_at = (self.now)();
        match self.follow(bucket, actor).await {
            Err(error) => match other_region(&error) {
                Some(region) => self.follow_to(region.parse()?, bucket, read_at, actor).await,
                None => Err(error),
            },
            told => told,
        }
    }

    /// The bucket lies in another region than the event said: it was deleted and made again there, or the event named the
    /// region of the call. What stands in the region of the event is about a bucket that was no more at `read_at`.
    async fn follow_to(
        &self,
        region: Region,
        bucket: &BucketId,
        read_at: Timestamp,
        actor: &Actor,
    ) -> anyhow::Result<Vec<String>> {
        let there = BucketId::new(bucket.account().clone(), region, bucket.name().clone())?;
        let told = self.follow(&there, actor).await;
        // Whether or not that could be told, and without hiding why not.
        match self.archive(bucket, read_at, actor).await {
            Ok(()) => told,
            Err(error) => Err(match told {
                Ok(_) => error,
                Err(first) => first.context(format!("and, in the region of the event: {error:#}")),
            }),
        }
    }

    async fn archive(&self, bucket: &BucketId, read_at: Timestamp, actor: &Actor) -> anyhow::Result<()> {
        let hub = self.security_hub(bucket).await;
        let standing = hub.standing(bucket).await?;
        Ok(hub.carry_out(&plan_gone(bucket, read_at, Some(actor), &standing)).await?)
    }

    /// Looks at the bucket, and again whenever there was something to tell, until there is not.
    async fn follow(&self, bucket: &BucketId, actor: &Actor) -> anyhow::Result<Vec<String>> {
        let hub = self.security_hub(bucket).await;
        let (mut standing, mut done, mut told) = (None, Plan::default(), Vec::new());
        for _ in 0..MOST_LOOKS {
            let collected = collect::bucket(&self.accounts, bucket, (self.now)()).await?;
            let known = match standing.take() {
                None => hub.standing(bucket).await?,
                Some(standing) if done.resolve.is_empty() => standing,
                Some(standing) => latest(standing, hub.standing(bucket).await?),
            };
            let plan = self.compare(bucket, &collected, actor, &known, &done);
            if plan.is_empty() {
                return Ok(told);
            }
            hub.carry_out(&plan).await?;
            told.extend(transitions(&plan));
            standing = Some(after(known, &plan));
            done = plan;
        }
        bail!("the bucket was different at each of {MOST_LOOKS} looks")
    }

    fn compare(
        &self,
        id: &BucketId,
        collected: &Collected,
        actor: &Actor,
        standing: &[Finding],
        carried_out: &Plan,
    ) -> Plan {
        match collected {
            Collected::Gone { read_at } => plan_gone(id, *read_at, Some(actor), standing),
            Collected::Present(bucket) => {
                let (judgement, settings) = (&judge(bucket, &self.settings), &self.settings);
                let observation = Observation { bucket, judgement, actor: Some(actor), settings };
                plan_again(&observation, standing, carried_out)
            }
        }
    }

    async fn security_hub(&self, bucket: &BucketId) -> SecurityHub {
        let (account, region) = (bucket.account(), bucket.region());
        SecurityHub::new(&self.accounts.config(account, region).await, account, region)
    }
}

fn other_region(error: &anyhow::Error) -> Option<&str> {
    match error.downcast_ref()? {
        CollectError::OtherRegion { region, .. } => Some(region),
        _ => None,
    }
}

/// `encrypted-with-cmk:opened`, and so on.
fn transitions(plan: &Plan) -> impl Iterator<Item = String> {
    plan.import.iter().map(|finding| {
        let control = finding.generator_id.trim_start_matches("cmkwatch/");
        let transition = finding.product_fields.get(fields::TRANSITION).map_or("", String::as_str);
        format!("{control}:{transition}")
    })
}
