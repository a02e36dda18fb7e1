//! Tests of claims: which run sends a message if runs overlap, die or lose an answer.

use super::*;
use aws_sdk_dynamodb::{
    operation::put_item::{PutItemInput, PutItemOutput},
    types::error::ConditionalCheckFailedException,
};
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use jiff::SignedDuration;

const FINDING: &str = "cmkwatch/aws/200000000002/eu-west-1/acme-invoices/encrypted-with-cmk";

fn now() -> Timestamp {
    "2026-11-25T04:00:30Z".parse().unwrap()
}

fn run(owner: &str) -> Claim {
    Claim { owner: owner.to_owned(), lapses_at: now() + SignedDuration::from_secs(60) }
}

fn event(version: u64) -> FindingEvent {
    let body = r#"{"time": "2026-11-25T04:00:20Z", "detail": {"findings": [{
            "Id": "cmkwatch/aws/200000000002/eu-west-1/acme-invoices/encrypted-with-cmk",
            "ProductArn": "arn:aws:securityhub:eu-west-1:200000000002:product/200000000002/default",
            "AwsAccountId": "200000000002", "UpdatedAt": "2026-11-25T04:00:17Z", "Severity": {"Label": "HIGH"},
            "Compliance": {"Status": "FAILED"}, "Workflow": {"Status": "NEW"}, "ProductFields": {"cmkwatch/transition": "opened"}}]}}"#;
    match alerts::parse(body, &"100000000001".parse().unwrap()).unwrap() {
        alerts::Parsed::FindingEvent(event) => {
            FindingEvent { state_version: VERSION + version, ..*event }
        }
        alerts::Parsed::Silent(silent) => panic!("{silent:?}"),
    }
}

const VERSION: u64 = 1_795_579_217_000;

fn known(version: u64, alerted: AlertedState, claim: Option<Claim>) -> LastDecision {
    LastDecision { version: VERSION + version, alerted: Some(alerted), claim }
}

fn claims(rules: &[&Rule]) -> Claims {
    Claims::with_client(mock_client!(aws_sdk_dynamodb, RuleMode::Sequential, rules))
}

/// Mocks a write whose condition begins with `condition` and fails because of another row.
fn prevented(condition: &'static str, by: &LastDecision) -> Rule {
    let found = row::write(FINDING, by, now());
    mock!(Client::put_item).match_requests(move |request| is_on(request, condition)).then_error(
        move || {
            let error =
                ConditionalCheckFailedException::builder().set_item(Some(found.clone())).build();
            PutItemError::ConditionalCheckFailedException(error)
        },
    )
}

fn taken(condition: &'static str) -> Rule {
    mock!(Client::put_item)
        .match_requests(move |request| is_on(request, condition))
        .then_output(|| PutItemOutput::builder().build())
}

fn is_on(request: &PutItemInput, condition: &str) -> bool {
    request.condition_expression().is_some_and(|it| it.starts_with(condition))
}

const NEW: &str = "attribute_not_exists(#version)";
const OVER: &str = "#version = :over";

#[tokio::test]
async fn the_first_message_about_a_finding_is_claimed_by_one_call() {
    let won = claims(&[&taken(NEW)]).claim(&event(5), &run("me"), now()).await.unwrap();
    assert_eq!(
        won,
        Claimed::Won(known(5, AlertedState::Open(controls::Severity::High), Some(run("me"))))
    );
}

#[tokio::test]
async fn the_existing_row_decides_a_claim() {
    let open = AlertedState::Open(controls::Severity::High);
    let silent = |reason| Claimed::Silent(reason);
    for (row, expected) in [
        (known(5, open, None), silent(Silence::AlreadyAlerted)),
        (known(6, open, None), silent(Silence::NewerAlerted)),
        (known(5, open, Some(run("other"))), Claimed::Wait),
        (known(5, open, Some(run("me"))), Claimed::Won(known(5, open, Some(run("me"))))),
    ] {
        let claimed =
            claims(&[&prevented(NEW, &row)]).claim(&event(5), &run("me"), now()).await.unwrap();
        assert_eq!(claimed, expected, "{row:?}");
    }
}

#[tokio::test]
async fn a_newer_change_replaces_the_row_even_without_a_message() {
    for (alerted, expected) in
        [(AlertedState::Closed, "won"), (AlertedState::Open(controls::Severity::High), "silent")]
    {
        let rules = [
            prevented(NEW, &known(4, alerted, None)),
            taken("#version = :over AND attribute_not_exists(#owner)"),
        ];
        let claimed =
            claims(&[&rules[0], &rules[1]]).claim(&event(5), &run("me"), now()).await.unwrap();
        let is_won = matches!(claimed, Claimed::Won(_));
        assert_eq!(is_won, expected == "won", "{claimed:?}");
        assert_eq!(rules[1].num_calls(), 1);
    }
}

