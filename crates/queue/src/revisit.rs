//! A bucket that is to be judged anew.

use crate::{Message, QueueError};
use facts::BucketId;
use findings::ApiCall;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A bucket that is to be judged anew, because something changed that it depends on: its key, or who else uses that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revisit {
    /// The bucket.
    pub bucket: BucketId,
    /// The calls that changed something; none where the sweep found it.
    pub api_calls: Vec<ApiCall>,
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
    /// The message that asks for it at once: what changed has settled.
    ///
    /// # Errors
    /// None that is known: there is nothing in it that JSON cannot hold.
    pub fn message(&self) -> Result<Message, QueueError> {
        self.body().map(Message::at_once)
    }

    /// The message that asks for it once the queue's delay is over: what it depends on has to show in Security Hub first.
    ///
    /// # Errors
    /// See [`Revisit::message`].
    pub fn later(&self) -> Result<Message, QueueError> {
        self.body().map(Message::later)
    }

    fn body(&self) -> Result<String, QueueError> {
        let (account, region, bucket) = (self.bucket.account(), self.bucket.region(), self.bucket.name());
        let detail = Detail {
            account: account.to_string(),
            region: region.to_string(),
            bucket: bucket.to_string(),
            api_calls: self.api_calls.iter().cloned().map(WrittenCall::from).collect(),
        };
        let envelope = Envelope { source: SOURCE.to_owned(), detail_type: KIND.to_owned(), detail };
        Ok(serde_json::to_string(&envelope)?)
    }

    /// Reads the detail of an event; none for one that is of another source or kind.
    ///
    /// # Errors
    /// One of ours that is not as we write it.
    pub fn read(source: &str, kind: &str, detail: &Value) -> Result<Option<Self>, QueueError> {
        if source != SOURCE || kind != KIND {
            return Ok(None);
        }
        let Detail { account, region, bucket, api_calls } = Detail::deserialize(detail)?;
        let bucket = BucketId::new(account.parse()?, region.parse()?, bucket.parse()?)?;
        Ok(Some(Self { bucket, api_calls: api_calls.into_iter().map(ApiCall::from).collect() }))
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
            let revisit = Revisit { bucket: bucket.clone().unwrap(), api_calls };
            let body: Value = serde_json::from_str(&revisit.message().unwrap().body).unwrap();
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
