//! Alerts: people receive one when something drifts and one when it is over, and no others.

use crate::{count, metric, nothing_was_refused, organization, said, settled, switch_events};
use aws_sdk_securityhub::types::{
    AwsSecurityFindingIdentifier, NoteUpdate, SeverityLabel, SeverityUpdate, WorkflowStatus,
    WorkflowUpdate,
};
use cmkwatch_tests::{Alerts, Fault, KeySetup, Place, folder, progress, sandbox};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use std::{
    fs,
    time::{Duration, Instant},
};

/// Returns transition and control of a notification, such as `opened encrypted-with-cmk`, or
/// `digest` for a digest.
fn news(notification: &Value) -> String {
    let context = &notification["metadata"]["additionalContext"];
    format!(
        "{} {}",
        context["transition"].as_str().unwrap_or("digest"),
        context["control"].as_str().unwrap_or_default()
    )
}

/// Waits until all messages are handled, except `bad` messages that never are. Returns the
/// notifications since the last call.
async fn take_alerts(alerts: &Alerts, bad: u64) -> Vec<Value> {
    settled().await;
    alerts.wait_until_alerted(bad).await;
    alerts.take().await
}

/// Returns the notifications like `answer`, each as transition and control, in alphabetical order.
async fn words(alerts: &Alerts, bad: u64) -> Vec<String> {
    let mut words: Vec<_> = take_alerts(alerts, bad).await.iter().map(news).collect();
    words.sort();
    words
}

