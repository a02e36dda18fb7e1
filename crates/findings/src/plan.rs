//! The new state and the imports, from the state before and what was seen.
//!
//! This module must agree with the table in `docs/finding-lifecycle.md`.

use crate::{
    ApiCall, Change, Compliance, ControlState, Finding, Item, Neighbours, RecordState, Seen,
    StoredIn, Summary, Transition, Unannounced, Workflow, compose, fields, seen::keys_matter,
    spread,
};
use controls::{Settings, Severity};
use facts::Place;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// The age at which an import that was planned and never confirmed is planned again.
const LATEST_IMPORT: SignedDuration = SignedDuration::from_mins(10);

/// The settings and circumstances of an evaluation.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The requirements of the organization.
    pub settings: &'a Settings,
    /// The number of the deployment.
    pub generation: u64,
    /// The Security Hub that the findings are to be stored in.
    pub security_hub: &'a StoredIn,
    /// The reason for this evaluation.
    pub looking: Looking,
    /// The API calls that caused the evaluation; empty for the sweep.
    pub api_calls: &'a [ApiCall],
    /// The controls whose findings in Security Hub are missing or wrong. The value is the
    /// `UpdatedAt` that Security Hub holds: the import must be newer. 1970 if it holds no finding.
    pub repair: &'a BTreeMap<String, Timestamp>,
}

/// The reason for an evaluation. It decides if an event has announced the changes that are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looking {
    /// A message about the bucket, or about its key.
    Message,
    /// A sweep. Nothing counts as missed in an account that no sweep has looked at before, because
    /// everything is new there. Nothing counts as missed in a region without rules either.
    Sweep {
        /// True if no sweep has looked at the account before, or if the region sends no events.
        is_new: bool,
    },
    /// A second look. A change that a sweep found counts as missed if no event has announced it
    /// within the delay.
    SecondLook {
        /// The delay between the sweep and the second look.
        delay: SignedDuration,
    },
}

/// The new state, and what Security Hub must receive of it.
///
/// An import [does not change the
/// workflow](https://docs.aws.amazon.com/securityhub/latest/userguide/finding-update-batchimportfindings.html)
/// of a finding that exists. So a plan has workflow edits besides imports.
#[derive(Debug)]
pub struct Plan {
    /// The new state.
    pub item: Item,
    /// True if the new state differs from the state before, and must be committed.
    pub changed: bool,
    /// The number of transitions that a sweep found and that no event announced in time.
    pub missed: u32,
    /// The findings to import. Those of the Security Hub in which they are to be stored come first.
    pub import: Vec<Finding>,
    /// The ids of findings to set NEW before the import, if they are RESOLVED.
    pub set_new: Vec<String>,
    /// The ids of findings to set RESOLVED after the import, unless they are SUPPRESSED.
    pub set_resolved: Vec<String>,
    /// The place of the other Security Hub that held the findings until now; `None` if they do not
    /// move.
    pub moved_from: Option<Place>,
}

/// Compares what was seen with the state before, control by control. The version is made from
/// `now`.
#[must_use]
pub fn plan(before: &Item, seen: &Seen, terms: &Terms<'_>, now: Timestamp) -> Plan {
    let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or_default();
    let version = milliseconds.max(before.version + 1);
    let moves = before.stored_in.as_ref().is_some_and(|stored_in| stored_in != terms.security_hub);
    let starts_to_move = moves && before.moving_to.as_ref() != Some(terms.security_hub);
    let renamed = ApiCall::renamed(&before.api_calls, terms.api_calls);
    let look = Look { before, seen, terms, version, moves, starts_to_move, renamed };
    let judged: Vec<_> = look.slugs().map(|slug| (slug, look.judge(slug))).collect();
    let controls = judged
        .iter()
        .filter_map(|(slug, next)| Some(((*slug).to_owned(), next.state.clone()?)))
        .collect();
    let (unannounced, missed) = look.unannounced(&controls);
    let item = look.item(controls, unannounced);
    let mut plan = Plan {
        changed: item != *before,
        item,
        missed,
        import: Vec::new(),
        set_new: Vec::new(),
        set_resolved: Vec::new(),
        moved_from: before
            .stored_in
            .as_ref()
            .map(|old| old.place.clone())
            .filter(|old| *old != terms.security_hub.place),
    };
    for (slug, next) in judged {
        look.publish(slug, next, &mut plan);
    }
    // Findings of the old Security Hub are imported last.
    plan.import.sort_by_key(|finding| finding.stored_in != terms.security_hub.place);
    if plan.changed && plan.import.is_empty() && plan.item.neighbours.is_empty() {
        plan.item = plan.item.published();
    }
    plan
}

