//! The message to on-change to evaluate buckets.

use crate::{QueueError, QueueMessage};
use facts::{BucketId, Place};
use findings::ApiCall;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The most buckets in one message: as many as one call of
/// [GetFindings](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_GetFindings.html)
/// takes.
const AT_ONCE: usize = 20;

/// The most bytes of buckets in one message, roughly. SQS takes [256
/// KiB](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html)
/// or more.
const BYTES_AT_ONCE: usize = 100 * 1024;

/// A request to evaluate buckets of one account and region.
///
/// Their key or another bucket that uses it changed, a function could not evaluate them, or a
/// second look is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revisit {
    /// The reason for the request.
    pub purpose: Purpose,
    /// The buckets, at most 20.
    pub visits: Vec<Visit>,
}

/// The reason why buckets are to be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// A bucket or its key may have changed.
    Evaluate,
    /// A second look is due. It also compares Security Hub with the state.
    SecondLook,
}

/// A bucket that is to be evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// The bucket.
    pub bucket: BucketId,
    /// The API calls that changed the bucket or its key; empty if no call is known.
    pub api_calls: Vec<ApiCall>,
    /// For a second look, the state version that was published before the evaluation that the
    /// second look follows; `None` if it is not known.
    pub since: Option<u64>,
}

/// The source that distinguishes these messages from events of AWS.
const SOURCE: &str = "cmkwatch";
/// The detail type of these messages.
const KIND: &str = "Buckets To Be Evaluated";
/// The detail type of an earlier version, whose messages ask for one bucket each.
const EARLIER_KIND: &str = "Bucket To Be Judged";

/// A message in the form of the events in the same queue.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Envelope {
    source: &'static str,
    detail_type: &'static str,
    detail: Detail,
}

#[derive(Serialize, Deserialize)]
struct Detail {
    account: String,
    region: String,
    #[serde(default)]
    second_look: bool,
    buckets: Vec<WrittenVisit>,
}

#[derive(Serialize, Deserialize)]
struct WrittenVisit {
    bucket: String,
    #[serde(default)]
    api_calls: Vec<WrittenCall>,
    #[serde(default)]
    since: Option<u64>,
}

#[derive(Deserialize)]
struct EarlierDetail {
    account: String,
    region: String,
    #[serde(default)]
    second_look: bool,
    #[serde(flatten)]
    visit: WrittenVisit,
}

/// An API call as JSON.
#[derive(Serialize, Deserialize)]
pub(crate) struct WrittenCall {
    event_name: String,
    event_id: Option<String>,
    event_time: Option<String>,
    principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    invoked_by: Option<String>,
}

impl From<ApiCall> for WrittenCall {
    fn from(ApiCall { event_name, event_id, event_time, principal, invoked_by }: ApiCall) -> Self {
        Self { event_name, event_id, event_time, principal, invoked_by }
    }
}

impl From<WrittenCall> for ApiCall {
    fn from(
        WrittenCall { event_name, event_id, event_time, principal, invoked_by }: WrittenCall,
    ) -> Self {
        Self { event_name, event_id, event_time, principal, invoked_by }
    }
}

impl Revisit {
    /// Groups buckets by account and region into requests for at most 20 buckets each.
    #[must_use]
    pub fn of(purpose: Purpose, visits: impl IntoIterator<Item = Visit>) -> Vec<Self> {
        let mut by_place = BTreeMap::<Place, Vec<Visit>>::new();
        for visit in visits {
            by_place.entry(visit.bucket.place()).or_default().push(visit);
        }
        by_place.into_values().flat_map(together).map(|visits| Self { purpose, visits }).collect()
    }

    /// Returns the message. It is delivered after `seconds`, at most 900.
    ///
    /// # Errors
    /// Returns an error if the message cannot be written as JSON, which is not known to happen.
    pub fn after(&self, seconds: u16) -> Result<QueueMessage, QueueError> {
        let place = self.visits.first().map(|visit| visit.bucket.place());
        let detail = Detail {
            account: place.as_ref().map(|place| place.account.to_string()).unwrap_or_default(),
            region: place.as_ref().map(|place| place.region.to_string()).unwrap_or_default(),
            second_look: self.purpose == Purpose::SecondLook,
            buckets: self.visits.iter().map(WrittenVisit::of).collect(),
        };
        let body = serde_json::to_string(&Envelope { source: SOURCE, detail_type: KIND, detail })?;
        Ok(QueueMessage::after(seconds, body))
    }

    /// Reads the detail of an event. Returns `None` if the event has another source or detail type.
    ///
    /// # Errors
    /// Returns an error if the detail is malformed.
    pub fn read(source: &str, kind: &str, detail: &Value) -> Result<Option<Self>, QueueError> {
        let Detail { account, region, second_look, buckets } = match (source, kind) {
            (SOURCE, KIND) => Detail::deserialize(detail)?,
            (SOURCE, EARLIER_KIND) => {
                let EarlierDetail { account, region, second_look, visit } =
                    EarlierDetail::deserialize(detail)?;
                Detail { account, region, second_look, buckets: vec![visit] }
            }
            _ => return Ok(None),
        };
        let place = Place { account: account.parse()?, region: region.parse()? };
        let visits =
            buckets.into_iter().map(|visit| visit.read(&place)).collect::<Result<_, _>>()?;
        let purpose = if second_look { Purpose::SecondLook } else { Purpose::Evaluate };
        Ok(Some(Self { purpose, visits }))
    }
}

