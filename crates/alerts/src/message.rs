//! The message that is published to the SNS topic.

use crate::{Notification, line::Line, notification::Draft, text};
use serde::Serialize;

/// A message for all kinds of subscribers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertMessage {
    /// The subject of an e-mail: [less than 100 ASCII
    /// characters](https://docs.aws.amazon.com/sns/latest/api/API_Publish.html) that begin with a
    /// letter or a digit.
    pub subject: String,
    /// The text of an e-mail.
    pub text: String,
    /// The notification for all other subscribers. Slack shows it.
    pub notification: Notification,
}

impl AlertMessage {
    /// Returns the message in the SNS [message
    /// structure](https://docs.aws.amazon.com/sns/latest/dg/sns-send-custom-platform-specific-payloads-mobile-devices.html)
    /// `json`: a text for e-mail, and the notification for all other protocols.
    #[must_use]
    pub fn json(&self) -> String {
        #[derive(Serialize)]
        struct ByProtocol<'a> {
            default: String,
            email: &'a str,
        }
        let default = serde_json::to_string(&self.notification).unwrap_or_default();
        serde_json::to_string(&ByProtocol { default, email: &self.text }).unwrap_or_default()
    }

    pub(crate) fn new(draft: Draft<'_>) -> Self {
        Self {
            subject: findings::plain(&format!("cmkwatch {}", draft.headline), 99),
            text: plain(&draft),
            notification: Notification::new(draft),
        }
    }
}

fn plain(draft: &Draft<'_>) -> String {
    let advice = Some(draft.advice).filter(|advice| !advice.is_empty());
    let advice = advice.map(|advice| Line::about("To do").words(advice).to_plain());
    let lines = draft.lines.iter().map(Line::to_plain).chain(advice);
    std::iter::once(text::readable(draft.headline, usize::MAX) + "\n")
        .chain(lines)
        .collect::<Vec<_>>()
        .join("\n")
        + "\n"
}
