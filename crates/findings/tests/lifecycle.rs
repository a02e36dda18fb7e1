//! The life of a finding: what is imported, given what was judged now and what stands.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "the helpers of a test may stop it as the test may")]

use controls::{Settings, judge};
use facts::{
    Bucket, BucketId, DefaultEncryption, Fact, Key, KeyManager, KeyState, ResolvedKey, Tags, Unreadable, UsedKey,
};
use findings::{
    Actor, Compliance, Finding, Observation, Plan, RecordState, Resource, Workflow, fields, id, plan, plan_gone,
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

const KEY: &str = "arn:aws:kms:us-east-1:111111111111:key/1234";
const SETTINGS: &str = r#"
    classification = { tag = "data-classification", default = "confidential" }
    class.public.level = "sse-s3"
    class.confidential.level = "cmk"
    findings = { refresh-after-days = 30 }
"#;

fn bucket_id() -> BucketId {
    BucketId::new("111111111111".parse().unwrap(), "us-east-1".parse().unwrap(), "acme".parse().unwrap()).unwrap()
}

fn at(minutes: i64) -> Timestamp {
    "2026-11-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
}

fn used(reference: &str, resolved: Fact<ResolvedKey>) -> DefaultEncryption {
    DefaultEncryption::Kms(UsedKey { reference: reference.parse().unwrap(), resolved })
}

fn cmk(state: KeyState) -> Fact<DefaultEncryption> {
    let key = Key {
        arn: KEY.parse().unwrap(),
        manager: KeyManager::Customer,
        state,
        spec: "SYMMETRIC_DEFAULT".into(),
        usage: "ENCRYPT_DECRYPT".into(),
    };
    Fact::Known(used("alias/acme", Fact::Known(ResolvedKey::Found(key))))
}

fn sse_s3() -> Fact<DefaultEncryption> {
    Fact::Known(DefaultEncryption::SseS3)
}

fn unreadable() -> Fact<DefaultEncryption> {
    Fact::Unreadable(Unreadable {
        permission: "s3:GetEncryptionConfiguration",
        subject: "bucket acme".into(),
        code: "AccessDenied".into(),
    })
}

fn actor() -> Actor {
    Actor {
        event_name: "PutBucketEncryption".into(),
        event_id: Some("b1c2".into()),
        event_time: Some("2026-11-01T00:00:00Z".into()),
        principal: Some("arn:aws:iam::111111111111:user/<jane>".into()),
    }
}

/// A Security Hub that keeps the rules a plan relies on.
#[derive(Default)]
struct Hub {
    findings: Vec<Finding>,
}

impl Hub {
    fn observe(&mut self, encryption: Fact<DefaultEncryption>, minute: i64) -> Plan {
        self.observe_with(SETTINGS, Tags::new(), encryption, minute)
    }

    fn observe_with(&mut self, settings: &str, tags: Tags, encryption: Fact<DefaultEncryption>, minute: i64) -> Plan {
        let settings: Settings = settings.parse().unwrap();
        let bucket = Bucket { id: bucket_id(), read_at: at(minute), tags: Fact::Known(tags), encryption };
        let judgement = judge(&bucket, &settings);
        let actor = actor();
        let observation =
            Observation { bucket: &bucket, judgement: &judgement, actor: Some(&actor), settings: &settings };
        let plan = plan(&observation, &self.findings);
        self.apply(&plan);
        plan
    }

    fn apply(&mut self, plan: &Plan) {
        self.set_workflow(&plan.reopen, Workflow::New);
        for finding in &plan.import {
            match self.findings.iter_mut().find(|standing| standing.id == finding.id) {
                None => self.findings.push(finding.clone()),
                Some(standing) if standing.updated_at < finding.updated_at => {
                    let workflow = workflow_after(standing, finding);
                    *standing = Finding { workflow, ..finding.clone() };
                }
                Some(_) => {}
            }
        }
        self.set_workflow(&plan.resolve, Workflow::Resolved);
    }

    fn set_workflow(&mut self, ids: &[String], workflow: Workflow) {
        self.findings.iter_mut().filter(|finding| ids.contains(&finding.id)).for_each(|f| f.workflow = workflow);
    }

    fn get(&self, slug: &str) -> &Finding {
        self.findings.iter().find(|finding| finding.id == id(&bucket_id(), slug)).unwrap()
    }
}

/// <https://docs.aws.amazon.com/securityhub/latest/userguide/findings-workflow-status.html>
fn workflow_after(before: &Finding, now: &Finding) -> Workflow {
    let returns = before.record_state == RecordState::Archived && now.record_state == RecordState::Active;
    let fails = before.compliance == Compliance::Passed && now.compliance != Compliance::Passed;
    match before.workflow {
        Workflow::Notified | Workflow::Resolved if returns || fails => Workflow::New,
        workflow => workflow,
    }
}

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
    assert_eq!(hub.observe(sse_s3(), 9).import, []);
    assert_eq!(hub.observe(sse_s3(), 10).import, []);
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
    let gone = plan_gone(&bucket_id(), at(1), Some(&actor()), &hub.findings);
    assert_eq!(gone.import.len(), 3);
    hub.apply(&gone);
    assert!(hub.findings.iter().all(|finding| finding.record_state == RecordState::Archived));
    assert_eq!(plan_gone(&bucket_id(), at(2), None, &hub.findings), Plan::default());

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
    hub.findings[0].id = id(&bucket_id(), "a-control-of-old");
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
    hub.set_workflow(&[id(&bucket_id(), "encrypted-with-kms")], Workflow::New);
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
fn without_passed_findings_only_what_stands_is_told_of_them() {
    let settings = SETTINGS.replace("refresh-after-days", "passed = false, refresh-after-days");
    let mut hub = Hub::default();
    assert_eq!(hub.observe_with(&settings, Tags::new(), cmk(KeyState::Enabled), 0), Plan::default());
    hub.observe_with(&settings, Tags::new(), sse_s3(), 1);
    let fixed = hub.observe_with(&settings, Tags::new(), cmk(KeyState::Enabled), 2);
    told(&fixed, &[("encrypted-with-kms", "resolved"), ("encrypted-with-cmk", "resolved")]);
}

#[test]
fn text_from_outside_is_made_plain() {
    let mut hub = Hub::default();
    let evil = "<script>\u{202e}*x*\n".repeat(200);
    hub.observe(Fact::Known(used(&evil, Fact::Known(ResolvedKey::Missing))), 0);
    for finding in &hub.findings {
        let told = finding.product_fields.values().chain([&finding.description]);
        for text in told.chain(finding.reasons.iter().map(|reason| &reason.description)) {
            assert!(!text.contains(['<', '\n', '\u{202e}', '*']), "{text}");
        }
        assert!(finding.description.chars().count() <= 1024);
        let fields = &finding.product_fields;
        assert!(fields.len() <= 50 && fields.iter().all(|(key, value)| key.len() <= 128 && value.len() <= 2048));
    }
    assert_eq!(
        hub.get("encrypted-with-kms").product_fields[fields::CHANGED_BY],
        "arn:aws:iam::111111111111:user/?jane?"
    );
}

fn state() -> impl Strategy<Value = Fact<DefaultEncryption>> {
    prop_oneof![
        Just(sse_s3()),
        Just(unreadable()),
        Just(cmk(KeyState::Enabled)),
        Just(cmk(KeyState::Disabled)),
        Just(cmk(KeyState::PendingDeletion(Some(at(1000))))),
        Just(Fact::Known(used("", Fact::Known(ResolvedKey::AwsManagedDefault)))),
        Just(Fact::Known(used("alias/gone", Fact::Known(ResolvedKey::Missing)))),
    ]
}

proptest! {
    /// Whatever happened before, the findings that stand are those of the last state alone, and judging it once more
    /// asks for nothing.
    #[test]
    fn the_last_state_alone_decides(history in proptest::collection::vec(state(), 1..8)) {
        let mut hub = Hub::default();
        for (minute, encryption) in (0..).zip(&history) {
            hub.observe(encryption.clone(), minute);
        }
        let last = history.last().unwrap().clone();
        prop_assert_eq!(hub.observe(last.clone(), 100), Plan::default());

        let mut fresh = Hub::default();
        fresh.observe(last, 0);
        let state = |hub: &Hub| {
            let active = hub.findings.iter().filter(|finding| finding.record_state == RecordState::Active);
            let mut state: Vec<_> = active
                .map(|f| (f.id.clone(), f.compliance, f.severity, f.workflow, f.product_fields[fields::DIGEST].clone()))
                .collect();
            state.sort_by(|a, b| a.0.cmp(&b.0));
            state.into_iter().map(|s| format!("{s:?}")).collect::<Vec<_>>()
        };
        prop_assert_eq!(state(&hub), state(&fresh));
    }
}
