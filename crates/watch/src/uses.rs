//! Which buckets depend on a key, and asking that they be judged anew.

use crate::Watch;
use controls::Level;
use facts::{BucketId, KeyArn, KeySubject};
use findings::{ApiCall, Finding, KeyUse, RecordState, Resource, fields};
use queue::{QueueError, Revisit, UsersOf};
use std::collections::BTreeSet;
use tokio::time::Instant;

/// The keys that a bucket has begun to use, or to use as one of another class, and those that it has ceased to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct KeysChanged {
    /// Begun, each with the class.
    pub joined: BTreeSet<(KeyArn, String)>,
    /// Ceased.
    pub left: BTreeSet<KeyArn>,
}

impl KeysChanged {
    /// What changed from what stood before to what stands now.
    pub(crate) fn between(before: &[Finding], after: &[Finding]) -> Self {
        let (before, after) = (uses(before), uses(after));
        let known = |(key, class): (&str, &str)| Some((key.parse().ok()?, class.to_owned()));
        let joined = (&after - &before).into_iter().filter_map(known).collect();
        let left = (&before - &after).into_iter().filter_map(known).map(|(key, _)| key).collect();
        Self { joined, left }
    }

    /// Takes what changed for another bucket, too.
    pub fn extend(&mut self, other: &Self) {
        self.joined.extend(other.joined.iter().cloned());
        self.left.extend(other.left.iter().cloned());
    }
}

impl Watch {
    /// Asks that buckets be judged anew, once the queue's delay is over. 1 call for each 10.
    ///
    /// # Errors
    /// The queue that did not answer.
    pub async fn revisit(&self, buckets: impl IntoIterator<Item = BucketId>) -> anyhow::Result<()> {
        let ask = |bucket| Revisit { bucket, api_calls: Vec::new() }.later();
        let messages = buckets.into_iter().map(ask).collect::<Result<Vec<_>, QueueError>>()?;
        Ok(self.changes.send(&messages).await?)
    }

    /// Asks that every bucket which uses a key, or names it by an alias, be judged anew; how many were asked for. What it does not
    /// come to by `until` it asks for in a further message. 1 call for each 100 of their findings, and 1 for each 10 buckets.
    ///
    /// # Errors
    /// The hub's Security Hub or the queue that did not answer.
    pub async fn revisit_users(
        &self,
        subject: &KeySubject,
        api_calls: &[ApiCall],
        mut next: Option<String>,
        until: Instant,
    ) -> anyhow::Result<usize> {
        let (home, mut asked) = (self.home_hub().await, BTreeSet::new());
        loop {
            let page = home.page_of_users(subject, next).await?;
            let new: Vec<_> =
                page.uses.into_iter().map(|used| used.user.bucket).filter(|b| !asked.contains(b)).collect();
            let ask = |bucket: &BucketId| Revisit { bucket: bucket.clone(), api_calls: api_calls.to_vec() }.message();
            self.changes.send(&new.iter().map(ask).collect::<Result<Vec<_>, QueueError>>()?).await?;
            asked.extend(new);
            match page.next {
                None => return Ok(asked.len()),
                Some(token) if Instant::now() >= until => {
                    let rest = UsersOf { subject: subject.clone(), next: token, api_calls: api_calls.to_vec() };
                    self.changes.send(&[rest.message()?]).await?;
                    return Ok(asked.len());
                }
                more => next = more,
            }
        }
    }

    /// Asks that the buckets be judged anew whose verdict depends on who else uses these keys. 1 call for each key, and where
    /// somebody is concerned 1 for each 100 of their findings; none where no class depends on it. A key that all use for one
    /// class, and that no bucket has ceased to use, concerns nobody.
    ///
    /// # Errors
    /// See [`Watch::revisit_users`].
    pub async fn revisit_neighbours(
        &self,
        changed: &KeysChanged,
        besides: &BucketId,
        api_calls: &[ApiCall],
    ) -> anyhow::Result<()> {
        let others = self.neighbours(changed).await?.into_iter().map(|used| used.user.bucket);
        let ask = |bucket| Revisit { bucket, api_calls: api_calls.to_vec() }.later();
        let messages = others.filter(|bucket| bucket != besides).map(ask).collect::<Result<Vec<_>, QueueError>>()?;
        Ok(self.changes.send(&messages).await?)
    }

    /// See [`Watch::revisit_neighbours`]: those of many buckets, themselves among them.
    ///
    /// # Errors
    /// See [`Watch::revisit_users`].
    pub async fn revisit_all_neighbours(&self, changed: &KeysChanged) -> anyhow::Result<()> {
        let concerned = self.neighbours(changed).await?;
        self.revisit(concerned.into_iter().map(|used| used.user.bucket)).await
    }

    async fn neighbours(&self, changed: &KeysChanged) -> anyhow::Result<Vec<KeyUse>> {
        let mut concerned = Vec::new();
        if !self.settings().classes.values().any(|class| class.level >= Level::Enforced) {
            return Ok(concerned);
        }
        let home = self.home_hub().await;
        let mut keys = changed.left.clone();
        for (key, class) in &changed.joined {
            if !keys.contains(key) && !home.users_of_another_class(key, class).await?.is_empty() {
                keys.insert(key.clone());
            }
        }
        for key in keys {
            concerned.extend(home.dependents_of(&key).await?);
        }
        Ok(concerned)
    }
}

/// The keys of a bucket, each with the class as which it uses them.
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
