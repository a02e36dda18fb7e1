//! The message to on-change about an account that joined the organization, left it or was closed.

use crate::{QueueError, QueueMessage};
use facts::AccountId;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

/// A request to sweep an account because it joined the organization, left it or was closed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MembershipChange {
    /// The account.
    pub account: AccountId,
    /// The time at which the account joined, left or was closed.
    pub changed_at: Timestamp,
}

const SOURCE: &str = "cmkwatch";
const KIND: &str = "Account To Be Swept";

#[derive(Deserialize)]
struct Detail {
    account: String,
    changed_at: String,
}

impl MembershipChange {
    /// Returns the message. It is delivered after `seconds`, at most 900.
    #[must_use]
    pub fn after(&self, seconds: u16) -> QueueMessage {
        let detail =
            json!({ "account": self.account.as_str(), "changed_at": self.changed_at.to_string() });
        QueueMessage::after(
            seconds,
            json!({ "source": SOURCE, "detail-type": KIND, "detail": detail }).to_string(),
        )
    }

    /// Reads the detail of an event. Returns `None` if the event has another source or detail type.
    ///
    /// # Errors
    /// Returns an error if the detail is malformed.
    pub fn read(source: &str, kind: &str, detail: &Value) -> Result<Option<Self>, QueueError> {
        if (source, kind) != (SOURCE, KIND) {
            return Ok(None);
        }
        let Detail { account, changed_at } = Detail::deserialize(detail)?;
        let changed_at =
            changed_at.parse().map_err(|error: jiff::Error| serde::de::Error::custom(error));
        let changed_at = changed_at.map_err(QueueError::NotOurs)?;
        Ok(Some(Self { account: account.parse()?, changed_at }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_sent() {
        let change = MembershipChange {
            account: "123456789012".parse().unwrap(),
            changed_at: Timestamp::UNIX_EPOCH,
        };
        let body: Value = serde_json::from_str(&change.after(300).body).unwrap();
        assert_eq!(MembershipChange::read(SOURCE, KIND, &body["detail"]).unwrap(), Some(change));
        assert_eq!(MembershipChange::read("aws.s3", KIND, &body["detail"]).unwrap(), None);
        assert!(
            MembershipChange::read(SOURCE, KIND, &json!({ "account": "1", "changed_at": "x" }))
                .is_err()
        );
    }
}
