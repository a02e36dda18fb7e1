//! Tests of a batch: which messages are sent, how fast, and which events are delivered again.

use super::*;
use aws_sdk_dynamodb::{
    Client as Dynamo,
    operation::put_item::{PutItemError, PutItemOutput},
    types::{AttributeValue, error::ConditionalCheckFailedException},
};
use aws_sdk_organizations::{
    Client as Organizations, operation::describe_account::DescribeAccountOutput,
};
use aws_sdk_sns::{
    Client,
    operation::publish::{PublishError, PublishOutput},
    types::error::InternalErrorException,
};
use aws_smithy_mocks::{MockResponse, RuleMode, mock, mock_client};
use controls::Severity;
use serde_json::json;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The number of the next run.
static RUN: AtomicUsize = AtomicUsize::new(0);

const ALERTS: Alerts = Alerts { minimum_severity: Severity::Medium, digest_over: 2 };

fn imported(bucket: usize, sent_at: &str) -> String {
    let finding = json!({
        "Id": format!("cmkwatch/aws/200000000002/us-east-1/acme-{bucket}/tls-only"),
        "ProductArn": "arn:aws:securityhub:us-east-1:200000000002:product/200000000002/default",
        "AwsAccountId": "200000000002", "UpdatedAt": "2026-11-25T04:00:00Z",
        "Severity": {"Label": "MEDIUM"}, "Workflow": {"Status": "NEW"}, "Compliance": {"Status": "FAILED"},
        "ProductFields": {"cmkwatch/transition": "opened"},
    });
    json!({"time": sent_at, "detail": {"findings": [finding]}}).to_string()
}

fn batch(bodies: Vec<String>) -> SqsEvent {
    let record = |(number, body): (usize, String)| {
        let mut record = SqsMessage::default();
        (record.message_id, record.body) = (Some(number.to_string()), Some(body));
        record
    };
    let mut batch = SqsEvent::default();
    batch.records = bodies.into_iter().enumerate().map(record).collect();
    batch
}

async fn failures(function: &Alert, bodies: Vec<String>) -> Vec<String> {
    let (now, deadline) =
        ("2026-11-25T04:01:00Z".parse().unwrap(), Instant::now() + Duration::from_secs(60));
    let run = Claim { owner: RUN.fetch_add(1, Ordering::Relaxed).to_string(), lapses_at: now };
    let response = function.handle(batch(bodies), &run, now, deadline).await;
    response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect()
}

fn function(client: Client) -> Alert {
    let named = mock!(Organizations::describe_account)
        .then_output(|| DescribeAccountOutput::builder().build());
    let names = Names::for_test(mock_client!(aws_sdk_organizations, RuleMode::MatchAny, [&named]));
    let (hub, home) = ("100000000001".parse().unwrap(), "us-east-1".parse().unwrap());
    Alert::new(Topic::for_test(client), names, Claims::with_client(table()), ALERTS, hub, home)
}

/// Mocks a table that evaluates the conditions of writes.
fn table() -> Dynamo {
    let rows = Mutex::new(BTreeMap::<String, HashMap<String, AttributeValue>>::new());
    let put = mock!(Dynamo::put_item).then_compute_response(move |request| {
        let (item, mut rows) = (request.item().unwrap(), rows.lock().unwrap());
        let key = item["finding"].as_s().unwrap();
        let found = rows.get(key);
        let value =
            |name: &str| request.expression_attribute_values().and_then(|values| values.get(name));
        let same = |name: &str, to: &str| found.and_then(|row| row.get(name)) == value(to);
        let number = |value: &AttributeValue| value.as_n().unwrap().parse::<u64>().unwrap();
        let holds = match request.condition_expression().unwrap() {
            condition if condition.starts_with("attribute_not_exists") => found.is_none(),
            "#version < :version" => {
                found.is_some_and(|row| number(&row["version"]) < number(&item["version"]))
            }
            condition if condition.ends_with("attribute_not_exists(#owner)") => {
                same("version", ":over") && found.is_some_and(|row| !row.contains_key("owner"))
            }
            _ => same("version", ":over") && same("owner", ":owner"),
        };
        if holds {
            rows.insert(key.clone(), item.clone());
            return MockResponse::Output(PutItemOutput::builder().build());
        }
        let failed = ConditionalCheckFailedException::builder().set_item(found.cloned()).build();
        MockResponse::Error(PutItemError::ConditionalCheckFailedException(failed))
    });
    mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&put])
}

fn opened(buckets: std::ops::Range<usize>) -> Vec<String> {
    buckets.map(|bucket| imported(bucket, "2026-11-25T04:00:02Z")).collect()
}

