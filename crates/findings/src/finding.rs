//! A finding, as far as cmkwatch writes it.
//!
//! The crate `publish` translates findings to and from the [format of Security
//! Hub](https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-findings-format.html).

use crate::{About, Compliance, ProductFields, RecordState, Slug, Summary, Transition, Workflow};
use controls::Severity;
use facts::{KeyArn, Place};
use jiff::Timestamp;

/// The type of every finding, from the [types
/// taxonomy](https://docs.aws.amazon.com/securityhub/latest/userguide/asff-type-taxonomy.html).
pub const TYPE: &str = "Software and Configuration Checks/AWS Security Best Practices";

/// A finding in the terms of
/// [ASFF](https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-findings-format.html).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The subject of the finding.
    pub about: About,
    /// The slug of the control.
    pub slug: Slug,
    /// The place whose Security Hub stores the finding. If Security Hub is not enabled in the place
    /// of the subject, the Security Hub of the hub account stores it.
    pub stored_in: Place,
    /// The title, at most 256 characters.
    pub title: String,
    /// The description, at most 1024 characters.
    pub description: String,
    /// The severity that cmkwatch gives. Security Hub may show another one, set by an analyst.
    pub severity: Severity,
    /// The result of the control.
    pub compliance: Compliance,
    /// The reasons, if the control did not pass.
    pub reasons: Vec<Reason>,
    /// The requirements that the finding is evidence for, at most 32.
    pub requirements: Vec<String>,
    /// The remediation, at most 512 characters.
    pub remediation: String,
    /// The link to the documentation.
    pub reference: String,
    /// The bucket, and its key if that is known; or the account.
    pub resources: Vec<Resource>,
    /// A hash of what was judged; empty if the finding has none. A finding whose hash differs is
    /// imported again.
    pub fingerprint: String,
    /// The values that Security Hub's format has no attribute for.
    pub product_fields: ProductFields,
    /// Active, or archived.
    pub record_state: RecordState,
    /// The time of creation.
    pub created_at: Timestamp,
    /// The moment just before AWS was read for the first verdict of the control.
    pub first_observed_at: Timestamp,
    /// The moment just before AWS was read, or a second after the import before if that is later.
    /// Of two imports, Security Hub keeps the one with the later `UpdatedAt`.
    pub updated_at: Timestamp,
    /// The workflow status. Security Hub takes it from an import only if the finding is new. After
    /// that it belongs to the analysts.
    pub workflow: Workflow,
}

impl Finding {
    /// Returns the id. See [`About::id`].
    #[must_use]
    pub fn id(&self) -> String {
        self.about.id(self.slug.as_str())
    }

    /// Returns the parts of the finding that decide if anything changed.
    pub(crate) fn summary(&self) -> Summary {
        let fingerprint = self.fingerprint.clone();
        Summary { status: self.compliance, severity: self.severity, fingerprint }
    }

    /// Returns the ARN of the key among the resources; `None` if there is none.
    pub(crate) fn key(&self) -> Option<&KeyArn> {
        self.resources.iter().find_map(|resource| match resource {
            Resource::Key(arn) => Some(arn),
            Resource::Bucket(_) | Resource::Account(_) => None,
        })
    }

    /// Returns the transition that the finding reports; `None` if it reports none.
    pub(crate) fn transition(&self) -> Option<Transition> {
        self.product_fields.transition
    }
}

/// An entry of `Compliance.StatusReasons`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The name of the fact, in capitals: `KEY_STATE`.
    pub code: String,
    /// The value of the fact and the expected value.
    pub description: String,
}

/// A resource of the finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// The bucket, by its ARN.
    Bucket(String),
    /// The key, by its ARN.
    Key(KeyArn),
    /// The account, as ASFF [writes
    /// it](https://docs.aws.amazon.com/securityhub/latest/userguide/asff-resources-attributes.html).
    Account(String),
}

impl Resource {
    /// Returns the type of the resource, `Resources[].Type` in ASFF.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bucket(_) => "AwsS3Bucket",
            Self::Key(_) => "AwsKmsKey",
            Self::Account(_) => "AwsAccount",
        }
    }

    /// Returns the id of the resource, `Resources[].Id` in ASFF.
    #[must_use]
    pub fn arn(&self) -> &str {
        match self {
            Self::Bucket(arn) | Self::Account(arn) => arn,
            Self::Key(arn) => arn.as_str(),
        }
    }
}
