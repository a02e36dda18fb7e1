//! A law for every bucket: a fact that could not be read neither passes nor fails.
#![allow(
    clippy::unwrap_used,
    reason = "a test may stop at the first thing that is not as expected"
)]

use controls::{Outcome, Settings, judge};
use facts::{
    Bucket, BucketEncryption, BucketId, DefaultEncryption, Fact, Key, KeyAdministration, KeyLookup,
    KeyManager, KeyState, KeyUser, Permissions, PolicyDocument, Rotation, Tags, Unreadable,
    UsedKey,
};
use jiff::{SignedDuration, Timestamp};
use proptest::{prelude::*, sample::select};

const KEY: &str = "arn:aws:kms:us-east-1:111111111111:key/1234";
const SETTINGS: &str = r#"
    classification = { tag = "class", default = "cmk" }
    class.public.level = "sse-s3"
    class.cmk.level = "cmk"
    class.enforced = { level = "enforced", root-delegation = "reject" }
"#;
const KEY_POLICIES: [&str; 5] = [
    "{}",
    r#"{"Statement": {"Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "kms:*", "Resource": "*"}}"#,
    r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}}"#,
    r#"{"Statement": {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:role/a"}, "Action": "kms:Decrypt",
        "Resource": "*", "Condition": {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}}}"#,
    r#"{"Statement": {"Effect": "Allow", "Principal": {"AWS": "222222222222"}, "Action": "kms:Decrypt", "Resource": "*"}}"#,
];
const BUCKET_POLICIES: [&str; 4] = [
    "{}",
    r#"{"Statement": {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}}"#,
    r#"{"Statement": {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::acme/*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}}}}"#,
    r#"{"Statement": {"Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"}, "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::acme/*"}}"#,
];

/// The facts of a bucket if everything can be read.
#[derive(Debug, Clone)]
struct Facts {
    class: Option<&'static str>,
    default: u8,
    bucket_key: bool,
    blocks_sse_c: bool,
    policy: Option<&'static str>,
    key_policy: &'static str,
    origin: &'static str,
    rotation: Rotation,
    /// The days since the epoch on which the key was rotated.
    rotated: Option<i64>,
    state: KeyState,
    users: Vec<KeyUser>,
}

/// The facts that could not be read.
#[derive(Debug, Clone, Copy)]
struct Refused {
    tags: bool,
    encryption: bool,
    policy: bool,
    key: bool,
    key_policy: bool,
    rotation: bool,
    rotated: bool,
    users: bool,
}

fn facts() -> impl Strategy<Value = Facts> {
    let of_bucket = (
        proptest::option::of(select(&["public", "cmk", "enforced"][..])),
        0_u8..6,
        any::<bool>(),
        any::<bool>(),
        proptest::option::of(select(&BUCKET_POLICIES[..])),
    );
    let rotations =
        [Rotation::Off, Rotation::Unsupported, Rotation::Every(365), Rotation::Every(999)];
    let states = vec![KeyState::Enabled, KeyState::Disabled, KeyState::PendingDeletion(None)];
    let users = proptest::collection::vec(select(&[None, Some("cmk"), Some("enforced")][..]), 0..3);
    let origin = select(&["AWS_KMS", "EXTERNAL"][..]);
    let rotated = proptest::option::of(0_i64..2000);
    let of_key = (
        select(&KEY_POLICIES[..]),
        origin,
        select(rotations.to_vec()),
        rotated,
        select(states),
        users,
    );
    (of_bucket, of_key).prop_map(
        |(
            (class, default, bucket_key, blocks_sse_c, policy),
            (key_policy, origin, rotation, rotated, state, users),
        )| Facts {
            class,
            default,
            bucket_key,
            blocks_sse_c,
            policy,
            key_policy,
            origin,
            rotation,
            rotated,
            state,
            users: users.into_iter().map(user).collect(),
        },
    )
}

fn day(days: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * days)
}

fn user(class: Option<&str>) -> KeyUser {
    let bucket = BucketId::new(
        "222222222222".parse().unwrap(),
        "us-east-1".parse().unwrap(),
        "other".parse().unwrap(),
    );
    KeyUser { bucket: bucket.unwrap(), class: class.map(str::to_owned) }
}

