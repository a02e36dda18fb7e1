//! The table of states: evaluations of one bucket at the same time, and the loss of the table.

use crate::{
    calls_that_publish, count, nothing_was_refused, organization, said, settled, switch_events,
};
use aws_sdk_securityhub::types::{AwsSecurityFindingIdentifier, WorkflowStatus, WorkflowUpdate};
use cmkwatch_tests::{Alerts, KeySetup, Place, folder, progress, sandbox, state};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs};

/// Invokes on-change with one event of a bucket, in parallel with other runs.
pub(crate) async fn evaluate(place: &Place, bucket: &str, number: usize) {
    let event = json!({
        "source": "aws.s3", "detail-type": "AWS API Call via CloudTrail", "account": place.account,
        "detail": {
            "eventSource": "s3.amazonaws.com", "eventName": "PutBucketEncryption",
            "eventTime": jiff::Timestamp::now().to_string(), "awsRegion": place.region,
            "recipientAccountId": place.account, "requestParameters": {"bucketName": bucket},
        },
    });
    let records = json!({"Records": [{"messageId": "one", "body": event.to_string()}]}).to_string();
    let hub = sandbox().hub().await;
    let answer = folder().join(format!("evaluated-{number}.json"));
    let run = move || {
        let path = answer.to_str().unwrap();
        hub.aws(
            "lambda",
            &["invoke", "--function-name", "cmkwatch-on-change", "--payload", &records, path],
        );
        fs::read_to_string(path).unwrap()
    };
    let answer: Value =
        serde_json::from_str(&tokio::task::spawn_blocking(run).await.unwrap()).unwrap();
    assert_eq!(answer["batchItemFailures"], json!([]), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_state_wins_over_two_and_eight_evaluations_at_once() {
    let _one = organization().await;
    switch_events(false).await;
    let place = &sandbox().all_places().await[1];
    let bucket = place.bucket_name("at-once");
    let key = place.create_key(&KeySetup::default(), &bucket).await;
    place.create_bucket(&bucket, None).await;
    for (round, evaluators) in [2, 8, 2, 8].into_iter().enumerate() {
        // The last change breaks the bucket in the first two rounds, and fixes it in the last two.
        let passes = |number: usize| (number + evaluators + round / 2).is_multiple_of(2);
        let mut running = Vec::new();
        for number in 0..evaluators {
            match passes(number) {
                true => place.encrypt(&bucket, "aws:kms", Some(&key.arn)).await,
                false => place.encrypt(&bucket, "AES256", None).await,
            }
            let (place, bucket) = (place.clone(), bucket.clone());
            running.push(tokio::spawn(async move { evaluate(&place, &bucket, number).await }));
        }
        join_all(running).await.into_iter().for_each(Result::unwrap);
        let found = said(place, &bucket, progress).await;
        let expected = if passes(evaluators - 1) { "PASSED RESOLVED" } else { "FAILED NEW" };
        assert_eq!(
            found["encrypted-with-cmk"], expected,
            "{evaluators} at once, round {round}: {found:?}"
        );
        assert_eq!(
            found["encrypted-with-kms"], expected,
            "{evaluators} at once, round {round}: {found:?}"
        );
        assert_eq!(found.len(), if passes(evaluators - 1) { 8 } else { 3 }, "{found:?}");
    }
    sandbox().wait_until_idle(std::time::Duration::from_secs(60)).await;
    switch_events(true).await;
    nothing_was_refused(&[]);
}

/// Returns the rows of buckets that exist, with the fields that are the same in a rebuilt row.
fn rows(hub: &Place) -> BTreeMap<String, Value> {
    let scanned =
        hub.aws("dynamodb", &["scan", "--table-name", "cmkwatch-state", "--output", "json"]);
    let scanned: Value = serde_json::from_str(&scanned).unwrap();
    let rows =
        scanned["Items"].as_array().unwrap().iter().filter(|row| row.get("expires_at").is_none());
    rows.map(|row| {
        let name = format!("{} {}", row["place"]["S"].as_str().unwrap(), row["item"]["S"].as_str().unwrap());
        let controls = row["controls"]["M"].as_object().into_iter().flatten();
        let applies = controls.filter(|(_, control)| control["M"].get("observed").is_some());
        let kept =
            |control: &Value| ["observed", "published", "first", "updated"].map(|name| control["M"][name].clone());
        let controls: BTreeMap<_, _> = applies.map(|(slug, control)| (slug.clone(), kept(control))).collect();
        (name, json!({"controls": controls, "class": row["class"], "key": row["key"], "alias": row["alias"]}))
    })
    .collect()
}

/// Deletes every row of the table.
fn lose_the_table(hub: &Place) {
    let arguments = [
        "scan",
        "--table-name",
        "cmkwatch-state",
        "--projection-expression",
        "#p, #i",
        "--output",
        "json",
    ];
    let names = ["--expression-attribute-names", r##"{"#p": "place", "#i": "item"}"##];
    let scanned: Value =
        serde_json::from_str(&hub.aws("dynamodb", &[&arguments[..], &names].concat())).unwrap();
    let keys = scanned["Items"].as_array().unwrap();
    for some in keys.chunks(25) {
        let deletes: Vec<_> =
            some.iter().map(|key| json!({"DeleteRequest": {"Key": key}})).collect();
        let asked = json!({"cmkwatch-state": deletes}).to_string();
        hub.aws("dynamodb", &["batch-write-item", "--request-items", &asked]);
    }
}

/// Returns the findings that Security Hub holds in all places, by place and id.
async fn held() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut places = sandbox().all_places().await;
    places.push(sandbox().hub().await);
    for place in places {
        for mut finding in place.own_findings().await {
            let id = format!("{place} {}", finding.id.clone().unwrap());
            // The fields are sorted, so that their order is the same each time.
            let fields: BTreeMap<_, _> =
                finding.product_fields.take().into_iter().flatten().collect();
            all.insert(id, format!("{finding:?} {fields:?}"));
        }
    }
    all
}

async fn suppress(place: &Place, bucket: &str, control: &str) {
    let finding = place.findings(bucket).await.remove(control).unwrap();
    let identifier = AwsSecurityFindingIdentifier::builder().id(finding.id.unwrap());
    let identifier = identifier.product_arn(finding.product_arn.unwrap()).build();
    let workflow = WorkflowUpdate::builder().status(WorkflowStatus::Suppressed).build();
    let request = place
        .security_hub()
        .batch_update_findings()
        .finding_identifiers(identifier)
        .workflow(workflow);
    request.send().await.unwrap();
}

/// An update from a version without the table starts in the same way: with findings, and without
/// rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_table_is_filled_by_one_sweep_and_nobody_is_alerted() {
    let _one = organization().await;
    let (alerts, hub, place) =
        (Alerts::new().await, sandbox().hub().await, &sandbox().all_places().await[0]);
    let [broken, fine, gone] =
        ["lost-broken", "lost-fine", "lost-gone"].map(|what| place.bucket_name(what));
    let key = place.create_key(&KeySetup::default(), &fine).await;
    for bucket in [&broken, &fine, &gone] {
        place.create_bucket(bucket, None).await;
    }
    place.encrypt(&fine, "aws:kms", Some(&key.alias)).await;
    settled().await;
    suppress(place, &broken, "encrypted-with-kms").await;
    sandbox().sweep(&[]).await;
    alerts.wait_until_alerted(0).await;
    alerts.take().await;
    let (before, known) = (held().await, rows(&hub));
    assert!(known.len() > 10, "{known:?}");

    switch_events(false).await;
    lose_the_table(&hub);
    assert!(rows(&hub).is_empty());
    place.s3().delete_bucket().bucket(&gone).send().await.unwrap();
    let published = calls_that_publish();
    sandbox().sweep(&[]).await;

    assert_eq!(
        calls_that_publish() - published,
        1,
        "the findings of the deleted bucket are archived, and nothing else is imported"
    );
    let archived = said(place, &gone, state).await;
    assert!(
        archived.len() == 3 && archived.values().all(|state| state == "ARCHIVED"),
        "{archived:?}"
    );
    let is_kept = |id: &&String| !id.contains(&gone);
    let after = held().await;
    for id in before.keys().filter(is_kept) {
        assert_eq!(after.get(id), before.get(id), "{id}");
    }
    assert_eq!(said(place, &broken, progress).await["encrypted-with-kms"], "FAILED SUPPRESSED");
    let rebuilt = rows(&hub);
    for name in known.keys().filter(is_kept) {
        assert_eq!(rebuilt.get(name), known.get(name), "{name}");
    }
    alerts.wait_until_alerted(0).await;
    assert_eq!(alerts.take().await, Vec::<Value>::new(), "nobody is alerted");

    let asked = count("securityhub:GetFindings");
    sandbox().sweep(&[]).await;
    assert_eq!(
        count("securityhub:GetFindings"),
        asked,
        "a steady sweep asks Security Hub for no finding"
    );
    assert_eq!(calls_that_publish() - published, 1, "a steady sweep imports nothing");
    switch_events(true).await;
    nothing_was_refused(&[]);
}
