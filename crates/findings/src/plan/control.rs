//! The next state of a control: what was observed, what changed, and whether an import is due.

use super::{Look, NextState};
use crate::{Change, Compliance, ControlState, Finding, Slug, Summary, Transition, spread};
use controls::Severity;
use jiff::{SignedDuration, Timestamp};

/// The age at which an import that was planned and never confirmed is planned again.
const LATEST_IMPORT: SignedDuration = SignedDuration::from_mins(10);

impl Look<'_> {
    /// Returns the next state of a control, given what was seen.
    pub(super) fn judge(&self, slug: &Slug) -> NextState {
        let before = self.before.controls.get(slug);
        let draft = self.seen.drafts.iter().find(|draft| draft.slug == *slug);
        let finding = draft
            .and_then(|draft| draft.finding.clone().ok())
            .filter(|now| self.is_imported(now, before));
        let observed = finding.as_ref().map(Finding::summary);
        let repair = self.terms.repair.get(slug);
        if before.is_none() && observed.is_none() && repair.is_none() {
            return NextState { state: None, finding };
        }
        let mut state = before.cloned().unwrap_or_else(|| ControlState::new(self.seen.read_at));
        let differs = state.observed != observed;
        let is_renamed = self.is_renamed(&state);
        let repeats =
            observed.is_some() && (self.starts_to_move || self.is_due(&state) || is_renamed);
        if differs || repeats || repair.is_some() {
            if state.planned > self.before.published {
                state.doubt();
            }
            state.worst = worst(state.observed.as_ref(), observed.as_ref(), state.worst);
            let latest = repair.map_or(state.updated_at, |held| state.updated_at.max(*held));
            let next = latest.checked_add(SignedDuration::from_secs(1)).unwrap_or(Timestamp::MAX);
            state.updated_at = self.seen.read_at.max(next);
            state.planned = self.version;
            state.is_repair = !differs && (repair.is_some() || state.is_repair || is_renamed);
            // A finding that is repaired may be missing. Then it is created again.
            let is_new = state.published.is_none() || self.moves || repair.is_some();
            state.created_at = state.created_at.filter(|_| !is_new).or(Some(state.updated_at));
            if differs && observed.as_ref().is_some_and(Summary::passed) {
                state.resolved_at = Some(state.updated_at);
            }
        }
        state.observed = observed;
        if differs {
            state.change = Some(self.change(&state));
        }
        NextState { state: Some(state), finding }
    }

    /// Returns true if the finding must name another caller. That is so if it reports the last
    /// change of the bucket and a second record of the call arrived.
    fn is_renamed(&self, state: &ControlState) -> bool {
        let version = |state: &ControlState| state.change.as_ref().map(|change| change.version);
        let last = self.before.controls.values().filter_map(version).max();
        self.renamed.is_some() && last.is_some() && version(state) == last
    }

    /// Returns the change from the verdict that people may know to the verdict of now.
    fn change(&self, state: &ControlState) -> Change {
        let known = state.known();
        let transition = match &state.observed {
            Some(observed) => Transition::between(known, observed),
            None => Transition::Gone,
        };
        let before = known.map(|known| (known.status, known.severity));
        Change { version: self.version, transition, at: state.updated_at, before }
    }

    /// Returns the change that the finding of a control reports.
    ///
    /// That is the last change, if Security Hub may not have received it yet or must receive it
    /// again. Otherwise nothing is reported as changed, because the finding is only refreshed or
    /// moved.
    pub(super) fn reported(&self, state: &ControlState) -> Change {
        let is_due = |change: &&Change| change.version > self.before.published || state.is_repair;
        match state.change.as_ref().filter(is_due) {
            Some(change) => change.clone(),
            None => Change {
                version: state.change.as_ref().map_or(0, |change| change.version),
                ..self.change(state)
            },
        }
    }

    /// Returns false if the finding passes, the settings leave such findings out, and no finding
    /// exists.
    fn is_imported(&self, now: &Finding, before: Option<&ControlState>) -> bool {
        let exists =
            before.is_some_and(|before| before.observed.is_some() || before.published.is_some());
        self.terms.settings.import_passed || now.compliance != Compliance::Passed || exists
    }

    /// Returns true if an import is due again: the finding must be refreshed, or its last import
    /// was planned and never confirmed. Such an import gets a new `UpdatedAt`. With the old one,
    /// its event would be too late to be taken for that of an import.
    fn is_due(&self, state: &ControlState) -> bool {
        let (days, read_at) = (self.terms.settings.refresh_after_days, self.seen.read_at);
        let age = read_at.duration_since(state.updated_at);
        (state.published.is_some()
            && spread::is_due(&self.seen.about.id_prefix(), days, state.updated_at, read_at))
            || (state.planned > self.before.published && age >= LATEST_IMPORT)
    }
}

/// Returns the worst severity since the control last passed; `None` if it passes now and passed
/// before.
fn worst(
    before: Option<&Summary>,
    now: Option<&Summary>,
    until_now: Option<Severity>,
) -> Option<Severity> {
    let severity =
        |summary: Option<&Summary>| summary.filter(|summary| !summary.passed()).map(|s| s.severity);
    let before = severity(before).map(|severity| until_now.unwrap_or(severity).max(severity));
    before.max(severity(now))
}
