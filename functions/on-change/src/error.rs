//! The reason why a message cannot be understood.

use facts::Malformed;
use queue::QueueError;

/// The reason why a message cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The message is not an EventBridge event.
    #[error("the message is not an EventBridge event")]
    NoEvent(#[source] serde_json::Error),
    /// The message is a request of cmkwatch itself, in a form that this version cannot read.
    #[error("the request is not understood")]
    NoRequest(#[source] QueueError),
    /// The event names no bucket, key, account or region.
    #[error("the {call} event has no {what}")]
    Lacks {
        /// The API call.
        call: String,
        /// The field that is missing.
        what: &'static str,
    },
    /// The event tags something that is neither a bucket nor of another known kind.
    #[error(
        "the {call} event is about `{arn}`, of a kind that this version of cmkwatch does not know"
    )]
    UnknownResource {
        /// The API call.
        call: String,
        /// The ARN of the resource.
        arn: String,
    },
    /// A name in the event does not have the form that AWS gives it.
    #[error("the {call} event is malformed")]
    Malformed {
        /// The API call.
        call: String,
        /// The name and its expected form.
        #[source]
        source: Malformed,
    },
}
