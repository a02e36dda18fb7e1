//! The buckets that use a key, as far as they were not asked to be judged anew yet.

use crate::{Message, QueueError, revisit::WrittenCall};
use facts::KeySubject;
use findings::ApiCall;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The rest of the buckets that use a key which changed: there were more than one run could ask about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsersOf {
    /// The key or the alias.
    pub subject: KeySubject,
    /// Where Security Hub's list goes on.
    pub next: String,
    /// The calls that changed it.
    pub api_calls: Vec<ApiCall>,
}

const SOURCE: &str = "cmkwatch";
const KIND: &str = "Users Of Key To Be Judged";

#[derive(Serialize, Deserialize)]
struct Detail {
    subject: String,
    next: String,
    #[serde(default)]
    api_calls: Vec<WrittenCall>,
}

impl UsersOf {
    /// The message that asks for it.
    ///
    /// # Errors
    /// None that is known: there is nothing in it that JSON cannot hold.
    pub fn message(&self) -> Result<Message, QueueError> {
        let (subject, next) = (self.subject.as_str().to_owned(), self.next.clone());
        let detail =
            Detail { subject, next, api_calls: self.api_calls.iter().cloned().map(WrittenCall::from).collect() };
        let body = json!({ "source": SOURCE, "detail-type": KIND, "detail": serde_json::to_value(detail)? });
        Ok(Message::at_once(body.to_string()))
    }

    /// Reads the detail of an event; none for one that is of another source or kind.
    ///
    /// # Errors
    /// One of ours that is not as we write it.
    pub fn read(source: &str, kind: &str, detail: &Value) -> Result<Option<Self>, QueueError> {
        if source != SOURCE || kind != KIND {
            return Ok(None);
        }
        let Detail { subject, next, api_calls } = Detail::deserialize(detail)?;
        Ok(Some(Self {
            subject: subject.parse()?,
            next,
            api_calls: api_calls.into_iter().map(ApiCall::from).collect(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_what_is_read() {
        let api_call = ApiCall { event_name: "DisableKey".into(), event_id: None, event_time: None, principal: None };
        for arn in ["arn:aws:kms:us-east-1:123456789012:key/1234", "arn:aws:kms:us-east-1:123456789012:alias/acme"] {
            let subject: KeySubject = arn.parse().unwrap();
            assert_eq!(subject.as_str(), arn);
            let users = UsersOf { subject, next: "token".into(), api_calls: vec![api_call.clone()] };
            let body: Value = serde_json::from_str(&users.message().unwrap().body).unwrap();
            let read = UsersOf::read(SOURCE, body["detail-type"].as_str().unwrap(), &body["detail"]).unwrap();
            assert_eq!(read, Some(users));
        }
        assert_eq!(UsersOf::read("aws.kms", KIND, &Value::Null).unwrap(), None);
        assert!(UsersOf::read(SOURCE, KIND, &Value::Null).is_err());
    }
}
