//! A batch of findings that changed in, messages to people out.
//!
//! The crate `alerts` decides what is worth a message. There is one message for each finding, or one for all if they are more than
//! the settings allow at once. A run claims each message in a table (`claims`) before it sends it, and records there that it did,
//! so that no message is sent twice. The events of a message that could not be sent come again, and end in the dead-letter queue:
//! no message is lost without an alarm. Every event that becomes no message is logged and counted with its reason.

mod batch;
mod names;
mod topic;

pub use batch::Alert;
pub use names::Names;
pub use topic::{Topic, TopicError};
