//! The errors of sending messages and of reading them.

use facts::Malformed;
use std::error::Error;

/// The reason why messages were not sent, counted or understood.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The whole call failed.
    #[error("{permission} to {queue} failed")]
    Call {
        /// The IAM action of the call.
        permission: &'static str,
        /// The queue's URL.
        queue: String,
        /// The error of the SDK.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// SQS refused a message of a batch.
    #[error("{queue} refused a message ({code}): {message}")]
    Refused {
        /// The queue's URL.
        queue: String,
        /// The error code of SQS.
        code: String,
        /// The error message of SQS.
        message: String,
    },
    /// A message does not have the form that cmkwatch writes, or cannot be written.
    #[error("the message is not understood")]
    NotOurs(#[from] serde_json::Error),
    /// An account, region, bucket or key in a message does not have the form that AWS defines.
    #[error("the message is malformed")]
    Malformed(#[from] Malformed),
}
