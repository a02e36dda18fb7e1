//! What Security Hub holds otherwise than it should.
//!
//! Agrees with the table in `docs/finding-lifecycle.md`.

use crate::{About, Compliance, ControlState, Finding, Item, Summary, Transition, Workflow};
use controls::Severity;
use jiff::{SignedDuration, Timestamp};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// How long after RESOLVED was set it may still take effect: BatchUpdateFindings
/// ["might take several minutes"](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_BatchUpdateFindings.html). What is
/// RESOLVED later than that over a failure, a person has set.
pub(crate) const LATEST_EDIT: SignedDuration = SignedDuration::from_mins(15);

/// The latest time after RESOLVED was set at which a second look may still run, however often its message comes again. A later
/// RESOLVED over a failure was set by a person.
const LATEST_LOOK: SignedDuration = SignedDuration::from_hours(2);

/// By how much `UpdatedAt` must be later than our last import for a finding to be somebody else's, who may have copied ours.
const OF_ANOTHER: SignedDuration = SignedDuration::from_secs(1);

/// How many findings one call of [GetFindings](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_GetFindings.html)
/// returns at most.
const PAGE: usize = 100;

/// An active finding that Security Hub holds under one of our ids, as far as it is compared with the state. Anybody in its account
/// may have imported it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The id.
    pub id: String,
    /// The verdict; `None` if it is none that cmkwatch gives.
    pub summary: Option<Summary>,
    /// The workflow status; `None` if AWS has added another.
    pub workflow: Option<Workflow>,
    /// `UpdatedAt`; 1970 if it is no time.
    pub updated_at: Timestamp,
}

impl Held {
    /// A finding as cmkwatch imported it.
    #[must_use]
    pub fn of(finding: &Finding) -> Self {
        Self {
            id: finding.id.clone(),
            summary: Some(Summary::of(finding)),
            workflow: Some(finding.workflow),
            updated_at: finding.updated_at,
        }
    }

    fn slug(&self) -> &str {
        self.id.rsplit('/').next().unwrap_or_default()
    }
}

/// The findings that must be repaired.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// The controls whose finding is missing, says something else, or is active without being known, each with the `UpdatedAt`
    /// of that finding; 1970 if it is missing.
    pub import: BTreeMap<String, Timestamp>,
    /// The ids of findings that are RESOLVED over a failure, by an edit of ours that came late.
    pub reopen: Vec<String>,
    /// The ids of findings that pass and are not RESOLVED.
    pub resolve: Vec<String>,
}

impl Repairs {
    /// The number of findings that must be repaired.
    #[must_use]
    pub fn count(&self) -> usize {
        self.import.len() + self.reopen.len() + self.resolve.len()
    }
}

/// Compares the active findings that Security Hub holds with the state that was published. `only` are the controls that are
/// compared; `None` for all. `now` is the time at which Security Hub was asked.
#[must_use]
pub fn repairs(
    item: &Item,
    about: &About,
    held: &[Held],
    only: Option<&BTreeSet<String>>,
    now: Timestamp,
) -> Repairs {
    let mut repairs = Repairs::default();
    let is_compared = |slug: &str| only.is_none_or(|only| only.contains(slug));
    let unknown = held
        .iter()
        .filter(|held| !item.controls.contains_key(held.slug()) && is_compared(held.slug()));
    repairs.import.extend(unknown.map(|held| (held.slug().to_owned(), held.updated_at)));
    for (slug, state) in item.controls.iter().filter(|(slug, _)| is_compared(slug)) {
        let id = about.id(slug);
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
                    repairs.resolve.push(id)
                }
                (Compliance::Failed | Compliance::Warning, Some(Workflow::Resolved))
                    if is_ours(state, now) =>
                {
                    repairs.reopen.push(id);
                }
                _ => {}
            }
        }
    }
    repairs
}

/// Returns true if RESOLVED over a failure is an edit of ours that took effect after the failure was imported.
fn is_ours(state: &ControlState, now: Timestamp) -> bool {
    state.resolved_at.is_some_and(|resolved_at| {
        state.updated_at.duration_since(resolved_at) <= LATEST_EDIT
            && now.duration_since(resolved_at) <= LATEST_LOOK
    })
}

/// Chooses the controls that a second look at some buckets compares, so that one call returns all their findings: `None` if that
/// is so for all controls. Each item comes with the version that was published before the evaluation which the second look
/// follows. What does not pass, or did not before that evaluation, is compared in any case; then come other changes and the most
/// severe controls. What is left out is compared by the audit.
#[must_use]
pub fn worth_comparing(items: &[(&Item, u64)]) -> Option<BTreeSet<String>> {
    let mut counts = BTreeMap::<&str, ((bool, bool), usize)>::new();
    for (item, since) in items {
        for (slug, state) in &item.controls {
            let ((is_needed, is_changed), count) = counts.entry(slug).or_default();
            *is_needed |= state.published.as_ref().is_some_and(|now| !now.passed())
                || concerns_people(state, *since);
            *is_changed |= state.planned > *since;
            *count += usize::from(state.published.is_some());
        }
    }
    if counts.values().map(|(_, count)| count).sum::<usize>() <= PAGE {
        return None;
    }
    let severity = |slug: &str| {
        controls::ALL.into_iter().find(|control| control.slug == slug).map(|it| it.severity)
    };
    let mut ranked: Vec<_> = counts.into_iter().collect();
    ranked
        .sort_by_key(|(slug, (rank, _))| Reverse((*rank, severity(slug).unwrap_or(Severity::Low))));
    let (mut chosen, mut findings) = (BTreeSet::new(), 0);
    for (slug, ((is_needed, _), count)) in ranked {
        if is_needed || findings + count <= PAGE {
            chosen.insert(slug.to_owned());
            findings += count;
        }
    }
    Some(chosen)
}

/// Returns true if a control changed after a version in a way that people may be alerted about, or that archived its finding.
fn concerns_people(state: &ControlState, since: u64) -> bool {
    let is_news = |transition: Transition| {
        transition.is_news() || matches!(transition, Transition::Resolved | Transition::Gone)
    };
    state.change.as_ref().is_some_and(|change| change.version > since && is_news(change.transition))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bucket whose controls were all published as passed or failed, the failing ones first, by one version.
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
            slugs.iter().enumerate().map(|(number, slug)| ((*slug).to_owned(), state(number)));
        Item { version, published: version, controls: controls.collect(), ..Item::unknown() }
    }

    #[test]
    fn what_fits_one_call_is_compared_whole() {
        let item = item(1, 5);
        assert_eq!(worth_comparing(&vec![(&item, 5); 16]), None);
        assert!(worth_comparing(&vec![(&item, 5); 17]).is_some());
    }

    #[test]
    fn of_many_buckets_what_changed_or_fails_is_compared_and_the_most_severe() {
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