/// Divides the buckets of one account and region into groups that fit into one message each.
fn together(visits: Vec<Visit>) -> Vec<Vec<Visit>> {
    let (mut all, mut bytes) = (Vec::<Vec<Visit>>::new(), 0);
    for visit in visits {
        let more = visit.bytes();
        match all.last_mut().filter(|last| last.len() < AT_ONCE && bytes + more <= BYTES_AT_ONCE) {
            Some(last) => last.push(visit),
            None => {
                all.push(vec![visit]);
                bytes = 0;
            }
        }
        bytes += more;
    }
    all
}

impl Visit {
    /// Returns about how many bytes the visit takes as JSON.
    fn bytes(&self) -> usize {
        let bytes = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let call = |call: &ApiCall| {
            100 + call.event_name.len() + bytes(&call.event_id) + bytes(&call.principal)
        };
        200 + self.api_calls.iter().map(call).sum::<usize>()
    }
}

impl WrittenVisit {
    fn of(Visit { bucket, api_calls, since }: &Visit) -> Self {
        let api_calls = api_calls.iter().cloned().map(WrittenCall::from).collect();
        Self { bucket: bucket.name().to_string(), api_calls, since: *since }
    }

    fn read(self, Place { account, region }: &Place) -> Result<Visit, QueueError> {
        let Self { bucket, api_calls, since } = self;
        let bucket = BucketId::new(account.clone(), region.clone(), bucket.parse()?)?;
        Ok(Visit { bucket, api_calls: api_calls.into_iter().map(ApiCall::from).collect(), since })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn visit(region: &str, name: &str) -> Visit {
        let bucket = BucketId::new(
            "123456789012".parse().unwrap(),
            region.parse().unwrap(),
            name.parse().unwrap(),
        )
        .unwrap();
        let api_call = ApiCall {
            event_name: "DisableKey".into(),
            event_id: Some("1".into()),
            event_time: None,
            principal: Some("arn:aws:iam::123456789012:root".into()),
            invoked_by: Some("cloudformation.amazonaws.com".into()),
        };
        Visit { bucket, api_calls: vec![api_call], since: Some(7) }
    }

    #[test]
    fn a_message_is_read_as_it_was_sent() {
        for purpose in [Purpose::Evaluate, Purpose::SecondLook] {
            let other =
                Visit { api_calls: Vec::new(), since: None, ..visit("us-east-1", "acme-2") };
            let revisit = Revisit { purpose, visits: vec![visit("us-east-1", "acme-1"), other] };
            let body: Value = serde_json::from_str(&revisit.after(0).unwrap().body).unwrap();
            let (source, kind) =
                (body["source"].as_str().unwrap(), body["detail-type"].as_str().unwrap());
            assert_eq!(Revisit::read(source, kind, &body["detail"]).unwrap(), Some(revisit));
        }
    }

    #[test]
    fn buckets_of_one_place_share_messages_within_the_limits() {
        let visits = (0..41).map(|number| visit("us-east-1", &format!("acme-{number}")));
        let visits = visits.chain([visit("eu-west-1", "acme")]);
        let revisits = Revisit::of(Purpose::SecondLook, visits);
        assert_eq!(
            revisits.iter().map(|revisit| revisit.visits.len()).collect::<Vec<_>>(),
            [1, 20, 20, 1]
        );
        assert_eq!(Revisit::of(Purpose::Evaluate, []), []);
        let long = |number: usize| {
            let api_call = ApiCall {
                principal: Some("a".repeat(30_000)),
                ..visit("us-east-1", "acme").api_calls.remove(0)
            };
            Visit { api_calls: vec![api_call], ..visit("us-east-1", &format!("acme-{number}")) }
        };
        let revisits = Revisit::of(Purpose::Evaluate, (0..7).map(long));
        assert_eq!(
            revisits.iter().map(|revisit| revisit.visits.len()).collect::<Vec<_>>(),
            [3, 3, 1]
        );
    }

    #[test]
    fn a_message_of_an_earlier_version_names_one_bucket() {
        let detail = json!({"account": "123456789012", "region": "us-east-1", "bucket": "acme", "second_look": true});
        let expected = Visit { api_calls: Vec::new(), since: None, ..visit("us-east-1", "acme") };
        let read = Revisit::read(SOURCE, EARLIER_KIND, &detail).unwrap();
        assert_eq!(read, Some(Revisit { purpose: Purpose::SecondLook, visits: vec![expected] }));
    }

    #[test]
    fn another_source_is_ignored_and_a_malformed_message_is_an_error() {
        assert_eq!(Revisit::read("aws.s3", KIND, &Value::Null).unwrap(), None);
        assert!(Revisit::read(SOURCE, KIND, &Value::Null).is_err());
        let evil = json!({ "account": "123456789012", "region": "us-east-1", "buckets": [{ "bucket": "A/b" }] });
        assert!(matches!(Revisit::read(SOURCE, KIND, &evil), Err(QueueError::Malformed(_))));
    }
}
