//! Findings that changed in, messages to people out.
//!
//! Security Hub puts an event onto the hub account's bus whenever a finding is imported, and whenever somebody edits one.
//! [`parse`] reads such an event, [`choose()`] decides which events of a batch are worth a message, [`decide`] compares them with
//! what people already know, and [`Message`] is what a person reads: a notification for Slack and a text for e-mail, made from the
//! same lines. Every event that does not become a message has a reason, a [`Silence`]. The texts of a finding may come from whoever
//! can name a bucket, a role or a policy statement, so none of them is taken for markup.

mod choose;
mod digest;
mod event;
#[cfg(test)]
mod example;
mod known;
mod line;
mod link;
mod message;
mod news;
mod notification;
mod silence;
mod single;
mod text;

pub use choose::{Choice, Chosen, Gone, Received, choose};
pub use event::{EventError, Parsed, parse};
pub use known::{Claim, Decision, Known, Told, correction, decide};
pub use message::Message;
pub use news::News;
pub use notification::Notification;
pub use silence::{Silence, Silent};
