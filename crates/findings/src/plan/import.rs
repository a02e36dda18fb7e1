//! The imports of a plan: each finding with its history, archived if it is gone or has moved.

use super::{Look, NextState, Plan};
use crate::{
    ApiCall, Change, Compliance, ControlState, Finding, ProductFields, RecordState, Slug, Summary,
    Transition, compose,
};
use controls::Severity;
use facts::Place;

impl Look<'_> {
    /// Adds the import of a control to the plan, if an import was planned after the published
    /// version.
    pub(super) fn publish(&self, slug: &Slug, next: NextState, plan: &mut Plan) {
        let NextState { state: Some(state), finding } = next else { return };
        if state.planned <= self.before.published {
            return;
        }
        let before = self.before.controls.get(slug);
        // A version that was committed and not marked as published: Security Hub may have it or
        // not.
        let in_doubt = before.is_some_and(|before| before.planned > self.before.published);
        let (known, reported) = (state.known(), self.reported(&state));
        let Some(mut finding) = finding else {
            plan.import.extend(self.archived(slug, &state, &reported));
            return;
        };
        self.complete(&mut finding, &state, &reported);
        if self.moves {
            let old = plan.moved_from.as_ref().filter(|_| state.published.is_some());
            plan.import.extend(old.map(|old| self.moved(finding.clone(), old)));
        } else if finding.compliance == Compliance::Passed {
            let open = in_doubt || state.is_repair || known.is_none_or(|known| !known.passed());
            plan.set_resolved.extend((before.is_some() && open).then(|| finding.id()));
        } else {
            let closed = in_doubt || known.is_some_and(|known| !known.passed());
            let is_new_work = reported.transition.is_new_work() && !state.is_repair;
            plan.set_new.extend((closed && is_new_work).then(|| finding.id()));
        }
        plan.import.push(finding);
    }

    /// Fills in the history of a finding: its times, its last change and the API call behind that.
    fn complete(&self, finding: &mut Finding, state: &ControlState, reported: &Change) {
        finding.created_at = state.created_at.unwrap_or(state.updated_at);
        finding.first_observed_at = state.first_observed_at;
        finding.updated_at = state.updated_at;
        finding.product_fields = ProductFields {
            transition: Some(reported.transition),
            state_version: Some(reported.version).filter(|version| *version > 0),
            transition_at: Some(reported.at),
            status_before: reported.before.map(|(status, _)| status),
            severity_before: reported.before.map(|(_, severity)| severity),
            worst: state.worst,
            api_call: ApiCall::of(self.api_calls(reported), &finding.slug).cloned(),
            ..std::mem::take(&mut finding.product_fields)
        };
    }

    /// Returns the calls behind this evaluation if it changed the control. Otherwise returns the
    /// calls behind the last change.
    fn api_calls(&self, reported: &Change) -> &[ApiCall] {
        let is_changed =
            reported.version == self.version && reported.transition != Transition::Unchanged;
        match (is_changed, &self.renamed) {
            (true, _) => self.terms.api_calls,
            (false, Some(renamed)) => renamed,
            (false, None) => &self.before.api_calls,
        }
    }

    /// Writes the archived finding of a control that has no finding any more; `None` if Security
    /// Hub has none either.
    fn archived(&self, slug: &Slug, state: &ControlState, reported: &Change) -> Option<Finding> {
        let any = Summary {
            status: Compliance::Passed,
            severity: Severity::Informational,
            fingerprint: String::new(),
        };
        let received = state.published.as_ref().or(state.doubts.iter().flatten().next());
        let known = received.or(self.terms.repair.contains_key(slug).then_some(&any))?;
        let stored_in = self.before.stored_in.as_ref().unwrap_or(self.terms.security_hub);
        let why = self.seen.why_none(slug);
        let mut finding = compose::archived(
            &self.seen.about,
            slug,
            &stored_in.place,
            &self.before.class_and_key,
            known,
            &why,
        );
        let before = reported.before.or(Some((known.status, known.severity)));
        self.complete(&mut finding, state, &Change { before, ..reported.clone() });
        Some(finding)
    }

    /// Writes the archived copy of a finding for the Security Hub that held it until now.
    fn moved(&self, mut finding: Finding, old: &Place) -> Finding {
        let why =
            format!("it is stored in the Security Hub of {} now", self.terms.security_hub.place);
        finding.stored_in = old.clone();
        finding.record_state = RecordState::Archived;
        finding.product_fields.gone_because = Some(why);
        finding.product_fields.transition = Some(Transition::Moved);
        finding
    }
}
