//! What Security Hub holds otherwise than it should.

use crate::{About, Compliance, ControlState, Finding, Item, RecordState, Summary, Workflow};
use facts::Place;
use jiff::SignedDuration;
use std::collections::BTreeSet;

/// How long after RESOLVED was set it may still take effect: BatchUpdateFindings
/// ["might take several minutes"](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_BatchUpdateFindings.html). What is
/// RESOLVED later than that over a failure, a person has set.
pub(crate) const LATEST_EDIT: SignedDuration = SignedDuration::from_mins(15);

/// The findings that must be repaired.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// The controls whose finding is missing, says something else, or is active without being known.
    pub import: BTreeSet<String>,
    /// The ids of findings that are RESOLVED over a failure, by an edit of ours that came late.
    pub reopen: Vec<String>,
    /// The ids of findings that pass and are not RESOLVED.
    pub resolve: Vec<String>,
}

/// Compares what Security Hub holds with the state that was published.
#[must_use]
pub fn repairs(item: &Item, about: &About, held: &[Finding], hub: &Place) -> Repairs {
    let mut repairs = Repairs::default();
    let is_active = |finding: &&Finding| finding.place == *hub && finding.record_state == RecordState::Active;
    let unknown = held.iter().filter(is_active).map(Finding::slug).filter(|slug| !item.controls.contains_key(*slug));
    repairs.import.extend(unknown.map(str::to_owned));
    for (slug, state) in &item.controls {
        let id = about.id(slug);
        let active = held.iter().filter(is_active).find(|finding| finding.id == id);
        if active.map(Summary::of) != state.published {
            repairs.import.insert(slug.clone());
        } else if let Some(finding) = active {
            match (finding.compliance, finding.workflow) {
                (Compliance::Passed, Workflow::New | Workflow::Notified) => repairs.resolve.push(id),
                (Compliance::Failed | Compliance::Warning, Workflow::Resolved) if is_ours(state) => {
                    repairs.reopen.push(id);
                }
                _ => {}
            }
        }
    }
    repairs
}

/// Returns true if RESOLVED over a failure is an edit of ours that took effect after the failure was imported.
fn is_ours(state: &ControlState) -> bool {
    state.resolved_at.is_some_and(|resolved_at| state.updated_at.duration_since(resolved_at) <= LATEST_EDIT)
}
