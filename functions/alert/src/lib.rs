//! A batch of findings that changed in, messages to people out.
//!
//! What is worth a message is decided by the crate `alerts`. A message is sent for each finding, or one for all where they are
//! more than the settings allow at once. What was received for a message that could not be sent comes again, and lies in the
//! dead-letter queue in the end: a message may come twice, and none is lost without an alarm.

mod batch;
mod names;
mod told;
mod topic;

pub use batch::Alert;
pub use names::Names;
pub use topic::{Topic, TopicError};
