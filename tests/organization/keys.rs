//! Events of a key: each causes an evaluation of the buckets that use the key, in every account.

use crate::{count, metric, nothing_was_refused, organization, said, settled};
use cmkwatch_tests::{Alerts, KeySetup, MadeKey, Place, ReplicaSetup, progress, sandbox, verdict};
use futures_util::{StreamExt, stream};
use serde_json::Value;

/// A key that buckets of two accounts use, by its ARN and by its alias, and a bucket of another
/// key.
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
    /// Returns status and workflow of a control's finding for each bucket. The order is: the two
    /// that name the key, the two that name the alias, and the one of the other key.
    async fn said(&self, control: &str) -> [String; 5] {
        let mut all = Vec::new();
        for (place, bucket) in self.users.iter().chain(&self.by_alias).chain([&self.other]) {
            let mut said = said(place, bucket, progress).await;
            all.push(said.remove(control).unwrap_or_default());
        }
        all.try_into().unwrap()
    }

    /// Makes a call about the key. Returns the findings of a control afterwards, and how often the
    /// encryption of a bucket was read.
    async fn after(&self, control: &str, arguments: &[&str]) -> ([String; 5], u64) {
        let before = count("s3:GetEncryptionConfiguration");
        self.users[0].0.aws("kms", arguments);
        settled().await;
        (self.said(control).await, count("s3:GetEncryptionConfiguration") - before)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_a_key_evaluates_exactly_the_buckets_that_use_it() {
    let _one = organization().await;
    let shared = share_a_key().await;
    let (key, alias) = (shared.key.id.as_str(), shared.key.alias.as_str());
    let (fine, bad) = ("PASSED RESOLVED", "FAILED NEW");
    assert_eq!(shared.said("key-usable").await, [fine; 5]);

    let scheduled = shared.after("key-usable", &["schedule-key-deletion", "--key-id", key]).await;
    // Each of four buckets is read three times: before the commit, after it, and in the second
    // look.
    assert_eq!(scheduled, ([bad, bad, bad, bad, fine].map(str::to_owned), 12));
    let (place, bucket) = &shared.users[1];
    let finding = place.findings(bucket).await.remove("key-usable").unwrap();
    assert_eq!(verdict(&finding).unwrap(), "FAILED CRITICAL");
    let description = finding.description.unwrap();
    assert!(description.contains("PendingDeletion (deletion on 20"), "{description}");
    assert_eq!(finding.product_fields.unwrap()["cmkwatch/event-name"], "ScheduleKeyDeletion");

    let cancelled = shared.after("key-usable", &["cancel-key-deletion", "--key-id", key]).await;
    assert_eq!(cancelled, ([bad, bad, bad, bad, fine].map(str::to_owned), 12));
    let enabled = shared.after("key-usable", &["enable-key", "--key-id", key]).await;
    assert_eq!(enabled, ([fine; 5].map(str::to_owned), 12));
    let disabled = shared.after("key-usable", &["disable-key", "--key-id", key]).await;
    assert_eq!(disabled, ([bad, bad, bad, bad, fine].map(str::to_owned), 12));
    shared.after("key-usable", &["enable-key", "--key-id", key]).await;

    let not_rotated = shared.after("key-rotates", &["disable-key-rotation", "--key-id", key]).await;
    assert_eq!(not_rotated, ([bad, bad, bad, bad, fine].map(str::to_owned), 12));
    let open = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}}"#;
    let put = ["put-key-policy", "--key-id", key, "--policy-name", "default", "--policy", open];
    let opened = shared.after("key-policy-closed", &put).await;
    assert_eq!(opened, ([bad, bad, bad, bad, fine].map(str::to_owned), 12));

    // The alias now belongs to the other key. That concerns the buckets that name the alias, and no
    // others.
    let (owner, other) = &shared.other;
    let finding = owner.findings(other).await.remove("key-usable").unwrap();
    let another = finding
        .resources
        .unwrap()
        .into_iter()
        .find_map(|r| r.id.filter(|id| id.contains(":key/")))
        .unwrap();
    let update = ["update-alias", "--alias-name", alias, "--target-key-id", &another];
    let updated = shared.after("key-policy-closed", &update).await;
    assert_eq!(updated, ([bad, bad, fine, fine, fine].map(str::to_owned), 6));

    let before = count("s3:GetEncryptionConfiguration");
    sandbox().delete_key(&shared.key.arn);
    settled().await;
    assert_eq!(shared.said("key-usable").await, [bad, bad, fine, fine, fine]);
    assert!(metric("EventsHandled") > 10.0);
    assert_eq!(count("s3:GetEncryptionConfiguration") - before, 6);
    nothing_was_refused(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_fails_while_a_bucket_of_another_class_uses_its_key() {
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
    nothing_was_refused(&[]);
}

/// Makes a bucket with a key of its own, which passes.
async fn bucket_with_key(place: &Place, name: &str, setup: &KeySetup) -> (String, MadeKey) {
    let bucket = place.bucket_name(name);
    let key = place.create_key(setup, &bucket).await;
    place.create_bucket(&bucket, None).await;
    place.encrypt(&bucket, "aws:kms", Some(&key.arn)).await;
    settled().await;
    assert_eq!(said(place, &bucket, progress).await[VIA_S3], "PASSED RESOLVED");
    (bucket, key)
}

const VIA_S3: &str = "key-used-only-via-s3";
const CLOSED: &str = "key-policy-closed";

/// Returns the names of operations.
fn operations(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_is_judged_by_its_events_and_grants_of_services_cause_none() {
    let _one = organization().await;
    let place = &sandbox().all_places().await[1];
    let (bucket, key) = bucket_with_key(place, "granted", &KeySetup::default()).await;
    let reads = || count("s3:GetEncryptionConfiguration");
    let role = format!("arn:aws:iam::{}:role/app", place.account);

    let grant = place.grant(&key.arn, &role, &operations(&["Decrypt"])).await;
    settled().await;
    assert_eq!(said(place, &bucket, progress).await[VIA_S3], "FAILED NEW");
    let finding = place.findings(&bucket).await.remove(VIA_S3).unwrap();
    assert_eq!(finding.product_fields.as_ref().unwrap()["cmkwatch/event-name"], "CreateGrant");
    let description = finding.description.unwrap();
    let evidence = format!("open to {role} by grant {grant}: kms:Decrypt");
    assert!(description.contains(&evidence), "{description}");
    place.revoke_grant(&key.arn, &grant, None).await;
    settled().await;
    assert_eq!(said(place, &bucket, progress).await[VIA_S3], "PASSED RESOLVED");

    // More grants than one page holds. The rule forwards none of them.
    let before = reads();
    let instance = format!("{}:aws:ec2-infrastructure:i-81e2f56c", place.account);
    let mut last = String::new();
    for at in 0..105 {
        let to = if at % 2 == 0 { "rds.amazonaws.com" } else { instance.as_str() };
        last = place.grant(&key.arn, to, &operations(&["Decrypt"])).await;
    }
    place.revoke_grant(&key.arn, &last, Some("ec2.amazonaws.com")).await;
    settled().await;
    assert_eq!(reads(), before, "grants of services cause no evaluation");

    let lists = count("kms:ListGrants");
    place.grant(&key.arn, &role, &operations(&["CreateGrant"])).await;
    settled().await;
    assert_eq!(said(place, &bucket, progress).await[VIA_S3], "FAILED NEW", "on the second page");
    // The evaluation reads twice, and the second look once.
    assert_eq!(count("kms:ListGrants") - lists, 3 * 2);
    let evidence = &place.findings(&bucket).await.remove(VIA_S3).unwrap().product_fields.unwrap()["cmkwatch/evidence"];
    assert!(evidence.contains("ec2-infrastructure, rds.amazonaws.com"), "{evidence}");
    nothing_was_refused(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_of_a_replica_concerns_the_buckets_of_its_primary() {
    let _one = organization().await;
    let place = &sandbox().all_places().await[0];
    let setup = KeySetup { replica: Some(ReplicaSetup::default()), ..KeySetup::default() };
    let (bucket, key) = bucket_with_key(place, "with-replica", &setup).await;
    let there = sandbox().another_region(place).await;
    let replica = key.arn.replace(&place.region, &there.region);
    let open = r#"{"Version":"2012-10-17","Statement":{"Sid":"All","Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}}"#;
    there.put_key_policy(&replica, open).await;
    settled().await;
    let finding = place.findings(&bucket).await.remove(CLOSED).unwrap();
    assert_eq!(verdict(&finding).unwrap(), "FAILED CRITICAL");
    let description = finding.description.unwrap();
    assert!(description.contains(&format!("on {replica}: open to everyone: ")), "{description}");
    assert!(description.contains("(statement All)"), "{description}");
    assert_eq!(finding.product_fields.unwrap()["cmkwatch/event-name"], "PutKeyPolicy");
    let own = open.replace(r#""*","Action"#, &format!(r#"{{"AWS":"{}"}},"Action"#, place.account));
    there.put_key_policy(&replica, &own).await;
    settled().await;
    assert_eq!(said(place, &bucket, progress).await[CLOSED], "PASSED RESOLVED");
    nothing_was_refused(&[]);
}

/// AWS documents no event of a share. The sweep finds it, and does not count it as a lost event.
/// So the messages are like those after an update, when the sweep looks at more than before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sweep_finds_a_shared_key_and_reports_all_its_buckets_in_few_messages() {
    const BUCKETS: usize = 60;
    let _one = organization().await;
    let (alerts, place) = (Alerts::new().await, &sandbox().all_places().await[3]);
    let key = place.create_key(&KeySetup::default(), "used-by-many").await;
    let buckets: Vec<_> = (0..BUCKETS).map(|_| place.bucket_name("of-shared-key")).collect();
    let made = stream::iter(&buckets).map(async |bucket| {
        place.create_bucket(bucket, None).await;
        place.encrypt(bucket, "aws:kms", Some(&key.arn)).await;
    });
    made.buffer_unordered(crate::AT_ONCE).collect::<()>().await;
    settled().await;
    alerts.wait_until_alerted(0).await;
    alerts.take().await;
    let drift = metric("DriftFoundBySweep");

    let share = r#"{"Version":"2012-10-17","Statement":{"Sid":"Share","Effect":"Allow","Principal":{"AWS":"999999999999"},"Action":"kms:Decrypt","Resource":"*"}}"#;
    sandbox().share_key(&key.arn, Some(share));
    sandbox().sweep(&[&place.account]).await;
    settled().await;
    alerts.wait_until_alerted(0).await;
    let messages = alerts.take().await;
    let findings = |message: &Value| {
        let counted = message["metadata"]["additionalContext"]["findings"].as_str();
        counted.map_or(1, |counted| counted.parse::<usize>().unwrap())
    };
    assert_eq!(messages.iter().map(findings).sum::<usize>(), 2 * BUCKETS);
    assert!(messages.len() <= 10, "{} messages", messages.len());
    let finding = place.findings(&buckets[0]).await.remove(CLOSED).unwrap();
    assert_eq!(verdict(&finding).unwrap(), "FAILED HIGH");
    let description = finding.description.unwrap();
    assert!(description.contains("statement Share of policy AWS_RAM"), "{description}");
    assert_eq!(metric("DriftFoundBySweep"), drift, "no event announces a share");
    for bucket in &buckets {
        place.s3().delete_bucket().bucket(bucket).send().await.unwrap();
    }
    settled().await;
    alerts.wait_until_alerted(0).await;
    nothing_was_refused(&[]);
}
