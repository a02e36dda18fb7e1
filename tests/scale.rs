//! How many calls and how much memory does a sweep of many buckets cost? `make scale` runs it.
//! Making so many buckets takes minutes.
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may stop at the first thing that is not as expected, and this one tells what it measured"
)]

use cmkwatch_tests::{KeySetup, Place, RULES, sandbox};
use futures_util::{StreamExt, stream};
use std::{collections::BTreeMap, env, fs, time::Duration};

/// The number of keys that the buckets share.
const KEYS: usize = 20;
/// The most calls that a bucket may cost if nothing changed.
const MOST_CALLS: f64 = 2.1;
/// The most calls that a key may cost a day: DescribeKey, GetKeyPolicy twice, GetKeyRotationStatus,
/// ListGrants and ListKeyRotations.
const MOST_CALLS_OF_A_KEY: u64 = 6;
/// The most memory that a process of sweep-account may have used, in MB.
const MOST_MEMORY: f64 = 128.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes minutes; make scale runs it"]
async fn a_steady_sweep_costs_few_calls_and_little_memory() {
    let number = |name| env::var(name).ok().and_then(|text| text.parse::<usize>().ok());
    let (buckets, every) = (number("BUCKETS").unwrap_or(2000), number("EVERY").unwrap_or(1).max(1));
    let place = &sandbox().all_places().await[0];
    for place in sandbox().all_places().await {
        for rule in RULES {
            place.aws("events", &["disable-rule", "--name", rule]);
        }
    }
    make(place, buckets, every).await;
    println!("{buckets} buckets with {KEYS} keys are made");
    sweep(place, "first sweep").await;

    let before = sandbox().all_calls();
    sweep(place, "steady sweep").await;
    let made = difference(&before, &sandbox().all_calls());
    let total: u64 = made.values().sum();
    for (action, count) in &made {
        println!("{count:8} {action}");
    }
    let of_keys: u64 = made.iter().filter(|(it, _)| it.starts_with("kms:")).map(|(_, n)| n).sum();
    println!("{:.1} calls a key", of_keys as f64 / KEYS as f64);
    let each = total as f64 / buckets as f64;
    println!("{each:.3} calls a bucket");
    assert!(!made.contains_key("securityhub:BatchImportFindings"), "something was published");
    assert!(!made.contains_key("securityhub:GetFindings"), "Security Hub was asked for findings");
    assert!(each <= MOST_CALLS, "{each} calls a bucket");
    assert!(of_keys <= MOST_CALLS_OF_A_KEY * KEYS as u64, "{of_keys} calls for {KEYS} keys");
}

/// Makes buckets. One in `every` has a key. The others have a class that requires nothing, and so
/// have no findings.
async fn make(place: &Place, buckets: usize, every: usize) {
    let mut keys = Vec::new();
    for number in 0..KEYS {
        keys.push(place.create_key(&KeySetup::default(), &format!("scale-{number}")).await.arn);
    }
    let made = (0..buckets).zip(keys.iter().cycle()).map(|(number, key)| async move {
        let bucket = format!("acme-data-{number:06}-{}", number % 7);
        place.create_bucket(&bucket, (number % every != 0).then_some("public")).await;
        if number % every == 0 {
            place.encrypt(&bucket, "aws:kms", Some(key)).await;
        }
    });
    stream::iter(made).buffer_unordered(8).collect::<()>().await;
}

async fn sweep(place: &Place, what: &str) {
    sandbox().begin_sweep(&[&place.account]).await;
    sandbox().wait_until_idle(Duration::from_secs(3600)).await;
    let memory = sandbox()
        .workers("cmkwatch-sweep-account")
        .iter()
        .map(|worker| peak(worker.pid))
        .fold(0.0, f64::max);
    println!("{what}: {memory:.1} MB of memory at most");
    assert!(memory < MOST_MEMORY, "{memory} MB");
}

/// Returns the most memory that a process ever used, in MB.
fn peak(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Counts the calls of cmkwatch between two moments, by action. Calls to the table are included.
/// Calls that this test makes to the queues are left out.
fn difference(
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
) -> BTreeMap<String, u64> {
    let mut made = BTreeMap::new();
    for (call, count) in after {
        let action = call.rsplit('/').next().unwrap();
        let more = count - before.get(call).unwrap_or(&0);
        let ours = ["s3:", "kms:", "securityhub:", "dynamodb:", "tag:", "sts:", "sqs:Send"];
        if more > 0 && ours.iter().any(|prefix| action.starts_with(prefix)) {
            *made.entry(action.to_owned()).or_default() += more;
        }
    }
    made
}
