//! Asking that buckets be evaluated: those that use a key, and others.

use crate::Watch;
use facts::BucketId;
use findings::{ApiCall, BucketOfKey};
use queue::{QueueError, ReevaluateKeyUsers, Revisit};
use tokio::time::Instant;

/// After how many seconds a message comes again that a newer deployment should have.
const UNTIL_NEWER: u16 = 60;

impl Watch {
    /// Asks that buckets be evaluated, at once. 1 call for each 10.
    ///
    /// # Errors
    /// Returns an error if the queue does not answer.
    pub async fn revisit(
        &self,
        buckets: impl IntoIterator<Item = BucketId>,
        api_calls: &[ApiCall],
    ) -> anyhow::Result<()> {
        let ask = |bucket| Revisit { bucket, api_calls: api_calls.to_vec(), second_look: false }.after(0);
        let messages = buckets.into_iter().map(ask).collect::<Result<Vec<_>, QueueError>>()?;
        Ok(self.changes.send(&messages).await?)
    }

    /// Asks for a second look at a bucket, after the delay of the deployment. `api_calls` caused the first one. 1 call.
    ///
    /// # Errors
    /// Returns an error if the queue does not answer.
    pub async fn ask_second_look(&self, bucket: &BucketId, api_calls: &[ApiCall]) -> anyhow::Result<()> {
        let seconds = u16::try_from(self.second_look.as_secs()).unwrap_or(u16::MAX);
        let look = Revisit { bucket: bucket.clone(), api_calls: api_calls.to_vec(), second_look: true };
        Ok(self.changes.send(&[look.after(seconds)?]).await?)
    }

    /// Asks that a bucket be evaluated later, as now a newer deployment does so. 1 call.
    ///
    /// # Errors
    /// Returns an error if the queue does not answer.
    pub async fn postpone(&self, bucket: &BucketId, api_calls: &[ApiCall], second_look: bool) -> anyhow::Result<()> {
        let later = Revisit { bucket: bucket.clone(), api_calls: api_calls.to_vec(), second_look };
        Ok(self.changes.send(&[later.after(UNTIL_NEWER)?]).await?)
    }

    /// Asks that the buckets which use a key, or name it by an alias, be evaluated; returns how many. What it does not reach by
    /// `until` it asks for in a further message. 1 call for some thousand buckets, and 1 for each 10 that are evaluated.
    ///
    /// # Errors
    /// Returns an error if the table or the queue does not answer.
    pub async fn revisit_users(
        &self,
        asked: &ReevaluateKeyUsers,
        api_calls: &[ApiCall],
        until: Instant,
    ) -> anyhow::Result<usize> {
        let (mut next, mut count) = (asked.after.clone(), 0);
        loop {
            let page = self.state.buckets_of(&asked.subject, next.as_ref()).await?;
            let concerned: Vec<_> = page.buckets.iter().filter(|bucket| is_concerned(asked, bucket)).collect();
            self.revisit(concerned.iter().map(|bucket| bucket.user.bucket.clone()), api_calls).await?;
            count += concerned.len();
            if page.next.is_none() {
                return Ok(count);
            }
            next = page.next;
            if Instant::now() >= until {
                let rest = ReevaluateKeyUsers { after: next, ..asked.clone() };
                self.changes.send(&[rest.message(api_calls)?]).await?;
                return Ok(count);
            }
        }
    }
}

fn is_concerned(asked: &ReevaluateKeyUsers, bucket: &BucketOfKey) -> bool {
    asked
        .because_of
        .as_ref()
        .is_none_or(|other| other.bucket != bucket.user.bucket && bucket.is_concerned(other.class.as_deref()))
}
