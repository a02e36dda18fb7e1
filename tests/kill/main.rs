//! Do the state, the findings and the messages end the same if functions die between any two steps?
//!
//! The messages of a function that died are delivered again, so its work is repeated. Every step
//! ends with a call to AWS. So a function dies before a call, or right after the call took effect.
//! `make test` kills functions at each step, `make test-lag` at 20 random moments.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may stop at the first thing that is not as expected, and this one reports what it played"
)]

mod steps;

use cmkwatch_tests::{Alerts, KeySetup, MadeKey, Place, RULES, progress, sandbox};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The default encryption of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setting {
    /// SSE-S3, which fails.
    Broken,
    /// A customer-managed key.
    Fixed,
}

/// A bucket with a key of its own.
struct Bucket {
    place: Place,
    name: String,
    key: MadeKey,
}

/// The result of a round: the findings and the state by control, and the messages.
#[derive(Debug, Clone, PartialEq, Eq)]
struct End {
    findings: BTreeMap<String, String>,
    /// The status that was observed and the status that was published, by control.
    state: BTreeMap<String, [String; 2]>,
    /// The number of messages by transition and control, such as `opened encrypted-with-cmk`.
    messages: BTreeMap<String, usize>,
}

impl Bucket {
    /// Makes a bucket with a key, and tags it with `class`.
    async fn new(place: &Place, class: &str) -> Self {
        let name = place.bucket_name("dies");
        let key = place.create_key(&KeySetup::default(), &name).await;
        place.create_bucket(&name, Some(class)).await;
        Self { place: place.clone(), name, key }
    }

    async fn set(&self, setting: Setting) {
        match setting {
            Setting::Broken => self.place.encrypt(&self.name, "AES256", None).await,
            Setting::Fixed => self.place.encrypt(&self.name, "aws:kms", Some(&self.key.arn)).await,
        }
    }

    /// Returns the result of a round in which these messages were sent.
    async fn end(&self, messages: &[serde_json::Value]) -> End {
        let findings = self.place.findings(&self.name).await.into_iter();
        let findings =
            findings.filter_map(|(slug, finding)| Some((slug, progress(&finding)?))).collect();
        let mut counts = BTreeMap::new();
        for message in messages {
            let context = &message["metadata"]["additionalContext"];
            if context["bucket"] == self.name.as_str() {
                let text = |name: &str| context[name].as_str().unwrap_or_default();
                *counts
                    .entry(format!("{} {}", text("transition"), text("control")))
                    .or_default() += 1;
            }
        }
        End { findings, state: self.state().await, messages: counts }
    }

    /// Returns the state of the bucket by control. Panics if the state is not published.
    async fn state(&self) -> BTreeMap<String, [String; 2]> {
        let (place, item) =
            (format!("aws/{}", self.place).replace(' ', ""), format!("bucket/{}", self.name));
        let key = serde_json::json!({"place": {"S": place}, "item": {"S": item}}).to_string();
        let hub = sandbox().hub().await;
        let row = hub.aws(
            "dynamodb",
            &["get-item", "--table-name", "cmkwatch-state", "--key", &key, "--output", "json"],
        );
        let row: serde_json::Value = serde_json::from_str(&row).unwrap();
        let row = &row["Item"];
        assert_eq!(row["published"], row["version"], "{row}");
        let controls = row["controls"]["M"].as_object().unwrap().iter();
        let status = |control: &serde_json::Value, of: &str| {
            control["M"][of]["M"]["status"]["S"].as_str().unwrap_or_default().to_owned()
        };
        controls
            .map(|(slug, it)| (slug.clone(), ["observed", "published"].map(|of| status(it, of))))
            .collect()
    }
}

/// Waits until all evaluations, second looks and alerts are done. Returns the messages.
async fn at_rest(alerts: &Alerts) -> Vec<serde_json::Value> {
    tokio::time::sleep(Duration::from_secs(2)).await;
    sandbox().wait_until_idle(Duration::from_secs(120)).await;
    alerts.wait_until_alerted(0).await;
    alerts.take().await
}

/// Waits until every chosen call was made.
async fn until_killed() {
    let deadline = Instant::now() + Duration::from_secs(60);
    while sandbox().kills_left() > 0 {
        assert!(Instant::now() < deadline, "a chosen call was not made within a minute");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Makes a place send its events to the hub, or not.
fn switch_events(place: &Place, on: bool) {
    for rule in RULES {
        place.aws("events", &[if on { "enable-rule" } else { "disable-rule" }, "--name", rule]);
    }
}
