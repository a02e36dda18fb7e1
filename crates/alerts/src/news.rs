//! What an event of Security Hub says of one finding.

use controls::Severity;
use facts::Place;
use findings::{About, Compliance, Transition, Workflow};
use jiff::{SignedDuration, Timestamp};

/// How long after a bucket was read the event of its import may come. What comes later is an edit: an import follows the
/// reading within seconds, and an edit [leaves `UpdatedAt` alone](https://docs.aws.amazon.com/securityhub/latest/userguide/finding-update-batchupdatefindings.html).
pub const LATEST_IMPORT: SignedDuration = SignedDuration::from_mins(15);

/// What an event says of one finding. Its texts are as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The finding's id.
    pub id: String,
    /// What it is about.
    pub about: About,
    /// The control's slug.
    pub control: String,
    /// What must hold.
    pub title: String,
    /// What happened to it.
    pub transition: Transition,
    /// How bad it is, as Security Hub shows it: an analyst may have changed it.
    pub severity: Severity,
    /// What it was before, where there was one.
    pub before: Option<Compliance>,
    /// How bad it was before.
    pub severity_before: Option<Severity>,
    /// Its workflow status before the import.
    pub workflow_before: Option<Workflow>,
    /// Its workflow status now.
    pub workflow: Workflow,
    /// When what it is about was read.
    pub updated_at: Timestamp,
    /// When somebody wrote the note that it carries.
    pub noted_at: Option<Timestamp>,
    /// When Security Hub sent the event.
    pub sent_at: Timestamp,
    /// The name of the account that owns what it is about.
    pub account_name: Option<String>,
    /// The bucket's class, and the level that this requires.
    pub class: Option<(String, String)>,
    /// What decided.
    pub evidence: Vec<Evidence>,
    /// Who changed it; none where the sweep found it.
    pub changed: Option<Changed>,
    /// What to do.
    pub remediation: String,
    /// Where to read more.
    pub reference: Option<String>,
}

/// A fact that decided, as the finding tells it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Evidence {
    /// What was looked at, or the permission that was refused.
    pub fact: String,
    /// What it is, or what came instead of an answer.
    pub value: String,
    /// What was wanted.
    pub wanted: String,
}

/// The API call that made cmkwatch look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The principal that made it.
    pub by: Option<String>,
    /// The API call.
    pub call: String,
    /// When, as CloudTrail writes it.
    pub at: Option<String>,
}

impl News {
    /// Where what it is about lies.
    #[must_use]
    pub fn place(&self) -> Place {
        self.about.place()
    }

    /// How bad it is; for what is resolved, how bad it was.
    #[must_use]
    pub fn weight(&self) -> Severity {
        match self.transition {
            Transition::Resolved => self.severity_before.unwrap_or(self.severity),
            _ => self.severity,
        }
    }

    /// True where the event is of somebody's edit, and not of the import that the finding still tells of.
    #[must_use]
    pub fn is_edit(&self) -> bool {
        self.is_noted() || self.is_closed_since() || self.sent_at.duration_since(self.updated_at) > LATEST_IMPORT
    }

    fn is_noted(&self) -> bool {
        self.noted_at.is_some_and(|noted_at| noted_at > self.updated_at)
    }

    /// What passes is set RESOLVED once it is imported, which is an event of its own.
    fn is_closed_since(&self) -> bool {
        self.transition == Transition::Resolved
            && self.workflow == Workflow::Resolved
            && matches!(self.workflow_before, Some(Workflow::New | Workflow::Notified))
    }

    /// True where people want to hear of it at all, however bad it is: what needs somebody who has not yet looked at it, and
    /// that it is over.
    #[must_use]
    pub fn concerns_people(&self) -> bool {
        match self.transition {
            Transition::Opened | Transition::Worsened | Transition::Unreadable => self.workflow == Workflow::New,
            Transition::Resolved => true,
            Transition::Eased
            | Transition::Changed
            | Transition::FirstSeen
            | Transition::Gone
            | Transition::Unchanged => false,
        }
    }
}
