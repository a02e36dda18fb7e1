//! Findings that changed in, messages to people out.
//!
//! Security Hub puts an event onto the bus of the hub account if a finding is imported or edited.
//!
//! - [`parse`] reads such an event.
//! - [`select_alerts()`] decides which events of a batch are worth a message.
//! - [`decide`] compares those events with what people already know.
//! - [`AlertMessage`] is what people read: a notification for Slack and a text for e-mail, made
//!   from the same lines.
//!
//! Every event that does not become a message has a reason, a [`Silence`]. The texts of a finding
//! may come from anyone who can name a bucket, a role or a policy statement. So they are never
//! taken for markup.

mod decision;
mod digest;
mod event;
#[cfg(test)]
mod example;
mod finding_event;
mod line;
mod link;
mod message;
mod notification;
mod select;
mod silence;
mod single;
mod text;
mod write;

pub use decision::{AlertedState, Claim, Decision, LastDecision, correction, decide};
pub use event::{FindingEventError, Parsed, parse};
pub use finding_event::FindingEvent;
pub use message::AlertMessage;
pub use notification::Notification;
pub use select::{Gone, Received, Selected, SelectedAlerts, select_alerts};
pub use silence::{Silence, Silent};
