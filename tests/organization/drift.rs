//! Lost events: the sweep finds the changes, counts them, and an alarm reports them.

use crate::{metric, organization, said, settled, switch_events};
use cmkwatch_tests::{Alerts, progress, sandbox};

const ALARM: &str = "cmkwatch-drift-found-by-sweep";

async fn alarm() -> String {
    let query =
        ["--alarm-names", ALARM, "--query", "MetricAlarms[0].StateValue", "--output", "text"];
    sandbox()
        .hub()
        .await
        .aws("cloudwatch", &[&["describe-alarms"][..], &query].concat())
        .trim()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_that_only_the_sweep_finds_is_counted_and_raises_an_alarm() {
    let _one = organization().await;
    let (alerts, place) = (Alerts::new().await, &sandbox().all_places().await[0]);
    let [lost, kept] = ["events-lost", "events-kept"].map(|what| place.bucket_name(what));
    for bucket in [&lost, &kept] {
        place.create_bucket(bucket, None).await;
    }
    settled().await;
    // From this sweep on, the account is known.
    sandbox().sweep(&[&place.account]).await;
    let before = metric("DriftFoundBySweep");

    switch_events(false).await;
    place.encrypt(&lost, "aws:kms", None).await;
    switch_events(true).await;
    place.encrypt(&kept, "aws:kms", None).await;
    sandbox().sweep(&[&place.account]).await;
    settled().await;
    for bucket in [&lost, &kept] {
        assert_eq!(said(place, bucket, progress).await["encrypted-with-kms"], "PASSED RESOLVED");
    }
    // The transitions are those of one bucket: of encrypted-with-kms, encrypted-with-cmk and the
    // other controls that the key decides.
    let found = metric("DriftFoundBySweep") - before;
    assert!((2.0..10.0).contains(&found), "{found}");

    alerts.wait_until_alerted(0).await;
    alerts.take_all().await;
    assert_eq!(alarm().await, "ALARM");
    let answer = alerts.take_all().await;
    assert!(answer.iter().any(|answer| answer.message.contains(ALARM)), "{answer:?}");

    sandbox().sweep(&[&place.account]).await;
    settled().await;
    assert_eq!(metric("DriftFoundBySweep") - before, found, "counted once more");
}
