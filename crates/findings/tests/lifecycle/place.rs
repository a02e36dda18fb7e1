//! Where findings stand: in the Security Hub of the bucket's account and region, or, while that is off, in the hub's own.

use crate::example::{SETTINGS, at, bucket, bucket_id, cmk, sse_s3};
use controls::{Settings, judge, judge_account};
use facts::{Account, DefaultEncryption, Fact, KeyState, Place, Tags};
use findings::{Compliance, Finding, Observation, Plan, RecordState, Workflow, after, fields, plan, plan_account};

fn hub() -> Place {
    Place { account: "999999999999".parse().unwrap(), region: "eu-west-1".parse().unwrap() }
}

fn observe(encryption: Fact<DefaultEncryption>, minute: i64, place: &Place, standing: &[Finding]) -> Plan {
    let (bucket, settings) = (bucket(encryption, Tags::new(), minute), SETTINGS.parse::<Settings>().unwrap());
    let judgement = judge(&bucket, &settings);
    let observation =
        Observation { bucket: &bucket, judgement: &judgement, api_calls: &[], settings: &settings, hub: place };
    plan(&observation, standing)
}

fn said(plan: &Plan) -> Vec<(&str, &str, Compliance, RecordState, Workflow)> {
    let say = |finding: &Finding| {
        let owner = if finding.place == hub() { "hub" } else { "own" };
        (owner, finding.compliance, finding.record_state, finding.workflow)
    };
    let transition = |finding: &Finding| finding.product_fields[fields::TRANSITION].clone();
    let known = ["opened", "unchanged", "resolved", "gone", "moved", "first-seen"];
    plan.import
        .iter()
        .map(|finding| {
            let (owner, compliance, state, workflow) = say(finding);
            let told = transition(finding);
            (owner, *known.iter().find(|word| **word == told).unwrap(), compliance, state, workflow)
        })
        .collect()
}

#[test]
fn what_stands_in_the_hub_moves_when_security_hub_is_switched_on() {
    use Compliance::Failed;
    use RecordState::{Active, Archived};
    let standing = after(Vec::new(), &observe(sse_s3(), 0, &hub(), &[]));
    assert!(standing.iter().all(|finding| finding.place == hub()));
    let mut standing = standing;
    standing[0].workflow = Workflow::Suppressed;
    let moved = observe(sse_s3(), 1, &bucket_id().place(), &standing);
    assert_eq!(
        said(&moved),
        [
            ("own", "unchanged", Failed, Active, Workflow::Suppressed),
            ("own", "unchanged", Failed, Active, Workflow::New),
            ("hub", "moved", Failed, Archived, Workflow::Suppressed),
            ("hub", "moved", Failed, Archived, Workflow::New),
        ]
    );
    assert!(moved.resolve.is_empty() && moved.reopen.is_empty());
    for finding in &moved.import[..2] {
        assert_eq!((finding.created_at, finding.first_observed_at), (at(1), at(0)));
    }
    let standing = after(standing, &moved);
    assert!(observe(sse_s3(), 2, &bucket_id().place(), &standing).is_empty());
}

#[test]
fn a_move_that_was_interrupted_is_completed() {
    let standing = after(Vec::new(), &observe(sse_s3(), 0, &hub(), &[]));
    let moved = observe(sse_s3(), 1, &bucket_id().place(), &standing);
    for done in 0..moved.import.len() {
        let part = Plan { import: moved.import[..done].to_vec(), ..Plan::default() };
        let half = after(standing.clone(), &part);
        let rest = observe(sse_s3(), 2, &bucket_id().place(), &half);
        let whole = after(half, &rest);
        assert_eq!(whole.iter().filter(|finding| finding.record_state == RecordState::Active).count(), 2);
        assert!(whole.iter().all(|f| (f.place == hub()) == (f.record_state == RecordState::Archived)));
    }
}

#[test]
fn what_was_fixed_meanwhile_moves_as_resolved() {
    let standing = after(Vec::new(), &observe(sse_s3(), 0, &hub(), &[]));
    let moved = observe(cmk(KeyState::Enabled), 1, &bucket_id().place(), &standing);
    let own: Vec<_> = said(&moved).into_iter().filter(|(owner, ..)| *owner == "own").collect();
    assert!(own.iter().all(|(_, _, compliance, _, workflow)| (*compliance, *workflow)
        == (Compliance::Passed, Workflow::Resolved)));
    assert_eq!(own[0].1, "resolved");
}

#[test]
fn an_account_has_one_finding_in_the_hub() {
    let settings: Settings = SETTINGS.parse().unwrap();
    let account = |enabled, minute| Account {
        place: bucket_id().place(),
        read_at: at(minute),
        buckets: Fact::Known(()),
        security_hub: Fact::Known(enabled),
    };
    let observe = |enabled, minute, standing: &[Finding]| {
        let account = account(enabled, minute);
        plan_account(&account, &judge_account(&account), &settings, &hub(), standing)
    };
    let opened = observe(false, 0, &[]);
    assert_eq!(said(&opened), [("hub", "opened", Compliance::Failed, RecordState::Active, Workflow::New)]);
    assert_eq!(opened.import[0].id, "cmkwatch/aws/111111111111/us-east-1/account-readable");
    assert_eq!(opened.import[0].resources[0].arn(), "AWS::::Account:111111111111");
    let standing = after(Vec::new(), &opened);
    assert!(observe(false, 1, &standing).is_empty());
    let resolved = observe(true, 2, &standing);
    assert_eq!(said(&resolved), [("hub", "resolved", Compliance::Passed, RecordState::Active, Workflow::New)]);
    assert_eq!(resolved.resolve.len(), 1);
}
