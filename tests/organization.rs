//! The whole organization in a local AWS: the sweep, events of keys, and accounts that cannot be read. One thing after
//! another, since each test has the organization for itself.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at the first thing that is not as expected"
)]

use aws_sdk_securityhub::types::AwsSecurityFinding;
use cmkwatch_tests::{
    Fault, KeySetup, MadeKey, Place, Scenario, Worker, progress, root, sandbox, scenarios, state, verdict,
};
use futures_util::{StreamExt, stream};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
    time::Duration,
};
use tokio::sync::{Mutex, MutexGuard};

/// How many buckets are played with at once.
const AT_ONCE: usize = 8;

/// What a metric that the functions wrote comes to.
fn metric(name: &str) -> f64 {
    let log = fs::read_to_string(root().join("target/local-aws-tests/server.log")).unwrap();
    let lines = log.lines().filter(|line| line.starts_with("{\"_aws\""));
    let documents = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    documents.filter_map(|document| document[name].as_f64().or(document[name]["Sum"].as_f64())).sum()
}

/// The organization is one, and so is the test that has it. What is made in it is there for the next.
async fn organization() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    ONE.lock().await
}

/// Findings of a bucket by control, each said by a function; those about which it says nothing left out.
async fn said(place: &Place, bucket: &str, say: fn(&AwsSecurityFinding) -> Option<String>) -> BTreeMap<String, String> {
    let findings = place.findings(bucket).await;
    findings.into_iter().filter_map(|(slug, finding)| Some((slug, say(&finding)?))).collect()
}

fn all(slugs: &[&str], said: &str) -> BTreeMap<String, String> {
    slugs.iter().map(|slug| ((*slug).to_owned(), said.to_owned())).collect()
}

/// Whether members send their events to the hub.
async fn switch_events(on: bool) {
    for place in sandbox().all_places().await {
        for rule in ["cmkwatch-buckets", "cmkwatch-keys"] {
            place.aws("events", &[if on { "enable-rule" } else { "disable-rule" }, "--name", rule]);
        }
    }
}

/// How many calls of an action were made in all places.
fn count(action: &str) -> u64 {
    let calls = sandbox().all_calls();
    calls.iter().filter(|(call, _)| call.ends_with(&format!("/{action}"))).map(|(_, count)| count).sum()
}

/// How often findings were told.
fn told() -> u64 {
    count("securityhub:BatchImportFindings") + count("securityhub:BatchUpdateFindings")
}

/// Every finding of the organization, by place and id, as far as it is the same whenever it was made.
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
                fields.get("cmkwatch/digest")
            );
            all.insert(format!("{}/{} {}", place.account, place.region, finding.id.unwrap()), said);
        }
    }
    all
}

/// A bucket of a scenario.
#[derive(Clone)]
struct Played {
    scenario: Scenario,
    place: Place,
    bucket: String,
}

/// Every scenario in every member and region: more than 300 buckets.
async fn play_everywhere() -> Vec<Played> {
    let places = sandbox().all_places().await;
    let plays = scenarios().into_iter().flat_map(|scenario| places.iter().map(move |place| (scenario.clone(), place)));
    let played = stream::iter(plays).map(|(scenario, place)| async move {
        let bucket = place.set_up(&scenario).await;
        Played { scenario, place: place.clone(), bucket }
    });
    played.buffer_unordered(AT_ONCE).collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_events_missed_the_sweep_finds_and_ends_the_same_however_often_it_is_killed() {
    let _one = organization().await;
    switch_events(false).await;
    let played = play_everywhere().await;
    assert!(played.len() >= 300, "{}", played.len());

    sandbox().sweep(&[]).await;
    for Played { scenario, place, bucket } in &played {
        assert_eq!(said(place, bucket, verdict).await, scenario.expect, "{bucket} in {place}");
    }
    let (before, imports) = (everything().await, told());
    sandbox().sweep(&[]).await;
    assert_eq!(told(), imports, "a second sweep told something");

    let drifted = drift(&played).await;
    sandbox().sweep(&[]).await;
    drifted.check(&before).await;
    let undisturbed = everything().await;

    let mut killed = 0;
    for round in 0..2 {
        forget_findings().await;
        killed += kill_while_sweeping(round).await;
        let disturbed = everything().await;
        for (id, finding) in undisturbed.iter().filter(|(_, finding)| finding.contains("Active")) {
            assert_eq!(disturbed.get(id), Some(finding), "{id}");
        }
        let gone: Vec<_> = disturbed.keys().filter(|id| !undisturbed.contains_key(*id)).collect();
        assert!(gone.is_empty(), "{gone:?}");
    }
    assert!(killed >= 20, "{killed}");
    let imports = told();
    sandbox().sweep(&[]).await;
    assert_eq!(told(), imports, "the sweep that was killed had left something to tell");
    switch_events(true).await;
}

/// What was done while nobody was told.
struct Drifted {
    deleted: Vec<Played>,
    fixed: Vec<Played>,
    worse: Vec<Played>,
    tagged: Vec<Played>,
}

/// In each place a bucket of each kind: deleted, fixed, made worse, and put into another class.
async fn drift(played: &[Played]) -> Drifted {
    let of = |name: &str| played.iter().filter(|played| played.scenario.name == name).cloned().collect::<Vec<_>>();
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
    /// Each shows, and nothing else has changed since.
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
            assert_eq!(said(place, bucket, progress).await["encrypted-with-cmk"], "FAILED NEW", "{bucket}");
        }
        for Played { place, bucket, .. } in &self.tagged {
            assert_eq!(said(place, bucket, verdict).await, all(&["encrypted-with-kms"], "FAILED MEDIUM"), "{bucket}");
        }
        let touched = [&self.deleted, &self.fixed, &self.worse, &self.tagged];
        let touched: BTreeSet<_> = touched.into_iter().flatten().map(|played| played.bucket.as_str()).collect();
        for (id, finding) in everything().await {
            let bucket = id.split('/').nth(5).unwrap_or_default();
            if !touched.contains(bucket) {
                assert_eq!(before.get(&id), Some(&finding), "{id}");
            }
        }
    }
}

