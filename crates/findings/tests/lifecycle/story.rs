//! One finding after another, each evaluation done before the next begins.

use crate::example::{Hub, KEY, SETTINGS, api_call, at, bucket_id, cmk, sse_s3, unreadable};
use facts::{KeyState, Tags};
use findings::{About, Compliance, Finding, Plan, RecordState, Resource, Workflow, fields, plan_gone};

/// The transitions of a plan, by control.
fn transitions(plan: &Plan) -> Vec<(String, String)> {
    let slug = |finding: &Finding| finding.generator_id.trim_start_matches("cmkwatch/").to_owned();
    plan.import.iter().map(|finding| (slug(finding), finding.product_fields[fields::TRANSITION].clone())).collect()
}

fn told(plan: &Plan, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected.iter().map(|&(slug, word)| (slug.to_owned(), word.to_owned())).collect();
    assert_eq!(transitions(plan), expected);
}

#[test]
fn a_drift_opens_and_a_fix_resolves() {
    let mut hub = Hub::default();
    told(&hub.observe(sse_s3(), 0), &[("encrypted-with-kms", "opened"), ("encrypted-with-cmk", "opened")]);
    let finding = hub.get("encrypted-with-cmk").clone();
    assert_eq!((finding.compliance, finding.workflow), (Compliance::Failed, Workflow::New));
    assert_eq!((finding.created_at, finding.updated_at), (at(0), at(0)));
    assert!(!finding.product_fields.contains_key(fields::STATUS_BEFORE));

    let fixed = hub.observe(cmk(KeyState::Enabled), 5);
    told(
        &fixed,
        &[("encrypted-with-kms", "resolved"), ("encrypted-with-cmk", "resolved"), ("key-usable", "first-seen")],
    );
    assert_eq!(fixed.resolve.len(), 2, "the new one is created RESOLVED");
    for slug in ["encrypted-with-kms", "encrypted-with-cmk", "key-usable"] {
        assert_eq!(hub.get(slug).workflow, Workflow::Resolved, "{slug}");
    }
    let finding = hub.get("encrypted-with-cmk");
    assert_eq!((finding.created_at, finding.first_observed_at, finding.updated_at), (at(0), at(0), at(5)));
    assert!(finding.resources.contains(&Resource::Key(KEY.into())));
    let before = [fields::STATUS_BEFORE, fields::SEVERITY_BEFORE, fields::WORKFLOW_BEFORE];
    assert_eq!(before.map(|field| finding.product_fields[field].as_str()), ["FAILED", "HIGH", "NEW"]);
}

#[test]
fn what_did_not_change_is_not_told_until_the_refresh_is_due() {
    let mut hub = Hub::default();
    hub.observe(sse_s3(), 0);
    assert_eq!(hub.observe(sse_s3(), 1), Plan::default());
    assert_eq!(hub.observe(sse_s3(), 30 * 24 * 60 - 1), Plan::default());
    let refresh = hub.observe(sse_s3(), 30 * 24 * 60);
    told(&refresh, &[("encrypted-with-kms", "unchanged"), ("encrypted-with-cmk", "unchanged")]);
    assert_eq!(hub.get("encrypted-with-kms").product_fields[fields::EVENT_ID], "b1c2");
}

#[test]
fn an_older_observation_changes_nothing() {
    let mut hub = Hub::default();
    hub.observe(cmk(KeyState::Enabled), 10);
    assert_eq!(hub.observe(sse_s3(), 9), Plan::default());
    assert_eq!(hub.observe(sse_s3(), 10), Plan::default());
}

#[test]
fn severity_and_evidence_make_their_own_transitions() {
    let mut hub = Hub::default();
    let key = |plan: Plan| transitions(&plan).into_iter().find(|(slug, _)| slug == "key-usable").map(|(_, word)| word);
    let pending = || cmk(KeyState::PendingDeletion(Some(at(9999))));
    assert_eq!(key(hub.observe(cmk(KeyState::Disabled), 0)).as_deref(), Some("opened"));
    assert_eq!(key(hub.observe(pending(), 1)).as_deref(), Some("worsened"));
    assert_eq!(key(hub.observe(cmk(KeyState::PendingDeletion(Some(at(99999)))), 2)).as_deref(), Some("changed"));
    assert_eq!(key(hub.observe(cmk(KeyState::Disabled), 3)).as_deref(), Some("eased"));
    assert_eq!(key(hub.observe(unreadable(), 4)).as_deref(), Some("unreadable"));
    assert_eq!(key(hub.observe(unreadable(), 5)).as_deref(), None);
    assert_eq!(key(hub.observe(cmk(KeyState::Disabled), 6)).as_deref(), Some("opened"));
    assert_eq!(key(hub.observe(sse_s3(), 7)).as_deref(), Some("gone"));
    assert_eq!(key(hub.observe(cmk(KeyState::Disabled), 8)).as_deref(), Some("opened"));
}

#[test]
fn what_is_resolved_says_how_bad_it_was_whatever_it_eased_to() {
    let mut hub = Hub::default();
    let worst = |hub: &Hub| hub.get("key-usable").product_fields.get(fields::WORST_SEVERITY).cloned();
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
        hub.observe(cmk(state), i64::try_from(minute).unwrap());
        assert_eq!(worst(&hub).as_deref(), expected, "minute {minute}");
    }
    // Imported again as it is: it passes, and did before.
    hub.observe(cmk(KeyState::Enabled), 31 * 24 * 60);
    assert_eq!(worst(&hub), None);
}

