//! The message to on-change to evaluate the buckets that use a key.

use crate::{QueueError, QueueMessage, revisit::WrittenCall};
use facts::{BucketId, KeySubject};
use findings::ApiCall;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A request to evaluate the buckets that use a key or name an alias.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReevaluateKeyUsers {
    /// The key or the alias.
    pub subject: KeySubject,
    /// The bucket after which the list of buckets continues; `None` at its beginning.
    pub after: Option<BucketId>,
    /// The bucket that started or stopped using the key; `None` if the key itself changed. If set,
    /// only buckets whose verdicts depend on that bucket are evaluated.
    pub because_of: Option<OtherUser>,
}

/// A bucket that started or stopped using a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OtherUser {
    /// The bucket.
    pub bucket: BucketId,
    /// The class of the bucket; `None` if it could not be read.
    pub class: Option<String>,
}

const SOURCE: &str = "cmkwatch";
const KIND: &str = "Users Of Key To Be Evaluated";
/// The detail type of an earlier version. Its messages continued the list in another way, so the
/// list begins again.
const EARLIER_KIND: &str = "Users Of Key To Be Judged";

#[derive(Serialize, Deserialize)]
struct Detail {
    subject: String,
    #[serde(default)]
    after: Option<WrittenBucket>,
    #[serde(default)]
    because_of: Option<WrittenUser>,
    #[serde(default)]
    api_calls: Vec<WrittenCall>,
}

#[derive(Serialize, Deserialize)]
struct WrittenBucket {
    account: String,
    region: String,
    name: String,
}

#[derive(Serialize, Deserialize)]
struct WrittenUser {
    bucket: WrittenBucket,
    class: Option<String>,
}

impl WrittenBucket {
    fn of(bucket: &BucketId) -> Self {
        let (account, region) = (bucket.account().to_string(), bucket.region().to_string());
        Self { account, region, name: bucket.name().to_string() }
    }

    fn read(&self) -> Result<BucketId, QueueError> {
        Ok(BucketId::new(self.account.parse()?, self.region.parse()?, self.name.parse()?)?)
    }
}

impl ReevaluateKeyUsers {
    /// Returns the message. It is delivered at once if the key changed. If another bucket is the
    /// reason, it has the delay of the queue, because the
    /// [index](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html) must show
    /// that bucket first.
    ///
    /// # Errors
    /// Returns an error if the message cannot be written as JSON, which is not known to happen.
    pub fn message(&self, api_calls: &[ApiCall]) -> Result<QueueMessage, QueueError> {
        let detail = Detail {
            subject: self.subject.as_str().to_owned(),
            after: self.after.as_ref().map(WrittenBucket::of),
            because_of: self.because_of.as_ref().map(|OtherUser { bucket, class }| WrittenUser {
                bucket: WrittenBucket::of(bucket),
                class: class.clone(),
            }),
            api_calls: api_calls.iter().cloned().map(WrittenCall::from).collect(),
        };
        let body =
            json!({ "source": SOURCE, "detail-type": KIND, "detail": serde_json::to_value(detail)? }).to_string();
        Ok(if self.because_of.is_some() {
            QueueMessage::later(body)
        } else {
            QueueMessage::after(0, body)
        })
    }

    /// Reads the detail of an event, with the API calls that caused it. Returns `None` if the event
    /// has another source or detail type.
    ///
    /// # Errors
    /// Returns an error if the detail is malformed.
    pub fn read(
        source: &str,
        kind: &str,
        detail: &Value,
    ) -> Result<Option<(Self, Vec<ApiCall>)>, QueueError> {
        if source != SOURCE || ![KIND, EARLIER_KIND].contains(&kind) {
            return Ok(None);
        }
        let Detail { subject, after, because_of, api_calls } = Detail::deserialize(detail)?;
        let user = |WrittenUser { bucket, class }: WrittenUser| {
            Ok::<_, QueueError>(OtherUser { bucket: bucket.read()?, class })
        };
        let asked = Self {
            subject: subject.parse()?,
            after: after.as_ref().map(WrittenBucket::read).transpose()?,
            because_of: because_of.map(user).transpose()?,
        };
        Ok(Some((asked, api_calls.into_iter().map(ApiCall::from).collect())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_sent() {
        let api_call = ApiCall {
            event_name: "DisableKey".into(),
            event_id: None,
            event_time: None,
            principal: None,
            invoked_by: None,
        };
        let bucket = BucketId::new(
            "123456789012".parse().unwrap(),
            "us-east-1".parse().unwrap(),
            "acme".parse().unwrap(),
        )
        .unwrap();
        let because_of = Some(OtherUser { bucket: bucket.clone(), class: Some("public".into()) });
        for (arn, after, because_of) in [
            ("arn:aws:kms:us-east-1:123456789012:key/1234", None, because_of),
            ("arn:aws:kms:us-east-1:123456789012:alias/acme", Some(bucket), None),
        ] {
            let users = ReevaluateKeyUsers { subject: arn.parse().unwrap(), after, because_of };
            let message = users.message(std::slice::from_ref(&api_call)).unwrap();
            assert_eq!(
                message.delay.is_none(),
                users.because_of.is_some(),
                "the index must show the bucket first"
            );
            let body: Value = serde_json::from_str(&message.body).unwrap();
            let kind = body["detail-type"].as_str().unwrap();
            let read = ReevaluateKeyUsers::read(SOURCE, kind, &body["detail"]).unwrap();
            assert_eq!(read, Some((users, vec![api_call.clone()])));
        }
        let earlier =
            json!({"subject": "arn:aws:kms:us-east-1:123456789012:key/1234", "next": "token"});
        let (users, _) = ReevaluateKeyUsers::read(SOURCE, EARLIER_KIND, &earlier).unwrap().unwrap();
        assert_eq!((users.after, users.because_of), (None, None));
        assert_eq!(ReevaluateKeyUsers::read("aws.kms", KIND, &Value::Null).unwrap(), None);
        assert!(ReevaluateKeyUsers::read(SOURCE, KIND, &Value::Null).is_err());
    }
}
