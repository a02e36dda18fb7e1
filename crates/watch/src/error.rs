//! The error of an evaluation.

use collect::CollectError;
use facts::{AccountId, BucketId, Malformed};
use jiff::Timestamp;
use organization::OrganizationError;
use publish::PublishError;
use queue::QueueError;
use state::StateError;
use std::sync::Arc;

/// The error of an evaluation. A repeated evaluation does what is missing.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// AWS could not be read.
    #[error(transparent)]
    Collect(#[from] CollectError),
    /// Organizations did not answer, or refused the call.
    #[error(transparent)]
    Organization(#[from] OrganizationError),
    /// Security Hub did not answer, or refused a finding.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The queue did not answer, or a message could not be written.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The table of states did not answer.
    #[error(transparent)]
    State(#[from] StateError),
    /// A name does not have the form that AWS defines.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A newer deployment has committed within the last hour.
    #[error(transparent)]
    Superseded(#[from] Superseded),
    /// The account left the organization or was closed, and its state is being removed or is gone.
    /// A late message about such an account would bring back archived findings.
    #[error("account {0} left the organization or was closed")]
    Departed(AccountId),
    /// A later look at the account was committed.
    #[error("a later look at the account was committed")]
    Outdated,
    /// The bucket was different at each of several looks.
    #[error("the bucket was different at each of {looks} looks")]
    Unsettled {
        /// The number of looks.
        looks: usize,
    },
    /// Another version was committed during each of several edits of a workflow status.
    #[error("another version was committed during each of {edits} edits of a workflow status")]
    StatusUnsettled {
        /// The number of edits.
        edits: usize,
    },
    /// Security Hub is off in a place, and that could not be published.
    #[error("Security Hub is off there, and that could not be published")]
    OffUnpublished(#[source] Box<Self>),
    /// The findings that Security Hub holds could not be read.
    #[error("the findings that Security Hub holds are not known")]
    HeldUnknown(#[source] Arc<PublishError>),
    /// Security Hub was not repaired.
    #[error("Security Hub was not repaired")]
    Unrepaired(#[source] Box<Self>),
    /// The findings of a bucket of an account that left were not archived.
    #[error("findings of {bucket} not archived")]
    Unretired {
        /// The bucket.
        bucket: BucketId,
        /// The cause.
        source: Box<Self>,
    },
}

/// The error if a newer deployment has committed within the last hour. This deployment must not
/// overwrite that state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("deployment {own} is older than {by}, which committed at {at}")]
pub struct Superseded {
    /// The newer deployment.
    pub by: u64,
    /// The time at which the newer deployment read AWS.
    pub at: Timestamp,
    /// The deployment that runs.
    pub own: u64,
}

impl WatchError {
    /// Returns the error that caused this one, or this error itself. What to do depends on the
    /// cause, and not on the step that failed.
    #[must_use]
    pub fn cause(&self) -> &Self {
        match self {
            Self::OffUnpublished(source) | Self::Unrepaired(source) => source.cause(),
            Self::Unretired { source, .. } => source.cause(),
            _ => self,
        }
    }

    /// Returns true if the role in the account was refused.
    #[must_use]
    pub fn is_refused_role(&self) -> bool {
        match self.cause() {
            Self::Collect(error) => error.is_refused_role(),
            Self::Publish(error) => error.is_refused_role(),
            Self::HeldUnknown(error) => error.is_refused_role(),
            _ => false,
        }
    }

    /// Returns the error of Security Hub, if one caused this error.
    pub(crate) fn of_security_hub(&self) -> Option<&PublishError> {
        match self.cause() {
            Self::Publish(error) => Some(error),
            Self::HeldUnknown(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the region that S3 names, if the bucket is in another region than expected.
    pub(crate) fn other_region(&self) -> Option<&str> {
        match self {
            Self::Collect(CollectError::OtherRegion { region, .. }) => Some(region),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_error_keeps_its_cause() {
        let superseded = Superseded { by: 2, at: Timestamp::UNIX_EPOCH, own: 1 };
        let wrapped = WatchError::OffUnpublished(Box::new(WatchError::Superseded(superseded)));
        let twice = WatchError::Unrepaired(Box::new(wrapped));
        assert!(matches!(twice.cause(), WatchError::Superseded(_)), "{twice:?}");
    }
}
