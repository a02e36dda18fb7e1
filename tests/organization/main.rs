//! The whole organization in a local AWS: the sweep, the table of states, events of keys,
//! unreadable accounts, and alerts.
//!
//! The tests run one after another, because they share one organization.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at the first thing that is not as expected"
)]

mod accounts;
mod alerts;
mod callers;
mod drift;
mod keys;
mod membership;
mod repair;
mod state;
mod sweep;

use aws_sdk_securityhub::types::AwsSecurityFinding;
use cmkwatch_tests::{Place, RULES, folder, sandbox};
use std::{collections::BTreeMap, fs, time::Duration};
use tokio::sync::{Mutex, MutexGuard};

/// The number of buckets that are made at once.
pub(crate) const AT_ONCE: usize = 8;

/// Returns the sum of a metric over everything that the functions wrote.
pub(crate) fn metric(name: &str) -> f64 {
    let log = fs::read_to_string(folder().join("server.log")).unwrap();
    let lines = log.lines().filter(|line| line.starts_with("{\"_aws\""));
    let documents = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    documents
        .filter_map(|document| document[name].as_f64().or(document[name]["Sum"].as_f64()))
        .sum()
}

/// Locks the organization for one test, and forgets what was refused before. The next test finds
/// what this one made.
pub(crate) async fn organization() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    let one = ONE.lock().await;
    sandbox().forget_denied();
    one
}

/// Panics if AWS refused a call of cmkwatch's roles, or of an AWS service that acts for cmkwatch,
/// since the test began. Principals in `but_for` are exempt, because a test refuses calls to them.
pub(crate) fn nothing_was_refused(but_for: &[&str]) {
    let mut denied = sandbox().denied();
    denied.retain(|denied| !but_for.contains(&denied.principal.as_str()));
    assert!(denied.is_empty(), "{denied:?}");
}

/// Returns the findings of a bucket by control. `say` writes a finding as a line, or leaves it out.
pub(crate) async fn said(
    place: &Place,
    bucket: &str,
    say: fn(&AwsSecurityFinding) -> Option<String>,
) -> BTreeMap<String, String> {
    let findings = place.findings(bucket).await;
    findings.into_iter().filter_map(|(slug, finding)| Some((slug, say(&finding)?))).collect()
}

/// Makes members send their events to the hub, or not.
pub(crate) async fn switch_events(on: bool) {
    for place in sandbox().all_places().await {
        for rule in RULES {
            place.aws("events", &[if on { "enable-rule" } else { "disable-rule" }, "--name", rule]);
        }
    }
}

/// Returns how many calls of an action were made in all places.
pub(crate) fn count(action: &str) -> u64 {
    let calls = sandbox().all_calls();
    calls
        .iter()
        .filter(|(call, _)| call.ends_with(&format!("/{action}")))
        .map(|(_, count)| count)
        .sum()
}

/// Returns the keys of the rows that the table of states has about an account.
pub(crate) async fn state_rows(account: &str) -> Vec<String> {
    let query = "Items[].join('/', [place.S, item.S])";
    let scan = ["scan", "--table-name", "cmkwatch-state", "--query", query, "--output", "json"];
    let rows: Vec<String> =
        serde_json::from_str(&sandbox().hub().await.aws("dynamodb", &scan)).unwrap();
    rows.into_iter().filter(|row| row.contains(account)).collect()
}

/// Returns how many calls imported or edited findings.
pub(crate) fn calls_that_publish() -> u64 {
    count("securityhub:BatchImportFindings") + count("securityhub:BatchUpdateFindings")
}

/// Waits until on-change has handled all events, and no more messages follow.
pub(crate) async fn settled() {
    tokio::time::sleep(Duration::from_secs(3)).await;
    sandbox().wait_until_idle(Duration::from_secs(60)).await;
}

/// Returns the findings of a bucket that is left as S3 makes it.
pub(crate) fn expected_of_new() -> BTreeMap<String, String> {
    let said = [
        ("encrypted-with-kms", "FAILED MEDIUM"),
        ("encrypted-with-cmk", "FAILED HIGH"),
        ("ssec-blocked", "PASSED INFORMATIONAL"),
    ];
    said.map(|(slug, said)| (slug.to_owned(), said.to_owned())).into()
}
