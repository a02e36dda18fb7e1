//! Sweeps an account: all of its buckets, and the findings of its deleted buckets.
//!
//! A sweep finds what events missed. Most buckets have not changed. So each is first compared with
//! its item at the lowest price: 2 calls read its encryption and policy. Tags are read for a
//! hundred buckets at a time, and items by the MB. A key is read once, however many buckets use it.
//! Only if that shows a difference is the bucket evaluated as after an event, with everything read
//! again. So nothing is published because of an old answer.
//!
//! An account of more than a few hundred buckets is split into further messages, by region and by
//! name. A run requeues what it does not reach. A run that ends anywhere and is repeated does the
//! rest.

mod account;
mod buckets;
mod error;
mod part_done;
mod partition;
mod time;

use crate::{error::SweepError, part_done::PartDone, time::SweepTime};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use facts::Place;
use organization::Membership;
use queue::{MembershipChange, Queue, SweepPart, Task, Visit};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;
use watch::{SweepCache, Watch, WatchError};

/// The number of times that a part that fails as a whole is requeued.
const MOST_FAILURES: u32 = 3;

/// The function with its clients and settings, created once.
#[derive(Debug)]
pub struct SweepAccount {
    watch: Watch,
    /// A watch that can also assume the role of accounts that left.
    retiring: Watch,
    queue: Queue,
    shared: Mutex<Option<(String, Place, Arc<SweepCache>)>>,
}

impl SweepAccount {
    /// Creates a function that evaluates by `watch`, and requeues what it does not reach into
    /// `queue`. `retiring` can also assume the role of accounts that left the organization, to
    /// archive their findings.
    #[must_use]
    pub fn new(watch: Watch, retiring: Watch, queue: Queue) -> Self {
        Self { watch, retiring, queue, shared: Mutex::default() }
    }

    /// Does what the messages ask for, until shortly before `deadline`. Returns the messages that
    /// must be delivered again.
    pub async fn handle(&self, batch: SqsEvent, deadline: Instant) -> SqsBatchResponse {
        let mut response = SqsBatchResponse::default();
        let time = SweepTime::until(deadline);
        for SqsMessage { message_id, body, .. } in batch.records {
            if let Err(error) = self.perform(body.as_deref().unwrap_or_default(), time).await {
                metrics::counter!("Failures").increment(1);
                tracing::error!(message_id, error = calls::with_causes(&error), "not swept");
                response.add_failure(message_id.unwrap_or_default());
            }
        }
        response
    }

    async fn perform(&self, body: &str, time: SweepTime) -> Result<(), SweepError> {
        match Task::read(body).map_err(SweepError::Message)? {
            Task::Account { sweep, account, membership_changed_at: None } => {
                Box::pin(self.sweep_account(&sweep, &account, time)).await
            }
            Task::Account { sweep, account, membership_changed_at: Some(changed_at) } => {
                Box::pin(self.sweep_changed(&sweep, MembershipChange { account, changed_at }, time))
                    .await
            }
            Task::Buckets(part) => Box::pin(self.sweep_part(part, time)).await,
        }
    }

    /// Sweeps some buckets, and requeues those that it did not reach.
    ///
    /// on-change evaluates the buckets that failed, so that they hold up no others here. It also
    /// takes second looks at two kinds of buckets: those that could not be audited, and those with
    /// changes that no event has announced. The events of the latter may be late.
    ///
    /// A part that fails as a whole is requeued a few times, behind the other parts of its account.
    /// After that its message is delivered again, and holds them up.
    async fn sweep_part(&self, part: SweepPart, time: SweepTime) -> Result<(), SweepError> {
        let again = SweepPart { failed: part.failed + 1, ..part.clone() };
        match self.sweep_buckets(part, time).await {
            Ok(PartDone { rest, failed, unaudited, unannounced }) => {
                self.requeue(rest).await?;
                self.watch.revisit(failed, &[]).await?;
                let look = |bucket| Visit { bucket, api_calls: Vec::new(), since: None };
                let looks = unaudited.into_iter().chain(unannounced).map(look);
                Ok(self.watch.ask_second_looks(looks).await?)
            }
            Err(SweepError::Watch(error)) if matches!(error.cause(), WatchError::Departed(_)) => {
                self.after_departure(again).await
            }
            Err(error) => self.after_failure(error, again).await,
        }
    }

    /// Publishes that Security Hub refuses cmkwatch, if that is the failure of a part. Otherwise
    /// requeues the part, or fails if that was done a few times.
    async fn after_failure(&self, error: SweepError, again: SweepPart) -> Result<(), SweepError> {
        let Place { account, region } = &again.place;
        if let SweepError::Watch(error) = &error
            && self.watch.reconcile_refusal(error, &again.place, self.watch.now()).await?
        {
            return Ok(());
        }
        if again.failed > MOST_FAILURES {
            return Err(error);
        }
        let part = again.part;
        tracing::error!(%account, %region, part, error = calls::with_causes(&error), "sweep part requeued: it failed");
        self.requeue([again]).await
    }

    /// Drops a part of an account that left. Requeues the part if the account is a member again.
    async fn after_departure(&self, part: SweepPart) -> Result<(), SweepError> {
        let (accounts, account) = (self.watch.accounts(), &part.place.account);
        let membership = self.watch.membership(account).await?;
        if membership != Membership::Member {
            tracing::info!(place = %part.place, ?membership, "sweep part dropped: the account left");
            return Ok(());
        }
        tracing::info!(place = %part.place, "sweep part requeued: the account is a member again");
        self.watch.state().forget_departure(&accounts.home().account, account).await?;
        self.requeue([part]).await
    }

    async fn requeue(&self, parts: impl IntoIterator<Item = SweepPart>) -> Result<(), SweepError> {
        let messages = parts
            .into_iter()
            .map(|part| Task::Buckets(part).message())
            .collect::<Result<Vec<_>, _>>()?;
        Ok(self.queue.send(&messages).await?)
    }

    /// Returns the data that the buckets of a place share, kept for as long as the same sweep goes
    /// on there.
    fn shared(&self, sweep: &str, place: &Place) -> Arc<SweepCache> {
        let mut kept = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((of, there, shared)) if of == sweep && there == place => Arc::clone(shared),
            _ => {
                let made = Arc::<SweepCache>::default();
                *kept = Some((sweep.to_owned(), place.clone(), Arc::clone(&made)));
                made
            }
        }
    }
}
