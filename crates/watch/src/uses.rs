//! Which buckets depend on a key, and asking that they be judged anew.

use crate::Watch;
use controls::Level;
use facts::{AliasArn, BucketId, KeyArn};
use findings::{Actor, Finding, KeyUse, RecordState, Resource, fields};
use queue::{Message, QueueError, Revisit};
use std::collections::BTreeSet;

impl Watch {
    /// Asks that every bucket which uses a key be judged anew; how many there are. 1 call for each 100 of their findings, and 1
    /// for each 10 buckets.
    ///
    /// # Errors
    /// The hub's Security Hub or the queue that did not answer.
    pub async fn revisit_users_of_key(&self, key: &KeyArn, actor: &Actor) -> anyhow::Result<usize> {
        let uses = self.home_hub().await.users_of_key(key).await?;
        self.revisit(uses.iter(), Some(actor)).await
    }

    /// The same for every bucket that names its key by an alias.
    ///
    /// # Errors
    /// See [`Watch::revisit_users_of_key`].
    pub async fn revisit_users_of_alias(&self, alias: &AliasArn, actor: &Actor) -> anyhow::Result<usize> {
        let uses = self.home_hub().await.users_of_alias(alias).await?;
        self.revisit(uses.iter(), Some(actor)).await
    }

    /// Asks that the buckets be judged anew whose verdict depends on who else uses these keys, as that has changed. 1 call for
    /// each key, or none where no class depends on it.
    ///
    /// # Errors
    /// See [`Watch::revisit_users_of_key`].
    pub async fn revisit_neighbours(
        &self,
        keys: &BTreeSet<KeyArn>,
        besides: &BTreeSet<BucketId>,
        actor: Option<&Actor>,
    ) -> anyhow::Result<usize> {
        if !self.settings().classes.values().any(|class| class.level >= Level::Enforced) {
            return Ok(0);
        }
        let mut asked = 0;
        for key in keys {
            let uses = self.home_hub().await.users_of_key(key).await?;
            let concerned = |used: &&KeyUse| used.depends_on_others && !besides.contains(&used.user.bucket);
            asked += self.revisit(uses.iter().filter(concerned), actor).await?;
        }
        Ok(asked)
    }

    async fn revisit(&self, uses: impl Iterator<Item = &KeyUse>, actor: Option<&Actor>) -> anyhow::Result<usize> {
        let ask = |used: &KeyUse| Revisit { bucket: used.user.bucket.clone(), actor: actor.cloned() }.message();
        let messages: Vec<Message> = uses.map(ask).collect::<Result<_, QueueError>>()?;
        self.changes.send(&messages).await?;
        Ok(messages.len())
    }
}

/// The keys of which a bucket is a user before or after, but not both times as one of the same class.
pub(crate) fn keys_concerned(before: &[Finding], after: &[Finding]) -> BTreeSet<KeyArn> {
    let (before, after) = (uses(before), uses(after));
    before.symmetric_difference(&after).filter_map(|(key, _)| key.parse().ok()).collect()
}

fn uses(standing: &[Finding]) -> BTreeSet<(&str, &str)> {
    let active = standing.iter().filter(|finding| finding.record_state == RecordState::Active);
    active
        .flat_map(|finding| {
            let class = finding.product_fields.get(fields::CLASS).map_or("", String::as_str);
            let keys = finding.resources.iter().filter(|resource| matches!(resource, Resource::Key(_)));
            keys.map(move |key| (key.arn(), class))
        })
        .collect()
}