#[tokio::test]
async fn few_findings_are_sent_one_by_one_and_many_as_a_digest_and_none_twice() {
    let rule = mock!(Client::publish)
        .sequence()
        .output(|| PublishOutput::builder().build())
        .repeatedly()
        .build();
    let function = function(mock_client!(aws_sdk_sns, RuleMode::Sequential, [&rule]));
    for (bodies, calls) in [
        (opened(0..2), 2),
        (opened(2..9), 3),
        (opened(0..9), 3),
        (vec![imported(0, "2026-11-25T04:00:30Z")], 3),
        (Vec::new(), 3),
    ] {
        assert!(failures(&function, bodies).await.is_empty());
        assert_eq!(rule.num_calls(), calls);
    }
}

#[tokio::test]
async fn an_event_fails_while_another_run_sends_its_message() {
    let rule = mock!(Client::publish)
        .sequence()
        .output(|| PublishOutput::builder().build())
        .repeatedly()
        .build();
    let function = function(mock_client!(aws_sdk_sns, RuleMode::Sequential, [&rule]));
    let now: Timestamp = "2026-11-25T04:01:00Z".parse().unwrap();
    let other =
        Claim { owner: "other".into(), lapses_at: now + jiff::SignedDuration::from_secs(60) };
    let Ok(Parsed::FindingEvent(event)) =
        parse(&imported(0, "2026-11-25T04:00:02Z"), &function.hub)
    else {
        panic!()
    };
    assert!(matches!(function.claims.claim(&event, &other, now).await, Ok(Claimed::Won(_))));
    assert_eq!(failures(&function, opened(0..1)).await, ["0"]);
    assert_eq!(rule.num_calls(), 0);
}

#[tokio::test]
async fn an_archived_finding_can_open_again() {
    let rule = mock!(Client::publish)
        .sequence()
        .output(|| PublishOutput::builder().build())
        .repeatedly()
        .build();
    let function = function(mock_client!(aws_sdk_sns, RuleMode::Sequential, [&rule]));
    let at = |second: &str, transition: &str| {
        let imported =
            imported(0, &format!("2026-11-25T04:00:{second}Z")).replace("opened", transition);
        imported.replace("04:00:00Z", &format!("04:00:{second}Z"))
    };
    for (imported, calls) in [
        (at("01", "opened"), 1),
        (at("02", "gone"), 1),
        (at("03", "opened"), 2),
        (at("04", "opened"), 2),
    ] {
        assert!(failures(&function, vec![imported.clone()]).await.is_empty());
        assert_eq!(rule.num_calls(), calls, "{imported}");
    }
}

#[tokio::test(start_paused = true)]
async fn messages_keep_to_the_rate_limit_of_chat_applications() {
    let rule = mock!(Client::publish)
        .sequence()
        .output(|| PublishOutput::builder().build())
        .repeatedly()
        .build();
    let alerts = Alerts { digest_over: 20, ..ALERTS };
    let function =
        Alert { alerts, ..function(mock_client!(aws_sdk_sns, RuleMode::Sequential, [&rule])) };
    let began = Instant::now();
    assert!(failures(&function, opened(0..20)).await.is_empty());
    assert_eq!(rule.num_calls(), 20);
    assert!(began.elapsed() >= BETWEEN * 19, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_message_that_fails_is_sent_again_and_not_recorded_as_sent() {
    let refuse = || PublishError::InternalErrorException(InternalErrorException::builder().build());
    let rule = mock!(Client::publish)
        .sequence()
        .error(refuse)
        .times(1)
        .output(|| PublishOutput::builder().build())
        .repeatedly()
        .build();
    let function = function(mock_client!(aws_sdk_sns, RuleMode::Sequential, [&rule], |config| {
        config.retry_config(aws_sdk_sns::config::retry::RetryConfig::disabled())
    }));
    let mut failed = failures(&function, opened(0..7)).await;
    failed.sort();
    assert_eq!(failed, ["0", "1", "2", "3", "4", "5", "6"]);
    assert!(failures(&function, opened(0..7)).await.is_empty());
    assert_eq!(rule.num_calls(), 2);
}

#[tokio::test]
async fn an_event_that_is_not_understood_fails_alone() {
    let rule = mock!(Client::publish)
        .sequence()
        .output(|| PublishOutput::builder().build())
        .repeatedly()
        .build();
    let function = function(mock_client!(aws_sdk_sns, RuleMode::Sequential, [&rule]));
    let bodies = vec!["{}".to_owned(), imported(0, "2026-11-25T04:00:02Z"), "<html>".to_owned()];
    assert_eq!(failures(&function, bodies).await, ["0", "2"]);
    assert_eq!(rule.num_calls(), 1);
}
