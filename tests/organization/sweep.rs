//! Does the sweep find what events missed, report it once, and end the same after kills?

use crate::{AT_ONCE, calls_that_publish, nothing_was_refused, organization, said, switch_events};
use cmkwatch_tests::{
    KeySetup, Place, Scenario, Worker, progress, sandbox, scenarios, state, verdict,
};
use futures_util::{StreamExt, stream};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    time::Duration,
};

/// Returns every finding of the organization, by place and id, with only the fields that do not
/// depend on the time.
async fn everything() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut places = sandbox().all_places().await;
    places.push(sandbox().hub().await);
    for place in places {
        for finding in place.own_findings().await {
            let fields = finding.product_fields.unwrap_or_default();
            let said = format!(
                "{:?} {:?} {:?} {:?} {:?}",
                finding.record_state,
                finding.compliance,
                finding.workflow,
                finding.resources,
                fields.get("cmkwatch/fingerprint")
            );
            all.insert(format!("{}/{} {}", place.account, place.region, finding.id.unwrap()), said);
        }
    }
    all
}

fn all(slugs: &[&str], said: &str) -> BTreeMap<String, String> {
    slugs.iter().map(|slug| ((*slug).to_owned(), said.to_owned())).collect()
}

/// A bucket of a scenario.
#[derive(Clone)]
struct Played {
    scenario: Scenario,
    place: Place,
    bucket: String,
}

