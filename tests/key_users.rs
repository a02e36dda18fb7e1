//! How many calls of GetFindings do second looks take after one event of a key that 500 buckets
//! use?
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may stop at the first thing that is not as expected, and this one reports what it counted"
)]

use cmkwatch_tests::{KeySetup, sandbox};
use futures_util::{StreamExt, stream};
use std::time::Duration;

const USERS: usize = 500;

/// The number of buckets that are made at once.
const AT_ONCE: usize = 8;

/// The most calls of GetFindings. One call takes 20 buckets, and second looks may take 1.2 calls
/// for each 20.
const MOST_CALLS: usize = USERS / 20 * 12 / 10;

const PATIENCE: Duration = Duration::from_secs(300);

/// Returns how many calls of GetFindings were made in all places.
fn asked() -> usize {
    let calls = sandbox()
        .all_calls()
        .into_iter()
        .filter(|(call, _)| call.ends_with("/securityhub:GetFindings"));
    usize::try_from(calls.map(|(_, count)| count).sum::<u64>()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_looks_at_the_users_of_a_key_take_one_call_for_twenty_buckets() {
    let place = &sandbox().all_places().await[0];
    let key = place.create_key(&KeySetup::default(), "of-many").await;
    let switch_events = |how: &str| place.aws("events", &[how, "--name", "cmkwatch-buckets"]);
    switch_events("disable-rule");
    let made = stream::iter(0..USERS).map(async |_| {
        let bucket = place.bucket_name("of-many");
        place.create_bucket(&bucket, None).await;
        place.encrypt(&bucket, "aws:kms", Some(&key.arn)).await;
        bucket
    });
    let buckets: Vec<_> = made.buffer_unordered(AT_ONCE).collect().await;
    sandbox().begin_sweep(&[&place.account]).await;
    sandbox().wait_until_idle(PATIENCE).await;
    tokio::time::sleep(Duration::from_secs(sandbox().second_look_seconds)).await;

    // The first call changes nothing. The second one makes each bucket fail.
    for (call, needs) in [("enable-key-rotation", true), ("disable-key", false)] {
        let before = asked();
        place.aws("kms", &[call, "--key-id", &key.id]);
        tokio::time::sleep(Duration::from_secs(3)).await;
        sandbox().wait_until_idle(PATIENCE).await;
        let calls = asked() - before;
        println!(
            "{call}: {calls} calls of GetFindings for {USERS} buckets, the bar is {MOST_CALLS}"
        );
        assert!((1..=MOST_CALLS).contains(&calls), "{call}: {calls}, the bar is {MOST_CALLS}");
        let findings = place.findings(&buckets[USERS / 2]).await;
        let usable =
            findings["key-usable"].compliance.as_ref().unwrap().status.as_ref().unwrap().as_str()
                == "PASSED";
        assert_eq!(usable, needs, "{call}");
    }
}
