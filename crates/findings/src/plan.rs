//! What must be imported, given what stands.

use crate::{Actor, Compliance, Finding, RecordState, Transition, Workflow, compose, fields, id, text};
use controls::{Judgement, Outcome, Settings, Verdict};
use facts::{Bucket, BucketId};
use jiff::{SignedDuration, Timestamp};

/// A bucket, read and judged.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// What was read.
    pub bucket: &'a Bucket,
    /// What came of it.
    pub judgement: &'a Judgement,
    /// Who made us look; none for a sweep.
    pub actor: Option<&'a Actor>,
    /// What the organization requires.
    pub settings: &'a Settings,
}

/// What Security Hub must be told of one bucket, in this order; nothing, where nothing changed.
///
/// An import [does not change the workflow](https://docs.aws.amazon.com/securityhub/latest/userguide/finding-update-batchimportfindings.html)
/// of a finding that exists, which is why there is more than imports. A plan that was carried out in part and is made
/// again asks for the rest.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The ids of findings to set NEW before they are imported.
    pub reopen: Vec<String>,
    /// The findings to import.
    pub import: Vec<Finding>,
    /// The ids of findings to set RESOLVED once they are imported.
    pub resolve: Vec<String>,
}

/// Compares what was judged with what stands, control by control. `standing` is every finding of the bucket.
#[must_use]
pub fn plan(observation: &Observation<'_>, standing: &[Finding]) -> Plan {
    let mut plan = Plan::default();
    let read_at = observation.bucket.read_at;
    let mut known = Vec::new();
    for verdict in &observation.judgement.verdicts {
        let id = id(&observation.bucket.id, verdict.control.slug);
        let before = standing.iter().find(|finding| finding.id == id);
        if before.is_none_or(|before| before.updated_at < read_at) {
            plan.add(observation, verdict, before);
        }
        known.push(id);
    }
    let retired = standing.iter().filter(|finding| !known.contains(&finding.id));
    plan.import
        .extend(retired.filter_map(|finding| archived(finding, read_at, "cmkwatch no longer has this control", None)));
    plan
}

/// Archives every finding of a bucket that is no more.
#[must_use]
pub fn plan_gone(bucket: &BucketId, read_at: Timestamp, actor: Option<&Actor>, standing: &[Finding]) -> Plan {
    let because = format!("bucket {} does not exist", bucket.name());
    let import = standing.iter().filter_map(|finding| archived(finding, read_at, &because, actor)).collect();
    Plan { import, ..Plan::default() }
}

/// Compares once more, after a plan was carried out: what was read before it may not have been the last word, for another
/// evaluation of the same bucket may have been under way, and the moment of a finding tells which of two observations is
/// later, not which state holds. Whoever changed something looks again until there is nothing to add; then the last
/// observation stands, whatever the order. `standing` is [`after`] the plan that was `carried_out`, and, where that set
/// anything RESOLVED, the [`latest`] of it and of what Security Hub says now.
#[must_use]
pub fn plan_again(observation: &Observation<'_>, standing: &[Finding], carried_out: &Plan) -> Plan {
    let mut plan = plan(observation, standing);
    // Set RESOLVED over a failure that was imported meanwhile, or on the strength of what no longer holds.
    let fails =
        |finding: &&Finding| finding.compliance != Compliance::Passed && carried_out.resolve.contains(&finding.id);
    let hidden: Vec<_> = standing.iter().chain(&plan.import).filter(fails).map(|finding| finding.id.clone()).collect();
    for id in hidden {
        if !plan.reopen.contains(&id) {
            plan.reopen.push(id);
        }
    }
    plan
}

/// Of each finding the one that was updated last.
#[must_use]
pub fn latest(mut standing: Vec<Finding>, others: Vec<Finding>) -> Vec<Finding> {
    for other in others {
        match standing.iter_mut().find(|finding| finding.id == other.id) {
            None => standing.push(other),
            Some(finding) if finding.updated_at < other.updated_at => *finding = other,
            Some(_) => {}
        }
    }
    standing
}

/// What stands once a plan was carried out, by the rules of
/// [workflow status](https://docs.aws.amazon.com/securityhub/latest/userguide/findings-workflow-status.html).
#[must_use]
pub fn after(mut standing: Vec<Finding>, plan: &Plan) -> Vec<Finding> {
    set_workflow(&mut standing, &plan.reopen, Workflow::New);
    for finding in &plan.import {
        match standing.iter_mut().find(|before| before.id == finding.id) {
            None => standing.push(finding.clone()),
            Some(before) if before.updated_at < finding.updated_at => {
                *before = Finding { workflow: workflow_after(before, finding), ..finding.clone() };
            }
            Some(_) => {}
        }
    }
    set_workflow(&mut standing, &plan.resolve, Workflow::Resolved);
    standing
}

fn set_workflow(standing: &mut [Finding], ids: &[String], workflow: Workflow) {
    standing.iter_mut().filter(|finding| ids.contains(&finding.id)).for_each(|finding| finding.workflow = workflow);
}

