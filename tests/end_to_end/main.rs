//! The functions in a local AWS: calls to the S3 API show in Security Hub.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at the first thing that is not as expected"
)]

mod calls;
mod messages;

use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use cmkwatch_tests::{
    KeySetup, Place, Refused, Scenario, made_out, progress, root, sandbox, scenarios, state,
    verdict,
};
use controls::Level;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, process::Command};

/// The number of buckets that are played at once.
const AT_ONCE: usize = 6;

fn expectation(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(slug, said)| (slug.to_owned(), said.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scenario_has_its_findings_until_it_is_fixed_and_deleted() {
    let places = sandbox().places().await;
    // Each scenario is played in both accounts and both regions. The pairs alternate from scenario
    // to scenario.
    let turns = scenarios().into_iter().enumerate();
    let plays = turns.flat_map(|(turn, scenario)| {
        let places =
            if turn % 2 == 0 { [&places[0], &places[3]] } else { [&places[1], &places[2]] };
        places.map(|place| (scenario.clone(), place))
    });
    stream::iter(plays)
        .map(|(scenario, place)| play(scenario, place))
        .buffer_unordered(AT_ONCE)
        .collect::<()>()
        .await;
}

async fn play(scenario: Scenario, place: &Place) {
    let bucket = place.set_up(&scenario).await;
    if let (true, Some(class)) = (scenario.expect.is_empty(), &scenario.class) {
        // The absence of findings shows only if there were findings before.
        place.tag(&bucket, "confidential").await;
        place.wait_for(&bucket, verdict, &all_failed()).await;
        place.tag(&bucket, class).await;
    }
    place.wait_for(&bucket, verdict, &scenario.expect).await;
    // The administrator sees every account and region. Only the expected findings about the bucket
    // are active.
    let everywhere = sandbox().hub().await.findings_about(&format!("arn:aws:s3:::{bucket}")).await;
    let standing = everywhere.iter().filter(|finding| verdict(finding).is_some());
    assert_eq!(standing.count(), scenario.expect.len(), "{bucket}: {everywhere:?}");
    for finding in &everywhere {
        assert_eq!(finding.aws_account_id.as_ref(), Some(&place.account), "{bucket}");
        assert_eq!(finding.region.as_ref(), Some(&place.region), "{bucket}");
    }
    if scenario.refused.is_none() {
        fix(&scenario, place, &bucket).await;
    }
    place.s3().delete_bucket().bucket(&bucket).send().await.unwrap();
    let archived = place
        .findings(&bucket)
        .await
        .into_keys()
        .map(|slug| (slug, "ARCHIVED".to_owned()))
        .collect();
    place.wait_for(&bucket, state, &archived).await;
}

/// Fixes a bucket until each required control is PASSED and RESOLVED. The bucket gets a
/// customer-managed key that is used through S3 only, and a bucket policy that enforces it.
async fn fix(scenario: &Scenario, place: &Place, bucket: &str) {
    let setup = KeySetup { policy: Some(ONLY_THROUGH_S3.to_owned()), ..KeySetup::default() };
    let key = place.create_key(&setup, &format!("{bucket}-fix")).await;
    if scenario.bucket_policy.is_some() || scenario.class.as_deref() == Some("restricted") {
        let policy = made_out(ENFORCED, &format!("arn:aws:s3:::{bucket}"), Some(&key.arn));
        place.put_policy(bucket, &policy).await;
    }
    place.encrypt(bucket, "aws:kms", Some(&key.arn)).await;
    let required = match scenario.class.as_deref() {
        Some("public") => Level::SseS3,
        Some("internal") => Level::Kms,
        Some("restricted") => Level::Enforced,
        _ => Level::Cmk,
    };
    place.wait_for(bucket, progress, &passed_up_to(required)).await;
}

const ONLY_THROUGH_S3: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::<account>:root"}, "Action": "kms:*", "Resource": "*"},
    {"Effect": "Deny", "Principal": "*", "Resource": "*",
     "Action": ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*", "kms:CreateGrant"],
     "Condition": {"StringNotLike": {"kms:ViaService": "s3.*.amazonaws.com"}}}]}"#;

