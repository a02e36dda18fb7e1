//! Repairs and workflow statuses: which edits are undone, and which edits of people stay.

use crate::example::{Story, at, bucket_id, cmk, expect, sse_s3, unreadable};
use facts::{KeyState, Tags};
use findings::{About, Compliance, Finding, Repairs, Slug, Workflow, repairs};
use jiff::Timestamp;
use std::collections::BTreeMap;

#[test]
fn a_suppressed_finding_stays_suppressed() {
    let mut story = Story::default();
    story.observe(sse_s3(), 0);
    story.findings.iter_mut().for_each(|finding| finding.workflow = Workflow::Suppressed);
    assert_eq!(story.observe(cmk(KeyState::Enabled), 1).set_resolved, Vec::<String>::new());
    assert_eq!(story.get("encrypted-with-kms").workflow, Workflow::Suppressed);
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
        story.findings.iter_mut().filter(|finding| finding.id() == id(slug)).for_each(change);
    };
    let opened = story.get("key-usable").product_fields.state_version;
    change(&mut story, "encrypted-with-kms", |finding| finding.workflow = Workflow::New);
    let unknown = Finding { slug: "tls-only".into(), ..story.get("encrypted-with-kms").clone() };
    story.findings.push(unknown);
    change(&mut story, "encrypted-with-cmk", |finding| finding.compliance = Compliance::Failed);
    story.findings.retain(|finding| finding.id() != id("key-usable"));
    let found = held(&story);
    let imported_at = |slug: &'static str| (Slug::from(slug), story.get(slug).updated_at);
    let missing = (Slug::from("key-usable"), Timestamp::UNIX_EPOCH);
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
    let reported = |finding: &Finding| finding.product_fields.state_version;
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
