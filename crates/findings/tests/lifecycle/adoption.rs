//! State that was lost or not published: what the next evaluation imports and reports of it.

use crate::example::{Story, api_call, at, bucket_id, cmk, expect, sse_s3, transitions};
use facts::{KeyState, Tags};
use findings::{About, Compliance, Item, Plan, Workflow};
use jiff::SignedDuration;
use std::collections::BTreeMap;

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
        .find(|finding| finding.slug.as_str() == "encrypted-with-kms")
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
        .filter(|f| f.id() == suppressed)
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
        .filter(|f| f.id().ends_with("/encrypted-with-kms"))
        .for_each(|f| f.workflow = Workflow::New);
    story.item = Item::adopt(&story.findings, &story.security_hub, at(60));
    let plan = story.observe(cmk(KeyState::Enabled), 2);
    // People are alerted once a finding is RESOLVED. So nobody was alerted before.
    expect(&plan, &[("encrypted-with-kms", "resolved")]);
    assert_eq!(story.get("encrypted-with-kms").workflow, Workflow::Resolved);
}
