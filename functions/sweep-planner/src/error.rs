//! The error of a sweep that cannot begin.

use facts::Malformed;
use organization::OrganizationError;
use queue::QueueError;
use state::StateError;

/// The error of a sweep that cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum PlannerError {
    /// The request names an account that does not have the form that AWS defines.
    #[error("the request names a malformed account")]
    Request(#[from] Malformed),
    /// The accounts of the organization could not be read.
    #[error(transparent)]
    Organization(#[from] OrganizationError),
    /// The table of states did not answer.
    #[error(transparent)]
    State(#[from] StateError),
    /// The queue did not answer.
    #[error(transparent)]
    Queue(#[from] QueueError),
}
