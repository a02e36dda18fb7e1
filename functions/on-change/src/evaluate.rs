//! One bucket: read, judged, told.

use crate::OnChange;
use anyhow::Context;
use collect::{CollectError, Collected};
use controls::judge;
use facts::BucketId;
use findings::{Actor, Observation, Plan, fields, plan, plan_gone};
use publish::SecurityHub;

impl OnChange {
    /// Evaluates a bucket and tells its Security Hub what changed; the transitions, for the log.
    pub(crate) async fn evaluate(&self, bucket: &BucketId, actor: &Actor) -> anyhow::Result<Vec<String>> {
        let read_at = (self.now)();
        match collect::bucket(&self.accounts, bucket, read_at).await {
            Ok(collected) => self.tell(bucket, &collected, actor).await,
            Err(CollectError::OtherRegion { region, .. }) => {
                let there = BucketId::new(bucket.account().clone(), region.parse()?, bucket.name().clone())?;
                let collected = collect::bucket(&self.accounts, &there, read_at).await;
                self.tell(&there, &collected.context("asked in the region that S3 named")?, actor).await
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn tell(&self, bucket: &BucketId, collected: &Collected, actor: &Actor) -> anyhow::Result<Vec<String>> {
        let hub = SecurityHub::of(&self.accounts.config(bucket.account(), bucket.region()).await, bucket);
        let standing = hub.standing().await?;
        let plan = match collected {
            Collected::Gone { read_at } => plan_gone(bucket, *read_at, Some(actor), &standing),
            Collected::Present(bucket) => {
                let judgement = judge(bucket, &self.settings);
                let observation =
                    Observation { bucket, judgement: &judgement, actor: Some(actor), settings: &self.settings };
                plan(&observation, &standing)
            }
        };
        hub.carry_out(&plan).await?;
        Ok(transitions(&plan))
    }
}

/// `encrypted-with-cmk:opened`, and so on.
fn transitions(plan: &Plan) -> Vec<String> {
    let imported = plan.import.iter().map(|finding| {
        let control = finding.generator_id.trim_start_matches("cmkwatch/");
        let transition = finding.product_fields.get(fields::TRANSITION).map_or("", String::as_str);
        format!("{control}:{transition}")
    });
    imported.collect()
}
