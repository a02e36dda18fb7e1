//! Turns a batch of changed findings into messages to people.
//!
//! The crate `alerts` decides what is worth a message. There is one message for each finding, or
//! one for all if they are more than the settings allow at once. A run claims each message in a
//! table (`claims`) before it sends the message, and records afterwards that it was sent. So a
//! message is sent twice only if a run dies between these calls, or an answer is lost. No message
//! is lost without an alarm: the events of a message that fails are delivered again, and end in the
//! dead-letter queue. Every event that becomes no message is logged and counted with its reason.

mod batch;
mod names;
mod topic;

pub use batch::Alert;
pub use names::Names;
pub use topic::{Topic, TopicError};