/// Makes a bucket that is encrypted as its class requires before it is evaluated. Returns its name
/// and the ARN of its key.
async fn rolled_out(place: &Place) -> (String, String) {
    let bucket = place.bucket_name("alerted-of");
    let key = place.create_key(&KeySetup::default(), &bucket).await;
    place.create_bucket(&bucket, None).await;
    place.encrypt(&bucket, "aws:kms", Some(&key.arn)).await;
    (bucket, key.arn)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drift_and_its_end_are_alerted_and_nothing_in_between() {
    let _one = organization().await;
    let (alerts, place) = (Alerts::new().await, &sandbox().all_places().await[1]);
    take_alerts(&alerts, 0).await;
    // The message fails alone while the test goes on. It is a dead letter at the end of the test.
    alerts.send("no event of Security Hub").await;

    let silent = metric("FindingsNotAlerted");
    let (bucket, key) = rolled_out(place).await;
    assert_eq!(words(&alerts, 1).await, Vec::<String>::new(), "a rollout within the settle delay");
    assert!(
        metric("FindingsNotAlerted") >= silent + 8.0,
        "each new finding that passes is counted"
    );
    let log = fs::read_to_string(folder().join("server.log")).unwrap();
    let finding =
        format!("{bucket}/key-usable\",\"transition\":\"first-seen\",\"reason\":\"minor\"");
    assert!(
        log.lines().any(|line| line.contains("finding not alerted") && line.contains(&finding)),
        "and logged"
    );
    assert_eq!(said(place, &bucket, progress).await["encrypted-with-cmk"], "PASSED RESOLVED");
    // No alert was withdrawn within the alert window either. The bucket was first judged after the
    // settle delay.
    let seen = place.findings(&bucket).await["encrypted-with-cmk"].product_fields.clone().unwrap();
    assert_eq!(seen["cmkwatch/transition"], "first-seen");

    place.encrypt(&bucket, "AES256", None).await;
    let opened = take_alerts(&alerts, 1).await;
    let mut controls: Vec<_> = opened.iter().map(news).collect();
    controls.sort();
    assert_eq!(controls, ["opened encrypted-with-cmk", "opened encrypted-with-kms"]);
    let thread = format!("cmkwatch/aws/{}/{}/{bucket}", place.account, place.region);
    for notification in &opened {
        let description = notification["content"]["description"].as_str().unwrap();
        for words in [
            &bucket,
            &place.account,
            &place.region,
            "PutBucketEncryption",
            "confidential",
            "https://",
        ] {
            assert!(description.contains(words), "{words}: {description}");
        }
        assert!(
            description.contains(&format!("arn:aws:iam::{}:root", place.account)),
            "{description}"
        );
        assert!(!notification["content"]["nextSteps"].as_array().unwrap().is_empty());
        assert_eq!(notification["metadata"]["threadId"].as_str(), Some(thread.as_str()));
    }

    edit(place, &bucket).await;
    assert_eq!(words(&alerts, 1).await, Vec::<String>::new(), "an analyst's edits");
    sandbox().sweep(&[&place.account]).await;
    assert_eq!(words(&alerts, 1).await, Vec::<String>::new(), "a sweep that finds what is known");

    place.encrypt(&bucket, "aws:kms", Some(&key)).await;
    let resolved = take_alerts(&alerts, 1).await;
    let mut controls: Vec<_> = resolved.iter().map(news).collect();
    controls.sort();
    assert_eq!(controls, ["resolved encrypted-with-cmk", "resolved encrypted-with-kms"]);
    assert!(
        resolved
            .iter()
            .all(|notification| notification["metadata"]["threadId"].as_str()
                == Some(thread.as_str()))
    );

    a_failed_message_comes_again(&alerts, place, &bucket).await;
    alerts.wait_for_dead_letter("no event of Security Hub").await;
    nothing_was_refused(&[]);
}

/// Edits findings as an analyst does: adds a note to one, and sets another severity and NOTIFIED on
/// the other.
async fn edit(place: &Place, bucket: &str) {
    let security_hub = sandbox().hub().await.security_hub();
    let findings = place.findings(bucket).await;
    let of = |control: &str| {
        let finding = &findings[control];
        let identifier = AwsSecurityFindingIdentifier::builder().id(finding.id.clone().unwrap());
        identifier.product_arn(finding.product_arn.clone().unwrap()).build()
    };
    let note = NoteUpdate::builder().text("we know").updated_by("jane").build();
    security_hub
        .batch_update_findings()
        .finding_identifiers(of("encrypted-with-cmk"))
        .note(note)
        .send()
        .await
        .unwrap();
    let severity = SeverityUpdate::builder().label(SeverityLabel::Critical).build();
    let request =
        security_hub.batch_update_findings().finding_identifiers(of("encrypted-with-kms"));
    request.severity(severity).send().await.unwrap();
    let workflow = WorkflowUpdate::builder().status(WorkflowStatus::Notified).build();
    let request =
        security_hub.batch_update_findings().finding_identifiers(of("encrypted-with-kms"));
    request.workflow(workflow).send().await.unwrap();
}

/// Checks that an alert that the topic refuses is sent later.
async fn a_failed_message_comes_again(alerts: &Alerts, place: &Place, bucket: &str) {
    let hub = sandbox().hub().await;
    let (account, region) = (hub.account.clone(), hub.region.clone());
    let fault = Fault {
        account,
        region,
        action: "sns:Publish",
        code: "InternalError",
        status: 500,
        times: -1,
    };
    let attempts = count("sns:Publish");
    sandbox().fail(&[fault]);
    place.encrypt(bucket, "AES256", None).await;
    // The SDK makes five attempts. With the sixth call, the first of the two messages has failed.
    let deadline = Instant::now() + Duration::from_secs(60);
    while count("sns:Publish") <= attempts + 5 {
        assert!(Instant::now() < deadline, "nothing failed within a minute");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(alerts.take().await, Vec::<Value>::new());
    sandbox().fail(&[]);
    assert_eq!(words(alerts, 1).await, ["opened encrypted-with-cmk", "opened encrypted-with-kms"]);
    place.s3().delete_bucket().bucket(bucket).send().await.unwrap();
    assert_eq!(words(alerts, 1).await, Vec::<String>::new(), "a bucket that is gone");
}

/// The number of buckets that drift at once.
const MANY: usize = 200;

/// The value of `alerts.digest-over` in infra/cmkwatch.toml.
const DIGEST_OVER: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_drifts_in_one_sweep_are_a_few_digests() {
    let _one = organization().await;
    let (alerts, place) = (Alerts::new().await, &sandbox().all_places().await[0]);
    take_alerts(&alerts, 0).await;
    switch_events(false).await;
    let buckets: Vec<_> = (0..MANY).map(|_| place.bucket_name("one-of-many")).collect();
    let made = stream::iter(&buckets).map(|bucket| place.create_bucket(bucket, None));
    made.buffer_unordered(crate::AT_ONCE).collect::<()>().await;
    sandbox().sweep(&[&place.account]).await;

    // Each bucket fails two controls. The last batch may be so small that its findings are alerted
    // one by one.
    let notifications = take_alerts(&alerts, 0).await;
    let findings = |notification: &Value| {
        let answer = notification["metadata"]["additionalContext"]["findings"].as_str();
        answer.map_or(1, |findings| findings.parse::<usize>().unwrap())
    };
    assert_eq!(notifications.iter().map(findings).sum::<usize>(), 2 * MANY);
    let (digests, singles): (Vec<_>, Vec<_>) =
        notifications.iter().partition(|each| findings(each) > 1);
    assert!(!digests.is_empty() && digests.len() <= 20, "{} digests", digests.len());
    assert!(singles.len() <= DIGEST_OVER, "{} messages about one finding each", singles.len());
    for digest in digests {
        let title = digest["content"]["title"].as_str().unwrap();
        assert!(title.contains(&format!(" {} findings about ", findings(digest))), "{title}");
    }

    sandbox().sweep(&[&place.account]).await;
    assert_eq!(words(&alerts, 0).await, Vec::<String>::new(), "the sweep again");
    for bucket in &buckets {
        place.s3().delete_bucket().bucket(bucket).send().await.unwrap();
    }
    sandbox().sweep(&[&place.account]).await;
    assert_eq!(words(&alerts, 0).await, Vec::<String>::new(), "buckets that are gone");
    switch_events(true).await;
    nothing_was_refused(&[]);
}
