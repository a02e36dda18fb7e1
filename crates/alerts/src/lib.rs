//! Findings that changed in, messages to people out.
//!
//! Security Hub puts an event onto the bus of the hub account if a finding is imported or edited.
//!
//! - [`parse`] reads such an event.
//! - [`choose()`] decides which events of a batch are worth a message.
//! - [`decide`] compares those events with what people already know.
//! - [`Message`] is what people read: a notification for Slack and a text for e-mail, made from the
//!   same lines.
//!
//! Every event that does not become a message has a reason, a [`Silence`]. The texts of a finding
//! may come from anyone who can name a bucket, a role or a policy statement. So they are never
//! taken for markup.

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
