//! The last committed state of a bucket, or of an account in a region.
//!
//! Security Hub answers late, so a provider "must implement a mechanism to retain the state of
//! findings"
//! ([guidelines](https://docs.aws.amazon.com/securityhub/latest/partnerguide/guidelines-batchimportfindings.html)).
//! An [`Item`] is that state. The crate `state` stores it. This module does not decide where items
//! are stored.

use crate::{
    ApiCall, ClassField, Compliance, Finding, Reading, RecordState, Slug, Summary, Transition,
    Workflow,
};
use controls::{Level, Severity};
use facts::{AliasArn, KeyArn, KeyUser, Place};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// The time within which an edit to RESOLVED may still take effect: BatchUpdateFindings ["might
/// take several
/// minutes"](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_BatchUpdateFindings.html).
/// If a failure is RESOLVED by a later edit, a person made that edit.
pub(crate) const LATEST_EDIT: SignedDuration = SignedDuration::from_mins(15);

/// The last committed state of a bucket, or of an account in a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The number of the commit. The next one is the version before plus 1, or the milliseconds
    /// since 1970 if that is more. 0 if the item was never committed.
    pub version: u64,
    /// The last version that Security Hub has received completely.
    pub published: u64,
    /// The deployment that committed the version: settings and program.
    pub generation: u64,
    /// The moment just before AWS was read for this version.
    pub read_at: Timestamp,
    /// The Security Hub that holds the findings; `None` if no version was published.
    pub stored_in: Option<StoredIn>,
    /// The Security Hub that the findings are moved to, or are first stored in. `None` once they
    /// are stored there.
    pub moving_to: Option<StoredIn>,
    /// True if the bucket does not exist any more, or is not watched any more.
    pub gone: bool,
    /// The class and the key. Buckets that share a key are found by them.
    pub class_and_key: ClassAndKey,
    /// The API calls behind the latest change; empty if the sweep found it.
    pub api_calls: Vec<ApiCall>,
    /// The keys whose other buckets must still be evaluated again.
    pub neighbours: BTreeSet<Neighbours>,
    /// Digests of the facts that were read of the bucket.
    pub reading: Reading,
    /// The transitions that sweeps found and that no event has announced so far; `None` if there
    /// are none.
    pub unannounced: Option<Unannounced>,
    /// The state of each control.
    pub controls: BTreeMap<Slug, ControlState>,
}

/// Transitions that sweeps found and that no event has announced so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unannounced {
    /// The number of transitions.
    pub transitions: u32,
    /// The moment just before the first of these sweeps read the bucket. An event of a later call
    /// does not announce what that sweep found.
    pub since: Timestamp,
}

/// The class of a bucket and the key that its default encryption names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassAndKey {
    /// The class; `None` if it could not be read.
    pub class: Option<String>,
    /// The level that the class requires; `None` if the class could not be read.
    pub level: Option<Level>,
    /// The key.
    pub key: Option<KeyArn>,
    /// The alias by which the bucket names the key.
    pub alias: Option<AliasArn>,
}

/// A bucket that uses a key, or names the key by an alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketOfKey {
    /// The bucket and its class.
    pub user: KeyUser,
    /// The level that the class requires; `None` if the class could not be read.
    pub level: Option<Level>,
}

impl BucketOfKey {
    /// Returns true if the verdict of the bucket may change because another bucket started or
    /// stopped using the key. `class` is the class of that other bucket; `None` if it could not be
    /// read.
    #[must_use]
    pub fn is_concerned(&self, class: Option<&str>) -> bool {
        let depends = self.level.is_none_or(|level| level >= Level::Enforced);
        depends && (class.is_none() || self.user.class.as_deref() != class)
    }
}

/// Buckets whose verdict may change because another bucket started or stopped using their key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbours {
    /// The key.
    pub key: KeyArn,
    /// The class of the other bucket; `None` if it could not be read. Buckets of the same class are
    /// not affected.
    pub class: Option<String>,
}

/// A Security Hub, identified by its place and the time at which it was last enabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredIn {
    /// The account and the region.
    pub place: Place,
    /// The time at which it was enabled: `SubscribedAt` of
    /// [DescribeHub](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_DescribeHub.html).
    pub since: String,
}