impl Plan {
    /// Returns true if there is nothing to commit and nothing to publish.
    #[must_use]
    pub fn is_done(&self) -> bool {
        !self.changed && self.item.published == self.item.version
    }

    /// Returns the Security Hub whose workflow statuses must be read before the plan is carried
    /// out; `None` if the plan does not depend on them.
    #[must_use]
    pub fn asks_workflows_of(&self) -> Option<&Place> {
        let moved = self.moved_from.as_ref().filter(|_| !self.import.is_empty());
        let here = || self.import.first().map(|finding| &finding.stored_in);
        moved.or_else(|| {
            here().filter(|_| !self.set_new.is_empty() || !self.set_resolved.is_empty())
        })
    }

    /// Adapts the plan to the workflow statuses that Security Hub holds, by the id of the finding.
    ///
    /// A suppressed finding stays suppressed. A finding that is shown as RESOLVED is set RESOLVED
    /// all the same, because the answer may be old.
    pub fn heed(&mut self, workflows: &BTreeMap<String, Workflow>) {
        let is = |id: &String, workflow| workflows.get(id) == Some(&workflow);
        self.set_new.retain(|id| is(id, Workflow::Resolved));
        self.set_resolved.retain(|id| !is(id, Workflow::Suppressed));
        let moves = self.moved_from.is_some();
        for finding in &mut self.import {
            let Some(workflow) = workflows.get(&finding.id) else { continue };
            if moves && finding.record_state == RecordState::Active {
                finding.workflow = workflow_in_new_hub(finding, *workflow);
            } else {
                finding
                    .product_fields
                    .insert(fields::WORKFLOW_BEFORE.to_owned(), workflow.as_str().to_owned());
            }
        }
    }

    /// Returns the transition of each import, as `encrypted-with-cmk:opened`.
    #[must_use]
    pub fn transitions(&self) -> Vec<String> {
        let word = |finding: &Finding| {
            let transition =
                finding.product_fields.get(fields::TRANSITION).map_or("", String::as_str);
            format!("{}:{transition}", finding.slug())
        };
        self.import.iter().map(word).collect()
    }
}

/// Returns the workflow status of a finding that is created in another Security Hub. Security Hub
/// takes the status from an import only at creation.
fn workflow_in_new_hub(finding: &Finding, before: Workflow) -> Workflow {
    match before {
        Workflow::Suppressed => Workflow::Suppressed,
        _ if finding.compliance == Compliance::Passed => Workflow::Resolved,
        Workflow::Resolved if finding.transition() != Some(Transition::Unchanged) => Workflow::New,
        workflow => workflow,
    }
}

/// The comparison of what was seen with the state before.
struct Look<'a> {
    before: &'a Item,
    seen: &'a Seen,
    terms: &'a Terms<'a>,
    version: u64,
    /// True if the findings are still stored in another Security Hub.
    moves: bool,
    /// True if no version has planned the move yet.
    starts_to_move: bool,
    /// The calls behind the last change with better callers; `None` if no caller became known.
    renamed: Option<Vec<ApiCall>>,
}

/// The next state of a control, and its finding.
struct NextState {
    state: Option<ControlState>,
    finding: Option<Finding>,
}

