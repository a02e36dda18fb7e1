//! Handles a batch of messages: finds the subject of each, handles each subject once, and returns
//! the messages that failed.

use crate::{
    ChangeMessage, KeyChange,
    evaluation::{Evaluated, in_time},
    parse,
};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use controls::Settings;
use facts::BucketId;
use findings::ApiCall;
use futures_util::{StreamExt, stream};
use queue::{MembershipChange, Purpose, Queue, ReevaluateKeyUsers, Revisit, Task, Visit};
use std::collections::BTreeMap;
use tokio::time::Instant;
use watch::{Destinations, Watch};

/// The number of buckets that are evaluated at once.
const AT_ONCE: usize = 8;

/// The function with its clients and settings, created once.
#[derive(Debug)]
pub struct OnChange {
    pub(crate) watch: Watch,
    /// The queue of sweep-account.
    sweep: Queue,
}

/// A message of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// The id of the message.
    id: String,
    /// True if the message has no other subject, so that it can be delivered again as a whole.
    is_alone: bool,
}

/// The messages about one subject.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) api_calls: Vec<ApiCall>,
    /// True if one of the messages reports an API call.
    pub(crate) is_event: bool,
    /// True if one of the messages asks for a second look.
    pub(crate) second_look: bool,
    /// The version that was published before the evaluations which the second looks follow: the
    /// earliest one.
    pub(crate) since: Option<u64>,
    /// True if one of the messages reports a change of the key's replicas, too.
    has_replicas: bool,
    receipts: Vec<Receipt>,
}

impl Group {
    /// Returns the purpose of a message that replaces those of the group.
    pub(crate) fn purpose(&self) -> Purpose {
        if self.second_look && !self.is_event { Purpose::SecondLook } else { Purpose::Evaluate }
    }
}

/// The time limits of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeLimits {
    /// No bucket is begun after this moment, half of the time. Messages may name hundreds of
    /// buckets, and those that were begun must be finished.
    pub(crate) begin_until: Instant,
    /// An evaluation that has not ended by this moment, three quarters of the time, has failed. The
    /// steps after the evaluations need the rest.
    pub(crate) evaluate_until: Instant,
    pub(crate) end: Instant,
}

impl TimeLimits {
    fn until(end: Instant) -> Self {
        let now = Instant::now();
        let quarter = end.saturating_duration_since(now) / 4;
        Self { begin_until: now + quarter * 2, evaluate_until: now + quarter * 3, end }
    }
}

/// The subjects of a batch, each with its messages.
#[derive(Debug, Default)]
struct Sorted {
    buckets: BTreeMap<BucketId, Group>,
    keys: BTreeMap<ReevaluateKeyUsers, Group>,
    accounts: BTreeMap<MembershipChange, Vec<String>>,
    failed: Vec<String>,
    dropped: usize,
}

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
                    tracing::info!(%account, "the account will be swept: it joined, left or was closed")
                }
                Err(error) => {
                    tracing::error!(%account, error = calls::with_causes(&error), "the account will not be swept");
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
                    "the bucket got no message of its own: its messages come again"
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
            if group.has_replicas {
                self.watch.revisit_users_of_related(&users.subject, &group.api_calls).await?;
            }
            self.watch.revisit_users(&users, &group.api_calls, time.evaluate_until).await
        };
        match in_time(time.end, asked).await {
            Ok(buckets) => {
                tracing::info!(
                    key,
                    event,
                    call,
                    buckets,
                    "the buckets that use the key will be evaluated"
                );
                Vec::new()
            }
            Err(error) => {
                tracing::error!(
                    key,
                    event,
                    call,
                    error = calls::with_causes(&error),
                    "the users of the key are not known"
                );
                group.receipts.into_iter().map(|receipt| receipt.id).collect()
            }
        }
    }
}

/// Sorts messages by subject. Keeps the ids of those that cannot be understood, and counts those
/// that are ignored.
fn sort(records: Vec<SqsMessage>, settings: &Settings) -> Sorted {
    let mut sorted = Sorted::default();
    for record in records {
        // Without an id, the response names "". Then Lambda takes the whole batch as failed, and
        // nothing is lost.
        let id = record.message_id.unwrap_or_default();
        match parse(record.body.as_deref().unwrap_or_default()) {
            Ok(ChangeMessage::Buckets(revisit)) => sorted.add_buckets(revisit, &id, settings),
            Ok(ChangeMessage::Key(change)) => {
                let KeyChange { users, api_calls, has_replicas } = *change;
                let group = add(&mut sorted.keys, users, api_calls, Receipt { id, is_alone: true });
                group.has_replicas |= has_replicas;
            }
            Ok(ChangeMessage::Account(change)) if settings.excludes(&change.account) => {
                sorted.dropped += 1
            }
            Ok(ChangeMessage::Account(change)) => {
                sorted.accounts.entry(change).or_default().push(id)
            }
            Ok(ChangeMessage::NoneOfOurs) => sorted.dropped += 1,
            Err(error) => {
                tracing::error!(
                    message_id = id,
                    error = calls::with_causes(&error),
                    "message not understood"
                );
                sorted.failed.push(id);
            }
        }
    }
    sorted
}

