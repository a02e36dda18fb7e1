//! What can go wrong between us and Security Hub.

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
