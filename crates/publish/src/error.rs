//! What can go wrong between us and Security Hub.

use aws_sdk_securityhub::types::{BatchUpdateFindingsUnprocessedFinding, ImportFindingsError};
use facts::Place;
use std::error::Error;

/// Something that Security Hub did not take, or did not tell.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A call failed as a whole.
    #[error("{permission} in the Security Hub of {place} failed")]
    Call {
        /// The IAM action of the call.
        permission: &'static str,
        /// Whose Security Hub, and where.
        place: Place,
        /// Whether it is one that is not there for us.
        closed: Option<Closed>,
        /// What went wrong.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// One finding was refused, alone too. `InvalidAccess` means that Security Hub is not enabled there.
    #[error("Security Hub refused finding `{id}` ({code}): {message}")]
    Refused {
        /// The finding's id.
        id: String,
        /// Security Hub's code.
        code: String,
        /// Security Hub's words.
        message: String,
    },
    /// A finding that stands is not as we wrote it.
    #[error("finding `{id}` in Security Hub cannot be understood: {what}")]
    NotOurs {
        /// The finding's id.
        id: String,
        /// What is missing or malformed.
        what: &'static str,
    },
}

/// Why a Security Hub takes and tells nothing, which asking again does not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// It is not enabled in that account and region.
    Off,
    /// The role may not use it, by this code.
    Refused(String),
    /// The role in the account was refused.
    NoRole,
}

impl Closed {
    /// By the code of an error, if there is one: see
    /// [GetFindings](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_GetFindings.html).
    pub(crate) fn by(code: Option<&str>, error: &(dyn Error + 'static)) -> Option<Self> {
        if calls::is_refused_role(error) {
            return Some(Self::NoRole);
        }
        match code? {
            // DescribeHub knows the other one, too.
            "InvalidAccessException" | "ResourceNotFoundException" => Some(Self::Off),
            code @ ("AccessDenied"
            | "AccessDeniedException"
            | "UnrecognizedClientException"
            | "OptInRequired") => Some(Self::Refused(code.to_owned())),
            _ => None,
        }
    }
}

impl PublishError {
    /// The id of the finding that it is about, if it is about one.
    #[must_use]
    pub fn finding(&self) -> Option<&str> {
        match self {
            Self::Refused { id, .. } | Self::NotOurs { id, .. } => Some(id),
            Self::Call { .. } => None,
        }
    }

    /// Why the Security Hub is closed to us, where it is.
    #[must_use]
    pub fn closed(&self) -> Option<&Closed> {
        match self {
            Self::Call { closed, .. } => closed.as_ref(),
            Self::Refused { .. } | Self::NotOurs { .. } => None,
        }
    }
}

impl From<ImportFindingsError> for PublishError {
    fn from(refusal: ImportFindingsError) -> Self {
        Self::Refused {
            id: refusal.id.unwrap_or_default(),
            code: refusal.error_code.unwrap_or_default(),
            message: refusal.error_message.unwrap_or_default(),
        }
    }
}

impl From<BatchUpdateFindingsUnprocessedFinding> for PublishError {
    fn from(left: BatchUpdateFindingsUnprocessedFinding) -> Self {
        Self::Refused {
            id: left.finding_identifier.and_then(|identifier| identifier.id).unwrap_or_default(),
            code: left.error_code.unwrap_or_default(),
            message: left.error_message.unwrap_or_default(),
        }
    }
}
