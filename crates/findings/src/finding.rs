//! A finding, as far as cmkwatch has a say in it.

use crate::{About, Transition, fields};
use controls::Severity;
use facts::Place;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// The type of every finding, of the [types taxonomy](https://docs.aws.amazon.com/securityhub/latest/userguide/asff-type-taxonomy.html).
pub const TYPE: &str = "Software and Configuration Checks/AWS Security Best Practices";

/// A finding in the terms of [ASFF](https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-findings-format.html).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// See [`About::id`].
    pub id: String,
    /// What it is about.
    pub about: About,
    /// Whose Security Hub it stands in: that of the place that it is about, or, where that is not enabled, the hub's own.
    pub place: Place,
    /// `cmkwatch/` and the control's slug.
    pub generator_id: String,
    /// At most 256 characters.
    pub title: String,
    /// At most 1024 characters.
    pub description: String,
    /// What we say; what Security Hub shows may be an analyst's own.
    pub severity: Severity,
    /// What the control came to.
    pub compliance: Compliance,
    /// Why, where it did not pass.
    pub reasons: Vec<Reason>,
    /// What the finding is evidence for; at most 32.
    pub requirements: Vec<String>,
    /// What to do, at most 512 characters.
    pub remediation: String,
    /// Where to read more.
    pub reference: String,
    /// The bucket, and the key where it is known; or the account.
    pub resources: Vec<Resource>,
    /// A hash of what was judged; empty if the finding has none. A finding is imported again if it differs.
    pub fingerprint: String,
    /// See [`crate::fields`].
    pub product_fields: BTreeMap<String, String>,
    /// Whether it still stands.
    pub record_state: RecordState,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the bucket was first judged.
    pub first_observed_at: Timestamp,
    /// When the bucket was read; of two imports Security Hub keeps the one whose moment is later.
    pub updated_at: Timestamp,
    /// How far the customer is with it. Security Hub takes it from us for a new finding only; after that it is the
    /// analysts'.
    pub workflow: Workflow,
}

impl Finding {
    /// The slug of the control.
    #[must_use]
    pub fn slug(&self) -> &str {
        self.id.rsplit('/').next().unwrap_or_default()
    }

    /// The ARN of the key among the resources; `None` if there is none.
    pub(crate) fn key(&self) -> Option<&str> {
        let key = self.resources.iter().find(|resource| matches!(resource, Resource::Key(_)));
        key.map(Resource::arn)
    }

    /// Returns the transition that the fields of the finding name; `None` if they name none.
    pub(crate) fn transition(&self) -> Option<Transition> {
        self.product_fields.get(fields::TRANSITION).and_then(|word| Transition::of_word(word))
    }
}

/// `Compliance.Status`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compliance {
    /// The control passed.
    Passed,
    /// The control failed.
    Failed,
    /// It could not be told.
    Warning,
}

impl Compliance {
    /// The word of ASFF.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "PASSED",
            Self::Failed => "FAILED",
            Self::Warning => "WARNING",
        }
    }

    /// The status that a word of ASFF names, if it is one that we use.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Passed, Self::Failed, Self::Warning]
            .into_iter()
            .find(|status| status.as_str() == word)
    }
}

/// An entry of `Compliance.StatusReasons`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The fact in question, in capitals: `KEY_STATE`.
    pub code: String,
    /// What it is and what was wanted.
    pub description: String,
}

/// Something that the finding is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// The bucket, by its ARN.
    Bucket(String),
    /// The key, by its ARN.
    Key(String),
    /// The account, as ASFF [writes it](https://docs.aws.amazon.com/securityhub/latest/userguide/asff-resources-attributes.html).
    Account(String),
}

impl Resource {
    /// `Resources[].Type`
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bucket(_) => "AwsS3Bucket",
            Self::Key(_) => "AwsKmsKey",
            Self::Account(_) => "AwsAccount",
        }
    }

    /// `Resources[].Id`
    #[must_use]
    pub fn arn(&self) -> &str {
        match self {
            Self::Bucket(arn) | Self::Key(arn) | Self::Account(arn) => arn,
        }
    }
}

/// `RecordState`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordState {
    /// The finding stands.
    Active,
    /// What it was about is no more, or the control no longer applies.
    Archived,
}

/// `Workflow.Status`: how far the customer is with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workflow {
    /// Nobody looked at it yet.
    New,
    /// The owner was told.
    Notified,
    /// The customer decided to take no action.
    Suppressed,
    /// There is nothing left to do.
    Resolved,
}

impl Workflow {
    /// The word of ASFF.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Notified => "NOTIFIED",
            Self::Suppressed => "SUPPRESSED",
            Self::Resolved => "RESOLVED",
        }
    }

    /// The status that a word of ASFF names, if it is one.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        let all = [Self::New, Self::Notified, Self::Suppressed, Self::Resolved];
        all.into_iter().find(|status| status.as_str() == word)
    }
}
