//! Laws for every way into a key: policies, grants and related keys.
//!
//! - One more Deny admits nobody.
//! - One more Allow or grant closes nothing.
//! - A way in that could not be read does not pass, and does not fail.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at the first thing that is not as expected"
)]

mod case;

use case::{KEY, of_key};
use controls::{Outcome, Settings, Severity};
use facts::{
    Fact, GrantCollector, GrantConstraints, KeyAdmissions, KeyGrant, KeyGrants, MOST_GRANTS,
    Permissions, PolicyDocument, RelatedKey, Unreadable,
};
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

const SLUGS: [&str; 2] = ["key-used-only-via-s3", "key-policy-closed"];
const SETTINGS: &str = "classification = { tag = \"t\", default = \"all\" }\n\
    class.all.level = \"enforced\"\n[key-policy]\ntrusted-accounts = [\"333333333333\"]\n\
    trusted-organizations = [\"o-exampleorg1\"]";
const PRINCIPALS: [&str; 5] = [
    "arn:aws:iam::111111111111:role/app",
    "arn:aws:iam::111111111111:root",
    "arn:aws:iam::222222222222:role/app",
    "arn:aws:iam::222222222222:root",
    "arn:aws:iam::333333333333:root",
];
/// Principals of grants that are no identities: services, and one that is not understood.
const OTHER_GRANTEES: [&str; 3] =
    ["rds.amazonaws.com", "111111111111:aws:ec2-infrastructure:i-1", "AROAEXAMPLEEXAMPLE"];
const OPERATIONS: [&str; 5] =
    ["Decrypt", "GenerateDataKey", "CreateGrant", "DescribeKey", "GenerateDataKeyPair"];

/// The ways into one key.
#[derive(Debug, Clone)]
struct OneKey {
    policy: Vec<Value>,
    shared: Option<Vec<Value>>,
    grants: Vec<KeyGrant>,
    unread: [bool; 3],
}

fn condition() -> impl Strategy<Value = Option<Value>> {
    let some = [
        json!({ "StringEquals": { "kms:ViaService": "s3.us-east-1.amazonaws.com" } }),
        json!({ "StringNotEquals": { "kms:ViaService": "s3.us-east-1.amazonaws.com" } }),
        json!({ "StringEquals": { "kms:ViaService": "ec2.us-east-1.amazonaws.com" } }),
        json!({ "StringNotEquals": { "kms:CallerAccount": "111111111111" } }),
        json!({ "StringNotEquals": { "aws:PrincipalOrgID": "o-exampleorg1" } }),
        json!({ "StringEquals": { "kms:EncryptionContext:Tenant": "a" } }),
        json!({ "ArnEquals": { "aws:PrincipalArn": PRINCIPALS[0] } }),
        json!({ "Null": { "kms:ViaService": "true" } }),
    ];
    proptest::option::weighted(0.6, select(some.to_vec()))
}

fn statement(effect: &'static str) -> impl Strategy<Value = Value> {
    let everyone = prop_oneof![3 => Just(false), 1 => Just(true)];
    let actions = select(
        &["kms:*", "kms:Decrypt", "kms:GenerateDataKey*", "kms:CreateGrant", "kms:DescribeKey"][..],
    );
    (everyone, select(&PRINCIPALS[..]), actions, condition()).prop_map(
        move |(everyone, who, action, condition)| {
            let who = if everyone { json!("*") } else { json!({ "AWS": who }) };
            let mut statement = json!({
                "Effect": effect, "Principal": who, "Action": action, "Resource": "*",
            });
            if let Some(condition) = condition {
                statement["Condition"] = condition;
            }
            statement
        },
    )
}

fn statements() -> impl Strategy<Value = Vec<Value>> {
    let one = prop_oneof![statement("Allow").boxed(), statement("Deny").boxed()];
    proptest::collection::vec(one, 0..4)
}

fn grant() -> impl Strategy<Value = KeyGrant> {
    let grantees = prop_oneof![8 => select(&PRINCIPALS[..]), 2 => select(&OTHER_GRANTEES[..])];
    let operations = proptest::collection::btree_set(select(&OPERATIONS[..]), 1..3);
    let tenant = proptest::option::of(select(&["a", "b"][..]));
    (grantees, operations, tenant).prop_map(|(grantee, operations, tenant)| KeyGrant {
        id: "grant".to_owned(),
        grantee: grantee.to_owned(),
        by_service: false,
        operations: operations.into_iter().map(str::to_owned).collect(),
        constraints: GrantConstraints {
            encryption_context: tenant
                .map(|tenant| ("Tenant".to_owned(), tenant.to_owned()))
                .into_iter()
                .collect(),
            source_arn: None,
        },
    })
}

fn one_key() -> impl Strategy<Value = OneKey> {
    // A resource share has no Deny.
    let shared = proptest::option::of(proptest::collection::vec(statement("Allow"), 1..3));
    let grants = proptest::collection::vec(grant(), 0..3);
    let unread = || prop::bool::weighted(0.15);
    (statements(), shared, grants, [unread(), unread(), unread()])
        .prop_map(|(policy, shared, grants, unread)| OneKey { policy, shared, grants, unread })
}

fn document(statements: &[Value]) -> PolicyDocument {
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string().parse()
}

