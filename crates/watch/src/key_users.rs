//! Queues messages that ask for evaluations of buckets: those that use a key, and others.
//!
//! The index of the table (`state`) finds the buckets of a key. on-change evaluates them.

use crate::{Watch, WatchError};
use facts::{BucketId, Fact, KeySubject};
use findings::{ApiCall, BucketOfKey};
use queue::{Purpose, ReevaluateKeyUsers, Revisit, Visit};
use tokio::time::Instant;

/// The delay of a message that is requeued, in seconds.
const A_MINUTE: u16 = 60;

impl Watch {
    /// Queues buckets for an evaluation at once. 1 message for each 20 buckets of a place, 1 call
    /// for each 10 messages.
    ///
    /// # Errors
    /// Returns an error if the queue does not answer.
    pub async fn revisit(
        &self,
        buckets: impl IntoIterator<Item = BucketId>,
        api_calls: &[ApiCall],
    ) -> Result<(), WatchError> {
        let visit = |bucket| Visit { bucket, api_calls: api_calls.to_vec(), since: None };
        self.send(Purpose::Evaluate, buckets.into_iter().map(visit), 0).await
    }

    /// Queues second looks at buckets, after the delay of the deployment.
    ///
    /// Buckets of one place share messages: 1 message for each 20 buckets, 1 call for each 10
    /// messages.
    ///
    /// # Errors
    /// Returns an error if the queue does not answer.
    pub async fn ask_second_looks(
        &self,
        visits: impl IntoIterator<Item = Visit>,
    ) -> Result<(), WatchError> {
        let seconds = u16::try_from(self.second_look.as_secs()).unwrap_or(u16::MAX);
        self.send(Purpose::SecondLook, visits, seconds).await
    }

    /// Requeues buckets for an evaluation in a minute, because a newer deployment should do it or
    /// no time is left.
    ///
    /// 1 message for each 20 buckets of a place, 1 call for each 10 messages.
    ///
    /// # Errors
    /// Returns an error if the queue does not answer.
    pub async fn postpone(
        &self,
        purpose: Purpose,
        visits: impl IntoIterator<Item = Visit>,
    ) -> Result<(), WatchError> {
        self.send(purpose, visits, A_MINUTE).await
    }

    /// Queues one bucket at once, in a message of its own. 1 call.
    ///
    /// # Errors
    /// Returns an error if the queue does not answer.
    pub async fn ask_alone(&self, purpose: Purpose, visit: Visit) -> Result<(), WatchError> {
        self.send(purpose, [visit], 0).await
    }

    async fn send(
        &self,
        purpose: Purpose,
        visits: impl IntoIterator<Item = Visit>,
        seconds: u16,
    ) -> Result<(), WatchError> {
        let revisits = Revisit::of(purpose, visits);
        let messages =
            revisits.iter().map(|revisit| revisit.after(seconds)).collect::<Result<Vec<_>, _>>()?;
        Ok(self.changes.send(&messages).await?)
    }

    /// Queues an evaluation of the buckets that use a key or name it by an alias; returns how many
    /// were queued.
    ///
    /// Buckets that are not reached by `until` are left to a further message. Takes 1 call for some
    /// thousand buckets, and 1 for each 200 that are queued.
    ///
    /// # Errors
    /// Returns an error if the table or the queue does not answer.
    pub async fn revisit_users(
        &self,
        asked: &ReevaluateKeyUsers,
        api_calls: &[ApiCall],
        until: Instant,
    ) -> Result<usize, WatchError> {
        let (mut next, mut count) = (asked.after.clone(), 0);
        loop {
            let page = self.state.buckets_of(&asked.subject, next.as_ref()).await?;
            let concerned: Vec<_> =
                page.buckets.iter().filter(|bucket| is_concerned(asked, bucket)).collect();
            self.revisit(concerned.iter().map(|bucket| bucket.user.bucket.clone()), api_calls)
                .await?;
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

    /// Queues an evaluation of the buckets that use a related key of the same multi-Region key: the
    /// primary or a replica.
    ///
    /// Returns the number of related keys. 1 call, and 1 for each 10 keys. If the account of the
    /// key gives cmkwatch no role, or KMS refuses, nothing is queued: the sweep finds what changed.
    ///
    /// # Errors
    /// Returns an error if KMS or the queue does not answer.
    pub async fn revisit_users_of_related(
        &self,
        key: &KeySubject,
        api_calls: &[ApiCall],
    ) -> Result<usize, WatchError> {
        let KeySubject::Key(key) = key else { return Ok(0) };
        let related = match collect::related_keys(&self.accounts, key).await {
            Ok(Fact::Known(related)) => related,
            Ok(Fact::Unreadable(why)) => {
                tracing::warn!(%key, %why, "related keys in other regions not read");
                return Ok(0);
            }
            Err(error) if error.is_refused_role() => {
                tracing::warn!(%key, %error, "related keys in other regions not read");
                return Ok(0);
            }
            Err(error) => return Err(error.into()),
        };
        let message = |key| {
            ReevaluateKeyUsers { subject: KeySubject::Key(key), after: None, because_of: None }
                .message(api_calls)
        };
        let messages = related.into_iter().map(message).collect::<Result<Vec<_>, _>>()?;
        self.changes.send(&messages).await?;
        Ok(messages.len())
    }
}

fn is_concerned(asked: &ReevaluateKeyUsers, bucket: &BucketOfKey) -> bool {
    asked.because_of.as_ref().is_none_or(|other| {
        other.bucket != bucket.user.bucket && bucket.is_concerned(other.class.as_deref())
    })
}
