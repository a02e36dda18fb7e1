//! Changes of the buckets while Security Hub answers late.

use crate::{Played, Setting, at_rest, messages::Alerted, number};
use cmkwatch_tests::{Alerts, KeySetup, Place, sandbox};
use futures_util::future::join_all;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// A sequence of numbers that is the same in each run: <https://en.wikipedia.org/wiki/Xorshift>.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn pause(seconds: u64) -> tokio::time::Sleep {
    tokio::time::sleep(Duration::from_secs(seconds))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_state_alone_decides_although_security_hub_answers_late() {
    let places = sandbox().all_places().await;
    let at = |number: usize| &places[number % places.len()];
    let buckets = usize::try_from(number("LAG_BUCKETS", 10)).unwrap();
    let flipping =
        join_all((0..buckets).map(|number| Played::new(at(number), "flips", Setting::SseS3))).await;
    let mended = Played::new(at(0), "broken-and-fixed", Setting::Key).await;
    let broken = Played::new(at(1), "fixed-and-broken", Setting::SseS3).await;
    let returned = Played::new(at(2), "key-returned", Setting::Key).await;
    let disabled = Played::new(at(3), "key-disabled", Setting::Key).await;
    let deleted = Played::new(at(4), "deleted", Setting::Key).await;
    let sharing = sharing(at(5)).await;
    // Indexes are 1 second late, and settings are read as they were 6 seconds before. A change is
    // read after 2 seconds, so the first read is old.
    sandbox().set_lag("index", 1);
    sandbox().set_lag("settings", 6);
    at_rest().await;
    assert_eq!(mended.said().await, Setting::Key.expected(), "before");
    assert_eq!(broken.said().await, Setting::SseS3.expected(), "before");

    let until = Instant::now() + Duration::from_secs(number("LAG_SECONDS", 60));
    let flips = join_all(
        flipping.iter().zip(1..).map(|(bucket, seed)| flip(bucket, Numbers(seed * 7919), until)),
    );
    let stories = async {
        join_all(sharing.iter().map(|bucket| bucket.set(Setting::Key))).await;
        mended.set(Setting::SseS3).await;
        broken.set(Setting::Key).await;
        returned.kms("disable-key");
        deleted.set(Setting::SseS3).await;
        pause(6).await;
        mended.set(Setting::Key).await;
        broken.set(Setting::SseS3).await;
        returned.kms("enable-key");
        disabled.kms("disable-key");
        pause(3).await;
        deleted.place.s3().delete_bucket().bucket(&deleted.name).send().await.unwrap();
    };
    let (last, ()) = tokio::join!(flips, stories);
    at_rest().await;

    let mut wrong = BTreeMap::new();
    let mut compare = |bucket: &Played, said, expected| {
        if said != expected {
            wrong.insert(bucket.name.clone(), (said, expected));
        }
    };
    for (bucket, (setting, _)) in flipping.iter().zip(&last) {
        compare(bucket, bucket.said().await, setting.expected());
    }
    compare(&mended, mended.said().await, Setting::Key.expected());
    compare(&broken, broken.said().await, Setting::SseS3.expected());
    compare(&returned, returned.said().await, Setting::Key.expected());
    compare(&disabled, disabled.said().await, with_disabled_key());
    compare(&deleted, deleted.said().await, BTreeMap::new());
    for bucket in &sharing {
        compare(bucket, bucket.said().await, of_shared_key());
    }
    let alerted = alerted().await;
    let shared = sharing.iter().chain([&mended, &broken, &returned, &disabled]);
    let mut untrue = BTreeMap::new();
    for bucket in flipping.iter().chain(shared) {
        for (finding, is_open) in bucket.open().await {
            untrue.extend(alerted.wrong(&finding, is_open).map(|wrong| (finding, wrong)));
        }
    }
    let flips: usize = last.iter().map(|(_, flips)| flips).sum();
    println!("{flips} changes of {buckets} buckets; {} of {} are wrong", wrong.len(), buckets + 7);
    println!("{} messages; those about {} findings are wrong", alerted.count(), untrue.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(untrue.is_empty(), "{untrue:#?}");
    assert!(
        deleted.states().await.len() >= 8,
        "the findings of the deleted bucket are archived, and still there"
    );
}

/// Returns all messages since the start.
async fn alerted() -> Alerted {
    let alerts = Alerts::new().await;
    alerts.wait_until_alerted(0).await;
    Alerted::of(&alerts.take().await)
}

/// Makes two buckets of different classes, which will start to use one key at the same moment.
async fn sharing(place: &Place) -> Vec<Played> {
    let shared = place.create_key(&KeySetup::default(), &place.bucket_name("shared")).await;
    let bucket = |class| {
        let name = place.bucket_name(&format!("shares-{class}"));
        Played::with_key(place, name, shared.clone(), Some(class), Setting::SseS3)
    };
    join_all(["restricted", "secret"].map(bucket)).await
}

/// Returns the findings of a bucket that has no policy, and that shares its key with a bucket of
/// another class.
fn of_shared_key() -> BTreeMap<String, String> {
    let mut expected = Setting::Key.expected();
    let failed = ["key-serves-one-class", "tls-only", "uploads-use-cmk"];
    expected.extend(failed.map(|slug| (slug.to_owned(), "FAILED NEW".to_owned())));
    expected
}

/// Changes a bucket at random until the time is over. Returns the last setting, and the number of
/// changes.
async fn flip(bucket: &Played, mut numbers: Numbers, until: Instant) -> (Setting, usize) {
    let (mut last, mut flips) = (Setting::SseS3, 0);
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(500 + numbers.below(7000))).await;
        last = Setting::ALL[usize::try_from(numbers.below(3)).unwrap()];
        bucket.set(last).await;
        flips += 1;
    }
    (last, flips)
}

/// Returns the findings of a bucket with a disabled key. The key cannot be used, but its status
/// still says that it rotates.
fn with_disabled_key() -> BTreeMap<String, String> {
    let mut expected = Setting::Key.expected();
    expected.insert("key-usable".to_owned(), "FAILED NEW".to_owned());
    expected
}