impl Sorted {
    fn add_buckets(&mut self, Revisit { purpose, visits }: Revisit, id: &str, settings: &Settings) {
        let is_alone = visits.len() == 1;
        let (watched, excluded): (Vec<_>, Vec<_>) =
            visits.into_iter().partition(|visit| !settings.excludes(visit.bucket.account()));
        self.dropped += usize::from(!excluded.is_empty());
        for Visit { bucket, api_calls, since } in watched {
            let second_look = purpose == Purpose::SecondLook;
            let is_event = !second_look && !api_calls.is_empty();
            let group =
                add(&mut self.buckets, bucket, api_calls, Receipt { id: id.to_owned(), is_alone });
            group.is_event |= is_event;
            if second_look {
                // Messages of an earlier version have no `since`. 0 means that everything has
                // changed since then.
                let since = since.unwrap_or_default();
                group.since = Some(group.since.map_or(since, |known| known.min(since)));
                group.second_look = true;
            }
        }
    }
}

/// Adds a message to the group of its subject. Of several calls with one name, the latest is kept.
fn add<S: Ord>(
    groups: &mut BTreeMap<S, Group>,
    subject: S,
    api_calls: Vec<ApiCall>,
    receipt: Receipt,
) -> &mut Group {
    let group = groups.entry(subject).or_default();
    group.receipts.push(receipt);
    for api_call in api_calls {
        match group.api_calls.iter_mut().find(|known| known.event_name == api_call.event_name) {
            None => group.api_calls.push(api_call),
            Some(known) => known.keep_better(api_call),
        }
    }
    group
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message(id: &str, body: &str) -> SqsMessage {
        serde_json::from_value(json!({ "messageId": id, "body": body })).unwrap()
    }

    fn settings(more: &str) -> Settings {
        format!(
            "{more}\n[classification]\ntag = \"t\"\ndefault = \"a\"\n[class.a]\nlevel = \"cmk\""
        )
        .parse()
        .unwrap()
    }

    fn event(bucket: &str, call: &str, time: &str) -> String {
        json!({
            "source": "aws.s3", "detail-type": "AWS API Call via CloudTrail",
            "detail": {
                "eventSource": "s3.amazonaws.com", "eventName": call, "eventTime": time,
                "recipientAccountId": "111111111111", "awsRegion": "us-east-1",
                "requestParameters": { "bucketName": bucket },
            },
        })
        .to_string()
    }

    #[test]
    fn messages_about_one_bucket_are_one_evaluation_in_any_order() {
        let mut records = vec![
            message("1", &event("acme", "CreateBucket", "2026-11-01T00:00:00Z")),
            message("2", &event("acme", "PutBucketEncryption", "2026-11-01T00:00:02Z")),
            message("3", &event("acme", "PutBucketTagging", "2026-11-01T00:00:01Z")),
            message("4", &event("other", "CreateBucket", "2026-11-01T00:00:00Z")),
        ];
        for _ in 0..2 {
            let Sorted { buckets, keys, failed, dropped, .. } =
                sort(records.clone(), &settings(""));
            assert_eq!((buckets.len(), keys.len(), failed.len(), dropped), (2, 0, 0, 0));
            let acme =
                buckets.iter().find(|(bucket, _)| bucket.name().as_str() == "acme").unwrap().1;
            let last = ApiCall::latest(&acme.api_calls).unwrap();
            assert_eq!(
                (acme.receipts.len(), acme.api_calls.len(), last.event_name.as_str()),
                (3, 3, "PutBucketEncryption")
            );
            records.reverse();
        }
    }

    #[test]
    fn an_unreadable_message_fails_alone_and_an_unrelated_event_is_dropped() {
        let records = vec![
            message("good", &event("acme", "CreateBucket", "2026-11-01T00:00:00Z")),
            message("bad", "{"),
            message("other", &event("acme", "GetObject", "2026-11-01T00:00:00Z")),
        ];
        let Sorted { buckets, failed, dropped, .. } = sort(records, &settings(""));
        assert_eq!((buckets.len(), failed, dropped), (1, vec!["bad".to_owned()], 1));
    }

    #[test]
    fn second_looks_at_one_bucket_are_merged_with_the_earliest_version() {
        let look = |id: &str, since: u64, buckets: &[&str]| {
            let buckets: Vec<_> =
                buckets.iter().map(|name| json!({"bucket": name, "since": since})).collect();
            let detail = json!({
                "account": "111111111111", "region": "us-east-1", "second_look": true, "buckets": buckets,
            });
            message(
                id,
                &json!({"source": "cmkwatch", "detail-type": "Buckets To Be Evaluated", "detail": detail}).to_string(),
            )
        };
        let records = vec![look("1", 9, &["acme", "other"]), look("2", 5, &["acme"])];
        let Sorted { buckets, .. } = sort(records, &settings(""));
        let groups: Vec<_> = buckets.into_values().collect();
        assert_eq!(groups.iter().map(|group| group.since).collect::<Vec<_>>(), [Some(5), Some(9)]);
        let alone = |group: &Group| {
            group.receipts.iter().map(|receipt| receipt.is_alone).collect::<Vec<_>>()
        };
        assert_eq!([alone(&groups[0]), alone(&groups[1])], [vec![false, true], vec![false]]);
        assert!(groups.iter().all(|group| group.second_look && !group.is_event));
    }

    #[test]
    fn an_excluded_account_is_not_watched() {
        let excluded = settings("[organization]\nexcluded-accounts = [\"111111111111\"]");
        let records = vec![message("1", &event("acme", "CreateBucket", "2026-11-01T00:00:00Z"))];
        let Sorted { buckets, dropped, .. } = sort(records, &excluded);
        assert_eq!((buckets.len(), dropped), (0, 1));
    }
}
