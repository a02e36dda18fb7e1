//! Sweeps an account: every bucket that it has, and the findings of those that it has no more.
//!
//! A sweep finds what events missed. Most buckets are as they were, so each is first compared with what stands at the lowest
//! price: encryption and policy are read, 2 calls; tags come a hundred at a time, findings too, a key is read once however
//! many buckets use it. Only where that shows a difference is the bucket followed as after an event, with everything read
//! anew; so that nothing is told, and nothing archived, on the strength of something old.
//!
//! An account of more than a few hundred buckets is split into further messages, by region and by name. Whatever a run does not
//! come to, it asks for in a further message. A run that ends anywhere and is repeated does the rest.

mod account;
mod buckets;
mod partition;
mod time;

use crate::{buckets::Done, time::Time};
use anyhow::Context as _;
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use facts::Place;
use queue::{Queue, Span, Task};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::{Instant, timeout_at};
use watch::{Shared, Watch};

/// How often a part that fails as a whole is put off.
const MOST_FAILURES: u32 = 3;

/// The function: what it needs, made once.
#[derive(Debug)]
pub struct SweepAccount {
    watch: Watch,
    queue: Queue,
    shared: Mutex<Option<(String, Place, Arc<Shared>)>>,
}

impl SweepAccount {
    /// A function that looks through `watch` and puts off what it does not come to into `queue`.
    #[must_use]
    pub fn new(watch: Watch, queue: Queue) -> Self {
        Self { watch, queue, shared: Mutex::default() }
    }

    /// Does what the messages ask for, until shortly before `deadline`, and says which are to come again.
    pub async fn handle(&self, batch: SqsEvent, deadline: Instant) -> SqsBatchResponse {
        let mut response = SqsBatchResponse::default();
        let time = Time::until(deadline);
        for SqsMessage { message_id, body, .. } in batch.records {
            if let Err(error) = self.perform(body.as_deref().unwrap_or_default(), time).await {
                metrics::counter!("Failures").increment(1);
                tracing::error!(message_id, error = format!("{error:#}"), "not swept");
                response.add_failure(message_id.unwrap_or_default());
            }
        }
        response
    }

    async fn perform(&self, body: &str, time: Time) -> anyhow::Result<()> {
        match Task::read(body).context("message not understood")? {
            Task::Account { sweep, account } => Box::pin(self.sweep_account(&sweep, &account, time)).await,
            Task::Buckets(span) => Box::pin(self.sweep_span(span, time)).await,
        }
    }

    /// Sweeps some buckets, and asks for those that it did not come to. A part that fails as a whole is put off a few times, behind
    /// the other parts of its account, before its message comes again and holds them up.
    async fn sweep_span(&self, span: Span, time: Time) -> anyhow::Result<()> {
        let again = Span { failed: span.failed + 1, ..span.clone() };
        match self.sweep_buckets(span, time).await {
            Ok(done) => self.conclude(done, time).await,
            Err(error) if self.watch.tell_refusal(&error, &again.place, self.watch.now()).await? => Ok(()),
            Err(error) if again.failed <= MOST_FAILURES => {
                let Place { account, region } = &again.place;
                tracing::error!(%account, %region, error = format!("{error:#}"), "put off");
                self.put_off([again]).await
            }
            Err(error) => Err(error),
        }
    }

    /// Asks for what is left: first the rest; then the buckets that could not be judged, which on-change tries again, so that they
    /// hold up no other here; then the neighbours, whom the next sweep finds if there is no time for it now.
    async fn conclude(&self, Done { rest, failed, keys }: Done, time: Time) -> anyhow::Result<()> {
        self.put_off(rest).await?;
        self.watch.revisit(failed).await?;
        match timeout_at(time.end, self.watch.revisit_all_neighbours(&keys)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = format!("{error:#}"), "neighbours are left to the next sweep"),
            Err(_) => tracing::warn!("neighbours are left to the next sweep"),
        }
        Ok(())
    }

    async fn put_off(&self, spans: impl IntoIterator<Item = Span>) -> anyhow::Result<()> {
        let messages = spans.into_iter().map(|span| Task::Buckets(span).message()).collect::<Result<Vec<_>, _>>()?;
        Ok(self.queue.send(&messages).await?)
    }

    /// What the buckets of a place have in common, kept for as long as the same sweep goes on there.
    fn shared(&self, sweep: &str, place: &Place) -> Arc<Shared> {
        let mut kept = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((of, there, shared)) if of == sweep && there == place => Arc::clone(shared),
            _ => {
                let made = Arc::<Shared>::default();
                *kept = Some((sweep.to_owned(), place.clone(), Arc::clone(&made)));
                made
            }
        }
    }
}