/// Makes the bucket of every scenario in every member and region: more than 300 buckets.
async fn play_everywhere() -> Vec<Played> {
    let places = sandbox().all_places().await;
    let plays = scenarios()
        .into_iter()
        .flat_map(|scenario| places.iter().map(move |place| (scenario.clone(), place)));
    let played = stream::iter(plays).map(|(scenario, place)| async move {
        let bucket = place.set_up(&scenario).await;
        Played { scenario, place: place.clone(), bucket }
    });
    played.buffer_unordered(AT_ONCE).collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sweep_finds_what_events_missed_and_ends_the_same_after_kills() {
    let _one = organization().await;
    switch_events(false).await;
    let played = play_everywhere().await;
    assert!(played.len() >= 300, "{}", played.len());

    sandbox().sweep(&[]).await;
    for Played { scenario, place, bucket } in &played {
        assert_eq!(said(place, bucket, verdict).await, scenario.expect, "{bucket} in {place}");
    }
    let (before, imports) = (everything().await, calls_that_publish());
    sandbox().sweep(&[]).await;
    assert_eq!(calls_that_publish(), imports, "a second sweep published something");

    let drifted = drift(&played).await;
    sandbox().sweep(&[]).await;
    drifted.check(&before).await;
    let undisturbed = everything().await;

    let mut killed = 0;
    for round in 0..2 {
        forget_findings().await;
        killed += kill_while_sweeping(round).await;
        let disturbed = everything().await;
        // A test before this one suppresses findings by hand. The suppression is lost with the
        // finding.
        let is_kept = |finding: &str| finding.contains("Active") && !finding.contains("Suppressed");
        for (id, finding) in undisturbed.iter().filter(|(_, finding)| is_kept(finding)) {
            assert_eq!(disturbed.get(id), Some(finding), "{id}");
        }
        let gone: Vec<_> = disturbed.keys().filter(|id| !undisturbed.contains_key(*id)).collect();
        assert!(gone.is_empty(), "{gone:?}");
    }
    assert!(killed >= 8, "{killed}");
    let imports = calls_that_publish();
    sandbox().sweep(&[]).await;
    assert_eq!(
        calls_that_publish(),
        imports,
        "the sweep that was killed had left something to publish"
    );
    switch_events(true).await;
    // Some scenarios refuse an action to the member role.
    nothing_was_refused(&["cmkwatch-member"]);
}

/// Buckets that were changed while no event was sent.
struct Drifted {
    deleted: Vec<Played>,
    fixed: Vec<Played>,
    worse: Vec<Played>,
    tagged: Vec<Played>,
}

/// Changes one bucket of each kind in each place: deletes, fixes, worsens and reclassifies it.
async fn drift(played: &[Played]) -> Drifted {
    let of = |name: &str| {
        played.iter().filter(|played| played.scenario.name == name).cloned().collect::<Vec<_>>()
    };
    let drifted = Drifted {
        deleted: of("encrypted-with-cmk-passes-arn"),
        fixed: of("encrypted-with-kms-fails-as-s3-makes-it"),
        worse: of("encrypted-with-cmk-passes-id"),
        tagged: of("encrypted-with-kms-fails-sse-s3"),
    };
    for Played { place, bucket, .. } in &drifted.deleted {
        place.s3().delete_bucket().bucket(bucket).send().await.unwrap();
    }
    for Played { place, bucket, .. } in &drifted.fixed {
        let key = place.create_key(&KeySetup::default(), &format!("{bucket}-fix")).await;
        place.encrypt(bucket, "aws:kms", Some(&key.arn)).await;
    }
    for Played { place, bucket, .. } in &drifted.worse {
        place.encrypt(bucket, "AES256", None).await;
    }
    for Played { place, bucket, .. } in &drifted.tagged {
        place.tag(bucket, "internal").await;
    }
    drifted
}

impl Drifted {
    /// Panics unless each change shows and no other finding differs from `before`.
    async fn check(&self, before: &BTreeMap<String, String>) {
        assert_eq!([&self.deleted, &self.fixed, &self.worse, &self.tagged].map(Vec::len), [6; 4]);
        for Played { place, bucket, .. } in &self.deleted {
            let archived = said(place, bucket, state).await;
            assert!(
                !archived.is_empty() && archived.values().all(|state| state == "ARCHIVED"),
                "{bucket} {archived:?}"
            );
        }
        for Played { place, bucket, .. } in &self.fixed {
            let progress = said(place, bucket, progress).await;
            assert!(
                progress.len() == 8 && progress.values().all(|said| said == "PASSED RESOLVED"),
                "{bucket} {progress:?}"
            );
        }
        for Played { place, bucket, .. } in &self.worse {
            assert_eq!(
                said(place, bucket, progress).await["encrypted-with-cmk"],
                "FAILED NEW",
                "{bucket}"
            );
        }
        for Played { place, bucket, .. } in &self.tagged {
            assert_eq!(
                said(place, bucket, verdict).await,
                all(&["encrypted-with-kms"], "FAILED MEDIUM"),
                "{bucket}"
            );
        }
        let touched = [&self.deleted, &self.fixed, &self.worse, &self.tagged];
        let touched: BTreeSet<_> =
            touched.into_iter().flatten().map(|played| played.bucket.as_str()).collect();
        for (id, finding) in everything().await {
            let bucket = id.split('/').nth(5).unwrap_or_default();
            if !touched.contains(bucket) {
                assert_eq!(before.get(&id), Some(&finding), "{id}");
            }
        }
    }
}

/// Turns Security Hub off and on again in each place, which deletes all findings.
async fn forget_findings() {
    let mut places = sandbox().all_places().await;
    places.push(sandbox().hub().await);
    for place in places {
        place.aws("securityhub", &["disable-security-hub"]);
        place.aws("securityhub", &["enable-security-hub"]);
    }
}

/// Sweeps, and kills all busy processes of the sweep four times. The moments differ from round to
/// round. Returns the number of killed processes.
///
/// The number of processes that are busy at once differs. There are fewer processes than accounts.
/// A message whose run was killed comes back later, perhaps after the others have ended.
///
/// A message is delivered five times before it becomes a dead letter. So a message whose run was
/// killed four times is handled at the fifth delivery.
async fn kill_while_sweeping(round: u64) -> usize {
    sandbox().begin_sweep(&[]).await;
    let mut killed = BTreeSet::new();
    for moment in 0..4 {
        until_busy(&killed).await;
        tokio::time::sleep(Duration::from_millis(200 + (round * 1103 + moment * 577) % 2300)).await;
        for worker in busy(&killed) {
            let kill =
                Command::new("kill").args(["-KILL", &worker.pid.to_string()]).status().unwrap();
            assert!(kill.success());
            killed.insert(worker.pid);
        }
    }
    sandbox().wait_until_idle(Duration::from_secs(180)).await;
    killed.len()
}

fn busy(killed: &BTreeSet<u32>) -> Vec<Worker> {
    let all = sandbox().workers("cmkwatch-sweep-account").into_iter();
    all.filter(|worker| worker.busy && !killed.contains(&worker.pid)).collect()
}

/// Waits until a process sweeps that was not killed.
async fn until_busy(killed: &BTreeSet<u32>) {
    for _ in 0..600 {
        if !busy(killed).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no account was swept again within 30 s");
}