/// Security Hub off and on again, which takes all findings along.
async fn forget_findings() {
    let mut places = sandbox().all_places().await;
    places.push(sandbox().hub().await);
    for place in places {
        place.aws("securityhub", &["disable-security-hub"]);
        place.aws("securityhub", &["enable-security-hub"]);
    }
}

/// Sweeps, and kills the processes that do, all at once and at moments that differ from round to round; how many. A message
/// comes five times before it is a dead letter: killed four times, it is done the fifth.
async fn kill_while_sweeping(round: u64) -> usize {
    sandbox().begin_sweep(&[]).await;
    let mut killed = BTreeSet::new();
    for moment in 0..4 {
        until_busy(&killed).await;
        tokio::time::sleep(Duration::from_millis(200 + (round * 1103 + moment * 577) % 2300)).await;
        for worker in busy(&killed) {
            let kill = Command::new("kill").args(["-KILL", &worker.pid.to_string()]).status().unwrap();
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

/// Waits until every member is being swept.
async fn until_busy(killed: &BTreeSet<u32>) {
    for _ in 0..600 {
        if busy(killed).len() >= sandbox().member_accounts.len() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the accounts were not swept again within 30 s");
}

/// Waits until on-change is done, too, and nothing more comes of it.
async fn settled() {
    tokio::time::sleep(Duration::from_secs(3)).await;
    sandbox().wait_until_idle(Duration::from_secs(60)).await;
}

/// A key that buckets of two accounts use, by its ARN and by its alias, and another key.
struct Shared {
    key: MadeKey,
    users: Vec<(Place, String)>,
    by_alias: Vec<(Place, String)>,
    other: (Place, String),
}

async fn share_a_key() -> Shared {
    let places = sandbox().all_places().await;
    let (owner, guest) = (&places[0], &places[2]);
    let key = owner.create_key(&KeySetup::default(), "shared-by-two").await;
    owner.let_describe(&key, &guest.account).await;
    let mut users = Vec::new();
    for place in [owner, guest] {
        let bucket = place.bucket_name("user-of-key");
        place.create_bucket(&bucket, None).await;
        place.encrypt(&bucket, "aws:kms", Some(&key.arn)).await;
        users.push((place.clone(), bucket));
    }
    let alias_arn = key.arn.replace(&format!("key/{}", key.id), &key.alias);
    let mut by_alias = Vec::new();
    for (place, spelled) in [(owner, &key.alias), (guest, &alias_arn)] {
        let bucket = place.bucket_name("user-by-alias");
        place.create_bucket(&bucket, None).await;
        place.encrypt(&bucket, "aws:kms", Some(spelled)).await;
        by_alias.push((place.clone(), bucket));
    }
    let other = owner.bucket_name("user-of-other");
    let another = owner.create_key(&KeySetup::default(), "another").await;
    owner.create_bucket(&other, None).await;
    owner.encrypt(&other, "aws:kms", Some(&another.arn)).await;
    settled().await;
    Shared { key, users, by_alias, other: (owner.clone(), other) }
}

impl Shared {
    /// What a control says of each bucket, in order: the two users, the two by alias, and the one of the other key.
    async fn said(&self, control: &str) -> [String; 5] {
        let mut all = Vec::new();
        for (place, bucket) in self.users.iter().chain(&self.by_alias).chain([&self.other]) {
            let mut said = said(place, bucket, progress).await;
            all.push(said.remove(control).unwrap_or_default());
        }
        all.try_into().unwrap()
    }

    /// Does something to the key; what a control says then, and how many buckets were looked at.
    async fn after(&self, control: &str, arguments: &[&str]) -> ([String; 5], u64) {
        let before = count("s3:GetEncryptionConfiguration");
        self.users[0].0.aws("kms", arguments);
        settled().await;
        (self.said(control).await, count("s3:GetEncryptionConfiguration") - before)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_a_key_has_exactly_the_buckets_that_use_it_judged_anew() {
    let _one = organization().await;
    let shared = share_a_key().await;
    let (key, alias) = (shared.key.id.as_str(), shared.key.alias.as_str());
    let (fine, bad) = ("PASSED RESOLVED", "FAILED NEW");
    assert_eq!(shared.said("key-usable").await, [fine; 5]);

    let scheduled = shared.after("key-usable", &["schedule-key-deletion", "--key-id", key]).await;
    // Four buckets, each looked at until there is nothing to add.
    assert_eq!(scheduled, ([bad, bad, bad, bad, fine].map(str::to_owned), 8));
    let (place, bucket) = &shared.users[1];
    let finding = place.findings(bucket).await.remove("key-usable").unwrap();
    assert_eq!(verdict(&finding).unwrap(), "FAILED CRITICAL");
    let description = finding.description.unwrap();
    assert!(description.contains("PendingDeletion (deletion on 20"), "{description}");
    assert_eq!(finding.product_fields.unwrap()["cmkwatch/event-name"], "ScheduleKeyDeletion");

    let cancelled = shared.after("key-usable", &["cancel-key-deletion", "--key-id", key]).await;
    assert_eq!(cancelled, ([bad, bad, bad, bad, fine].map(str::to_owned), 8));
    let enabled = shared.after("key-usable", &["enable-key", "--key-id", key]).await;
    assert_eq!(enabled, ([fine; 5].map(str::to_owned), 8));
    let disabled = shared.after("key-usable", &["disable-key", "--key-id", key]).await;
    assert_eq!(disabled, ([bad, bad, bad, bad, fine].map(str::to_owned), 8));
    shared.after("key-usable", &["enable-key", "--key-id", key]).await;

    let not_rotated = shared.after("key-rotates", &["disable-key-rotation", "--key-id", key]).await;
    assert_eq!(not_rotated, ([bad, bad, bad, bad, fine].map(str::to_owned), 8));
    let open =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}}"#;
    let put = ["put-key-policy", "--key-id", key, "--policy-name", "default", "--policy", open];
    let opened = shared.after("key-policy-closed", &put).await;
    assert_eq!(opened, ([bad, bad, bad, bad, fine].map(str::to_owned), 8));

    // The alias leads to the other key now: the buckets that name it are concerned, and nobody else.
    let (owner, other) = &shared.other;
    let finding = owner.findings(other).await.remove("key-usable").unwrap();
    let another = finding.resources.unwrap().into_iter().find_map(|r| r.id.filter(|id| id.contains(":key/"))).unwrap();
    let update = ["update-alias", "--alias-name", alias, "--target-key-id", &another];
    let updated = shared.after("key-policy-closed", &update).await;
    assert_eq!(updated, ([bad, bad, fine, fine, fine].map(str::to_owned), 4));

    let before = count("s3:GetEncryptionConfiguration");
    sandbox().delete_key(&shared.key.arn);
    settled().await;
    assert_eq!(shared.said("key-usable").await, [bad, bad, fine, fine, fine]);
    assert!(metric("EventsHandled") > 10.0);
    assert_eq!(count("s3:GetEncryptionConfiguration") - before, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_a_bucket_of_another_class_begins_to_use_is_told_and_one_that_it_leaves_too() {
    let _one = organization().await;
    let place = &sandbox().all_places().await[1];
    let (restricted, other) = (place.bucket_name("one-class"), place.bucket_name("other-class"));
    let key = place.create_key(&KeySetup::default(), &restricted).await;
    place.create_bucket(&restricted, Some("restricted")).await;
    place.encrypt(&restricted, "aws:kms", Some(&key.arn)).await;
    place.create_bucket(&other, Some("confidential")).await;
    settled().await;
    let control = "key-serves-one-class";
    assert_eq!(said(place, &restricted, progress).await[control], "PASSED RESOLVED");
    place.encrypt(&other, "aws:kms", Some(&key.arn)).await;
    settled().await;
    assert_eq!(said(place, &restricted, progress).await[control], "FAILED NEW");
    place.encrypt(&other, "AES256", None).await;
    settled().await;
    assert_eq!(said(place, &restricted, progress).await[control], "PASSED RESOLVED");
}

/// What is said of an account in a region, in the hub.
async fn account_readable(account: &str, region: &str) -> Option<String> {
    let id = format!("cmkwatch/aws/{account}/{region}/account-readable");
    let found = sandbox().hub().await.own_findings().await;
    found.iter().find(|finding| finding.id.as_ref() == Some(&id)).and_then(progress)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_without_the_role_is_told_and_the_others_are_complete() {
    let _one = organization().await;
    switch_events(false).await;
    let places = sandbox().all_places().await;
    let (closed, open) = (&places[4], &places[0]);
    let buckets = [closed.bucket_name("closed"), open.bucket_name("open")];
    closed.create_bucket(&buckets[0], None).await;
    open.create_bucket(&buckets[1], None).await;
    let hub = sandbox().hub_account.as_str();
    let role = ["--role-name", "cmkwatch-member"];
    let trust = trust_of(closed);
    let nobody = trust.replace(&format!("{hub}:role/cmkwatch"), &format!("{hub}:role/nobody"));
    assert_ne!(trust, nobody);
    closed.aws("iam", &[&["update-assume-role-policy"][..], &role, &["--policy-document", &nobody]].concat());
    // Credentials that are still good would do.
    restart_functions().await;

    sandbox().sweep(&[]).await;
    assert_eq!(account_readable(&closed.account, "us-east-1").await.as_deref(), Some("FAILED NEW"));
    assert!(said(closed, &buckets[0], verdict).await.is_empty());
    assert_eq!(account_readable(&open.account, "us-east-1").await.as_deref(), Some("PASSED RESOLVED"));
    assert_eq!(said(open, &buckets[1], verdict).await.len(), 3);
    assert!(metric("AccountsUnreadable") >= 1.0);

    closed.aws("iam", &[&["update-assume-role-policy"][..], &role, &["--policy-document", &trust]].concat());
    sandbox().sweep(&[]).await;
    assert_eq!(account_readable(&closed.account, "us-east-1").await.as_deref(), Some("PASSED RESOLVED"));
    assert_eq!(said(closed, &buckets[0], verdict).await.len(), 3);
    switch_events(true).await;
}

fn trust_of(place: &Place) -> String {
    let told = place.aws("iam", &["get-role", "--role-name", "cmkwatch-member", "--output", "json"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    told["Role"]["AssumeRolePolicyDocument"].to_string()
}

/// Ends the processes of the functions, and with them the credentials that they have.
async fn restart_functions() {
    sandbox().wait_until_idle(Duration::from_secs(60)).await;
    for function in ["cmkwatch-sweep-account", "cmkwatch-on-change"] {
        for worker in sandbox().workers(function) {
            let kill = Command::new("kill").args(["-KILL", &worker.pid.to_string()]).status().unwrap();
            assert!(kill.success());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn findings_stand_in_the_hub_while_security_hub_is_off_and_move_when_it_is_on() {
    let _one = organization().await;
    let place = &sandbox().all_places().await[5];
    place.aws("securityhub", &["disable-security-hub"]);
    let bucket = place.bucket_name("hub-is-off");
    place.create_bucket(&bucket, None).await;
    settled().await;
    let hub = sandbox().hub().await;
    let held = || async {
        let found = hub.own_findings().await.into_iter();
        let about = found.filter(|finding| finding.id.as_ref().is_some_and(|id| id.contains(&bucket)));
        about.map(|finding| (finding.generator_id.clone().unwrap(), finding)).collect::<BTreeMap<_, _>>()
    };
    let found = held().await;
    assert_eq!(found.len(), 3, "{found:?}");
    let opened = &found["cmkwatch/encrypted-with-cmk"];
    assert_eq!((progress(opened).as_deref(), opened.aws_account_id.as_ref()), (Some("FAILED NEW"), Some(&hub.account)));
    let fields = opened.product_fields.as_ref().unwrap();
    assert_eq!((&fields["cmkwatch/owner-account"], &fields["cmkwatch/owner-region"]), (&place.account, &place.region));
    assert_eq!(account_readable(&place.account, &place.region).await.as_deref(), Some("FAILED NEW"));
    sandbox().sweep(&[&place.account]).await;
    let imports = told();
    sandbox().sweep(&[&place.account]).await;
    assert_eq!(told(), imports, "a second sweep told something");

    place.aws("securityhub", &["enable-security-hub"]);
    sandbox().sweep(&[&place.account]).await;
    let own = place.findings(&bucket).await;
    assert_eq!(said(place, &bucket, progress).await["encrypted-with-cmk"], "FAILED NEW");
    let moved = &own["encrypted-with-cmk"];
    assert_eq!(moved.first_observed_at, opened.first_observed_at);
    assert_eq!(moved.product_fields.as_ref().unwrap()["cmkwatch/transition"], "unchanged");
    assert!(held().await.values().all(|finding| state(finding).as_deref() == Some("ARCHIVED")));
    assert_eq!(account_readable(&place.account, &place.region).await.as_deref(), Some("PASSED RESOLVED"));
    let imports = told();
    sandbox().sweep(&[&place.account]).await;
    assert_eq!(told(), imports, "a second sweep told something");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttled_account_holds_up_no_other_and_is_done_in_the_end() {
    let _one = organization().await;
    switch_events(false).await;
    let places = sandbox().all_places().await;
    let (slow, quick) = (&places[2], &places[0]);
    let buckets = [slow.bucket_name("slow"), quick.bucket_name("quick")];
    slow.create_bucket(&buckets[0], None).await;
    quick.create_bucket(&buckets[1], None).await;
    let fault = |action, code, times| Fault {
        account: slow.account.clone(),
        region: slow.region.clone(),
        action,
        code,
        status: 400,
        times,
    };
    // Tags that cannot be read in bulk are read one by one.
    sandbox().fail(&[
        fault("securityhub:GetFindings", "ThrottlingException", 3),
        fault("s3:GetEncryptionConfiguration", "SlowDown", 3),
        fault("tag:GetResources", "AccessDeniedException", -1),
    ]);
    sandbox().begin_sweep(&[&slow.account, &quick.account]).await;
    quick.wait_for(&buckets[1], verdict, &expected_of_new()).await;
    sandbox().wait_until_idle(Duration::from_secs(120)).await;
    sandbox().fail(&[]);
    assert_eq!(said(slow, &buckets[0], verdict).await, expected_of_new());
    assert!(metric("Throttles") >= 3.0 && metric("ApiCalls") > 10.0 && metric("BucketsJudged") >= 2.0);
    switch_events(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_that_cannot_be_read_in_any_way_is_a_warning() {
    let _one = organization().await;
    let place = &sandbox().all_places().await[3];
    let bucket = place.bucket_name("no-tags");
    let refuse = |action, times| Fault {
        account: place.account.clone(),
        region: place.region.clone(),
        action,
        code: "AccessDenied",
        status: 403,
        times,
    };
    sandbox().fail(&[refuse("s3:GetBucketTagging", -1), refuse("tag:GetResources", -1)]);
    place.create_bucket(&bucket, Some("public")).await;
    let warnings = [
        ("encrypted-with-kms", "WARNING MEDIUM"),
        ("encrypted-with-cmk", "WARNING HIGH"),
        ("ssec-blocked", "WARNING LOW"),
        ("tls-only", "WARNING MEDIUM"),
    ];
    let warnings = warnings.map(|(slug, said)| (slug.to_owned(), said.to_owned())).into();
    place.wait_for(&bucket, verdict, &warnings).await;
    // Where one of the two is allowed, the class is known: this one requires nothing.
    sandbox().fail(&[refuse("s3:GetBucketTagging", -1)]);
    place.tag(&bucket, "public").await;
    place.wait_for(&bucket, verdict, &BTreeMap::new()).await;
    sandbox().fail(&[]);
}

/// What is found of a bucket that is left as S3 makes it.
fn expected_of_new() -> BTreeMap<String, String> {
    let said = [
        ("encrypted-with-kms", "FAILED MEDIUM"),
        ("encrypted-with-cmk", "FAILED HIGH"),
        ("ssec-blocked", "PASSED INFORMATIONAL"),
    ];
    said.map(|(slug, said)| (slug.to_owned(), said.to_owned())).into()
}
