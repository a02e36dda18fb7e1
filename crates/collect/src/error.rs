//! What an answer of AWS means for a fact.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use facts::{Fact, Unreadable};
use std::error::Error;

/// Why there is no fact, not even an unreadable one; trying again may help.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The role in the account gave no credentials.
    #[error(
        "no credentials for `{subject}`: the role in its account could not be assumed; is the member stack deployed there?"
    )]
    Credentials {
        /// What was to be read.
        subject: String,
        /// True where STS refused, false where it was not reached or is not well.
        refused: bool,
        /// What STS said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A call was not answered, or with an error that says nothing of the bucket.
    #[error("{permission} on {subject} failed")]
    Call {
        /// The IAM action of the call.
        permission: &'static str,
        /// What was asked about.
        subject: String,
        /// True where AWS answered, if with an error.
        answered: bool,
        /// What went wrong.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// AWS refused what nothing can be done without.
    #[error("{0}")]
    Refused(#[source] Unreadable),
    /// The bucket lies in another region than was thought.
    #[error("{subject} lies in region `{region}`")]
    OtherRegion {
        /// The bucket.
        subject: String,
        /// The region that S3 names.
        region: String,
    },
    /// An answer lacks what the API says it has.
    #[error("{permission} on {subject} answered without {what}")]
    Incomplete {
        /// The IAM action of the call.
        permission: &'static str,
        /// What was asked about.
        subject: String,
        /// What is missing.
        what: &'static str,
    },
}

impl CollectError {
    /// True where there is no role in the account that we may assume.
    #[must_use]
    pub fn is_refused_role(&self) -> bool {
        matches!(self, Self::Credentials { refused: true, .. })
    }

    /// True where nobody answered.
    pub(crate) fn is_unanswered(&self) -> bool {
        matches!(self, Self::Call { answered: false, .. })
    }
}

/// The codes by which AWS says that the caller may not know, or cannot know now, which asking again does not change:
/// [S3](https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html),
/// [KMS](https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html).
const REFUSALS: [&str; 10] = [
    "AccessDenied",
    "AccessDeniedException",
    "AllAccessDisabled",
    "AccountProblem",
    // KMS does not answer for a key in this state: its store is disconnected, or its material is missing.
    "KMSInvalidStateException",
    "MethodNotAllowed",
    "NotSignedUp",
    "OptInRequired",
    "UnrecognizedClientException",
    "ValidationException",
];

/// What was asked, and of what.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// The IAM action of the call.
    pub(crate) permission: &'static str,
    /// What it is about.
    pub(crate) subject: String,
}

impl Question {
    /// The fact that a failed call leaves: unreadable where AWS refused, an error where it did not answer.
    pub(crate) fn unanswered<T, E, R>(self, error: SdkError<E, R>) -> Result<Fact<T>, CollectError>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let Self { permission, subject } = self;
        match code(&error) {
            Some(code) if REFUSALS.contains(&code) => {
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

/// The error code of the answer, where there was one.
pub(crate) fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}
