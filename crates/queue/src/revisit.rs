//! A bucket that is to be evaluated.

use crate::{Message, QueueError};
use facts::BucketId;
use findings::ApiCall;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A bucket that is to be evaluated: its key or another user of it changed, a sweep could not evaluate it, or a second look
/// is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revisit {
    /// The bucket.
    pub bucket: BucketId,
    /// The calls that changed something; empty if the sweep found it.
    pub api_calls: Vec<ApiCall>,
    /// True for a second look, which also compares what Security Hub holds.
    pub second_look: bool,
}

/// The source by which such a message is told from an event of AWS.
const SOURCE: &str = "cmkwatch";
/// What it is.
const KIND: &str = "Bucket To Be Judged";

/// In the shape of the events that go through the same queue.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Envelope {
    source: String,
    detail_type: String,
    detail: Detail,
}

#[derive(Serialize, Deserialize)]
struct Detail {
    account: String,
    region: String,
    bucket: String,
    #[serde(default)]
    api_calls: Vec<WrittenCall>,
    #[serde(default)]
    second_look: bool,
}

/// An API call as it is written.
#[derive(Serialize, Deserialize)]
pub(crate) struct WrittenCall {
    event_name: String,
    event_id: Option<String>,
    event_time: Option<String>,
    principal: Option<String>,
}

impl From<ApiCall> for WrittenCall {
    fn from(ApiCall { event_name, event_id, event_time, principal }: ApiCall) -> Self {
        Self { event_name, event_id, event_time, principal }
    }
}

impl From<WrittenCall> for ApiCall {
    fn from(WrittenCall { event_name, event_id, event_time, principal }: WrittenCall) -> Self {
        Self { event_name, event_id, event_time, principal }
    }
}

impl Revisit {
    /// Returns the message, to be delivered after so many seconds, at most 900.
    ///
    /// # Errors
    /// Returns an error if it cannot be written as JSON, which is not known to happen.
    pub fn after(&self, seconds: u16) -> Result<Message, QueueError> {
        Ok(Message::after(seconds, self.body()?))
    }

    fn body(&self) -> Result<String, QueueError> {
        let (account, region, bucket) = (self.bucket.account(), self.bucket.region(), self.bucket.name());
        let detail = Detail {
            account: account.to_string(),
            region: region.to_string(),
            bucket: bucket.to_string(),
            api_calls: self.api_calls.iter().cloned().map(WrittenCall::from).collect(),
            second_look: self.second_look,
        };
        let envelope = Envelope { source: SOURCE.to_owned(), detail_type: KIND.to_owned(), detail };
        Ok(serde_json::to_string(&envelope)?)
    }

    /// Reads the detail of an event; `None` if it is of another source or kind.
    ///
    /// # Errors
    /// Returns an error if it is one of ours and malformed.
    pub fn read(source: &str, kind: &str, detail: &Value) -> Result<Option<Self>, QueueError> {
        if source != SOURCE || kind != KIND {
            return Ok(None);
        }
        let Detail { account, region, bucket, api_calls, second_look } = Detail::deserialize(detail)?;
        let bucket = BucketId::new(account.parse()?, region.parse()?, bucket.parse()?)?;
        Ok(Some(Self { bucket, api_calls: api_calls.into_iter().map(ApiCall::from).collect(), second_look }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_what_is_read() {
        let bucket =
            BucketId::new("123456789012".parse().unwrap(), "us-east-1".parse().unwrap(), "acme".parse().unwrap());
        let api_call = ApiCall {
            event_name: "DisableKey".into(),
            event_id: Some("1".into()),
            event_time: None,
            principal: Some("arn:aws:iam::123456789012:root".into()),
        };
        for api_calls in [Vec::new(), vec![api_call.clone()], vec![api_call; 2]] {
            let second_look = api_calls.is_empty();
            let revisit = Revisit { bucket: bucket.clone().unwrap(), api_calls, second_look };
            let body: Value = serde_json::from_str(&revisit.after(0).unwrap().body).unwrap();
            let (source, kind) = (body["source"].as_str().unwrap(), body["detail-type"].as_str().unwrap());
            assert_eq!(Revisit::read(source, kind, &body["detail"]).unwrap(), Some(revisit));
        }
    }

    #[test]
    fn another_source_is_none_of_ours_and_a_wrong_name_is_an_error() {
        assert_eq!(Revisit::read("aws.s3", KIND, &Value::Null).unwrap(), None);
        assert!(Revisit::read(SOURCE, KIND, &Value::Null).is_err());
        let evil = serde_json::json!({ "account": "1", "region": "us-east-1", "bucket": "acme" });
        assert!(matches!(Revisit::read(SOURCE, KIND, &evil), Err(QueueError::Malformed(_))));
    }
}
