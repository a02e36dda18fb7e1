//! The subjects of a batch of messages: each bucket, key and account once, with its messages.

use crate::{ChangeMessage, KeyChange, parse};
use aws_lambda_events::event::sqs::SqsMessage;
use controls::Settings;
use facts::BucketId;
use findings::ApiCall;
use queue::{MembershipChange, Purpose, ReevaluateKeyUsers, Revisit, Visit};
use std::collections::BTreeMap;

/// A message of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// The id of the message.
    pub(crate) id: String,
    /// True if the message has no other subject, so that it can be delivered again as a whole.
    pub(crate) is_alone: bool,
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
    /// True if one of the messages reports a change on which the buckets of related keys depend.
    pub(crate) concerns_related: bool,
    pub(crate) receipts: Vec<Receipt>,
}

impl Group {
    /// Returns the purpose of a message that replaces those of the group.
    pub(crate) fn purpose(&self) -> Purpose {
        if self.second_look && !self.is_event { Purpose::SecondLook } else { Purpose::Evaluate }
    }
}

/// The subjects of a batch, each with its messages.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    pub(crate) buckets: BTreeMap<BucketId, Group>,
    pub(crate) keys: BTreeMap<ReevaluateKeyUsers, Group>,
    pub(crate) accounts: BTreeMap<MembershipChange, Vec<String>>,
    pub(crate) failed: Vec<String>,
    pub(crate) dropped: usize,
}

/// Sorts messages by subject. Keeps the ids of those that cannot be understood, and counts those
/// that are ignored.
pub(crate) fn sort(records: Vec<SqsMessage>, settings: &Settings) -> Sorted {
    let mut sorted = Sorted::default();
    for record in records {
        // Without an id, the response names "". Then Lambda takes the whole batch as failed, and
        // nothing is lost.
        let id = record.message_id.unwrap_or_default();
        match parse(record.body.as_deref().unwrap_or_default()) {
            Ok(ChangeMessage::Buckets(revisit)) => sorted.add_buckets(revisit, &id, settings),
            Ok(ChangeMessage::Key(change)) => {
                let KeyChange { users, api_calls, concerns_related } = *change;
                let group = add(&mut sorted.keys, users, api_calls, Receipt { id, is_alone: true });
                group.concerns_related |= concerns_related;
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
