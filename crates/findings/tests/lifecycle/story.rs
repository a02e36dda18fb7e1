//! Sequences of evaluations, each one done before the next begins.

use crate::example::{
    KEY, SETTINGS, Story, api_call, at, bucket_id, cmk, sse_s3, unreadable, used,
};
use facts::{DefaultEncryption, Fact, KeyLookup, KeyState, Tags};
use findings::{
    About, ClassAndKey, Compliance, Finding, Item, Neighbours, Plan, RecordState, Repairs,
    Resource, Seen, Workflow, fields, repairs,
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Returns the transitions of a plan, by control.
fn transitions(plan: &Plan) -> Vec<(String, String)> {
    let slug = |finding: &Finding| finding.generator_id.trim_start_matches("cmkwatch/").to_owned();
    plan.import
        .iter()
        .map(|finding| (slug(finding), finding.product_fields[fields::TRANSITION].clone()))
        .collect()
}

fn expect(plan: &Plan, expected: &[(&str, &str)]) {
    let (mut found, mut expected) = (transitions(plan), expected.to_vec());
    found.sort();
    expected.sort_unstable();
    let expected: Vec<_> =
        expected.iter().map(|&(slug, word)| (slug.to_owned(), word.to_owned())).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_drift_opens_and_a_fix_resolves() {
    let mut story = Story::default();
    expect(
        &story.observe(sse_s3(), 0),
        &[("encrypted-with-kms", "opened"), ("encrypted-with-cmk", "opened")],
    );
    let finding = story.get("encrypted-with-cmk").clone();
    assert_eq!((finding.compliance, finding.workflow), (Compliance::Failed, Workflow::New));
    assert_eq!((finding.created_at, finding.updated_at), (at(0), at(0)));
    assert!(!finding.product_fields.contains_key(fields::STATUS_BEFORE));

    let fixed = story.observe(cmk(KeyState::Enabled), 5);
    expect(
        &fixed,
        &[
            ("encrypted-with-kms", "resolved"),
            ("encrypted-with-cmk", "resolved"),
            ("key-usable", "first-seen"),
        ],
    );
    assert_eq!(fixed.set_resolved.len(), 2, "the new one is created RESOLVED");
    for slug in ["encrypted-with-kms", "encrypted-with-cmk", "key-usable"] {
        assert_eq!(story.get(slug).workflow, Workflow::Resolved, "{slug}");
    }
    let finding = story.get("encrypted-with-cmk");
    assert_eq!(
        (finding.created_at, finding.first_observed_at, finding.updated_at),
        (at(0), at(0), at(5))
    );
    assert!(finding.resources.contains(&Resource::Key(KEY.into())));
    let before = [fields::STATUS_BEFORE, fields::SEVERITY_BEFORE, fields::WORKFLOW_BEFORE];
    assert_eq!(
        before.map(|field| finding.product_fields[field].as_str()),
        ["FAILED", "HIGH", "NEW"]
    );
}

#[test]
fn an_unchanged_finding_is_not_imported_until_the_refresh_is_due() {
    let mut story = Story::default();
    story.observe(sse_s3(), 0);
    assert!(story.observe(sse_s3(), 1).is_done());
    let version = story.get("encrypted-with-kms").product_fields[fields::STATE_VERSION].clone();
    let mut refreshed = Vec::new();
    for day in 1..=65 {
        let plan = story.observe(sse_s3(), day * 24 * 60);
        if !plan.is_done() || !plan.import.is_empty() {
            expect(
                &plan,
                &[("encrypted-with-kms", "unchanged"), ("encrypted-with-cmk", "unchanged")],
            );
            refreshed.push(day);
        }
    }
    assert!(
        refreshed.len() >= 2 && refreshed[0] <= 30 && refreshed[1] - refreshed[0] == 30,
        "{refreshed:?}"
    );
    let kept = &story.get("encrypted-with-kms").product_fields;
    assert_eq!((kept[fields::EVENT_ID].as_str(), &kept[fields::STATE_VERSION]), ("b1c2", &version));
}

#[test]
fn severity_and_evidence_make_their_own_transitions() {
    let mut story = Story::default();
    let key = |plan: Plan| {
        transitions(&plan).into_iter().find(|(slug, _)| slug == "key-usable").map(|(_, word)| word)
    };
    let pending = || cmk(KeyState::PendingDeletion(Some(at(9999))));
    assert_eq!(key(story.observe(cmk(KeyState::Disabled), 0)).as_deref(), Some("opened"));
    assert_eq!(key(story.observe(pending(), 1)).as_deref(), Some("worsened"));
    assert_eq!(
        key(story.observe(cmk(KeyState::PendingDeletion(Some(at(99999)))), 2)).as_deref(),
        Some("changed")
    );
    assert_eq!(key(story.observe(cmk(KeyState::Disabled), 3)).as_deref(), Some("eased"));
    assert_eq!(key(story.observe(unreadable(), 4)).as_deref(), Some("unreadable"));
    assert_eq!(key(story.observe(unreadable(), 5)).as_deref(), None);
    assert_eq!(key(story.observe(cmk(KeyState::Disabled), 6)).as_deref(), Some("opened"));
    assert_eq!(key(story.observe(sse_s3(), 7)).as_deref(), Some("gone"));
    assert_eq!(key(story.observe(cmk(KeyState::Disabled), 8)).as_deref(), Some("opened"));
}

#[test]
fn a_resolved_finding_names_its_worst_severity_even_if_it_eased() {
    let mut story = Story::default();
    let worst =
        |story: &Story| story.get("key-usable").product_fields.get(fields::WORST_SEVERITY).cloned();
    for (minute, (state, expected)) in [
        (KeyState::Disabled, Some("HIGH")),
        (KeyState::PendingDeletion(Some(at(9999))), Some("CRITICAL")),
        (KeyState::Disabled, Some("CRITICAL")),
        (KeyState::Enabled, Some("CRITICAL")),
        (KeyState::Disabled, Some("HIGH")),
        (KeyState::Enabled, Some("HIGH")),
    ]
    .into_iter()
    .enumerate()
    {
        story.observe(cmk(state), i64::try_from(minute).unwrap());
        assert_eq!(worst(&story).as_deref(), expected, "minute {minute}");
    }
    // The finding is imported again without a change: it passes now, and passed before.
    story.observe(cmk(KeyState::Enabled), 31 * 24 * 60);
    assert_eq!(worst(&story), None);
}

#[test]
fn unreadable_is_a_warning_with_the_permission_that_is_missing() {
    let mut story = Story::default();
    story.observe(unreadable(), 0);
    let finding = story.get("encrypted-with-cmk");
    assert_eq!(finding.compliance, Compliance::Warning);
    assert!(
        finding.description.contains("s3:GetEncryptionConfiguration"),
        "{}",
        finding.description
    );
    assert_eq!(finding.reasons[0].code, "UNREADABLE");
}

#[test]
fn findings_of_a_deleted_bucket_are_archived_once_and_become_active_if_it_exists_again() {
    let mut story = Story::default();
    story.observe(cmk(KeyState::Enabled), 0);
    let gone = |minute| Seen::gone(&bucket_id(), at(minute));
    let archived = story.carry_out(&gone(1), &[api_call()], &BTreeMap::new(), 1);
    expect(
        &archived,
        &[("encrypted-with-cmk", "gone"), ("encrypted-with-kms", "gone"), ("key-usable", "gone")],
    );
    assert!(story.findings.iter().all(|finding| finding.record_state == RecordState::Archived));
    assert!(story.item.gone && story.item.class_and_key == ClassAndKey::default());
    for finding in &story.findings {
        assert_eq!(finding.product_fields[fields::GONE_BECAUSE], "bucket acme does not exist");
        assert_eq!((finding.compliance, finding.first_observed_at), (Compliance::Passed, at(0)));
        assert_eq!(finding.resources.len(), 2, "the bucket and the key that it had");
    }
    assert!(story.carry_out(&gone(2), &[], &BTreeMap::new(), 2).is_done());

    let back = story.observe(cmk(KeyState::Enabled), 3);
    assert_eq!(transitions(&back)[0].1, "first-seen");
    assert!(story.findings.iter().all(|finding| finding.record_state == RecordState::Active));
    assert!(
        story.findings.iter().all(|finding| finding.workflow == Workflow::Resolved),
        "coming back makes it NEW"
    );
    assert!(
        story
            .findings
            .iter()
            .all(|finding| !finding.product_fields.contains_key(fields::GONE_BECAUSE))
    );
}

#[test]
fn a_bucket_that_never_existed_is_not_stored() {
    let mut story = Story::default();
    assert!(story.carry_out(&Seen::gone(&bucket_id(), at(0)), &[], &BTreeMap::new(), 0).is_done());
    assert_eq!(story.item, Item::unknown());
}

#[test]
fn a_control_that_no_longer_applies_is_archived() {
    let mut story = Story::default();
    story.observe(sse_s3(), 0);
    let public = [("data-classification".to_owned(), "public".to_owned())].into();
    let plan = story.observe_tagged(public, sse_s3(), 1);
    expect(&plan, &[("encrypted-with-cmk", "gone"), ("encrypted-with-kms", "gone")]);
    assert!(
        story.get("encrypted-with-kms").product_fields[fields::GONE_BECAUSE]
            .contains("class public")
    );
}

#[test]
fn a_finding_of_a_control_that_was_withdrawn_is_archived() {
    let mut story = Story::default();
    story.observe(sse_s3(), 0);
    let state = story.item.controls.remove("encrypted-with-kms").unwrap();
    story.item.controls.insert("a-control-of-old".to_owned(), state);
    let plan = story.plan(&story.see(Tags::new(), sse_s3(), 1), &[], &BTreeMap::new(), 1);
    let old = plan.import.iter().find(|finding| finding.id.ends_with("/a-control-of-old")).unwrap();
    assert_eq!(old.record_state, RecordState::Archived);
}

#[test]
fn a_suppressed_finding_stays_suppressed() {
    let mut story = Story::default();
    story.observe(sse_s3(), 0);
    story.findings.iter_mut().for_each(|finding| finding.workflow = Workflow::Suppressed);
    assert_eq!(story.observe(cmk(KeyState::Enabled), 1).set_resolved, Vec::<String>::new());
    assert_eq!(story.get("encrypted-with-kms").workflow, Workflow::Suppressed);
}

#[test]
fn a_version_that_was_not_published_is_published_by_the_next_run() {
    let mut story = Story::default();
    story.observe(sse_s3(), 0);
    let seen = story.see(Tags::new(), cmk(KeyState::Enabled), 1);
    for imported in [false, true] {
        let mut story = story.clone();
        let plan = story.plan(&seen, &[api_call()], &BTreeMap::new(), 1);
        story.item = plan.item.clone();
        if imported {
            story.apply(&Plan { set_resolved: Vec::new(), ..plan });
        }
        let rest = story.observe(cmk(KeyState::Enabled), 2);
        assert!(!rest.changed && rest.set_resolved.len() == 3, "{rest:?}");
        assert_eq!(transitions(&rest).iter().filter(|(_, word)| word == "resolved").count(), 2);
        assert!(story.observe(cmk(KeyState::Enabled), 3).is_done());
        assert!(story.findings.iter().all(|finding| finding.workflow == Workflow::Resolved));
    }
}

/// A run died after it committed a failure and imported it. The bucket was fixed meanwhile.
#[test]
fn a_failure_that_may_have_been_published_is_resolved_and_reported() {
    let mut story = Story::default();
    story.observe(cmk(KeyState::Enabled), 0);
    let failed =
        story.plan(&story.see(Tags::new(), cmk(KeyState::Disabled), 1), &[], &BTreeMap::new(), 1);
    story.item = failed.item.clone();
    story.apply(&failed);
    assert_eq!(story.get("key-usable").compliance, Compliance::Failed);
    let back = story.observe(cmk(KeyState::Enabled), 2);
    expect(
        &back,
        &[
            ("encrypted-with-kms", "unchanged"),
            ("encrypted-with-cmk", "unchanged"),
            ("key-usable", "resolved"),
        ],
    );
    assert_eq!(story.get("key-usable").workflow, Workflow::Resolved);
}

/// A run died after it committed a failure. It is unknown if the failure was imported and reported.
#[test]
fn a_failure_that_may_have_been_reported_is_reported_as_resolved() {
    let mut story = Story::default();
    let failed = story.plan(&story.see(Tags::new(), sse_s3(), 0), &[], &BTreeMap::new(), 0);
    story.item = failed.item;
    let plan = story.observe(cmk(KeyState::Enabled), 1);
    expect(
        &plan,
        &[
            ("encrypted-with-kms", "resolved"),
            ("encrypted-with-cmk", "resolved"),
            ("key-usable", "first-seen"),
        ],
    );
    assert!(story.item.controls.values().all(|state| state.doubts.is_empty()));
}

#[test]
fn versions_follow_the_clock_and_never_go_back() {
    let mut story = Story::default();
    story.observe(sse_s3(), 0);
    let first = story.item.version;
    assert_eq!(first, u64::try_from(at(0).as_millisecond()).unwrap());
    let back =
        story.plan(&story.see(Tags::new(), cmk(KeyState::Enabled), 0), &[], &BTreeMap::new(), -60);
    assert_eq!(back.item.version, first + 1);
    let updated = back
        .import
        .iter()
        .find(|finding| finding.slug() == "encrypted-with-kms")
        .unwrap()
        .updated_at;
    assert_eq!(
        updated,
        at(0) + SignedDuration::from_secs(1),
        "Security Hub ignores what is not newer"
    );
}

#[test]
fn findings_of_security_hub_are_adopted_and_nothing_seems_to_have_changed() {
    let mut story = Story::default();
    story.observe(cmk(KeyState::Enabled), 0);
    story.observe(cmk(KeyState::Disabled), 1);
    let suppressed = About::Bucket(bucket_id()).id("key-usable");
    story
        .findings
        .iter_mut()
        .filter(|f| f.id == suppressed)
        .for_each(|f| f.workflow = Workflow::Suppressed);
    let (before, item) = (story.findings.clone(), story.item.clone());
    story.item = Item::adopt(&story.findings, &story.security_hub, at(60));
    let plan = story.observe(cmk(KeyState::Disabled), 2);
    assert!(plan.changed && plan.import.is_empty(), "{plan:?}");
    assert_eq!(story.findings, before);
    assert!(story.item.version > 0 && story.item.published == story.item.version);
    for (slug, state) in &story.item.controls {
        let known = &item.controls[slug];
        assert_eq!(
            (&state.observed, &state.published),
            (&known.observed, &known.published),
            "{slug}"
        );
        assert_eq!(
            (state.created_at, state.first_observed_at),
            (known.created_at, known.first_observed_at),
            "{slug}"
        );
        assert_eq!((state.updated_at, state.worst), (known.updated_at, known.worst), "{slug}");
    }
    assert_eq!((&story.item.class_and_key, story.item.api_calls.len()), (&item.class_and_key, 1));
    story.observe(cmk(KeyState::Enabled), 3);
    assert_eq!(story.get("key-usable").workflow, Workflow::Suppressed);
}

#[test]
fn an_adopted_finding_that_passes_and_was_not_resolved_is_resolved() {
    let mut story = Story::default();
    story.observe(sse_s3(), 0);
    story.observe(cmk(KeyState::Enabled), 1);
    story
        .findings
        .iter_mut()
        .filter(|f| f.id.ends_with("/encrypted-with-kms"))
        .for_each(|f| f.workflow = Workflow::New);
    story.item = Item::adopt(&story.findings, &story.security_hub, at(60));
    let plan = story.observe(cmk(KeyState::Enabled), 2);
    // People are alerted once a finding is RESOLVED. So nobody was alerted before.
    expect(&plan, &[("encrypted-with-kms", "resolved")]);
    assert_eq!(story.get("encrypted-with-kms").workflow, Workflow::Resolved);
}

#[test]
fn a_bucket_that_starts_or_stops_using_a_key_concerns_the_other_buckets_of_the_key() {
    let mut story = Story::default();
    let enforced = format!("{SETTINGS}\n[class.restricted]\nlevel = \"enforced\"");
    let tagged = |class: &str| Tags::from([("data-classification".to_owned(), class.to_owned())]);
    let neighbour = |class: &str| Neighbours { key: KEY.to_owned(), class: Some(class.to_owned()) };
    assert!(
        story.observe(cmk(KeyState::Enabled), 0).item.neighbours.is_empty(),
        "no class depends on it"
    );
    story.settings = enforced;
    let plan = story.observe_tagged(tagged("public"), cmk(KeyState::Enabled), 1);
    assert_eq!(plan.item.neighbours, [neighbour("confidential"), neighbour("public")].into());
    assert!(story.item.neighbours.is_empty(), "they were asked for");
    assert!(
        story
            .observe_tagged(tagged("public"), cmk(KeyState::Disabled), 2)
            .item
            .neighbours
            .is_empty()
    );
    let left = story.observe_tagged(tagged("public"), sse_s3(), 3);
    assert_eq!(left.item.neighbours, [neighbour("public")].into());
    // The other buckets of the key were not queued. The next evaluation queues them.
    story.item = left.item;
    assert_eq!(
        story.observe_tagged(tagged("public"), sse_s3(), 4).item.neighbours,
        [neighbour("public")].into()
    );
}

#[test]
fn findings_that_differ_in_security_hub_are_repaired_without_a_new_report() {
    let mut story = Story::default();
    story.observe(sse_s3(), 0);
    story.observe(cmk(KeyState::Disabled), 1);
    let about = About::Bucket(bucket_id());
    let id = |slug: &str| about.id(slug);
    let held = |story: &Story| repairs(&story.item, &about, &story.held(), None, at(9));
    assert_eq!(held(&story), Repairs::default());

    let change = |story: &mut Story, slug: &str, change: fn(&mut Finding)| {
        story.findings.iter_mut().filter(|finding| finding.id == id(slug)).for_each(change);
    };
    let opened = story.get("key-usable").product_fields[fields::STATE_VERSION].clone();
    change(&mut story, "encrypted-with-kms", |finding| finding.workflow = Workflow::New);
    let unknown = Finding { id: id("tls-only"), ..story.get("encrypted-with-kms").clone() };
    story.findings.push(unknown);
    change(&mut story, "encrypted-with-cmk", |finding| finding.compliance = Compliance::Failed);
    story.findings.retain(|finding| finding.id != id("key-usable"));
    let found = held(&story);
    let imported_at = |slug: &str| (slug.to_owned(), story.get(slug).updated_at);
    let missing = ("key-usable".to_owned(), Timestamp::UNIX_EPOCH);
    assert_eq!(
        found.import,
        [imported_at("encrypted-with-cmk"), missing, imported_at("tls-only")].into()
    );
    assert_eq!(
        (&found.set_resolved, &found.set_new),
        (&vec![id("encrypted-with-kms")], &Vec::new())
    );
    let seen = story.see(Tags::new(), cmk(KeyState::Disabled), 2);
    let plan = story.carry_out(&seen, &[], &found.import, 2);
    // Repaired findings report the same transition as before.
    expect(
        &plan,
        &[("encrypted-with-cmk", "resolved"), ("key-usable", "opened"), ("tls-only", "gone")],
    );
    let reported = |finding: &Finding| finding.product_fields[fields::STATE_VERSION].clone();
    assert_eq!(reported(story.get("key-usable")), opened);
    assert_eq!(held(&story).import, BTreeMap::new());
    assert_eq!(story.get("key-usable").first_observed_at, at(1));
}

/// RESOLVED that cmkwatch set and that took effect late is undone. RESOLVED that a person set
/// stays.
#[test]
fn a_failure_that_cmkwatch_resolved_late_is_reopened_and_one_that_a_person_resolved_is_not() {
    for (minutes, look, reopened) in [(1, 7, 1), (60, 67, 0), (1, 3 * 60, 0)] {
        let mut story = Story::default();
        story.observe(cmk(KeyState::Disabled), 0);
        story.observe(cmk(KeyState::Enabled), 1);
        story.observe(cmk(KeyState::Disabled), 1 + minutes);
        story.findings.iter_mut().for_each(|finding| finding.workflow = Workflow::Resolved);
        let found =
            repairs(&story.item, &About::Bucket(bucket_id()), &story.held(), None, at(look));
        assert_eq!(found.set_new.len(), reopened, "failed after {minutes}, seen after {look}");
    }
}

#[test]
fn a_failure_after_a_resolved_warning_is_reopened() {
    let mut story = Story::default();
    story.observe(unreadable(), 0);
    story.findings.iter_mut().for_each(|finding| finding.workflow = Workflow::Resolved);
    let plan = story.observe(sse_s3(), 1);
    assert_eq!(plan.set_new.len(), 2);
    assert_eq!(story.get("encrypted-with-cmk").workflow, Workflow::New);
}

#[test]
fn a_resolved_failure_that_worsens_is_reopened() {
    let mut story = Story::default();
    story.observe(cmk(KeyState::Disabled), 0);
    story.findings.iter_mut().for_each(|finding| finding.workflow = Workflow::Resolved);
    assert_eq!(story.observe(cmk(KeyState::PendingDeletion(None)), 1).set_new.len(), 1);
    assert_eq!(story.get("key-usable").workflow, Workflow::New);
    assert_eq!(story.observe(cmk(KeyState::Disabled), 2).set_new.len(), 0);
}
#[test]
fn passed_findings_that_are_switched_off_are_imported_only_to_resolve_a_failure() {
    let settings = SETTINGS.replace("refresh-after-days", "passed = false, refresh-after-days");
    let mut story = Story { settings, ..Story::default() };
    assert!(story.observe(cmk(KeyState::Enabled), 0).import.is_empty());
    story.observe(sse_s3(), 1);
    let fixed = story.observe(cmk(KeyState::Enabled), 2);
    expect(&fixed, &[("encrypted-with-kms", "resolved"), ("encrypted-with-cmk", "resolved")]);
}

fn state() -> impl Strategy<Value = Fact<DefaultEncryption>> {
    prop_oneof![
        Just(sse_s3()),
        Just(unreadable()),
        Just(cmk(KeyState::Enabled)),
        Just(cmk(KeyState::Disabled)),
        Just(cmk(KeyState::PendingDeletion(Some(at(1000))))),
        Just(Fact::Known(used("", Fact::Known(KeyLookup::AwsManagedDefault)))),
        Just(Fact::Known(used("alias/gone", Fact::Known(KeyLookup::Missing)))),
    ]
}

proptest! {
    /// After any history, the active findings follow from the last state alone. Judging the last
    /// state again changes nothing.
    #[test]
    fn the_last_state_alone_decides_the_findings(history in proptest::collection::vec(state(), 1..8)) {
        let mut story = Story::default();
        for (minute, encryption) in (0..).zip(&history) {
            story.observe(encryption.clone(), minute);
        }
        let last = history.last().unwrap().clone();
        prop_assert!(story.observe(last.clone(), 100).is_done());

        let mut fresh = Story::default();
        fresh.observe(last, 0);
        prop_assert_eq!(story.standing(), fresh.standing());
    }
}
