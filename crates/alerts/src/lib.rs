//! Findings that changed in, messages to people out.
//!
//! Security Hub puts an event onto the hub account's bus whenever a finding is imported, and whenever somebody edits one.
//! [`parse`] reads what such an event says, [`choose()`] decides what of a batch is worth a message, and [`Message`] is what a
//! person reads: a notification for Slack and a text for e-mail, made from the same lines. What stands in a finding may
//! come from whoever can name a bucket, a role or a policy statement, so nothing of it is taken for markup.

mod choose;
mod digest;
mod event;
#[cfg(test)]
mod example;
mod line;
mod link;
mod message;
mod news;
mod notification;
mod single;
mod text;

pub use choose::{Choice, Chosen, Received, choose};
pub use event::{EventError, parse};
pub use message::Message;
pub use news::{Key, News};
pub use notification::Notification;
