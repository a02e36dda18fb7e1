//! What a finding says of the one before.

use crate::{ApiCall, Compliance, Finding, RecordState, Transition, fields, text};
use controls::Severity;
use facts::Place;
use jiff::Timestamp;

/// What a finding keeps from the one before: its age, and, where nothing changed, who changed it last.
pub(crate) fn inherit(before: &Finding, now: &mut Finding, transition: Transition) {
    now.created_at = before.created_at;
    now.first_observed_at = before.first_observed_at;
    now.workflow = before.workflow;
    if transition == Transition::Unchanged {
        for key in fields::OF_THE_API_CALL {
            if let Some(value) = before.product_fields.get(key) {
                now.product_fields.insert(key.to_owned(), value.clone());
            }
        }
    }
}

/// Says in the finding what happened to it since the one before.
pub(crate) fn mark(finding: &mut Finding, transition: Transition, api_calls: &[ApiCall], before: Option<&Finding>) {
    let before = before.filter(|before| before.record_state == RecordState::Active);
    // One that is made anew in another Security Hub has the workflow that we give it.
    let workflow = before.filter(|before| before.place == finding.place).map(|before| before.workflow.as_str());
    let known = [
        (fields::TRANSITION, Some(transition.to_string())),
        (fields::TRANSITION_AT, Some(finding.updated_at.to_string())),
        (fields::STATUS_BEFORE, before.map(|before| before.compliance.as_str().to_owned())),
        (fields::SEVERITY_BEFORE, before.map(|before| before.severity.to_string())),
        (fields::WORST_SEVERITY, worst(finding, before).map(|severity| severity.to_string())),
        (fields::WORKFLOW_BEFORE, workflow.map(str::to_owned)),
    ];
    let slug = finding.generator_id.trim_start_matches("cmkwatch/");
    let api_call = ApiCall::of(api_calls, slug);
    let fields = &mut finding.product_fields;
    for (key, value) in known {
        match value {
            Some(value) => fields.insert(key.to_owned(), value),
            None => fields.remove(key),
        };
    }
    if let Some(api_call) = api_call.filter(|_| transition != Transition::Unchanged) {
        api_call.describe(fields);
    }
}

/// The worst that it was since it last passed; none where it passes and did before.
fn worst(now: &Finding, before: Option<&Finding>) -> Option<Severity> {
    let fails = |finding: &&Finding| finding.compliance != Compliance::Passed;
    let told = |finding: &Finding| Severity::of_label(finding.product_fields.get(fields::WORST_SEVERITY)?);
    let until_now = before.filter(fails).map(|before| told(before).unwrap_or(before.severity).max(before.severity));
    until_now.max(Some(now).filter(fails).map(|now| now.severity))
}

/// The finding that stands, archived because what it says is of no account any more; none where it already is, or was updated
/// since the bucket was read.
pub(crate) fn gone(before: &Finding, read_at: Timestamp, because: &str, api_calls: &[ApiCall]) -> Option<Finding> {
    archived(before, read_at, because, Transition::Gone, api_calls)
}

/// The same of one that stands elsewhere now.
pub(crate) fn moved(before: &Finding, read_at: Timestamp, to: &Place) -> Option<Finding> {
    let because = format!("it stands in the Security Hub of {to} now");
    archived(before, read_at, &because, Transition::Moved, &[])
}

fn archived(
    before: &Finding,
    read_at: Timestamp,
    because: &str,
    transition: Transition,
    api_calls: &[ApiCall],
) -> Option<Finding> {
    if before.record_state == RecordState::Archived || before.updated_at >= read_at {
        return None;
    }
    let mut finding = Finding { record_state: RecordState::Archived, updated_at: read_at, ..before.clone() };
    for key in fields::OF_THE_API_CALL {
        finding.product_fields.remove(key);
    }
    finding.product_fields.insert(fields::GONE_BECAUSE.to_owned(), text::cut(because, fields::LONGEST_VALUE));
    mark(&mut finding, transition, api_calls, Some(before));
    Some(finding)
}