fn workflow_after(before: &Finding, now: &Finding) -> Workflow {
    let returns = before.record_state == RecordState::Archived && now.record_state == RecordState::Active;
    let fails = before.compliance == Compliance::Passed && now.compliance != Compliance::Passed;
    match before.workflow {
        Workflow::Notified | Workflow::Resolved if returns || fails => Workflow::New,
        workflow => workflow,
    }
}

impl Plan {
    /// True where there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reopen.is_empty() && self.import.is_empty() && self.resolve.is_empty()
    }

    /// Adds what one verdict asks for; `before` is older than the observation.
    fn add(&mut self, observation: &Observation<'_>, verdict: &Verdict, before: Option<&Finding>) {
        if let Outcome::NotApplicable(why) = &verdict.outcome {
            let archived = before.and_then(|b| archived(b, observation.bucket.read_at, why, observation.actor));
            self.import.extend(archived);
            return;
        }
        let Some(mut now) = compose::compose(observation, verdict) else { return };
        if !is_wanted(observation.settings, &now, before) {
            return;
        }
        let transition = Transition::between(before, &now);
        if let Some(before) = before {
            self.reopen.extend(must_reopen(before, transition).then(|| now.id.clone()));
            self.resolve.extend(must_resolve(before, &now).then(|| now.id.clone()));
            inherit(before, &mut now, transition);
        }
        if transition != Transition::Unchanged || before.is_some_and(|b| is_due(b, observation)) {
            mark(&mut now, transition, observation.actor);
            self.import.push(now);
        }
    }
}

/// A finding that passes is wanted where the settings say so, or where there is one that must be told of it.
fn is_wanted(settings: &Settings, now: &Finding, before: Option<&Finding>) -> bool {
    let stands = before.is_some_and(|before| before.record_state == RecordState::Active);
    settings.import_passed || now.compliance != Compliance::Passed || stands
}

/// True where the customer's view would show work to do for a finding that passes: it is still NEW or NOTIFIED, or
/// becomes [NEW again](https://docs.aws.amazon.com/securityhub/latest/userguide/findings-workflow-status.html) because it
/// was archived. What was SUPPRESSED stays so.
fn must_resolve(before: &Finding, now: &Finding) -> bool {
    let returns = before.record_state == RecordState::Archived;
    now.compliance == Compliance::Passed
        && match before.workflow {
            Workflow::New | Workflow::Notified => true,
            Workflow::Resolved => returns,
            Workflow::Suppressed => false,
        }
}

/// True where work to do would stay hidden: Security Hub resets RESOLVED when a finding that passed does not any more, or
/// returns, but not when one that never passed gets worse or turns into another.
fn must_reopen(before: &Finding, transition: Transition) -> bool {
    let news = matches!(transition, Transition::Opened | Transition::Worsened | Transition::Unreadable);
    let reset_by_itself = before.compliance == Compliance::Passed || before.record_state == RecordState::Archived;
    news && !reset_by_itself && before.workflow == Workflow::Resolved
}

/// What a finding keeps from the one before: its age, and, where nothing changed, who changed it last.
fn inherit(before: &Finding, now: &mut Finding, transition: Transition) {
    now.created_at = before.created_at;
    now.first_observed_at = before.first_observed_at;
    now.workflow = before.workflow;
    if transition == Transition::Unchanged {
        for key in fields::OF_THE_ACTOR {
            if let Some(value) = before.product_fields.get(key) {
                now.product_fields.insert(key.to_owned(), value.clone());
            }
        }
    }
}

fn is_due(before: &Finding, observation: &Observation<'_>) -> bool {
    let days = i64::from(observation.settings.refresh_after_days);
    let age = observation.bucket.read_at.duration_since(before.updated_at);
    age >= SignedDuration::from_hours(24 * days)
}

fn mark(finding: &mut Finding, transition: Transition, actor: Option<&Actor>) {
    let fields = &mut finding.product_fields;
    fields.insert(fields::TRANSITION.to_owned(), transition.to_string());
    fields.insert(fields::TRANSITION_AT.to_owned(), finding.updated_at.to_string());
    if let Some(actor) = actor.filter(|_| transition != Transition::Unchanged) {
        actor.describe(fields);
    }
}

/// The finding that stands, archived; none where it already is, or was updated since the bucket was read.
fn archived(before: &Finding, read_at: Timestamp, because: &str, actor: Option<&Actor>) -> Option<Finding> {
    if before.record_state == RecordState::Archived || before.updated_at >= read_at {
        return None;
    }
    let mut finding = Finding { record_state: RecordState::Archived, updated_at: read_at, ..before.clone() };
    for key in fields::OF_THE_ACTOR {
        finding.product_fields.remove(key);
    }
    finding.product_fields.insert(fields::GONE_BECAUSE.to_owned(), text::cut(because, fields::LONGEST_VALUE));
    mark(&mut finding, Transition::Gone, actor);
    Some(finding)
}
