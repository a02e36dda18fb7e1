//! A batch of messages: what each is about, each bucket once, and which messages failed.

use crate::{Change, Message, parse};
use anyhow::anyhow;
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use collect::Accounts;
use controls::Settings;
use facts::BucketId;
use findings::Actor;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use std::collections::BTreeMap;
use tokio::time::{Instant, timeout_at};

/// How many buckets are evaluated at once.
const AT_ONCE: usize = 8;

/// The function: what it needs, made once.
#[derive(Debug)]
pub struct OnChange {
    /// The way into the member accounts.
    pub accounts: Accounts,
    /// What the organization requires.
    pub settings: Settings,
    /// What time it is.
    pub now: fn() -> Timestamp,
}

/// The messages about one bucket.
#[derive(Debug)]
struct Group {
    actor: Actor,
    messages: Vec<String>,
}

impl OnChange {
    /// Judges every bucket that the batch names, and says which messages are to come again. What is not done at `deadline`
    /// comes again too, so that a slow bucket does not take the others with it.
    pub async fn handle(&self, batch: SqsEvent, deadline: Instant) -> SqsBatchResponse {
        let received = batch.records.len();
        let (groups, mut failed, dropped) = sort(batch.records);
        let buckets = groups.len();
        let judged = stream::iter(groups).map(|(bucket, group)| self.attend(bucket, group, deadline));
        let judged = judged.buffer_unordered(AT_ONCE);
        failed.extend(judged.collect::<Vec<_>>().await.into_iter().flatten());
        tracing::info!(received, buckets, dropped, failed = failed.len(), "batch done");
        let mut response = SqsBatchResponse::default();
        failed.into_iter().for_each(|message| response.add_failure(message));
        response
    }

    /// Sees to one bucket; the messages that failed with it.
    async fn attend(&self, bucket: BucketId, group: Group, deadline: Instant) -> Vec<String> {
        let event = group.actor.event_id.as_deref().unwrap_or_default();
        let (account, region, name) = (bucket.account(), bucket.region(), bucket.name());
        let told = timeout_at(deadline, self.evaluate(&bucket, &group.actor)).await;
        match told.unwrap_or_else(|_| Err(anyhow!("there was not time enough"))) {
            Ok(told) => {
                tracing::info!(%account, %region, bucket = %name, event, told = %told.join(" "), "judged");
                Vec::new()
            }
            Err(error) => {
                tracing::error!(%account, %region, bucket = %name, event, error = format!("{error:#}"), "not judged");
                group.messages
            }
        }
    }
}

/// The buckets that changed, the messages that cannot be understood, and how many events were none of ours.
fn sort(records: Vec<SqsMessage>) -> (BTreeMap<BucketId, Group>, Vec<String>, usize) {
    let (mut groups, mut failed, mut dropped) = (BTreeMap::new(), Vec::new(), 0);
    for record in records {
        // Without an id the response names "", by which Lambda takes the whole batch as failed: nothing is lost.
        let id = record.message_id.unwrap_or_default();
        match parse(record.body.as_deref().unwrap_or_default()) {
            Ok(Message::Change(change)) => add(&mut groups, change, id),
            Ok(Message::NoneOfOurs) => dropped += 1,
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::error!(message_id = id, error = format!("{error:#}"), "message not understood");
                failed.push(id);
            }
        }
    }
    (groups, failed, dropped)
}

/// The latest event of a bucket is the one that its finding names.
fn add(groups: &mut BTreeMap<BucketId, Group>, Change { bucket, actor }: Change, message: String) {
    let group = groups.entry(bucket).or_insert_with(|| Group { actor: actor.clone(), messages: Vec::new() });
    group.messages.push(message);
    if actor.event_time > group.actor.event_time {
        group.actor = actor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message(id: &str, body: &str) -> SqsMessage {
        serde_json::from_value(json!({ "messageId": id, "body": body })).unwrap()
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
            let (groups, failed, dropped) = sort(records.clone());
            assert_eq!((groups.len(), failed.len(), dropped), (2, 0, 0));
            let acme = groups.iter().find(|(bucket, _)| bucket.name().as_str() == "acme").unwrap().1;
            assert_eq!((acme.messages.len(), acme.actor.event_name.as_str()), (3, "PutBucketEncryption"));
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
        let (groups, failed, dropped) = sort(records);
        assert_eq!((groups.len(), failed, dropped), (1, vec!["bad".to_owned()], 1));
    }
}
