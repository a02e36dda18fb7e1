//! The findings that Security Hub holds differently than the state says.
//!
//! This module must agree with the table in `docs/finding-lifecycle.md`.

use crate::item::LATEST_EDIT;
use crate::{About, Compliance, ControlState, Finding, Item, Slug, Summary, Transition, Workflow};
use controls::Severity;
use jiff::{SignedDuration, Timestamp};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// The latest time after RESOLVED was set at which a second look may still run, even if its message
/// is delivered several times. A later RESOLVED over a failure was set by a person.
const LATEST_LOOK: SignedDuration = SignedDuration::from_hours(2);

/// The tolerance for `UpdatedAt`. If it is later than our last import by more than this, somebody
/// else imported the finding, perhaps as a copy of ours.
const OF_ANOTHER: SignedDuration = SignedDuration::from_secs(1);

/// The highest number of findings that one call of
/// [GetFindings](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_GetFindings.html)
/// returns.
const PAGE: usize = 100;

/// An active finding that Security Hub holds under one of our ids, as far as it is compared with
/// the state. Anybody in its account may have imported it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The id of the finding.
    pub id: String,
    /// The verdict; `None` if cmkwatch gives no such verdict.
    pub summary: Option<Summary>,
    /// The workflow status; `None` if cmkwatch does not know it, because AWS has added it.
    pub workflow: Option<Workflow>,
    /// `UpdatedAt`; 1970 if the text is not a time.
    pub updated_at: Timestamp,
}

impl Held {
    /// Returns a finding as cmkwatch imported it.
    #[must_use]
    pub fn of(finding: &Finding) -> Self {
        Self {
            id: finding.id(),
            summary: Some(finding.summary()),
            workflow: Some(finding.workflow),
            updated_at: finding.updated_at,
        }
    }

    fn slug(&self) -> Slug {
        Slug::of_id(&self.id)
    }
}

/// The findings that must be repaired.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// The controls whose finding is missing, differs from the state, or is active and unknown. The
    /// value is the `UpdatedAt` of the finding; 1970 if it is missing.
    pub import: BTreeMap<Slug, Timestamp>,
    /// The ids of findings that fail and are RESOLVED, because an edit of ours took effect late.
    pub set_new: Vec<String>,
    /// The ids of findings that pass and are not RESOLVED.
    pub set_resolved: Vec<String>,
}

impl Repairs {
    /// Returns the number of findings that must be repaired.
    #[must_use]
    pub fn count(&self) -> usize {
        self.import.len() + self.set_new.len() + self.set_resolved.len()
    }
}

/// Compares the active findings that Security Hub holds with the state that was published.
///
/// `only` are the controls that are compared; `None` for all. `now` is the time at which Security
/// Hub was asked.
#[must_use]
pub fn repairs(
    item: &Item,
    about: &About,
    held: &[Held],
    only: Option<&BTreeSet<Slug>>,
    now: Timestamp,
) -> Repairs {
    let mut repairs = Repairs::default();
    let is_compared = |slug: &Slug| only.is_none_or(|only| only.contains(slug));
    let unknown = held
        .iter()
        .map(|held| (held.slug(), held.updated_at))
        .filter(|(slug, _)| !item.controls.contains_key(slug) && is_compared(slug));
    repairs.import.extend(unknown);
    for (slug, state) in item.controls.iter().filter(|(slug, _)| is_compared(slug)) {
        let id = about.id(slug.as_str());
        let active = held.iter().find(|held| held.id == id);
        let is_newer = |held: &Held| held.updated_at.duration_since(state.updated_at) > OF_ANOTHER;
        let is_same = active.and_then(|held| held.summary.as_ref()) == state.published.as_ref();
        if !is_same || active.is_some_and(is_newer) {
            repairs
                .import
                .insert(slug.clone(), active.map_or(Timestamp::UNIX_EPOCH, |held| held.updated_at));
        } else if let (Some(held), Some(published)) = (active, &state.published) {
            match (published.status, held.workflow) {
                (Compliance::Passed, Some(Workflow::New | Workflow::Notified)) => {
                    repairs.set_resolved.push(id)
                }
                (Compliance::Failed | Compliance::Warning, Some(Workflow::Resolved))
                    if is_ours(state, now) =>
                {
                    repairs.set_new.push(id);
                }
                _ => {}
            }
        }
    }
    repairs
}

/// Returns true if a failure is RESOLVED by an edit of ours that took effect after the failure was
/// imported.
fn is_ours(state: &ControlState, now: Timestamp) -> bool {
    state.resolved_at.is_some_and(|resolved_at| {
        state.updated_at.duration_since(resolved_at) <= LATEST_EDIT
            && now.duration_since(resolved_at) <= LATEST_LOOK
    })
}

