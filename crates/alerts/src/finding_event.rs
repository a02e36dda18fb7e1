//! The content of an event of Security Hub about one finding.
//!
//! This module must agree with the table in `docs/finding-lifecycle.md`.

use crate::silence::Silence;
use controls::{Control, Severity};
use facts::Place;
use findings::{About, ApiCall, ClassField, Compliance, EvidenceText, Transition, Workflow};
use jiff::{SignedDuration, Timestamp, civil::Date};

/// The longest time between `UpdatedAt` and the event of an import, if the event carries what
/// somebody else wrote into the finding.
///
/// An [automation
/// rule](https://docs.aws.amazon.com/securityhub/latest/userguide/automation-rules.html) edits a
/// finding before the event of its import is sent. An edit [leaves `UpdatedAt`
/// alone](https://docs.aws.amazon.com/securityhub/latest/userguide/finding-update-batchupdatefindings.html).
const LATEST_IMPORT: SignedDuration = SignedDuration::from_mins(15);

/// The longest time between `UpdatedAt` and the event of any import. A later event is an edit, even
/// if it carries no trace of one: a workflow status that was changed and changed back leaves none.
/// No run of a function lasts so long, so no import is that late.
const NO_IMPORT: SignedDuration = SignedDuration::from_hours(24);

/// The longest time between `UpdatedAt` and a note that an automation rule wrote. A note has a time
/// of its own. No person has read the finding by then.
const EARLIEST_NOTE: SignedDuration = SignedDuration::from_mins(2);

/// The content of an event about one finding. Its texts are not cleaned.
#[derive(Debug, Clone)]
pub struct FindingEvent {
    /// The id of the finding.
    pub id: String,
    /// The subject of the finding.
    pub about: About,
    /// The control of the finding.
    pub control: &'static Control,
    /// The transition of the finding.
    pub transition: Transition,
    /// The version of the state that last changed the finding. An earlier version of cmkwatch does
    /// not write it. Then the version is `UpdatedAt` in milliseconds.
    pub state_version: u64,
    /// The severity that Security Hub shows. The customer may have changed it.
    pub severity: Severity,
    /// The compliance status of the finding.
    pub status: Compliance,
    /// The compliance status before the change; `None` if there was no active finding.
    pub before: Option<Compliance>,
    /// The severity before the change; `None` if there was no active finding.
    pub severity_before: Option<Severity>,
    /// The worst severity since the control last passed.
    pub worst: Option<Severity>,
    /// The workflow status before the import.
    pub workflow_before: Option<Workflow>,
    /// The workflow status now.
    pub workflow: Workflow,
    /// `UpdatedAt`: the moment just before AWS was read, or a second after the import before if
    /// that is later.
    pub updated_at: Timestamp,
    /// The time at which somebody wrote the note of the finding; `None` if it has no note.
    pub noted_at: Option<Timestamp>,
    /// True if the finding carries anything else that only the customer can write.
    pub has_customer_edits: bool,
    /// The time at which Security Hub sent the event.
    pub sent_at: Timestamp,
    /// The name of the account that owns the subject; `None` if the event does not name that
    /// account.
    pub account_name: Option<String>,
    /// The class of the bucket, and the level that the class requires.
    pub class: Option<ClassField>,
    /// The facts that decided the verdict.
    pub evidence: Vec<EvidenceText>,
    /// The API call behind the last change; `None` if the sweep found the change.
    pub api_call: Option<ApiCall>,
    /// The last day of an exemption that ended.
    pub exemption_ended: Option<Date>,
    /// A policy statement that fixes the failure, as JSON.
    pub statement: Option<String>,
}

impl FindingEvent {
    /// Returns the account and the region of the subject.
    #[must_use]
    pub fn place(&self) -> Place {
        self.about.place()
    }

    /// Returns the severity for an alert. For a resolved finding, this is how severe it was.
    #[must_use]
    pub fn alert_severity(&self) -> Severity {
        match self.transition {
            Transition::Resolved => self.worst.or(self.severity_before).unwrap_or(self.severity),
            _ => self.severity,
        }
    }

    /// Returns true if the event surely reports an edit, and not the import that the finding still
    /// describes.
    ///
    /// An event that carries what only the customer writes is an edit if it is too late for an
    /// import. In case of doubt, the event is an import.
    #[must_use]
    pub fn is_edit(&self) -> bool {
        let noted = self.noted_at.map(|noted_at| noted_at.duration_since(self.updated_at));
        let is_noted = noted.is_some_and(|after| after.is_positive());
        noted.is_some_and(|after| after > EARLIEST_NOTE)
            || self.sent_after() > NO_IMPORT
            || (self.sent_after() > LATEST_IMPORT && (is_noted || self.has_customer_edits))
    }

    /// Returns true if the event surely reports an import that was just made.
    #[must_use]
    pub(crate) fn is_fresh(&self) -> bool {
        self.sent_after() < EARLIEST_NOTE && self.noted_at.is_none() && !self.has_customer_edits
    }

    fn sent_after(&self) -> SignedDuration {
        self.sent_at.duration_since(self.updated_at)
    }

    /// Returns the reason why nobody needs an alert about the event, at any severity; `None` if
    /// people do.
    pub(crate) fn silence(&self) -> Option<Silence> {
        match self.transition {
            _ if self.is_alertable() => None,
            Transition::Opened | Transition::Worsened | Transition::Unreadable => {
                Some(Silence::TakenUp)
            }
            Transition::Resolved => Some(Silence::NotClosed),
            Transition::Eased | Transition::Changed | Transition::FirstSeen => Some(Silence::Minor),
            Transition::Gone => Some(Silence::Gone),
            Transition::Moved => Some(Silence::Moved),
            Transition::Unchanged => Some(Silence::Unchanged),
        }
    }

    /// Returns true if people want an alert about the event, at any severity.
    ///
    /// That is so for new work that nobody has taken up, and for a resolved finding once it is
    /// [closed](Self::is_closed).
    pub(crate) fn is_alertable(&self) -> bool {
        match self.transition {
            Transition::Opened | Transition::Worsened | Transition::Unreadable => {
                self.workflow == Workflow::New
            }
            Transition::Resolved => self.is_closed(),
            Transition::Eased
            | Transition::Changed
            | Transition::FirstSeen
            | Transition::Gone
            | Transition::Moved
            | Transition::Unchanged => false,
        }
    }

    /// Returns true if a minor change can still need a message. An earlier change may have been
    /// overtaken before it was alerted.
    pub(crate) fn may_correct(&self) -> bool {
        let is_minor = matches!(self.transition, Transition::Changed | Transition::Eased);
        let is_shown = match self.status {
            Compliance::Passed => self.is_closed(),
            Compliance::Failed | Compliance::Warning => self.workflow == Workflow::New,
        };
        is_minor && is_shown
    }

    /// Returns true if a finding that passes has the workflow status that is to stay.
    ///
    /// cmkwatch sets it RESOLVED right after the import. That edit has an event of its own, which
    /// is the one that is alerted. A finding that was SUPPRESSED before stays SUPPRESSED.
    fn is_closed(&self) -> bool {
        match self.workflow {
            Workflow::Resolved => true,
            Workflow::Suppressed => {
                matches!(self.workflow_before, None | Some(Workflow::Suppressed))
            }
            Workflow::New | Workflow::Notified => false,
        }
    }
}