const ENFORCED: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": ["<bucket>", "<bucket>/*"],
     "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
    {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "<bucket>/*",
     "Condition": {"ArnNotEqualsIfExists": {"s3:x-amz-server-side-encryption-aws-kms-key-id": "<key>"}}}]}"#;

/// Returns the controls of all levels up to one, each as PASSED and RESOLVED.
fn passed_up_to(level: Level) -> BTreeMap<String, String> {
    let required = controls::OF_BUCKETS.iter().filter(|control| control.level <= level);
    required.map(|control| (control.slug.to_owned(), "PASSED RESOLVED".to_owned())).collect()
}

#[tokio::test]
async fn a_finding_names_the_caller_that_changed_the_bucket_and_keeps_its_age() {
    let place = &sandbox().places().await[0];
    let bucket = place.bucket_name("who");
    place.create_bucket(&bucket, None).await;
    place.wait_for(&bucket, verdict, &all_failed()).await;
    let opened = place.findings(&bucket).await.remove("encrypted-with-cmk").unwrap();
    let fields = opened.product_fields.as_ref().unwrap();
    assert_eq!(fields["cmkwatch/event-name"], "CreateBucket");
    assert_eq!(fields["cmkwatch/changed-by"], format!("arn:aws:iam::{}:root", place.account));
    assert_eq!(fields["cmkwatch/transition"], "opened");
    assert_eq!(
        (fields["cmkwatch/level-required"].as_str(), fields["cmkwatch/level-reached"].as_str()),
        ("cmk", "sse-s3")
    );
    assert_eq!(opened.created_at, opened.updated_at);

    let key = place.create_key(&KeySetup::default(), &bucket).await;
    place.encrypt(&bucket, "aws:kms", Some(&key.id)).await;
    place.wait_for(&bucket, progress, &all_passed()).await;
    let resolved = place.findings(&bucket).await.remove("encrypted-with-cmk").unwrap();
    let fields = resolved.product_fields.as_ref().unwrap();
    assert_eq!(fields["cmkwatch/event-name"], "PutBucketEncryption");
    assert_eq!(fields["cmkwatch/transition"], "resolved");
    assert_eq!(
        (&resolved.created_at, &resolved.first_observed_at),
        (&opened.created_at, &opened.first_observed_at)
    );
    let resources: Vec<_> =
        resolved.resources().iter().map(|resource| resource.id.clone().unwrap()).collect();
    assert_eq!(resources, [format!("arn:aws:s3:::{bucket}"), key.arn]);
}

/// Returns the findings of a bucket that is left as S3 makes it.
pub(crate) fn all_failed() -> BTreeMap<String, String> {
    expectation(&[
        ("encrypted-with-kms", "FAILED MEDIUM"),
        ("encrypted-with-cmk", "FAILED HIGH"),
        ("ssec-blocked", "PASSED INFORMATIONAL"),
    ])
}

pub(crate) fn all_passed() -> BTreeMap<String, String> {
    passed_up_to(Level::Cmk)
}

/// The key of the stack encrypts the queues, the topic and the logs. It must pass the controls like
/// any other key.
#[tokio::test]
async fn the_key_of_the_stack_passes_the_controls() {
    let hub = sandbox().hub().await;
    let bucket = hub.bucket_name("own-key");
    hub.create_bucket(&bucket, None).await;
    hub.encrypt(&bucket, "aws:kms", Some("alias/cmkwatch")).await;
    hub.wait_for(&bucket, progress, &all_passed()).await;
}

/// cmkwatch has no role in the account of the key. DescribeKey works across accounts if the key's
/// policy allows it.
#[tokio::test]
async fn a_key_outside_the_organization_is_asked_about_from_the_buckets_own_account() {
    let place = &sandbox().places().await[3];
    let outside = sandbox().place("999999999999", &place.region).await;
    const PASSED: &str = "PASSED INFORMATIONAL";
    for (allowed, customers, usable) in
        [(false, "WARNING HIGH", "WARNING HIGH"), (true, PASSED, PASSED)]
    {
        let bucket = place.bucket_name("outside");
        let key = outside.create_key(&KeySetup::default(), &bucket).await;
        if allowed {
            outside.let_describe(&key, &place.account).await;
        }
        place.create_bucket(&bucket, None).await;
        place.encrypt(&bucket, "aws:kms", Some(&key.arn)).await;
        let expected = [
            ("encrypted-with-kms", PASSED),
            ("encrypted-with-cmk", customers),
            ("key-usable", usable),
            ("key-used-only-via-s3", "WARNING MEDIUM"),
            ("key-policy-closed", "WARNING HIGH"),
            ("key-rotates", "WARNING MEDIUM"),
            ("bucket-key-on", PASSED),
            ("ssec-blocked", PASSED),
        ];
        place.wait_for(&bucket, verdict, &expectation(&expected)).await;
    }
}

#[tokio::test]
async fn a_permission_that_is_taken_away_turns_the_verdict_into_a_warning() {
    let place = &sandbox().places().await[3];
    let bucket = place.bucket_name("refused-later");
    place.create_bucket(&bucket, None).await;
    place.wait_for(&bucket, verdict, &all_failed()).await;
    place.refuse(Refused::Encryption, &format!("arn:aws:s3:::{bucket}"), &bucket);
    place.tag(&bucket, "confidential").await;
    let warnings = [
        ("encrypted-with-kms", "WARNING MEDIUM"),
        ("encrypted-with-cmk", "WARNING HIGH"),
        ("key-usable", "WARNING HIGH"),
        ("key-used-only-via-s3", "WARNING MEDIUM"),
        ("key-policy-closed", "WARNING HIGH"),
        ("key-rotates", "WARNING MEDIUM"),
        ("bucket-key-on", "WARNING LOW"),
        ("ssec-blocked", "WARNING LOW"),
    ];
    place.wait_for(&bucket, verdict, &expectation(&warnings)).await;
}

pub(crate) fn event(place: &Place, bucket: &str, call: &str, time: &str) -> Value {
    json!({
        "version": "0", "id": "0", "source": "aws.s3", "detail-type": "AWS API Call via CloudTrail",
        "account": place.account, "region": place.region, "time": time, "resources": [],
        "detail": {
            "eventVersion": "1.11", "eventSource": "s3.amazonaws.com", "eventName": call, "eventTime": time,
            "awsRegion": place.region, "recipientAccountId": place.account,
            "requestParameters": { "bucketName": bucket },
        },
    })
}

/// Sends messages to on-change, without the settle delay.
pub(crate) async fn send(bodies: &[Value]) {
    let (sqs, queue) = (sandbox().sqs().await, &sandbox().changes_queue_url);
    for (batch, bodies) in bodies.chunks(10).enumerate() {
        let entry = |(number, body): (usize, &Value)| {
            let entry = SendMessageBatchRequestEntry::builder().id(format!("m{batch}-{number}"));
            entry.message_body(body.to_string()).delay_seconds(0).build().unwrap()
        };
        let entries: Vec<_> = bodies.iter().enumerate().map(entry).collect();
        let sent = sqs
            .send_message_batch()
            .queue_url(queue)
            .set_entries(Some(entries))
            .send()
            .await
            .unwrap();
        assert_eq!(sent.failed(), []);
    }
}

#[test]
fn a_wrong_settings_file_stops_the_function_with_line_and_key() {
    let task_root = root().join(format!("target/wrong-settings-{}", std::process::id()));
    fs::create_dir_all(&task_root).unwrap();
    let settings = fs::read_to_string(root().join("infra/cmkwatch.toml"))
        .unwrap()
        .replace("default =", "defualt =");
    let line = 1 + settings.lines().position(|line| line.contains("defualt")).unwrap();
    fs::write(task_root.join("cmkwatch.toml"), settings).unwrap();
    let function = Command::new(root().join("target/lambda/on-change/bootstrap"))
        .env("LAMBDA_TASK_ROOT", &task_root)
        .env("AWS_LAMBDA_FUNCTION_NAME", "on-change")
        .env("CMKWATCH_ORGANIZATION", "o-exampleorg")
        .output()
        .unwrap();
    fs::remove_dir_all(&task_root).unwrap();
    assert!(!function.status.success());
    let log = String::from_utf8(function.stdout).unwrap();
    assert!(
        log.contains("cannot start")
            && log.contains(&format!("line {line}"))
            && log.contains("defualt"),
        "{log}"
    );
}
