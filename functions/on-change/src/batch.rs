//! Handles a batch of messages: finds the subject of each, handles each subject once, and returns
//! the messages that failed.

use crate::{
    OnChange,
    evaluation::{Evaluated, in_time},
    subjects::{Group, Sorted, sort},
    time::TimeLimits,
};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use facts::BucketId;
use findings::ApiCall;
use futures_util::{StreamExt, stream};
use queue::{MembershipChange, Queue, ReevaluateKeyUsers, Task, Visit};
use std::collections::BTreeMap;
use tokio::time::Instant;
use watch::{Destinations, Watch};

/// The number of buckets that are evaluated at once.
const AT_ONCE: usize = 8;

impl OnChange {
    /// Creates a function that evaluates by `watch`, and asks for sweeps of accounts in the queue
    /// `sweep`.
    #[must_use]
    pub fn new(watch: Watch, sweep: Queue) -> Self {
        Self { watch, sweep }
    }

    /// Evaluates every bucket that the batch names, and requests evaluations of the buckets that
    /// use its keys. Returns the messages that must be delivered again. They include messages that
    /// were not done in good time before `deadline`, so that a slow bucket does not delay the
    /// others.
    pub async fn handle(&self, batch: SqsEvent, deadline: Instant) -> SqsBatchResponse {
        let received = batch.records.len();
        let Sorted { buckets, keys, accounts, mut failed, dropped } =
            sort(batch.records, self.watch.settings());
        let (of_buckets, of_keys) = (buckets.len(), keys.len());
        let (time, destinations) = (TimeLimits::until(deadline), Destinations::default());
        failed.extend(self.ask_sweeps(accounts, time).await);
        let asked = stream::iter(keys).map(|(users, group)| self.attend_key(users, group, time));
        let evaluated = stream::iter(buckets)
            .map(|(bucket, group)| self.attend(&destinations, bucket, group, time));
        let (asked, evaluated) = tokio::join!(
            asked.buffer_unordered(AT_ONCE).collect::<Vec<_>>(),
            evaluated.buffer_unordered(AT_ONCE).collect::<Vec<_>>()
        );
        failed.extend(asked.into_iter().flatten());
        for (bucket, group) in self.follow_up(&destinations, evaluated, deadline).await {
            failed.extend(self.give_back(bucket, group, deadline).await);
        }
        failed.sort();
        failed.dedup();
        metrics::counter!("EventsHandled").increment((received - failed.len()) as u64);
        metrics::counter!("Failures").increment(failed.len() as u64);
        tracing::info!(
            received,
            buckets = of_buckets,
            keys = of_keys,
            dropped,
            failed = failed.len(),
            "batch done"
        );
        let mut response = SqsBatchResponse::default();
        failed.into_iter().for_each(|message| response.add_failure(message));
        response
    }

    /// Requests sweeps of accounts. Returns the messages of the accounts for which that failed.
    async fn ask_sweeps(
        &self,
        accounts: BTreeMap<MembershipChange, Vec<String>>,
        time: TimeLimits,
    ) -> Vec<String> {
        let mut failed = Vec::new();
        for (MembershipChange { account, changed_at }, messages) in accounts {
            let (sweep, membership_changed_at) = (self.watch.now().to_string(), Some(changed_at));
            let task = Task::Account { sweep, account: account.clone(), membership_changed_at };
            let asked = async { Ok(self.sweep.send(&[task.message()?]).await?) };
            match in_time(time.evaluate_until, asked).await {
                Ok(()) => {
                    tracing::info!(%account, "sweep of the account queued: it joined, left or was closed")
                }
                Err(error) => {
                    tracing::error!(%account, error = calls::with_causes(&error), "sweep of the account not queued");
                    failed.extend(messages);
                }
            }
        }
        failed
    }

    /// Does what follows the evaluations: requests second looks, and compares buckets with Security
    /// Hub after a second look. Returns the buckets that failed.
    async fn follow_up(
        &self,
        destinations: &Destinations,
        evaluated: Vec<Evaluated>,
        deadline: Instant,
    ) -> Vec<(BucketId, Group)> {
        let (mut failed, mut late, mut looks, mut compared) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for evaluated in evaluated {
            match evaluated {
                Evaluated::Done => {}
                Evaluated::Failed(bucket, group) => failed.push((bucket, group)),
                Evaluated::NotBegun(bucket, group) => late.push((bucket, group)),
                Evaluated::LookAgain(bucket, group) => looks.push((bucket, group)),
                Evaluated::Compare(compare, group) => compared.push((compare, group)),
            }
        }
        failed.extend(self.requeue(late, deadline).await);
        failed.extend(self.ask_second_looks(looks, deadline).await);
        failed.extend(self.compare(destinations, compared, deadline).await);
        failed
    }

    /// Returns the messages that must be delivered again because a bucket failed. If one of them
    /// names other buckets, too, queues one new message for the bucket instead and returns none.
    async fn give_back(&self, bucket: BucketId, group: Group, deadline: Instant) -> Vec<String> {
        let (is_alone, purpose) =
            (group.receipts.iter().all(|receipt| receipt.is_alone), group.purpose());
        let Group { api_calls, since, receipts, .. } = group;
        let ids = receipts.into_iter().map(|receipt| receipt.id).collect();
        if is_alone {
            return ids;
        }
        let visit = Visit { bucket, api_calls, since };
        match in_time(deadline, self.watch.ask_alone(purpose, visit)).await {
            Ok(()) => Vec::new(),
            Err(error) => {
                let error = calls::with_causes(&error);
                tracing::error!(
                    error,
                    "bucket not queued alone: its messages will be delivered again"
                );
                ids
            }
        }
    }

    /// Requests an evaluation of the buckets that use a key or an alias. Returns the messages of
    /// the key if that fails.
    async fn attend_key(
        &self,
        users: ReevaluateKeyUsers,
        group: Group,
        time: TimeLimits,
    ) -> Vec<String> {
        let latest = ApiCall::latest(&group.api_calls);
        let event = latest.and_then(|api_call| api_call.event_id.as_deref()).unwrap_or_default();
        let call = latest.map(|api_call| api_call.event_name.as_str()).unwrap_or_default();
        let key = users.subject.as_str();
        let asked = async {
            if group.concerns_related {
                self.watch.revisit_users_of_related(&users.subject, &group.api_calls).await?;
            }
            self.watch.revisit_users(&users, &group.api_calls, time.evaluate_until).await
        };
        match in_time(time.end, asked).await {
            Ok(buckets) => {
                tracing::info!(key, event, call, buckets, "evaluation of the key's buckets queued");
                Vec::new()
            }
            Err(error) => {
                tracing::error!(
                    key,
                    event,
                    call,
                    error = calls::with_causes(&error),
                    "evaluation of the key's buckets not queued"
                );
                group.receipts.into_iter().map(|receipt| receipt.id).collect()
            }
        }
    }
}
