//! What can go wrong between a function and a queue.

use facts::Malformed;
use std::error::Error;

/// A message that was not sent, or not understood.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The call failed as a whole.
    #[error("{permission} to {queue} failed")]
    Call {
        /// The IAM action of the call.
        permission: &'static str,
        /// The queue's URL.
        queue: String,
        /// What went wrong.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// SQS did not take one message of a batch.
    #[error("{queue} refused a message ({code}): {message}")]
    Refused {
        /// The queue's URL.
        queue: String,
        /// SQS's code.
        code: String,
        /// SQS's words.
        message: String,
    },
    /// A message is not as we write them.
    #[error("the message is not understood")]
    NotOurs(#[from] serde_json::Error),
    /// A name in a message does not have the form that AWS gives it.
    #[error("the message is malformed")]
    Malformed(#[from] Malformed),
}