impl<'a> Look<'a> {
    /// Returns the slug of every control. The controls that were judged now come first, in their
    /// order.
    fn slugs(&self) -> impl Iterator<Item = &'a str> {
        let (seen, before) = (self.seen, self.before);
        let is_judged = |slug: &&str| seen.drafts.iter().any(|draft| draft.slug == *slug);
        let known: BTreeSet<_> =
            before.controls.keys().chain(self.terms.repair.keys()).map(String::as_str).collect();
        let others = known.into_iter().filter(move |slug| !is_judged(slug));
        seen.drafts.iter().map(|draft| draft.slug).chain(others)
    }

    /// Returns the next state of a control, given what was seen.
    fn judge(&self, slug: &str) -> NextState {
        let before = self.before.controls.get(slug);
        let draft = self.seen.drafts.iter().find(|draft| draft.slug == slug);
        let finding = draft
            .and_then(|draft| draft.finding.clone().ok())
            .filter(|now| self.is_imported(now, before));
        let observed = finding.as_ref().map(Summary::of);
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
    fn reported(&self, state: &ControlState) -> Change {
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

    /// Returns the transitions that no event has announced so far, and the number of transitions
    /// that were not announced in time.
    fn unannounced(&self, controls: &BTreeMap<String, ControlState>) -> (Option<Unannounced>, u32) {
        let Self { before, seen, terms, .. } = self;
        if terms.looking == (Looking::Sweep { is_new: false }) {
            return (self.found_by_sweep(controls), 0);
        }
        let Some(known) = &before.unannounced else { return (None, 0) };
        match terms.looking {
            _ if terms.api_calls.iter().any(|call| announces(call, known)) => (None, 0),
            Looking::SecondLook { delay } if seen.read_at.duration_since(known.since) >= delay => {
                (None, known.transitions)
            }
            _ => (Some(known.clone()), 0),
        }
    }

    /// Returns the transitions that sweeps have found so far, this sweep included. Only a change of
    /// what was read from AWS has an event.
    fn found_by_sweep(&self, controls: &BTreeMap<String, ControlState>) -> Option<Unannounced> {
        let Self { before, seen, .. } = self;
        let is_created = before.version == 0 && before.controls.is_empty() && !seen.gone;
        let is_of_aws =
            is_created || before.gone != seen.gone || before.reading.differs(&seen.reading);
        let found = controls.iter().filter(|(slug, state)| self.differs(slug, state)).count();
        if !is_of_aws || found == 0 {
            return before.unannounced.clone();
        }
        let known = before.unannounced.as_ref();
        let transitions = known.map_or(0, |known| known.transitions);
        let transitions = transitions.saturating_add(u32::try_from(found).unwrap_or(u32::MAX));
        Some(Unannounced { transitions, since: known.map_or(seen.read_at, |known| known.since) })
    }

    fn differs(&self, slug: &str, state: &ControlState) -> bool {
        self.before.controls.get(slug).map(|before| &before.observed) != Some(&state.observed)
    }

    /// Returns the new item, or the item before if nothing differs.
    ///
    /// A fact that changed without changing a verdict is a difference, too. Otherwise a later
    /// verdict would seem to have changed because of that fact.
    fn item(
        &self,
        controls: BTreeMap<String, ControlState>,
        unannounced: Option<Unannounced>,
    ) -> Item {
        let Self { before, seen, terms, .. } = self;
        let is_same = controls == before.controls
            && before.class_and_key == seen.class_and_key
            && before.gone == seen.gone
            && before.unannounced == unannounced
            && self.renamed.is_none()
            && !before.reading.differs(&seen.reading)
            && before.moving_to.as_ref().or(before.stored_in.as_ref()) == Some(terms.security_hub);
        let is_nothing = before.version == 0 && seen.gone && controls.is_empty();
        if is_nothing || (is_same && before.version > 0) {
            return (*before).clone();
        }
        let api_calls = match controls.iter().any(|(slug, state)| self.differs(slug, state)) {
            true => terms.api_calls.to_vec(),
            false => self.renamed.clone().unwrap_or_else(|| before.api_calls.clone()),
        };
        Item {
            version: self.version,
            published: before.published,
            generation: terms.generation,
            read_at: seen.read_at,
            stored_in: before.stored_in.clone(),
            moving_to: Some(terms.security_hub.clone())
                .filter(|security_hub| before.stored_in.as_ref() != Some(security_hub)),
            gone: seen.gone,
            class_and_key: seen.class_and_key.clone(),
            api_calls,
            neighbours: self.neighbours(),
            reading: before.reading.updated(&seen.reading),
            unannounced,
            controls,
        }
    }

    /// Returns the keys that the bucket started or stopped using, and those that are left from
    /// before.
    fn neighbours(&self) -> BTreeSet<Neighbours> {
        let (was, is) = (&self.before.class_and_key, &self.seen.class_and_key);
        let of = |class_and_key: &crate::ClassAndKey| {
            let class = class_and_key.class.clone();
            class_and_key.key.clone().map(|key| Neighbours { key, class })
        };
        let mut neighbours = self.before.neighbours.clone();
        if keys_matter(self.terms.settings) && of(was) != of(is) {
            neighbours.extend([of(was), of(is)].into_iter().flatten());
        }
        neighbours
    }

    /// Adds the import of a control to the plan, if an import was planned after the published
    /// version.
    fn publish(&self, slug: &str, next: NextState, plan: &mut Plan) {
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

/// Returns true if a call may have caused what a sweep found: it was made before the sweep. Its
/// message has already said that it is about the bucket or its key.
fn announces(call: &ApiCall, found: &Unannounced) -> bool {
    let made_at = call.event_time.as_ref().and_then(|time| time.parse::<Timestamp>().ok());
    made_at.is_none_or(|made_at| made_at <= found.since)
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
