//! Messages to on-change: what follows if they are repeated, malformed or name another region.

use crate::{all_failed, all_passed, event, send};
use aws_sdk_sqs::types::QueueAttributeName;
use cmkwatch_tests::{KeySetup, progress, sandbox, verdict};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn duplicates_and_a_reversed_order_change_nothing() {
    let place = &sandbox().places().await[1];
    let bucket = place.bucket_name("again");
    let key = place.create_key(&KeySetup::default(), &bucket).await;
    place.create_bucket(&bucket, None).await;
    place.encrypt(&bucket, "aws:kms", Some(&key.arn)).await;
    place.wait_for(&bucket, progress, &all_passed()).await;
    let before = place.findings(&bucket).await;

    let mut events: Vec<_> = (0..10)
        .map(|_| event(place, &bucket, "PutBucketEncryption", "2026-11-01T00:00:02Z"))
        .collect();
    events.push(event(place, &bucket, "CreateBucket", "2026-11-01T00:00:01Z"));
    send(&events).await;
    // The event of this bucket is behind the others in the queue, and waits for the settle delay.
    // Once the bucket is judged, they are handled too.
    let last = place.bucket_name("after-again");
    place.create_bucket(&last, None).await;
    place.wait_for(&last, verdict, &all_failed()).await;
    assert_eq!(place.findings(&bucket).await, before);
}

/// CloudTrail may name the region that was called. S3 names the region in which the bucket exists.
/// No events are forwarded from that region in the sandbox, so the finding can only follow from
/// this event.
#[tokio::test]
async fn a_bucket_is_judged_in_its_own_region_and_not_in_that_of_the_event() {
    let claimed = &sandbox().places().await[0];
    let there = sandbox().place(&claimed.account, "ap-south-1").await;
    there.aws("securityhub", &["enable-security-hub"]);
    let bucket = there.bucket_name("elsewhere");
    there.create_bucket(&bucket, None).await;
    send(&[event(claimed, &bucket, "PutBucketEncryption", "2026-11-01T00:00:00Z")]).await;
    there.wait_for(&bucket, verdict, &all_failed()).await;
    assert!(claimed.findings(&bucket).await.is_empty());
}

#[tokio::test]
async fn malformed_messages_become_dead_letters_and_the_others_are_handled() {
    let place = &sandbox().places().await[2];
    let bucket = place.bucket_name("good-among-bad");
    place.create_bucket(&bucket, None).await;
    place.wait_for(&bucket, verdict, &all_failed()).await;
    let key = place.create_key(&KeySetup::default(), &bucket).await;
    place.encrypt(&bucket, "aws:kms", Some(&key.arn)).await;
    let mut nobody = event(place, &bucket, "PutBucketEncryption", "2026-11-01T00:00:00Z");
    nobody["detail"]["requestParameters"] = Value::Null;
    let mut account = event(place, &bucket, "PutBucketEncryption", "2026-11-01T00:00:00Z");
    account["detail"]["recipientAccountId"] = json!("1234");
    let mut region = event(place, &bucket, "PutBucketEncryption", "2026-11-01T00:00:00Z");
    region["detail"]["awsRegion"] = json!("us-east-1.evil.example");
    let name = event(place, "../<b>", "PutBucketEncryption", "2026-11-01T00:00:00Z");
    let bad = [json!("this is no event"), nobody, account, region, name];
    let other = json!({ "source": "aws.ec2", "detail-type": "x", "detail": {} });
    let good = event(place, &bucket, "PutBucketEncryption", "2026-11-01T00:00:00Z");
    let mut all = bad.to_vec();
    all.extend([other, good]);
    send(&all).await;
    place.wait_for(&bucket, progress, &all_passed()).await;

    let mut dead = dead_letters(bad.len()).await;
    let mut bad: Vec<_> = bad.iter().map(Value::to_string).collect();
    dead.sort();
    bad.sort();
    assert_eq!(dead, bad);
}

/// Waits until there are `wanted` dead letters, and returns their bodies.
async fn dead_letters(wanted: usize) -> Vec<String> {
    let (sqs, queue) = (sandbox().sqs().await, &sandbox().changes_dead_queue_url);
    let count = QueueAttributeName::ApproximateNumberOfMessages;
    for _ in 0..120 {
        let attributes = sqs
            .get_queue_attributes()
            .queue_url(queue)
            .attribute_names(count.clone())
            .send()
            .await
            .unwrap();
        if attributes.attributes.unwrap()[&count] == wanted.to_string() {
            let messages = sqs
                .receive_message()
                .queue_url(queue)
                .max_number_of_messages(10)
                .send()
                .await
                .unwrap();
            return messages
                .messages
                .unwrap()
                .into_iter()
                .map(|message| message.body.unwrap())
                .collect();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("there never were {wanted} dead letters");
}
