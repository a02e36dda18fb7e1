//! The error of a part of a sweep.

use collect::CollectError;
use facts::Malformed;
use organization::OrganizationError;
use publish::PublishError;
use queue::QueueError;
use state::StateError;
use watch::WatchError;

/// The error of a part of a sweep.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SweepError {
    /// The message is not one of cmkwatch.
    #[error("message not understood")]
    Message(#[source] QueueError),
    /// An evaluation failed, or one of its calls.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// The run had no time left.
    #[error("time limit reached")]
    TimeLimit,
    /// The whole run finished no bucket.
    #[error("time limit reached before a single bucket was finished")]
    NoBucketFinished,
}

/// Errors of calls that an evaluation makes, too.
macro_rules! from_calls {
    ($($error:ty),*) => {
        $(impl From<$error> for SweepError {
            fn from(error: $error) -> Self {
                Self::Watch(error.into())
            }
        })*
    };
}

from_calls!(CollectError, Malformed, OrganizationError, PublishError, QueueError, StateError);
