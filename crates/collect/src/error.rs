//! Decides if a failed call makes a fact unreadable, or if it is an error after which the bucket is
//! read again.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use facts::{Fact, Unreadable};
use std::error::Error;

/// The reason why there is no fact, not even an unreadable one. A retry may help.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The role in the account gave no credentials.
    #[error(
        "no credentials for `{subject}`: the role in its account could not be assumed; is the member stack deployed there?"
    )]
    Credentials {
        /// The bucket, key or account that was to be read.
        subject: String,
        /// True if STS refused. False if STS could not be reached or failed.
        refused: bool,
        /// The error of the SDK.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A call got no answer, or an error that is no fact about its subject.
    #[error("{permission} on {subject} failed")]
    Call {
        /// The IAM action of the call.
        permission: &'static str,
        /// The bucket, key, account or other subject of the call.
        subject: String,
        /// True if AWS answered with an error. False if no answer arrived.
        answered: bool,
        /// The error of the SDK.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The bucket is in another region than expected.
    #[error("{subject} is in region `{region}`")]
    OtherRegion {
        /// The bucket.
        subject: String,
        /// The region that S3 names.
        region: String,
    },
    /// An answer lacks a field that the API promises, or the field is malformed.
    #[error("{permission} on {subject} answered without {what}")]
    Incomplete {
        /// The IAM action of the call.
        permission: &'static str,
        /// The bucket, key, account or other subject of the call.
        subject: String,
        /// The missing field.
        what: &'static str,
    },
}

impl CollectError {
    /// Returns true if the account has no role that cmkwatch may assume.
    #[must_use]
    pub fn is_refused_role(&self) -> bool {
        matches!(self, Self::Credentials { refused: true, .. })
    }

    /// Returns true if a call got no answer.
    pub(crate) fn is_unanswered(&self) -> bool {
        matches!(self, Self::Call { answered: false, .. })
    }
}

/// The permission and the subject of a call, for errors and unreadable facts.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// The IAM action of the call.
    pub(crate) permission: &'static str,
    /// The bucket, key, account or other subject of the call.
    pub(crate) subject: String,
}

impl Question {
    /// Returns an unreadable fact if AWS refused a call, and an error if the call failed in another
    /// way.
    pub(crate) fn classify<T, E, R>(self, error: SdkError<E, R>) -> Result<Fact<T>, CollectError>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let Self { permission, subject } = self;
        match code(&error) {
            Some(code) if calls::is_refusal(code) => {
                Ok(Fact::Unreadable(Unreadable { permission, subject, code: code.to_owned() }))
            }
            _ if calls::has_no_credentials(&error) => {
                let refused = calls::is_refused_role(&error);
                Err(CollectError::Credentials { subject, refused, source: Box::new(error) })
            }
            _ => {
                let answered = error.raw_response().is_some();
                Err(CollectError::Call { permission, subject, answered, source: Box::new(error) })
            }
        }
    }

    pub(crate) fn incomplete(self, what: &'static str) -> CollectError {
        CollectError::Incomplete { permission: self.permission, subject: self.subject, what }
    }
}

/// Returns the error code of an answer; `None` if no answer arrived or it has no code.
pub(crate) fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}