#[tokio::test]
async fn the_claim_of_a_dead_run_is_taken_over_once_it_has_lapsed() {
    let open = AlertedState::Open(controls::Severity::High);
    let dead = Claim { lapses_at: now(), ..run("other") };
    let rules = [
        prevented(NEW, &known(5, open, Some(dead))),
        taken("#version = :over AND #owner = :owner"),
    ];
    let claimed =
        claims(&[&rules[0], &rules[1]]).claim(&event(5), &run("me"), now()).await.unwrap();
    assert!(matches!(claimed, Claimed::Won(_)), "{claimed:?}");
}

#[tokio::test]
async fn one_of_two_runs_that_take_over_a_claim_wins() {
    let open = AlertedState::Open(controls::Severity::High);
    let dead = known(5, open, Some(Claim { lapses_at: now(), ..run("dead") }));
    let rules = [prevented(NEW, &dead), prevented(OVER, &known(5, open, Some(run("other"))))];
    let claimed =
        claims(&[&rules[0], &rules[1]]).claim(&event(5), &run("me"), now()).await.unwrap();
    assert_eq!(claimed, Claimed::Wait);
}

#[tokio::test]
async fn a_sent_message_is_recorded_unless_another_run_has_the_claim() {
    let mine = known(5, AlertedState::Closed, Some(run("me")));
    let rule = taken("#version = :over AND #owner = :owner");
    claims(&[&rule]).record(FINDING, &mine, now()).await.unwrap();
    assert_eq!(rule.num_calls(), 1);
    let other = prevented(OVER, &known(5, AlertedState::Closed, Some(run("other"))));
    claims(&[&other]).record(FINDING, &mine, now()).await.unwrap();
    let released = mock!(Client::put_item)
        .match_requests(|request| {
            is_on(request, OVER)
                && request.item().unwrap()["lapses_at"] == AttributeValue::S(now().to_string())
        })
        .then_output(|| PutItemOutput::builder().build());
    claims(&[&released]).release(FINDING, &mine, now()).await.unwrap();
}

#[tokio::test]
async fn a_cancelled_change_is_no_message_unless_people_know_another_state() {
    let open = AlertedState::Open(controls::Severity::High);
    let closed = || FindingEvent { status: findings::Compliance::Passed, ..event(5) };
    let cancel = async |event: &FindingEvent, rules: &[&Rule]| {
        claims(rules).cancel(event, &run("me"), now()).await.unwrap()
    };
    let silent = Claimed::Silent(Silence::CancelledOut);
    assert_eq!(
        cancel(&closed(), &[&taken(NEW)]).await,
        silent,
        "nobody was alerted, and it passes"
    );
    let before = || prevented(NEW, &known(3, open, None));
    assert_eq!(
        cancel(&event(5), &[&before(), &taken(OVER)]).await,
        silent,
        "people know that it is open"
    );
    let alerted = cancel(&closed(), &[&before(), &before(), &taken(OVER)]).await;
    assert!(
        matches!(alerted, Claimed::Won(_)),
        "people know that it is open, and it passes: {alerted:?}"
    );
    let alerted = cancel(&event(5), &[&taken(NEW)]).await;
    assert!(
        matches!(alerted, Claimed::Won(_)),
        "it is not known whether people know that it is open: {alerted:?}"
    );
}

#[tokio::test]
async fn a_minor_change_is_claimed_if_people_know_another_state() {
    let correct =
        async |rules: &[&Rule]| claims(rules).correct(&event(5), &run("me"), now()).await.unwrap();
    let before = row::write(FINDING, &known(4, AlertedState::Closed, None), now());
    let other = mock!(Client::put_item)
        .match_requests(|request| {
            let values = request.expression_attribute_values().unwrap();
            let covering: Vec<_> =
                (0..2).map(|n| values[&format!(":covering{n}")].as_s().unwrap().as_str()).collect();
            is_on(request, "#version < :version AND attribute_exists(#known)")
                && covering == ["open HIGH", "open CRITICAL"]
        })
        .then_output(move || PutItemOutput::builder().set_attributes(Some(before.clone())).build());
    let (claimed, alerted) = correct(&[&other]).await;
    assert!(
        matches!(claimed, Claimed::Won(_)) && alerted == Some(AlertedState::Closed),
        "{claimed:?} {alerted:?}"
    );
    let same = prevented(
        "#version < :version",
        &known(4, AlertedState::Open(controls::Severity::High), None),
    );
    assert_eq!(correct(&[&same]).await, (Claimed::Silent(Silence::Minor), None));
    let busy = || known(4, AlertedState::Closed, Some(run("other")));
    let (claimed, _) =
        correct(&[&prevented("#version < :version", &busy()), &prevented(NEW, &busy())]).await;
    assert_eq!(claimed, Claimed::Wait);
}

#[tokio::test]
async fn an_archived_finding_is_recorded() {
    let gone = Gone { finding: FINDING.to_owned(), version: VERSION + 5, receipts: vec![()] };
    let new = taken(NEW);
    claims(&[&new]).close(&gone, now()).await.unwrap();
    let older = taken("#version < :version");
    claims(&[&prevented(NEW, &known(4, AlertedState::Closed, None)), &older])
        .close(&gone, now())
        .await
        .unwrap();
    assert_eq!((new.num_calls(), older.num_calls()), (1, 1));
}
