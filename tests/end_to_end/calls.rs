//! The calls that an evaluation makes: how many an event costs the account of the bucket.

use crate::{event, send};
use cmkwatch_tests::{KeySetup, Place, sandbox};
use std::time::Duration;

/// An event costs few calls to the account of the bucket, which also has the key.
///
/// - The evaluation takes 10 calls: 3 reads of S3, 6 of KMS, and DescribeHub.
/// - The second look takes 11 calls, because it reads the findings too.
/// - A change takes 9 more reads of S3 and KMS, and 3 calls to publish.
///
/// The hub's own account is watched like any other. No other test makes calls in its second region.
#[tokio::test]
async fn an_evaluation_costs_few_calls() {
    let (hub, place) =
        (sandbox().hub().await, sandbox().another_region(&sandbox().hub().await).await);
    let arn = |bucket: &str| format!("arn:aws:s3:::{bucket}");
    let bucket = place.bucket_name("calls");
    let key = place.create_key(&KeySetup::default(), &bucket).await;
    place.create_bucket(&bucket, None).await;
    until(async || hub.findings_about(&arn(&bucket)).await.len() == 3).await;

    let before = calls_of_evaluations(&place).await;
    place.encrypt(&bucket, "aws:kms", Some(&key.arn)).await;
    until(async || hub.findings_about(&arn(&bucket)).await.len() == 8).await;
    let changed = calls_of_evaluations(&place).await;
    assert!(
        changed - before <= 10 + 9 + 3 + 11,
        "{} {:?}",
        changed - before,
        sandbox().calls(&place)
    );

    send(&[event(&place, &bucket, "PutBucketEncryption", "2026-11-01T00:00:00Z")]).await;
    until(async || calls(&place) > changed).await;
    assert_eq!(
        calls_of_evaluations(&place).await - changed,
        10 + 11,
        "{:?}",
        sandbox().calls(&place)
    );
}

/// Counts the calls of on-change in a place.
fn calls(place: &Place) -> u64 {
    let ours = ["s3:Get", "kms:Describe", "kms:Get", "kms:List", "securityhub:"];
    let calls = sandbox().calls(place);
    let counted = calls.iter().filter(|(call, _)| ours.iter().any(|our| call.starts_with(our)));
    counted.map(|(_, count)| count).sum()
}

/// Waits until on-change makes no more calls in a place, second looks included. Returns their
/// number.
async fn calls_of_evaluations(place: &Place) -> u64 {
    loop {
        let before = calls(place);
        tokio::time::sleep(Duration::from_secs(sandbox().second_look_seconds + 4)).await;
        if calls(place) == before {
            return before;
        }
    }
}

async fn until(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..100 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    panic!("it did not hold within 30 s");
}
