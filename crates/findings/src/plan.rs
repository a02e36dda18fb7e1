//! What must be imported, given what stands.

use crate::{
    About, ApiCall, Compliance, Finding, RecordState, Transition, Workflow, compose,
    history::{gone, inherit, mark, moved},
};
use controls::{Judgement, Outcome, Settings, Verdict};
use facts::{Account, Bucket, BucketId, Place};
use jiff::{SignedDuration, Timestamp};

/// A bucket, read and judged.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// What was read.
    pub bucket: &'a Bucket,
    /// What came of it.
    pub judgement: &'a Judgement,
    /// Who made us look, each with his call; nobody for a sweep.
    pub api_calls: &'a [ApiCall],
    /// What the organization requires.
    pub settings: &'a Settings,
    /// Whose Security Hub the findings are to stand in.
    pub hub: &'a Place,
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

/// Compares what was judged with what stands, control by control. `standing` is every finding of the bucket; those that stand
/// in another Security Hub than they are to are made anew in the right one, and archived where they are.
#[must_use]
pub fn plan(observation: &Observation<'_>, standing: &[Finding]) -> Plan {
    let mut plan = Plan::default();
    let (about, look) = (About::Bucket(observation.bucket.id.clone()), Look::of(observation));
    for verdict in &observation.judgement.verdicts {
        let now = compose::compose(observation, verdict);
        plan.add(&look, &about.id(verdict.control.slug), &verdict.outcome, now, standing);
    }
    let known: Vec<_> = observation.judgement.verdicts.iter().map(|v| about.id(v.control.slug)).collect();
    let (here, elsewhere): (Vec<_>, Vec<_>) = standing.iter().partition(|finding| finding.place == *look.hub);
    let retired = here.into_iter().filter(|finding| !known.contains(&finding.id));
    let because = "cmkwatch no longer has this control";
    plan.import.extend(retired.filter_map(|finding| gone(finding, look.read_at, because, &[])));
    plan.import.extend(elsewhere.into_iter().filter_map(|finding| moved(finding, look.read_at, look.hub)));
    plan
}

/// Compares the verdict about an account with its finding in `hub`, if one stands there.
#[must_use]
pub fn plan_account(
    account: &Account,
    verdict: &Verdict,
    settings: &Settings,
    hub: &Place,
    standing: &[Finding],
) -> Plan {
    let mut plan = Plan::default();
    let look = Look { read_at: account.read_at, api_calls: &[], settings, hub };
    let now = compose::compose_account(account, hub, verdict);
    let id = About::Account(account.place.clone()).id(verdict.control.slug);
    plan.add(&look, &id, &verdict.outcome, now, standing);
    plan
}

/// Archives every finding of a bucket that is no more.
#[must_use]
pub fn plan_gone(bucket: &BucketId, read_at: Timestamp, api_calls: &[ApiCall], standing: &[Finding]) -> Plan {
    let because = format!("bucket {} does not exist", bucket.name());
    let import = standing.iter().filter_map(|finding| gone(finding, read_at, &because, api_calls)).collect();
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
        match standing.iter_mut().find(|finding| is_same(finding, &other)) {
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
        match standing.iter_mut().find(|before| is_same(before, finding)) {
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

fn is_same(one: &Finding, other: &Finding) -> bool {
    one.id == other.id && one.place == other.place
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

    /// Adds what one verdict asks for: `now` is the finding that it makes, none where the control does not apply.
    fn add(&mut self, look: &Look<'_>, id: &str, outcome: &Outcome, now: Option<Finding>, standing: &[Finding]) {
        let before = before(standing, id, look.hub);
        if before.is_some_and(|before| before.updated_at >= look.read_at) {
            return;
        }
        let Some(mut now) = now else {
            let Outcome::NotApplicable(why) = outcome else { return };
            self.import.extend(before.and_then(|before| gone(before, look.read_at, why, look.api_calls)));
            return;
        };
        if !is_wanted(look.settings, &now, before) {
            return;
        }
        let transition = Transition::between(before, &now);
        let moves = before.is_some_and(|before| before.place != *look.hub);
        if let Some(before) = before {
            inherit(before, &mut now, transition);
            if moves {
                settle_in(before, &mut now, transition);
            } else {
                self.reopen.extend(must_reopen(before, transition).then(|| now.id.clone()));
                self.resolve.extend(must_resolve(before, &now).then(|| now.id.clone()));
            }
        }
        if moves || transition != Transition::Unchanged || before.is_some_and(|before| is_due(before, look)) {
            mark(&mut now, transition, look.api_calls, before);
            self.import.push(now);
        }
    }
}

/// What all verdicts of one look have in common.
struct Look<'a> {
    read_at: Timestamp,
    api_calls: &'a [ApiCall],
    settings: &'a Settings,
    hub: &'a Place,
}

impl<'a> Look<'a> {
    fn of(observation: &Observation<'a>) -> Self {
        let Observation { bucket, api_calls, settings, hub, .. } = *observation;
        Self { read_at: bucket.read_at, api_calls, settings, hub }
    }
}

/// The finding that stands, in the hub where it is to stand if there is one.
fn before<'a>(standing: &'a [Finding], id: &str, hub: &Place) -> Option<&'a Finding> {
    let mine = |finding: &&Finding| finding.id == id;
    let here = standing.iter().filter(mine).find(|finding| finding.place == *hub);
    here.or_else(|| standing.iter().filter(mine).find(|finding| finding.record_state == RecordState::Active))
}

/// A finding that is made anew in another Security Hub:
/// [CreatedAt and UpdatedAt are the same](https://docs.aws.amazon.com/securityhub/latest/userguide/asff-required-attributes.html)
/// then, and the workflow is ours to give, once.
fn settle_in(before: &Finding, now: &mut Finding, transition: Transition) {
    now.created_at = now.updated_at;
    now.workflow = match before.workflow {
        Workflow::Suppressed => Workflow::Suppressed,
        _ if now.compliance == Compliance::Passed => Workflow::Resolved,
        Workflow::Resolved if must_reopen(before, transition) || before.compliance == Compliance::Passed => {
            Workflow::New
        }
        workflow => workflow,
    };
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

fn is_due(before: &Finding, look: &Look<'_>) -> bool {
    let days = i64::from(look.settings.refresh_after_days);
    let age = look.read_at.duration_since(before.updated_at);
    age >= SignedDuration::from_hours(24 * days)
}