/// The state of one control of a bucket or an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlState {
    /// The latest verdict. `None` if the control has no finding: it does not apply, the bucket is
    /// gone, or the settings leave out findings that pass.
    pub observed: Option<Summary>,
    /// The last verdict that Security Hub has received; `None` if it has no active finding.
    pub published: Option<Summary>,
    /// Verdicts that were committed after the published one and before the latest. Security Hub may
    /// have received them or not, because their version was never marked as published. At most one
    /// passes or has no finding, and at most one does not pass.
    pub doubts: Vec<Option<Summary>>,
    /// The time at which the finding was created; `None` before its first import is planned.
    pub created_at: Option<Timestamp>,
    /// The moment just before AWS was read for the first verdict of the control.
    pub first_observed_at: Timestamp,
    /// `UpdatedAt` of the last planned import.
    pub updated_at: Timestamp,
    /// The version that planned the last import.
    pub planned: u64,
    /// The worst severity since the control last passed.
    pub worst: Option<Severity>,
    /// The time of the last planned import that turned the finding PASSED. RESOLVED is set after
    /// such an import.
    pub resolved_at: Option<Timestamp>,
    /// The last change; `None` if it is not known, for example because an earlier version of
    /// cmkwatch committed it.
    pub change: Option<Change>,
    /// True if the planned import is a repair. A repair reports the last change again, and is no
    /// change itself.
    pub is_repair: bool,
}

/// The last change of a control, as its finding reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The version of the item that changed the control. An alert is sent once for each finding and
    /// version.
    pub version: u64,
    /// The transition.
    pub transition: Transition,
    /// The `UpdatedAt` of the change: the moment just before AWS was read, or a second after the
    /// import before if that is later.
    pub at: Timestamp,
    /// The status and the severity before; `None` if there was no active finding.
    pub before: Option<(Compliance, Severity)>,
}

impl Change {
    /// Reads the change that a finding reports. `None` if it reports none, or if an earlier version
    /// of cmkwatch imported it.
    fn of(finding: &Finding) -> Option<Self> {
        let transition =
            finding.transition().filter(|transition| *transition != Transition::Unchanged)?;
        Some(Self {
            version: finding.product_fields.state_version?,
            transition,
            at: finding.product_fields.transition_at?,
            before: finding
                .product_fields
                .status_before
                .zip(finding.product_fields.severity_before),
        })
    }
}

impl ControlState {
    /// Returns the verdict that the transition is measured from.
    ///
    /// That is a verdict that Security Hub may have received and that differs from the latest one
    /// in passing. If there is no such verdict, it is the published one. So people who know any of
    /// these verdicts learn if the control passes now.
    pub(crate) fn known(&self) -> Option<&Summary> {
        let is_bad = |verdict: Option<&Summary>| verdict.is_some_and(|verdict| !verdict.passed());
        let now = is_bad(self.observed.as_ref());
        let mut received =
            std::iter::once(self.published.as_ref()).chain(self.doubts.iter().map(Option::as_ref));
        received.find(|verdict| is_bad(*verdict) != now).unwrap_or(self.published.as_ref())
    }

    /// Records that the latest verdict, which was never marked as published, is followed by
    /// another.
    pub(crate) fn doubt(&mut self) {
        let is_bad =
            |verdict: &Option<Summary>| verdict.as_ref().is_some_and(|verdict| !verdict.passed());
        if self.doubts.iter().all(|doubt| is_bad(doubt) != is_bad(&self.observed)) {
            self.doubts.push(self.observed.clone());
        }
    }

    pub(crate) fn new(read_at: Timestamp) -> Self {
        Self {
            observed: None,
            published: None,
            doubts: Vec::new(),
            created_at: None,
            first_observed_at: read_at,
            updated_at: Timestamp::UNIX_EPOCH,
            planned: 0,
            worst: None,
            resolved_at: None,
            change: None,
            is_repair: false,
        }
    }
}

