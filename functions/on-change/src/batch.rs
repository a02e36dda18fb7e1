//! A batch of messages: what each is about, each subject once, and which messages failed.

use crate::{Change, KeyChange, Message, parse};
use anyhow::anyhow;
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use collect::CollectError;
use controls::Settings;
use facts::{Account, AccountId, BucketId, Fact, Place, Unreadable};
use findings::ApiCall;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use queue::ReevaluateKeyUsers;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{Instant, timeout_at};
use watch::{Superseded, Watch};

/// Time reserved for requeuing what a run did not reach.
const TO_GO_ON: Duration = Duration::from_secs(5);

/// How many buckets are evaluated at once.
const AT_ONCE: usize = 8;

/// The function: what it needs, made once.
#[derive(Debug)]
pub struct OnChange {
    watch: Watch,
}

/// The messages about one subject.
#[derive(Debug, Default)]
struct Group {
    api_calls: Vec<ApiCall>,
    /// True if one of them reports an API call.
    is_event: bool,
    /// True if one of them asks for a second look.
    second_look: bool,
    messages: Vec<String>,
}

/// What a batch is about.
#[derive(Debug, Default)]
struct Sorted {
    buckets: BTreeMap<BucketId, Group>,
    keys: BTreeMap<ReevaluateKeyUsers, Group>,
    failed: Vec<String>,
    dropped: usize,
}

impl OnChange {
    /// A function that looks through `watch`.
    #[must_use]
    pub fn new(watch: Watch) -> Self {
        Self { watch }
    }

    /// Evaluates every bucket that the batch names, asks that those which use a key it names be evaluated, and returns which
    /// messages are to come again. What is not done at `deadline` comes again too, so that a slow bucket does not take the
    /// others with it.
    pub async fn handle(&self, batch: SqsEvent, deadline: Instant) -> SqsBatchResponse {
        let received = batch.records.len();
        let Sorted { buckets, keys, mut failed, dropped } = sort(batch.records, self.watch.settings());
        let (of_buckets, of_keys) = (buckets.len(), keys.len());
        let asked = stream::iter(keys).map(|(users, group)| self.attend_key(users, group, deadline));
        let judged = stream::iter(buckets).map(|(bucket, group)| self.attend(bucket, group, deadline));
        let (asked, judged) = tokio::join!(
            asked.buffer_unordered(AT_ONCE).collect::<Vec<_>>(),
            judged.buffer_unordered(AT_ONCE).collect::<Vec<_>>()
        );
        failed.extend(asked.into_iter().chain(judged).flatten());
        metrics::counter!("EventsHandled").increment((received - failed.len()) as u64);
        metrics::counter!("Failures").increment(failed.len() as u64);
        tracing::info!(received, buckets = of_buckets, keys = of_keys, dropped, failed = failed.len(), "batch done");
        let mut response = SqsBatchResponse::default();
        failed.into_iter().for_each(|message| response.add_failure(message));
        response
    }

    /// Evaluates one bucket; returns the messages that failed with it.
    async fn attend(&self, bucket: BucketId, group: Group, deadline: Instant) -> Vec<String> {
        let latest = ApiCall::latest(&group.api_calls);
        let event = latest.and_then(|api_call| api_call.event_id.as_deref()).unwrap_or_default();
        let (account, region, name) = (bucket.account(), bucket.region(), bucket.name());
        let second_look = group.second_look;
        match in_time(deadline, self.evaluate(&bucket, &group)).await {
            Ok(changed) => {
                // A second look that finds nothing says nothing of how long the change took.
                record_age(latest.filter(|_| group.is_event || !changed.is_empty()), self.watch.now());
                let changed = changed.join(" ");
                tracing::info!(%account, %region, bucket = %name, event, second_look, changed, "evaluated");
                Vec::new()
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(%account, %region, bucket = %name, event, second_look, error, "not evaluated");
                group.messages
            }
        }
    }

