//! Are the findings right in the end if Security Hub answers late, and events are repeated and out
//! of order?
//!
//! In the end, status and workflow of each finding follow from the last state. People are alerted
//! once of each change. `make test` runs the test with a lag of 15 seconds. `make test-lag` runs it
//! for longer, and with a lag of 60 seconds too.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may stop at the first thing that is not as expected, and this one reports what it played"
)]

mod messages;
mod stories;

use aws_sdk_securityhub::types::AwsSecurityFinding;
use cmkwatch_tests::{KeySetup, MadeKey, Place, progress, sandbox, state, verdict};
use std::{collections::BTreeMap, env, time::Duration};

/// The default encryption of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setting {
    /// SSE-S3.
    SseS3,
    /// `aws:kms` without a key.
    NoKey,
    /// A customer-managed key that passes all controls.
    Key,
}

impl Setting {
    const ALL: [Self; 3] = [Self::SseS3, Self::NoKey, Self::Key];

    /// Returns the findings that a bucket of the class `confidential` must have, each as status and
    /// workflow.
    fn expected(self) -> BTreeMap<String, String> {
        let (passed, failed) = ("PASSED RESOLVED", "FAILED NEW");
        let pairs: &[(&str, &str)] = match self {
            Self::SseS3 => &[
                ("encrypted-with-kms", failed),
                ("encrypted-with-cmk", failed),
                ("ssec-blocked", passed),
            ],
            Self::NoKey => &[
                ("encrypted-with-kms", passed),
                ("encrypted-with-cmk", failed),
                ("bucket-key-on", passed),
                ("ssec-blocked", passed),
            ],
            Self::Key => &[
                ("encrypted-with-kms", passed),
                ("encrypted-with-cmk", passed),
                ("key-usable", passed),
                ("key-used-only-via-s3", passed),
                ("key-policy-closed", passed),
                ("key-rotates", passed),
                ("bucket-key-on", passed),
                ("ssec-blocked", passed),
            ],
        };
        pairs.iter().map(|&(slug, said)| (slug.to_owned(), said.to_owned())).collect()
    }
}

/// A bucket with a key of its own.
struct Played {
    place: Place,
    name: String,
    key: MadeKey,
}

impl Played {
    async fn new(place: &Place, what: &str, setting: Setting) -> Self {
        let name = place.bucket_name(what);
        let key = place.create_key(&KeySetup::default(), &name).await;
        Self::with_key(place, name, key, None, setting).await
    }

    async fn with_key(
        place: &Place,
        name: String,
        key: MadeKey,
        class: Option<&str>,
        setting: Setting,
    ) -> Self {
        place.create_bucket(&name, class).await;
        let played = Self { place: place.clone(), name, key };
        played.set(setting).await;
        played
    }

    async fn set(&self, setting: Setting) {
        match setting {
            Setting::SseS3 => self.place.encrypt(&self.name, "AES256", None).await,
            Setting::NoKey => self.place.encrypt(&self.name, "aws:kms", None).await,
            Setting::Key => self.place.encrypt(&self.name, "aws:kms", Some(&self.key.arn)).await,
        }
    }

    /// Calls KMS about the key: `disable-key` or `enable-key`.
    fn kms(&self, call: &str) {
        self.place.aws("kms", &[call, "--key-id", &self.key.id]);
    }

    /// Returns the findings that are not archived, as status and workflow.
    async fn said(&self) -> BTreeMap<String, String> {
        let findings = self.place.findings(&self.name).await;
        findings
            .into_iter()
            .filter_map(|(slug, finding)| Some((slug, progress(&finding)?)))
            .collect()
    }

    /// Returns the active findings by id, each with true if it is open. Findings of severity LOW
    /// are left out, because nobody is alerted about them.
    async fn open(&self) -> BTreeMap<String, bool> {
        let findings = self.place.findings(&self.name).await.into_values();
        let is_alerted =
            |finding: &AwsSecurityFinding| verdict(finding).is_some_and(|it| !it.ends_with(" LOW"));
        let open = |finding: AwsSecurityFinding| {
            let is_open = !progress(&finding)?.starts_with("PASSED");
            Some((finding.id?, is_open))
        };
        findings.filter(is_alerted).filter_map(open).collect()
    }

    /// Returns the record states of all findings.
    async fn states(&self) -> Vec<String> {
        self.place.findings(&self.name).await.values().filter_map(state).collect()
    }
}

/// Waits until all evaluations and second looks are done, and Security Hub shows what they wrote.
async fn at_rest() {
    tokio::time::sleep(Duration::from_secs(12)).await;
    sandbox().wait_until_idle(Duration::from_secs(600)).await;
    tokio::time::sleep(Duration::from_secs(sandbox().security_hub_lag_seconds + 1)).await;
}

/// Returns a number from the environment. `make test-lag` makes the test longer with it.
fn number(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
