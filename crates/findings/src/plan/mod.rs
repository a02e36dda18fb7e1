//! The new state and the imports, from the state before and what was seen.
//!
//! This module must agree with the table in `docs/finding-lifecycle.md`.

mod control;
mod drift;
mod import;

use crate::{
    ApiCall, Compliance, ControlState, ControlTransition, Finding, Item, Neighbours, RecordState,
    Seen, Slug, StoredIn, Transition, Unannounced, Workflow, seen::keys_matter,
};
use controls::Settings;
use facts::Place;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

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
    pub repair: &'a BTreeMap<Slug, Timestamp>,
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
    let judged: Vec<_> = look.slugs().map(|slug| (look.judge(&slug), slug)).collect();
    let controls = judged
        .iter()
        .filter_map(|(next, slug)| Some((slug.clone(), next.state.clone()?)))
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
    for (next, slug) in judged {
        look.publish(&slug, next, &mut plan);
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
            let Some(workflow) = workflows.get(&finding.id()) else { continue };
            if moves && finding.record_state == RecordState::Active {
                finding.workflow = workflow_in_new_hub(finding, *workflow);
            } else {
                finding.product_fields.workflow_before = Some(*workflow);
            }
        }
    }

    /// Returns the transition of each import.
    #[must_use]
    pub fn transitions(&self) -> Vec<ControlTransition> {
        let of = |finding: &Finding| {
            let (slug, transition) = (finding.slug.clone(), finding.transition()?);
            Some(ControlTransition { slug, transition })
        };
        self.import.iter().filter_map(of).collect()
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
    fn slugs(&self) -> impl Iterator<Item = Slug> + use<'a> {
        let (seen, before) = (self.seen, self.before);
        let is_judged = |slug: &&Slug| seen.drafts.iter().any(|draft| draft.slug == **slug);
        let known: BTreeSet<_> = before.controls.keys().chain(self.terms.repair.keys()).collect();
        let others = known.into_iter().filter(move |slug| !is_judged(slug));
        seen.drafts.iter().map(|draft| &draft.slug).chain(others).cloned()
    }

    fn differs(&self, slug: &Slug, state: &ControlState) -> bool {
        self.before.controls.get(slug).map(|before| &before.observed) != Some(&state.observed)
    }

    /// Returns the new item, or the item before if nothing differs.
    ///
    /// A fact that changed without changing a verdict is a difference, too. Otherwise a later
    /// verdict would seem to have changed because of that fact.
    fn item(
        &self,
        controls: BTreeMap<Slug, ControlState>,
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
}