    /// Evaluates a bucket, and asks for the second look that follows an event, or a change that only the second look has found.
    async fn evaluate(&self, bucket: &BucketId, group: &Group) -> anyhow::Result<Vec<String>> {
        let read_at = self.watch.now();
        let reconciled = match group.second_look {
            true => self.watch.look_again(bucket, &group.api_calls).await,
            false => self.watch.reconcile(bucket, &group.api_calls).await,
        };
        let reconciled = match reconciled {
            Err(error) if is_refused_role(&error) => return self.report_refused_role(bucket.account()).await,
            Err(error) if self.watch.reconcile_refusal(&error, &bucket.place(), read_at).await? => {
                return Ok(vec!["account-readable".to_owned()]);
            }
            Err(error) if error.downcast_ref::<Superseded>().is_some() => {
                tracing::warn!(bucket = %bucket, error = format!("{error:#}"), "evaluation postponed");
                self.watch.postpone(bucket, &group.api_calls, group.second_look).await?;
                return Ok(vec!["postponed".to_owned()]);
            }
            reconciled => reconciled?,
        };
        if group.is_event || (group.second_look && reconciled.changed) {
            self.watch.ask_second_look(bucket, &group.api_calls).await?;
        }
        Ok(reconciled.transitions)
    }

    /// Without the role nothing of the bucket can be known, now or when the message comes again; that is what is published. The
    /// sweep reads the bucket once there is a role.
    async fn report_refused_role(&self, account: &AccountId) -> anyhow::Result<Vec<String>> {
        let (subject, read_at) = (format!("the role in account {account}"), self.watch.now());
        let why = Unreadable { permission: "sts:AssumeRole", subject, code: "AccessDenied".to_owned() };
        let place = Place { account: account.clone(), region: self.watch.accounts().home().region.clone() };
        let account = Account { place, read_at, buckets: Fact::Unreadable(why), security_hub: Fact::Known(true) };
        Ok(self.watch.reconcile_account(&account).await?.into_iter().collect())
    }

    /// Has the users of one key or alias evaluated; returns the messages that failed with it.
    async fn attend_key(&self, users: ReevaluateKeyUsers, group: Group, deadline: Instant) -> Vec<String> {
        let latest = ApiCall::latest(&group.api_calls);
        let event = latest.and_then(|api_call| api_call.event_id.as_deref()).unwrap_or_default();
        let call = latest.map(|api_call| api_call.event_name.as_str()).unwrap_or_default();
        let (key, until) = (users.subject.as_str(), deadline.checked_sub(TO_GO_ON).unwrap_or(deadline));
        match in_time(deadline, self.watch.revisit_users(&users, &group.api_calls, until)).await {
            Ok(buckets) => {
                tracing::info!(key, event, call, buckets, "the buckets that use the key will be evaluated");
                Vec::new()
            }
            Err(error) => {
                tracing::error!(key, event, call, error = format!("{error:#}"), "the users of the key are not known");
                group.messages
            }
        }
    }
}

async fn in_time<T>(deadline: Instant, done: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    timeout_at(deadline, done).await.unwrap_or_else(|_| Err(anyhow!("there was not time enough")))
}

fn is_refused_role(error: &anyhow::Error) -> bool {
    error.downcast_ref::<CollectError>().is_some_and(CollectError::is_refused_role)
}

/// `EventAge`, in seconds.
fn record_age(api_call: Option<&ApiCall>, now: Timestamp) {
    let happened = api_call.and_then(|api_call| api_call.event_time.as_ref()?.parse::<Timestamp>().ok());
    if let Some(happened) = happened {
        metrics::histogram!("EventAge").record(now.duration_since(happened).as_secs_f64());
    }
}