/// Selects the controls that a second look at some buckets compares, so that one call returns all
/// their findings. Returns `None` if one call returns the findings of all controls.
///
/// Each item comes with the version that was published before the evaluation that the second look
/// follows. A control is compared in any case if it does not pass, or did not pass before that
/// evaluation. Then other changes and the most severe controls follow. The audit compares the
/// controls that are left out.
#[must_use]
pub fn worth_comparing(items: &[(&Item, u64)]) -> Option<BTreeSet<Slug>> {
    let mut counts = BTreeMap::<&Slug, ((bool, bool), usize)>::new();
    for (item, since) in items {
        for (slug, state) in &item.controls {
            let ((is_needed, is_changed), count) = counts.entry(slug).or_default();
            *is_needed |= state.published.as_ref().is_some_and(|now| !now.passed())
                || is_alertable(state, *since);
            *is_changed |= state.planned > *since;
            *count += usize::from(state.published.is_some());
        }
    }
    if counts.values().map(|(_, count)| count).sum::<usize>() <= PAGE {
        return None;
    }
    let severity = |slug: &Slug| slug.control().map(|control| control.severity);
    let mut ranked: Vec<_> = counts.into_iter().collect();
    ranked
        .sort_by_key(|(slug, (rank, _))| Reverse((*rank, severity(slug).unwrap_or(Severity::Low))));
    let (mut chosen, mut findings) = (BTreeSet::new(), 0);
    for (slug, ((is_needed, _), count)) in ranked {
        if is_needed || findings + count <= PAGE {
            chosen.insert(slug.clone());
            findings += count;
        }
    }
    Some(chosen)
}

/// Returns true if a control changed after a version and people may be alerted about it, or its
/// finding was archived.
fn is_alertable(state: &ControlState, since: u64) -> bool {
    let is_new_work = |transition: Transition| {
        transition.is_new_work() || matches!(transition, Transition::Resolved | Transition::Gone)
    };
    state
        .change
        .as_ref()
        .is_some_and(|change| change.version > since && is_new_work(change.transition))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds a bucket whose controls were all published by one version. The first `failing`
    /// controls fail, and the others pass.
    fn item(failing: usize, version: u64) -> Item {
        let state = |number: usize| {
            let status = if number < failing { Compliance::Failed } else { Compliance::Passed };
            let summary = Summary { status, severity: Severity::Low, fingerprint: String::new() };
            let observed = Some(summary);
            ControlState {
                published: observed.clone(),
                observed,
                planned: version,
                ..ControlState::new(Timestamp::UNIX_EPOCH)
            }
        };
        let slugs = [
            "tls-only",
            "encrypted-with-cmk",
            "key-usable",
            "key-rotates",
            "bucket-key-on",
            "ssec-blocked",
        ];
        let controls =
            slugs.iter().enumerate().map(|(number, slug)| (Slug::from(*slug), state(number)));
        Item { version, published: version, controls: controls.collect(), ..Item::unknown() }
    }

    #[test]
    fn all_controls_are_compared_if_their_findings_fit_one_call() {
        let item = item(1, 5);
        assert_eq!(worth_comparing(&vec![(&item, 5); 16]), None);
        assert!(worth_comparing(&vec![(&item, 5); 17]).is_some());
    }

    #[test]
    fn failing_changed_and_most_severe_controls_of_many_buckets_are_compared() {
        let failing = item(1, 5);
        let chosen = worth_comparing(&vec![(&failing, 5); 20]).unwrap();
        assert_eq!(chosen.len(), 5, "{chosen:?}");
        assert!(chosen.contains("tls-only"), "it fails");
        assert!(chosen.contains("encrypted-with-cmk"), "it is the most severe of those that pass");
        assert_eq!(
            worth_comparing(&vec![(&failing, 4); 20]).unwrap().len(),
            5,
            "all were imported since, and pass"
        );
        let mut resolved = item(0, 5);
        for slug in ["ssec-blocked", "key-rotates"] {
            let state = resolved.controls.get_mut(slug).unwrap();
            let (transition, at) = (Transition::Resolved, Timestamp::UNIX_EPOCH);
            state.change = Some(crate::Change { version: 5, transition, at, before: None });
        }
        let chosen = worth_comparing(&vec![(&resolved, 4); 33]).unwrap();
        assert_eq!(chosen.len(), 3, "{chosen:?}");
        assert!(chosen.contains("ssec-blocked") && chosen.contains("key-rotates"), "{chosen:?}");
    }
}
