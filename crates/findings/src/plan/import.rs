//! The imports of a plan: each finding with its history, archived if it is gone or has moved.

use super::{Look, NextState, Plan};
use crate::{
    ApiCall, Change, Compliance, ControlState, Finding, RecordState, Summary, Transition, compose,
    fields,
};
use controls::Severity;
use facts::Place;

impl Look<'_> {
    /// Adds the import of a control to the plan, if an import was planned after the published
    /// version.
    pub(super) fn publish(&self, slug: &str, next: NextState, plan: &mut Plan) {
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
            plan.set_resolved.extend((before.is_some() && open).then(|| finding.id.clone()));
        } else {
            let closed = in_doubt || known.is_some_and(|known| !known.passed());
            let is_new_work = reported.transition.is_new_work() && !state.is_repair;
            plan.set_new.extend((closed && is_new_work).then(|| finding.id.clone()));
        }
        plan.import.push(finding);
    }

    /// Fills in the history of a finding: its times, its last change and the API call behind that.
    fn complete(&self, finding: &mut Finding, state: &ControlState, reported: &Change) {
        finding.created_at = state.created_at.unwrap_or(state.updated_at);
        finding.first_observed_at = state.first_observed_at;
        finding.updated_at = state.updated_at;
        let history = [
            (fields::TRANSITION, Some(reported.transition.to_string())),
            (
                fields::STATE_VERSION,
                Some(reported.version).filter(|version| *version > 0).map(|it| it.to_string()),
            ),
            (fields::TRANSITION_AT, Some(reported.at.to_string())),
            (fields::STATUS_BEFORE, reported.before.map(|(status, _)| status.as_str().to_owned())),
            (fields::SEVERITY_BEFORE, reported.before.map(|(_, severity)| severity.to_string())),
            (fields::WORST_SEVERITY, state.worst.map(|worst| worst.to_string())),
        ];
        finding
            .product_fields
            .extend(history.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        let slug = finding.slug().to_owned();
        if let Some(api_call) = ApiCall::of(self.api_calls(reported), &slug) {
            api_call.describe(&mut finding.product_fields);
        }
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
    fn archived(&self, slug: &str, state: &ControlState, reported: &Change) -> Option<Finding> {
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
        let history =
            [(fields::GONE_BECAUSE, why), (fields::TRANSITION, Transition::Moved.to_string())];
        finding.product_fields.extend(history.map(|(key, value)| (key.to_owned(), value)));
        finding
    }
}