/// What the messages are about, which of them cannot be understood, and how many were none of ours.
fn sort(records: Vec<SqsMessage>, settings: &Settings) -> Sorted {
    let mut sorted = Sorted::default();
    for record in records {
        // Without an id the response names "", by which Lambda takes the whole batch as failed: nothing is lost.
        let id = record.message_id.unwrap_or_default();
        match parse(record.body.as_deref().unwrap_or_default()) {
            Ok(Message::Bucket(Change { bucket, .. })) if settings.excludes(bucket.account()) => sorted.dropped += 1,
            Ok(Message::Bucket(Change { bucket, api_calls, second_look })) => {
                let is_event = !second_look && !api_calls.is_empty();
                let group = add(&mut sorted.buckets, bucket, api_calls, id);
                group.is_event |= is_event;
                group.second_look |= second_look;
            }
            Ok(Message::Key(KeyChange { users, api_calls })) => drop(add(&mut sorted.keys, users, api_calls, id)),
            Ok(Message::NoneOfOurs) => sorted.dropped += 1,
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::error!(message_id = id, error = format!("{error:#}"), "message not understood");
                sorted.failed.push(id);
            }
        }
    }
    sorted
}

/// Adds a message to those of its subject; of each call the latest is kept.
fn add<S: Ord>(groups: &mut BTreeMap<S, Group>, subject: S, api_calls: Vec<ApiCall>, message: String) -> &mut Group {
    let group = groups.entry(subject).or_default();
    group.messages.push(message);
    for api_call in api_calls {
        match group.api_calls.iter_mut().find(|known| known.event_name == api_call.event_name) {
            None => group.api_calls.push(api_call),
            Some(known) if known.event_time < api_call.event_time => *known = api_call,
            Some(_) => {}
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
        format!("{more}\n[classification]\ntag = \"t\"\ndefault = \"a\"\n[class.a]\nlevel = \"cmk\"").parse().unwrap()
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
    fn messages_about_one_bucket_are_one_evaluation_whatever_their_order() {
        let mut records = vec![
            message("1", &event("acme", "CreateBucket", "2026-11-01T00:00:00Z")),
            message("2", &event("acme", "PutBucketEncryption", "2026-11-01T00:00:02Z")),
            message("3", &event("acme", "PutBucketTagging", "2026-11-01T00:00:01Z")),
            message("4", &event("other", "CreateBucket", "2026-11-01T00:00:00Z")),
        ];
        for _ in 0..2 {
            let Sorted { buckets, keys, failed, dropped } = sort(records.clone(), &settings(""));
            assert_eq!((buckets.len(), keys.len(), failed.len(), dropped), (2, 0, 0, 0));
            let acme = buckets.iter().find(|(bucket, _)| bucket.name().as_str() == "acme").unwrap().1;
            let last = ApiCall::latest(&acme.api_calls).unwrap();
            assert_eq!(
                (acme.messages.len(), acme.api_calls.len(), last.event_name.as_str()),
                (3, 3, "PutBucketEncryption")
            );
            records.reverse();
        }
    }

    #[test]
    fn what_cannot_be_understood_fails_alone_and_what_is_not_ours_is_dropped() {
        let records = vec![
            message("good", &event("acme", "CreateBucket", "2026-11-01T00:00:00Z")),
            message("bad", "{"),
            message("other", &event("acme", "GetObject", "2026-11-01T00:00:00Z")),
        ];
        let Sorted { buckets, failed, dropped, .. } = sort(records, &settings(""));
        assert_eq!((buckets.len(), failed, dropped), (1, vec!["bad".to_owned()], 1));
    }

    #[test]
    fn an_account_that_is_excluded_is_not_watched() {
        let excluded = settings("[organization]\nexcluded-accounts = [\"111111111111\"]");
        let records = vec![message("1", &event("acme", "CreateBucket", "2026-11-01T00:00:00Z"))];
        let Sorted { buckets, dropped, .. } = sort(records, &excluded);
        assert_eq!((buckets.len(), dropped), (0, 1));
    }
}
