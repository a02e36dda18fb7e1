//! The Security Hub that stores the findings: that of the bucket's account and region or, while
//! that is off, that of the hub account.

use crate::example::{SETTINGS, Story, at, bucket_id, cmk, own, sse_s3};
use controls::{Settings, judge_account};
use facts::{Account, Fact, KeyState, Place};
use findings::{
    Compliance, Finding, Item, Looking, Plan, RecordState, Seen, StoredIn, Terms, Transition,
    Workflow, plan,
};
use std::collections::BTreeMap;

fn security_hub() -> StoredIn {
    let place =
        Place { account: "999999999999".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    StoredIn { place, since: "2026-09-01T00:00:00Z".into() }
}

/// Returns a bucket whose findings are stored in the Security Hub of the hub account.
fn in_hub() -> Story {
    let mut story = Story { security_hub: security_hub(), ..Story::default() };
    story.observe(sse_s3(), 0);
    assert!(story.findings.iter().all(|finding| finding.stored_in == security_hub().place));
    story
}

fn said(findings: &[Finding]) -> Vec<(&str, &str, Compliance, RecordState, Workflow)> {
    let say = |finding: &Finding| {
        let owner = if finding.stored_in == security_hub().place { "hub" } else { "own" };
        (owner, finding.compliance, finding.record_state, finding.workflow)
    };
    let known = ["opened", "unchanged", "resolved", "gone", "moved", "first-seen"];
    findings
        .iter()
        .map(|finding| {
            let (owner, compliance, state, workflow) = say(finding);
            let word = finding.product_fields.transition.map(Transition::as_str);
            (
                owner,
                *known.iter().find(|known| Some(**known) == word).unwrap(),
                compliance,
                state,
                workflow,
            )
        })
        .collect()
}

#[test]
fn findings_of_the_hub_move_when_security_hub_is_switched_on() {
    use Compliance::Failed;
    use RecordState::{Active, Archived};
    let mut story = in_hub();
    story.findings[0].workflow = Workflow::Suppressed;
    story.security_hub = own();
    let moved = story.observe(sse_s3(), 1);
    assert_eq!(
        said(&moved.import),
        [
            ("own", "unchanged", Failed, Active, Workflow::Suppressed),
            ("own", "unchanged", Failed, Active, Workflow::New),
            ("hub", "moved", Failed, Archived, Workflow::New),
            ("hub", "moved", Failed, Archived, Workflow::New),
        ]
    );
    assert!(moved.set_resolved.is_empty() && moved.set_new.is_empty());
    for finding in &moved.import[..2] {
        assert_eq!((finding.created_at, finding.first_observed_at), (at(1), at(0)));
    }
    assert!(story.observe(sse_s3(), 2).is_done());
}

#[test]
fn a_move_that_was_interrupted_is_completed() {
    let mut story = in_hub();
    story.security_hub = own();
    let moved = story.plan(&story.see([].into(), sse_s3(), 1), &[], &BTreeMap::new(), 1);
    for done in 0..moved.import.len() {
        let mut story = story.clone();
        let part = moved.import[..done].to_vec();
        story.apply(&Plan {
            missed: 0,
            import: part,
            item: moved.item.clone(),
            moved_from: None,
            set_new: vec![],
            set_resolved: vec![],
            changed: true,
        });
        // The run died before or after its commit.
        if done % 2 == 1 {
            story.item = moved.item.clone();
        }
        story.observe(sse_s3(), 2);
        let active =
            story.findings.iter().filter(|finding| finding.record_state == RecordState::Active);
        assert_eq!(active.count(), 2);
        assert!(
            story.findings.iter().all(|f| (f.stored_in == security_hub().place)
                == (f.record_state == RecordState::Archived))
        );
    }
}

/// The run that moves the findings dies after its commit, and the bucket changes before the next
/// run.
#[test]
fn a_committed_move_continues_with_the_changes_made_meanwhile() {
    let mut story = in_hub();
    story.findings[0].workflow = Workflow::Suppressed;
    story.security_hub = own();
    let moved = story.plan(&story.see([].into(), sse_s3(), 1), &[], &BTreeMap::new(), 1);
    story.item = moved.item;
    story.observe(cmk(KeyState::Enabled), 2);
    let active: Vec<_> =
        story.findings.iter().filter(|f| f.record_state == RecordState::Active).collect();
    assert!(
        active.len() == 3 && active.iter().all(|finding| finding.stored_in == own().place),
        "{active:?}"
    );
    assert_eq!(story.get("encrypted-with-kms").workflow, Workflow::Suppressed);
    assert_eq!(story.item.stored_in, Some(own()));
    assert!(story.observe(cmk(KeyState::Enabled), 3).is_done());
}

#[test]
fn a_failure_that_was_fixed_meanwhile_moves_as_resolved() {
    let mut story = in_hub();
    story.security_hub = own();
    let moved = story.observe(cmk(KeyState::Enabled), 1);
    let said = said(&moved.import);
    let own: Vec<_> = said.iter().filter(|(owner, ..)| *owner == "own").collect();
    let fine = (Compliance::Passed, Workflow::Resolved);
    assert!(
        own.iter().all(|(_, _, compliance, _, workflow)| (*compliance, *workflow) == fine),
        "{own:?}"
    );
    assert_eq!(own[0].1, "resolved");
}

/// Security Hub deletes its findings when it is switched off.
#[test]
fn a_security_hub_that_was_switched_off_and_on_is_filled_again() {
    let mut story = Story::default();
    story.observe(sse_s3(), 0);
    let before = story.standing();
    story.findings.clear();
    assert!(story.observe(sse_s3(), 1).is_done(), "nobody said that it was off");
    story.security_hub.since = "2026-11-01T00:01:30Z".into();
    let again = story.observe(sse_s3(), 2);
    assert!(said(&again.import).iter().all(|(_, transition, ..)| *transition == "unchanged"));
    assert_eq!(story.standing(), before);
    assert_eq!(story.get("encrypted-with-kms").first_observed_at, at(0));
}

#[test]
fn findings_that_the_hub_holds_for_a_place_that_is_on_again_are_adopted_and_move() {
    let mut story = in_hub();
    story.item = Item::adopt(&story.findings, &own(), at(60));
    assert_eq!(story.item.stored_in.as_ref().unwrap().place, security_hub().place);
    story.security_hub = own();
    story.observe(sse_s3(), 1);
    assert!(story.findings.iter().all(
        |f| (f.stored_in == security_hub().place) == (f.record_state == RecordState::Archived)
    ));
}

#[test]
fn an_account_has_one_finding_in_the_hub() {
    let settings: Settings = SETTINGS.parse().unwrap();
    let mut item = Item::unknown();
    let mut observe = |enabled, minute| {
        let account = Account {
            place: bucket_id().place(),
            read_at: at(minute),
            buckets: Fact::Known(()),
            security_hub: Fact::Known(enabled),
        };
        let (security_hub, nothing) = (security_hub(), BTreeMap::new());
        let terms = Terms {
            settings: &settings,
            generation: 1,
            security_hub: &security_hub,
            looking: Looking::Message,
            api_calls: &[],
            repair: &nothing,
        };
        let seen = Seen::account(&account, &judge_account(&account), &security_hub.place);
        let plan = plan(&item, &seen, &terms, at(minute));
        item = plan.item.published();
        plan
    };
    let opened = observe(false, 0);
    assert_eq!(
        said(&opened.import),
        [("hub", "opened", Compliance::Failed, RecordState::Active, Workflow::New)]
    );
    assert_eq!(opened.import[0].id(), "cmkwatch/aws/111111111111/us-east-1/account-readable");
    assert_eq!(opened.import[0].resources[0].arn(), "AWS::::Account:111111111111");
    assert!(observe(false, 1).is_done());
    let resolved = observe(true, 2);
    assert_eq!(resolved.import[0].product_fields.transition, Some(Transition::Resolved));
    assert_eq!(resolved.set_resolved.len(), 1);
}