#[test]
fn unreadable_is_a_warning_with_the_permission_that_is_missing() {
    let mut hub = Hub::default();
    hub.observe(unreadable(), 0);
    let finding = hub.get("encrypted-with-cmk");
    assert_eq!(finding.compliance, Compliance::Warning);
    assert!(finding.description.contains("s3:GetEncryptionConfiguration"), "{}", finding.description);
    assert_eq!(finding.reasons[0].code, "UNREADABLE");
}

#[test]
fn a_deleted_bucket_is_archived_once_and_can_come_back() {
    let mut hub = Hub::default();
    hub.observe(cmk(KeyState::Enabled), 0);
    let gone = plan_gone(&bucket_id(), at(1), &[api_call()], &hub.findings);
    assert_eq!(gone.import.len(), 3);
    hub.apply(&gone);
    assert!(hub.findings.iter().all(|finding| finding.record_state == RecordState::Archived));
    assert_eq!(plan_gone(&bucket_id(), at(2), &[], &hub.findings), Plan::default());

    let back = hub.observe(cmk(KeyState::Enabled), 3);
    assert_eq!(transitions(&back)[0].1, "first-seen");
    assert!(hub.findings.iter().all(|finding| finding.record_state == RecordState::Active));
    assert!(hub.findings.iter().all(|finding| finding.workflow == Workflow::Resolved), "coming back makes it NEW");
    assert!(hub.findings.iter().all(|finding| !finding.product_fields.contains_key(fields::GONE_BECAUSE)));
}

#[test]
fn a_control_that_no_longer_applies_is_archived() {
    let mut hub = Hub::default();
    hub.observe(sse_s3(), 0);
    let public = [("data-classification".to_owned(), "public".to_owned())].into();
    let plan = hub.observe_with(SETTINGS, public, sse_s3(), 1);
    told(&plan, &[("encrypted-with-kms", "gone"), ("encrypted-with-cmk", "gone")]);
    assert!(hub.get("encrypted-with-kms").product_fields[fields::GONE_BECAUSE].contains("class public"));
}

#[test]
fn a_finding_of_a_control_that_was_withdrawn_is_archived() {
    let mut hub = Hub::default();
    hub.observe(sse_s3(), 0);
    hub.findings[0].id = About::Bucket(bucket_id()).id("a-control-of-old");
    let plan = hub.observe(sse_s3(), 1);
    assert!(plan.import.iter().any(|f| f.id.ends_with("of-old") && f.record_state == RecordState::Archived));
}

#[test]
fn analysts_are_left_alone() {
    let mut hub = Hub::default();
    hub.observe(sse_s3(), 0);
    hub.findings.iter_mut().for_each(|finding| finding.workflow = Workflow::Suppressed);
    assert_eq!(hub.observe(cmk(KeyState::Enabled), 1).resolve, Vec::<String>::new());
    assert_eq!(hub.get("encrypted-with-kms").workflow, Workflow::Suppressed);
}

#[test]
fn a_plan_that_was_not_finished_is_finished_by_the_next() {
    let mut hub = Hub::default();
    hub.observe(sse_s3(), 0);
    hub.observe(cmk(KeyState::Enabled), 1);
    hub.findings.iter_mut().filter(|f| f.id.ends_with("/encrypted-with-kms")).for_each(|f| f.workflow = Workflow::New);
    let rest = hub.observe(cmk(KeyState::Enabled), 2);
    assert_eq!((rest.import.len(), rest.resolve.len()), (0, 1));
}

#[test]
fn a_failure_that_follows_a_resolved_warning_is_work_to_do() {
    let mut hub = Hub::default();
    hub.observe(unreadable(), 0);
    hub.findings.iter_mut().for_each(|finding| finding.workflow = Workflow::Resolved);
    let plan = hub.observe(sse_s3(), 1);
    assert_eq!(plan.reopen.len(), 2);
    assert_eq!(hub.get("encrypted-with-cmk").workflow, Workflow::New);
}

#[test]
fn what_gets_worse_is_work_to_do_again() {
    let mut hub = Hub::default();
    hub.observe(cmk(KeyState::Disabled), 0);
    hub.findings.iter_mut().for_each(|finding| finding.workflow = Workflow::Resolved);
    assert_eq!(hub.observe(cmk(KeyState::PendingDeletion(None)), 1).reopen.len(), 1);
    assert_eq!(hub.get("key-usable").workflow, Workflow::New);
    assert_eq!(hub.observe(cmk(KeyState::Disabled), 2).reopen.len(), 0);
}
#[test]
fn without_passed_findings_only_what_stands_is_told_of_them() {
    let settings = SETTINGS.replace("refresh-after-days", "passed = false, refresh-after-days");
    let mut hub = Hub::default();
    assert_eq!(hub.observe_with(&settings, Tags::new(), cmk(KeyState::Enabled), 0), Plan::default());
    hub.observe_with(&settings, Tags::new(), sse_s3(), 1);
    let fixed = hub.observe_with(&settings, Tags::new(), cmk(KeyState::Enabled), 2);
    told(&fixed, &[("encrypted-with-kms", "resolved"), ("encrypted-with-cmk", "resolved")]);
}
