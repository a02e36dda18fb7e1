//! Events of a key: each causes an evaluation of the buckets that use the key, in every account.

use crate::{count, metric, nothing_was_refused, organization, said, settled};
use cmkwatch_tests::{KeySetup, MadeKey, Place, progress, sandbox, verdict};

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
