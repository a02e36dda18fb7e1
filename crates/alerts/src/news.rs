//! What an event of Security Hub says of one finding.
//!
//! Agrees with the table in `docs/finding-lifecycle.md`.

use crate::silence::Silence;
use controls::{Control, Severity};
use facts::Place;
use findings::{About, ApiCall, Compliance, EvidenceText, Transition, Workflow};
use jiff::{SignedDuration, Timestamp};

/// How long after a bucket was read the event of its import may come and still carry what somebody else wrote into the
/// finding: an [automation rule](https://docs.aws.amazon.com/securityhub/latest/userguide/automation-rules.html) edits it
/// before the event is sent. An edit [leaves `UpdatedAt` alone](https://docs.aws.amazon.com/securityhub/latest/userguide/finding-update-batchupdatefindings.html).
const LATEST_IMPORT: SignedDuration = SignedDuration::from_mins(15);

/// How long after that nothing is an import any more, whatever it carries: a workflow that was set to and fro leaves no trace,
/// and no run of a function lasts so long.
const NO_IMPORT: SignedDuration = SignedDuration::from_hours(24);

/// The same of a note, which tells itself when it was written: no person has read the finding by then.
const EARLIEST_NOTE: SignedDuration = SignedDuration::from_mins(2);

/// What an event says of one finding. Its texts are as they came.
#[derive(Debug, Clone)]
pub struct News {
    /// The finding's id.
    pub id: String,
    /// What it is about.
    pub about: About,
    /// What must hold.
    pub control: &'static Control,
    /// What happened to it.
    pub transition: Transition,
    /// The version of the state that last changed the finding. An earlier version of cmkwatch does not name it: then it is the
    /// time at which what it is about was read.
    pub state_version: u64,
    /// How bad it is, as Security Hub shows it: the customer may have changed it.
    pub severity: Severity,
    /// The compliance status of the finding.
    pub status: Compliance,
    /// What it was before, where there was one.
    pub before: Option<Compliance>,
    /// How bad it was before.
    pub severity_before: Option<Severity>,
    /// The worst that it was since it last passed.
    pub worst: Option<Severity>,
    /// Its workflow status before the import.
    pub workflow_before: Option<Workflow>,
    /// Its workflow status now.
    pub workflow: Workflow,
    /// When what it is about was read.
    pub updated_at: Timestamp,
    /// When somebody wrote the note that it carries.
    pub noted_at: Option<Timestamp>,
    /// Whether it carries anything else that only the customer can write.
    pub is_touched: bool,
    /// When Security Hub sent the event.
    pub sent_at: Timestamp,
    /// The name of the account that owns what it is about.
    pub account_name: Option<String>,
    /// The bucket's class, and the level that this requires.
    pub class: Option<(String, String)>,
    /// What decided.
    pub evidence: Vec<EvidenceText>,
    /// The last change that is known; none where the sweep found it.
    pub api_call: Option<ApiCall>,
    /// The last day of an exemption that is over.
    pub exemption_ended: Option<String>,
    /// A policy statement that helps, as JSON.
    pub statement: Option<String>,
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
            Transition::Resolved => self.worst.or(self.severity_before).unwrap_or(self.severity),
            _ => self.severity,
        }
    }

    /// True where the event is surely of somebody's edit, and not of the import that the finding still tells of: it came too
    /// late for an import, as far as it carries what only the customer writes. Where that is in doubt, it is none.
    #[must_use]
    pub fn is_edit(&self) -> bool {
        let noted = self.noted_at.map(|noted_at| noted_at.duration_since(self.updated_at));
        let is_noted = noted.is_some_and(|after| after.is_positive());
        noted.is_some_and(|after| after > EARLIEST_NOTE)
            || self.sent_after() > NO_IMPORT
            || (self.sent_after() > LATEST_IMPORT && (is_noted || self.is_touched))
    }

    /// True where this is surely the import itself, just made.
    #[must_use]
    pub(crate) fn is_fresh(&self) -> bool {
        self.sent_after() < EARLIEST_NOTE && self.noted_at.is_none() && !self.is_touched
    }

    fn sent_after(&self) -> SignedDuration {
        self.sent_at.duration_since(self.updated_at)
    }

    /// The reason why nobody needs to hear of the event, however bad it is; `None` if people do.
    pub(crate) fn silence(&self) -> Option<Silence> {
        match self.transition {
            _ if self.concerns_people() => None,
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

    /// True where people want to hear of it, however bad it is: of what needs somebody who has not yet looked at it, and of
    /// what is over, once it is [closed](Self::is_closed).
    pub(crate) fn concerns_people(&self) -> bool {
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

    /// Returns true if a minor change can still need a message: an earlier change may have been overtaken before it was alerted.
    pub(crate) fn may_correct(&self) -> bool {
        let is_minor = matches!(self.transition, Transition::Changed | Transition::Eased);
        let is_shown = match self.status {
            Compliance::Passed => self.is_closed(),
            Compliance::Failed | Compliance::Warning => self.workflow == Workflow::New,
        };
        is_minor && is_shown
    }

    /// What passes is set RESOLVED right after its import, which is an event of its own, and the one that is told; unless it was
    /// SUPPRESSED, and stays so.
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