impl Item {
    /// Returns the state of a subject of which nothing is known.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            version: 0,
            published: 0,
            generation: 0,
            read_at: Timestamp::UNIX_EPOCH,
            stored_in: None,
            moving_to: None,
            gone: false,
            class_and_key: ClassAndKey::default(),
            api_calls: Vec::new(),
            neighbours: BTreeSet::new(),
            reading: Reading::default(),
            unannounced: None,
            controls: BTreeMap::new(),
        }
    }

    /// Builds an item from what Security Hub holds, for an item that is new or lost. Ages stay, and
    /// nothing seems to have changed.
    ///
    /// `security_hub` is the Security Hub in which the findings are to be stored, `now` the time.
    #[must_use]
    pub fn adopt(held: &[Finding], security_hub: &StoredIn, now: Timestamp) -> Self {
        let active = |finding: &&Finding| finding.record_state == RecordState::Active;
        // Findings in another Security Hub must move. So they decide if there are any.
        let other =
            held.iter().filter(active).find(|finding| finding.stored_in != security_hub.place);
        let from = other.map_or(&security_hub.place, |finding| &finding.stored_in);
        let stored_in = match other {
            Some(finding) => StoredIn { place: finding.stored_in.clone(), since: String::new() },
            None => security_hub.clone(),
        };
        let mut item = Self { stored_in: Some(stored_in), ..Self::unknown() };
        for finding in held.iter().filter(|finding| finding.stored_in == *from) {
            item.read_at = item.read_at.max(finding.updated_at);
            if active(&finding) {
                item.class_and_key = class_and_key_of(finding);
                item.api_calls.extend(finding.product_fields.api_call.clone());
            }
            item.controls.insert(finding.slug.clone(), adopted(finding, now));
        }
        item.api_calls.sort_by(|one, other| one.event_id.cmp(&other.event_id));
        item.api_calls.dedup();
        item
    }

    /// Returns the item as it is after its version has been published.
    #[must_use]
    pub fn published(&self) -> Self {
        let mut item =
            Self { published: self.version, neighbours: BTreeSet::new(), ..self.clone() };
        item.stored_in = item.moving_to.take().or(item.stored_in);
        for control in item.controls.values_mut().filter(|control| control.planned > self.published)
        {
            control.published.clone_from(&control.observed);
            control.doubts.clear();
            control.is_repair = false;
        }
        item
    }

    /// Returns true if the last verdict of a control was that it passes; `None` if the control has
    /// no finding.
    #[must_use]
    pub fn passes(&self, slug: &str) -> Option<bool> {
        self.controls.get(slug)?.observed.as_ref().map(Summary::passed)
    }
}

fn adopted(finding: &Finding, now: Timestamp) -> ControlState {
    let summary = (finding.record_state == RecordState::Active).then(|| finding.summary());
    let passed = summary.as_ref().is_some_and(Summary::passed);
    // A run may have been interrupted before it set RESOLVED. So RESOLVED is still to be set.
    let is_open = passed && matches!(finding.workflow, Workflow::New | Workflow::Notified);
    ControlState {
        observed: summary.clone(),
        published: summary,
        doubts: Vec::new(),
        created_at: Some(finding.created_at),
        first_observed_at: finding.first_observed_at,
        updated_at: finding.updated_at,
        planned: u64::from(is_open),
        worst: finding.product_fields.worst,
        // RESOLVED may have been set shortly before. The item that recorded it is lost.
        resolved_at: (now.duration_since(finding.updated_at) <= LATEST_EDIT)
            .then_some(finding.updated_at),
        change: Change::of(finding),
        is_repair: false,
    }
}

fn class_and_key_of(finding: &Finding) -> ClassAndKey {
    let (class, level) = match &finding.product_fields.class {
        Some(ClassField::Known { name, level }) => (Some(name.clone()), *level),
        Some(ClassField::Unreadable) | None => (None, None),
    };
    let (key, alias) = (finding.key().cloned(), finding.product_fields.key_alias.clone());
    ClassAndKey { class, level, key, alias }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_concerned_by_other_classes_if_its_level_depends_on_them() {
        let bucket = |class: Option<&str>, level| BucketOfKey {
            user: KeyUser {
                bucket: facts::BucketId::new(
                    "123456789012".parse().unwrap(),
                    "us-east-1".parse().unwrap(),
                    "acme".parse().unwrap(),
                )
                .unwrap(),
                class: class.map(str::to_owned),
            },
            level,
        };
        for (class, level, other, concerned) in [
            (Some("secret"), Some(Level::Enforced), Some("public"), true),
            (Some("secret"), Some(Level::Enforced), Some("secret"), false),
            (Some("secret"), Some(Level::Enforced), None, true),
            (Some("secret"), Some(Level::Cmk), Some("public"), false),
            (None, None, Some("public"), true),
        ] {
            assert_eq!(
                bucket(class, level).is_concerned(other),
                concerned,
                "{class:?} {level:?} {other:?}"
            );
        }
    }
}