fn read<T>(value: T, is_unread: bool) -> Fact<T> {
    let (permission, subject, code) = ("kms:Get", "it".to_owned(), "AccessDenied".to_owned());
    match is_unread {
        true => Fact::Unreadable(Unreadable { permission, subject, code }),
        false => Fact::Known(value),
    }
}

fn collected(grants: &[KeyGrant]) -> KeyGrants {
    let mut all = GrantCollector::of("111111111111".parse().unwrap());
    grants.iter().for_each(|grant| all.add(grant.clone(), 0));
    all.finish()
}

impl OneKey {
    fn permissions(&self) -> Permissions {
        let [policy, shared, grants] = self.unread;
        Permissions::new(
            read(document(&self.policy), policy),
            read(self.shared.as_deref().map(document), shared),
            read(collected(&self.grants), grants),
        )
    }
}

/// Judges a key with a related key, by each control.
fn judged(own: &OneKey, related: &OneKey) -> [Outcome; 2] {
    let settings: Settings = SETTINGS.parse().unwrap();
    let arn = KEY.replace("us-east-1", "eu-west-1").parse().unwrap();
    let related = RelatedKey { arn, permissions: related.permissions() };
    let admissions = KeyAdmissions::new(own.permissions(), vec![related]);
    SLUGS.map(|slug| of_key(slug, admissions.clone(), &settings))
}

/// Returns the severity of a failure, and `None` for another outcome.
fn failure(outcome: &Outcome) -> Option<Severity> {
    match outcome {
        Outcome::Failed { severity, .. } => Some(*severity),
        _ => None,
    }
}

fn passes(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Passed(_))
}

fn granted_to(grantee: String) -> KeyGrant {
    KeyGrant {
        id: "grant".to_owned(),
        grantee,
        by_service: false,
        operations: ["Decrypt".to_owned()].into(),
        constraints: GrantConstraints::default(),
    }
}

/// A Deny closes the grants to roles whose names begin with `a`. One more grant fails, also if
/// there are more than are judged together, or more than are kept.
#[test]
fn a_failing_grant_is_found_among_many() {
    let deny = json!({
        "Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*",
        "Condition": { "ArnLike": { "aws:PrincipalArn": "arn:aws:iam::111111111111:role/a*" } },
    });
    let nobody = OneKey { policy: vec![], shared: None, grants: vec![], unread: [false; 3] };
    let outside = "arn:aws:iam::999999999999:role/z";
    for (count, other, [via_s3, closed]) in [
        (130, PRINCIPALS[0].replace("app", "z"), [Some(Severity::Medium), None]),
        (130, outside.to_owned(), [Some(Severity::Medium), Some(Severity::High)]),
        (MOST_GRANTS + 1, outside.to_owned(), [Some(Severity::Medium), Some(Severity::High)]),
    ] {
        let roles = (0..count).map(|at| PRINCIPALS[0].replace("app", &format!("a{at}")));
        let key = |grants| OneKey { policy: vec![deny.clone()], grants, ..nobody.clone() };
        let without: Vec<_> = roles.map(granted_to).collect();
        let with = [&without[..], &[granted_to(other)]].concat();
        assert_eq!(judged(&key(with), &nobody).each_ref().map(failure), [via_s3, closed]);
        let before = judged(&key(without), &nobody);
        assert!(before.iter().all(|it| passes(it) == (count <= MOST_GRANTS)), "{before:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn one_more_deny_admits_nobody(
        own in one_key(), related in one_key(), deny in statement("Deny"), on_related in any::<bool>(),
    ) {
        let (mut own_after, mut related_after) = (own.clone(), related.clone());
        if on_related { &mut related_after } else { &mut own_after }.policy.push(deny);
        let (before, after) = (judged(&own, &related), judged(&own_after, &related_after));
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(!passes(before) || passes(after), "{before:?}\n{after:?}");
            prop_assert!(failure(before) >= failure(after), "{before:?}\n{after:?}");
        }
    }

    #[test]
    fn one_more_allow_or_grant_closes_nothing(
        own in one_key(), related in one_key(), allow in statement("Allow"), grant in grant(),
        place in 0..3, on_related in any::<bool>(),
    ) {
        let (mut own_after, mut related_after) = (own.clone(), related.clone());
        let changed = if on_related { &mut related_after } else { &mut own_after };
        match place {
            0 => changed.policy.push(allow),
            1 => changed.shared.get_or_insert_default().push(allow),
            _ => changed.grants.push(grant),
        }
        let (before, after) = (judged(&own, &related), judged(&own_after, &related_after));
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(passes(before) || !passes(after), "{before:?}\n{after:?}");
            prop_assert!(failure(before) <= failure(after), "{before:?}\n{after:?}");
        }
    }

    /// The facts that are read later can make a failure worse.
    #[test]
    fn a_way_in_that_was_not_read_neither_passes_nor_fails(own in one_key(), related in one_key()) {
        let whole = |key: &OneKey| OneKey { unread: [false; 3], ..key.clone() };
        let (partial, whole) = (judged(&own, &related), judged(&whole(&own), &whole(&related)));
        let is_unread = own.unread.contains(&true) || related.unread.contains(&true);
        for (partial, whole) in partial.iter().zip(&whole) {
            prop_assert!(!is_unread || !passes(partial), "{partial:?}");
            prop_assert!(failure(partial) <= failure(whole), "{partial:?}\n{whole:?}");
        }
    }
}
