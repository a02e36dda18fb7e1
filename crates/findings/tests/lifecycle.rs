//! The life of a finding: what is imported, given what was judged now and what stands.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "the helpers of a test may stop it as the test may")]

use controls::{Settings, judge};
use facts::{
    Bucket, BucketId, DefaultEncryption, Fact, Key, KeyManager, KeyState, ResolvedKey, Tags, Unreadable, UsedKey,
};
use findings::{
    Actor, Compliance, Finding, Observation, Plan, RecordState, Resource, Workflow, after, fields, id, latest, plan,
    plan_again, plan_gone,
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

/// What stands in Security Hub.
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
        self.findings = after(std::mem::take(&mut self.findings), plan);
    }

    fn get(&self, slug: &str) -> &Finding {
        self.findings.iter().find(|finding| finding.id == id(&bucket_id(), slug)).unwrap()
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
fn descriptions_read_well() {
    let described = |encryption: Fact<DefaultEncryption>, slug: &str| {
        let mut hub = Hub::default();
        hub.observe(encryption, 0);
        hub.get(slug).description.clone()
    };
    let subject = "Bucket acme (class confidential, which requires level cmk)";
    let missing = || Fact::Known(used("alias/gone", Fact::Known(ResolvedKey::Missing)));
    let absent = || Fact::Known(used("", Fact::Known(ResolvedKey::AwsManagedDefault)));
    let date = "2026-12-01T10:00:00Z".parse().unwrap();
    for (encryption, slug, said) in [
        (sse_s3(), "encrypted-with-kms", "default encryption is AES256, wanted is aws:kms or aws:kms:dsse."),
        (sse_s3(), "encrypted-with-cmk", "default encryption is AES256, wanted is a customer-managed key."),
        (absent(), "encrypted-with-kms", "default encryption is aws:kms, as required."),
        (absent(), "encrypted-with-cmk", "key is aws/s3 (AWS-managed), wanted is a customer-managed key."),
        (missing(), "encrypted-with-cmk", "key is alias/gone (no such key), wanted is a customer-managed key."),
        (missing(), "key-usable", "key is alias/gone (no such key), wanted is a key that can be used."),
        (
            cmk(KeyState::PendingDeletion(Some(date))),
            "key-usable",
            "key is arn:aws:kms:us-east-1:111111111111:key/1234, wanted is a key that can be used; key state is \
             PendingDeletion (deletion on 2026-12-01T10:00:00Z), wanted is Enabled.",
        ),
        (
            unreadable(),
            "key-usable",
            "it cannot be told whether the control `key-usable` holds: s3:GetEncryptionConfiguration on bucket acme was \
             answered with AccessDenied.",
        ),
        (
            Fact::Known(DefaultEncryption::Contradictory),
            "encrypted-with-kms",
            "it cannot be told whether the control `encrypted-with-kms` holds: default encryption is several rules that \
             differ, which this version of cmkwatch does not understand.",
        ),
    ] {
        assert_eq!(described(encryption, slug), format!("{subject}: {said}"));
    }
}

/// The digest is written into findings: that of a state must not change from one version to the next, or every finding
/// would seem changed.
#[test]
fn the_digest_of_a_state_is_for_ever() {
    let mut hub = Hub::default();
    hub.observe(sse_s3(), 0);
    assert_eq!(hub.get("encrypted-with-kms").product_fields[fields::DIGEST], "b985d264b70fbcb574af570ecad4a109");
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

/// One evaluation, a step at a time, beside others.
struct Evaluation {
    step: Step,
    observed: (Fact<DefaultEncryption>, i64),
    standing: Vec<Finding>,
    plan: Plan,
}

#[derive(Clone, Copy, PartialEq)]
enum Step {
    Read,
    FetchStanding,
    Reopen,
    Import,
    Resolve,
    ReadAgain,
    FetchAgain,
    Done,
}

impl Evaluation {
    fn new() -> Self {
        Self { step: Step::Read, observed: (sse_s3(), 0), standing: Vec::new(), plan: Plan::default() }
    }

    fn advance(&mut self, state: &Fact<DefaultEncryption>, minute: i64, hub: &mut Hub) {
        let only = |reopen: &[String], import: &[Finding], resolve: &[String]| Plan {
            reopen: reopen.to_vec(),
            import: import.to_vec(),
            resolve: resolve.to_vec(),
        };
        self.step = match self.step {
            Step::Read | Step::ReadAgain => {
                self.observed = (state.clone(), minute);
                match self.step {
                    Step::Read => Step::FetchStanding,
                    _ if self.plan.resolve.is_empty() => self.compare(),
                    _ => Step::FetchAgain,
                }
            }
            Step::FetchAgain => {
                self.standing = latest(std::mem::take(&mut self.standing), hub.findings.clone());
                self.compare()
            }
            Step::FetchStanding => {
                self.standing = hub.findings.clone();
                self.compare()
            }
            Step::Reopen => {
                hub.apply(&only(&self.plan.reopen, &[], &[]));
                Step::Import
            }
            Step::Import => {
                hub.apply(&only(&[], &self.plan.import, &[]));
                Step::Resolve
            }
            Step::Resolve => {
                hub.apply(&only(&[], &[], &self.plan.resolve));
                self.standing = after(std::mem::take(&mut self.standing), &self.plan);
                Step::ReadAgain
            }
            Step::Done => Step::Done,
        };
    }

    fn compare(&mut self) -> Step {
        let settings: Settings = SETTINGS.parse().unwrap();
        let (encryption, minute) = self.observed.clone();
        let bucket = Bucket { id: bucket_id(), read_at: at(minute), tags: Fact::Known(Tags::new()), encryption };
        let judgement = judge(&bucket, &settings);
        let observation = Observation { bucket: &bucket, judgement: &judgement, actor: None, settings: &settings };
        self.plan = plan_again(&observation, &self.standing, &self.plan);
        if self.plan.is_empty() { Step::Done } else { Step::Reopen }
    }
}

/// What can happen: the bucket changes, which begins an evaluation, or one that is under way takes a step.
#[derive(Debug, Clone)]
enum Happening {
    Change(Box<Fact<DefaultEncryption>>),
    Advance(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![1 => state().prop_map(|state| Happening::Change(Box::new(state))), 6 => (0usize..4).prop_map(Happening::Advance)]
}

/// The findings that stand, but for their moments.
fn standing_state(hub: &Hub) -> Vec<String> {
    let active = hub.findings.iter().filter(|finding| finding.record_state == RecordState::Active);
    let mut state: Vec<_> = active
        .map(|f| {
            format!("{} {:?} {} {:?} {}", f.id, f.compliance, f.severity, f.workflow, f.product_fields[fields::DIGEST])
        })
        .collect();
    state.sort();
    state
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
        prop_assert_eq!(standing_state(&hub), standing_state(&fresh));
    }

    /// However evaluations of one bucket interleave, once all are done the last state alone stands, and no failure is
    /// hidden as RESOLVED. What passes may be left NEW, until the next evaluation.
    #[test]
    fn evaluations_may_overlap(happenings in proptest::collection::vec(happening(), 1..60)) {
        let (mut hub, mut state, mut minute) = (Hub::default(), sse_s3(), 0);
        let mut evaluations = vec![Evaluation::new()];
        for happening in happenings {
            minute += 1;
            match happening {
                Happening::Change(to) => {
                    state = *to;
                    evaluations.push(Evaluation::new());
                }
                Happening::Advance(which) => {
                    let mut under_way = evaluations.iter_mut().filter(|evaluation| evaluation.step != Step::Done);
                    if let Some(evaluation) = under_way.nth(which) {
                        evaluation.advance(&state, minute, &mut hub);
                    }
                }
            }
        }
        for evaluation in &mut evaluations {
            while evaluation.step != Step::Done {
                minute += 1;
                evaluation.advance(&state, minute, &mut hub);
            }
        }
        let mut fresh = Hub::default();
        fresh.observe(state.clone(), 0);
        let verdicts = |hub: &Hub| standing_state(hub).iter().map(|f| f.replace(" New ", " ").replace(" Resolved ", " ")).collect::<Vec<_>>();
        prop_assert_eq!(verdicts(&hub), verdicts(&fresh));
        let hidden = |f: &&Finding| {
            f.record_state == RecordState::Active && f.compliance != Compliance::Passed && f.workflow == Workflow::Resolved
        };
        prop_assert_eq!(hub.findings.iter().find(hidden), None);
        hub.observe(state, minute + 1);
        prop_assert_eq!(standing_state(&hub), standing_state(&fresh));
    }
}
