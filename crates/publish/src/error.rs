//! The errors of Security Hub, and the reasons why a Security Hub cannot be used.

use aws_sdk_securityhub::types::{BatchUpdateFindingsUnprocessedFinding, ImportFindingsError};
use facts::Place;
use std::error::Error;

/// The reason why Security Hub did not accept or return a finding.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A whole call failed.
    #[error("{permission} in the Security Hub of {place} failed")]
    Call {
        /// The IAM action of the call.
        permission: &'static str,
        /// The account and region of the Security Hub.
        place: Place,
        /// The reason why the Security Hub cannot be used; `None` if a retry may help.
        closed: Option<Closed>,
        /// The error of the SDK.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Security Hub refused to import a finding, even alone, or did not set its workflow status.
    /// The code `InvalidAccess` means that Security Hub is not enabled there.
    #[error("Security Hub refused finding `{id}` ({code}): {message}")]
    Refused {
        /// The finding's id.
        id: String,
        /// The error code of Security Hub.
        code: String,
        /// The error message of Security Hub.
        message: String,
    },
    /// A stored finding does not have the form that cmkwatch writes.
    #[error("finding `{id}` in Security Hub cannot be understood: {what}")]
    NotOurs {
        /// The finding's id.
        id: String,
        /// The missing or malformed field.
        what: &'static str,
    },
}

/// The reason why a Security Hub accepts and returns nothing. A retry does not help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// Security Hub is not enabled in that account and region.
    Off,
    /// The role may not use Security Hub. The text is the error code.
    Refused(String),
    /// STS refused the role in the account.
    NoRole,
}

impl Closed {
    /// Returns the reason that the code of an error names, or `None` if a retry may help. The codes
    /// are listed for
    /// [GetFindings](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_GetFindings.html).
    pub(crate) fn by(code: Option<&str>, error: &(dyn Error + 'static)) -> Option<Self> {
        if calls::is_refused_role(error) {
            return Some(Self::NoRole);
        }
        match code? {
            // DescribeHub also returns `ResourceNotFoundException`.
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
    /// Returns the id of the finding that caused the error; `None` if a whole call failed.
    #[must_use]
    pub fn finding(&self) -> Option<&str> {
        match self {
            Self::Refused { id, .. } | Self::NotOurs { id, .. } => Some(id),
            Self::Call { .. } => None,
        }
    }

    /// Returns true if the role in the account was refused.
    #[must_use]
    pub fn is_refused_role(&self) -> bool {
        self.closed() == Some(&Closed::NoRole)
    }

    /// Returns the reason why the Security Hub cannot be used; `None` if it can, or if a retry may
    /// help.
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
