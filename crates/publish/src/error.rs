//! What can go wrong between us and Security Hub.

use aws_sdk_securityhub::types::{BatchUpdateFindingsUnprocessedFinding, ImportFindingsError};
use std::error::Error;

/// Something that Security Hub did not take, or did not tell.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A call failed as a whole.
    #[error("{permission} in the Security Hub of account {account}, region {region} failed")]
    Call {
        /// The IAM action of the call.
        permission: &'static str,
        /// Whose Security Hub.
        account: String,
        /// Where.
        region: String,
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