fn refused() -> impl Strategy<Value = Refused> {
    let some = || prop::bool::weighted(0.3);
    (some(), some(), some(), some(), some(), some(), some(), some()).prop_map(
        |(tags, encryption, policy, key, key_policy, rotation, rotated, users)| Refused {
            tags,
            encryption,
            policy,
            key,
            key_policy,
            rotation,
            rotated,
            users,
        },
    )
}

fn read<T>(value: T, refused: bool) -> Fact<T> {
    let why =
        Unreadable { permission: "s3:Get", subject: "it".into(), code: "AccessDenied".into() };
    if refused { Fact::Unreadable(why) } else { Fact::Known(value) }
}

fn bucket(facts: &Facts, refused: Refused) -> Bucket {
    let document = |text: &str| -> PolicyDocument { text.parse() };
    let key = || Key {
        arn: KEY.parse().unwrap(),
        manager: KeyManager::Customer,
        state: facts.state.clone(),
        spec: "SYMMETRIC_DEFAULT".into(),
        usage: "ENCRYPT_DECRYPT".into(),
        origin: facts.origin.into(),
        created: Timestamp::UNIX_EPOCH,
        material_expires: None,
        related: Vec::new(),
        administration: Some(KeyAdministration {
            admissions: Permissions::of_key_policy(read(
                document(facts.key_policy),
                refused.key_policy,
            ))
            .into(),
            rotation: read(facts.rotation, refused.rotation),
            rotated: read(facts.rotated.map(day).into_iter().collect(), refused.rotated),
        }),
    };
    let used = |resolved| UsedKey {
        reference: "alias/a".parse().unwrap(),
        resolved: read(resolved, refused.key),
    };
    let default = match facts.default {
        0 => DefaultEncryption::SseS3,
        1 => DefaultEncryption::Kms(used(KeyLookup::AwsManagedDefault)),
        2 => DefaultEncryption::Kms(used(KeyLookup::Missing)),
        3 => DefaultEncryption::KmsDsse(used(KeyLookup::Found(Box::new(key())))),
        4 => DefaultEncryption::Contradictory,
        _ => DefaultEncryption::Kms(used(KeyLookup::Found(Box::new(key())))),
    };
    let (bucket_key, blocks_sse_c) = (facts.bucket_key, facts.blocks_sse_c);
    let tags: Tags =
        facts.class.iter().map(|class| ("class".to_owned(), (*class).to_owned())).collect();
    Bucket {
        id: BucketId::new(
            "111111111111".parse().unwrap(),
            "us-east-1".parse().unwrap(),
            "acme".parse().unwrap(),
        )
        .unwrap(),
        read_at: day(2000),
        tags: read(tags, refused.tags),
        encryption: read(
            BucketEncryption { default, bucket_key, blocks_sse_c },
            refused.encryption,
        ),
        policy: read(facts.policy.map(document), refused.policy),
        key_users: Some(read(facts.users.clone(), refused.users)),
    }
}

/// Returns the verdict without its evidence, which may differ.
fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Passed(_) => "passed".into(),
        Outcome::Failed { severity, .. } => format!("failed {severity}"),
        other => format!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    /// A verdict that passes or fails with some facts unread is the same with all facts read: it
    /// did not need them.
    #[test]
    fn unreadable_facts_neither_pass_nor_fail(facts in facts(), refused in refused()) {
        const NOTHING: Refused =
            Refused { tags: false, encryption: false, policy: false, key: false, key_policy: false, rotation: false,
                rotated: false, users: false };
        let settings: Settings = SETTINGS.parse().unwrap();
        let (all, some) = (judge(&bucket(&facts, NOTHING), &settings), judge(&bucket(&facts, refused), &settings));
        for (whole, partial) in all.verdicts.iter().zip(&some.verdicts) {
            match &partial.outcome {
                Outcome::Passed(_) | Outcome::Failed { .. } => {
                    prop_assert_eq!(said(&whole.outcome), said(&partial.outcome), "{}", whole.control.slug);
                }
                Outcome::NotApplicable(_) => {
                    prop_assert!(matches!(whole.outcome, Outcome::NotApplicable(_)), "{}", whole.control.slug);
                }
                Outcome::Undetermined(_) => {}
            }
        }
    }
}
