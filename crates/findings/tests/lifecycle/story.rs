//! Sequences of evaluations, each one done before the next begins.

use crate::example::{
    KEY, SETTINGS, Story, api_call, at, bucket_id, cmk, expect, sse_s3, transitions, unreadable,
};
use controls::Severity;
use facts::{KeyState, Tags};
use findings::{
    ClassAndKey, Compliance, Item, Neighbours, Plan, RecordState, Resource, Seen, Workflow,
};
use std::collections::BTreeMap;

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
    assert_eq!(finding.product_fields.status_before, None);

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
    assert!(finding.resources.contains(&Resource::Key(KEY.parse().unwrap())));
    let fields = &finding.product_fields;
    assert_eq!(fields.status_before, Some(Compliance::Failed));
    assert_eq!(fields.severity_before, Some(Severity::High));
    assert_eq!(fields.workflow_before, Some(Workflow::New));
}

#[test]
fn an_unchanged_finding_is_not_imported_until_the_refresh_is_due() {
    let mut story = Story::default();
    story.observe(sse_s3(), 0);
    assert!(story.observe(sse_s3(), 1).is_done());
    let version = story.get("encrypted-with-kms").product_fields.state_version;
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
    let event_id = kept.api_call.as_ref().and_then(|call| call.event_id.as_deref());
    assert_eq!((event_id, kept.state_version), (Some("b1c2"), version));
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
    let worst = |story: &Story| story.get("key-usable").product_fields.worst;
    for (minute, (state, expected)) in [
        (KeyState::Disabled, Some(Severity::High)),
        (KeyState::PendingDeletion(Some(at(9999))), Some(Severity::Critical)),
        (KeyState::Disabled, Some(Severity::Critical)),
        (KeyState::Enabled, Some(Severity::Critical)),
        (KeyState::Disabled, Some(Severity::High)),
        (KeyState::Enabled, Some(Severity::High)),
    ]
    .into_iter()
    .enumerate()
    {
        story.observe(cmk(state), i64::try_from(minute).unwrap());
        assert_eq!(worst(&story), expected, "minute {minute}");
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
        let because = finding.product_fields.gone_because.as_deref();
        assert_eq!(because, Some("bucket acme does not exist"));
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
    assert!(story.findings.iter().all(|finding| finding.product_fields.gone_because.is_none()));
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
    let because = story.get("encrypted-with-kms").product_fields.gone_because.as_ref();
    assert!(because.unwrap().contains("class public"));
}

#[test]
fn a_finding_of_a_control_that_was_withdrawn_is_archived() {
    let mut story = Story::default();
    story.observe(sse_s3(), 0);
    let state = story.item.controls.remove("encrypted-with-kms").unwrap();
    story.item.controls.insert("a-control-of-old".into(), state);
    let plan = story.plan(&story.see(Tags::new(), sse_s3(), 1), &[], &BTreeMap::new(), 1);
    let old =
        plan.import.iter().find(|finding| finding.slug.as_str() == "a-control-of-old").unwrap();
    assert_eq!(old.record_state, RecordState::Archived);
}

#[test]
fn a_bucket_that_starts_or_stops_using_a_key_concerns_the_other_buckets_of_the_key() {
    let mut story = Story::default();
    let enforced = format!("{SETTINGS}\n[class.restricted]\nlevel = \"enforced\"");
    let tagged = |class: &str| Tags::from([("data-classification".to_owned(), class.to_owned())]);
    let neighbour =
        |class: &str| Neighbours { key: KEY.parse().unwrap(), class: Some(class.to_owned()) };
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
fn passed_findings_that_are_switched_off_are_imported_only_to_resolve_a_failure() {
    let settings = SETTINGS.replace("refresh-after-days", "passed = false, refresh-after-days");
    let mut story = Story { settings, ..Story::default() };
    assert!(story.observe(cmk(KeyState::Enabled), 0).import.is_empty());
    story.observe(sse_s3(), 1);
    let fixed = story.observe(cmk(KeyState::Enabled), 2);
    expect(&fixed, &[("encrypted-with-kms", "resolved"), ("encrypted-with-cmk", "resolved")]);
}
