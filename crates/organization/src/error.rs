//! The error of a call to Organizations.

use aws_sdk_organizations::error::{ProvideErrorMetadata, SdkError};
use facts::Unreadable;
use std::error::Error;

/// The error of a call to Organizations. A retry may help, unless the call was refused.
#[derive(Debug, thiserror::Error)]
pub enum OrganizationError {
    /// Organizations refused the call.
    #[error(transparent)]
    Refused(Unreadable),
    /// The call failed.
    #[error("{permission} on {subject} failed")]
    Call {
        /// The IAM action of the call.
        permission: &'static str,
        /// The organization, or an account.
        subject: String,
        /// The error of the SDK.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// An account in the list has no valid id.
    #[error("organizations:ListAccounts returned an account without a valid id")]
    NoId,
}

impl OrganizationError {
    pub(crate) fn of<E, R>(permission: &'static str, subject: String, error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        match error.as_service_error().and_then(ProvideErrorMetadata::code) {
            Some(code) if calls::is_refusal(code) => {
                Self::Refused(Unreadable { permission, subject, code: code.to_owned() })
            }
            _ => Self::Call { permission, subject, source: Box::new(error) },
        }
    }
}
