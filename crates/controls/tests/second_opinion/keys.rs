//! Random key policies.

use crate::{
    Count,
    evaluator::{Concrete, OPEN, SecondOpinion, combinations, keys_of},
    policies,
    remedies::{assert_helpful, subject},
    statements::{
        ADMIN, Condition, OTHER_ROLE, ROLE, arn, boolean, null, one_of, place_and_time, principal,
        statement, text,
    },
};
use controls::{Evidence, Outcome, Settings, judge_key_policy};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const KEY: &str = "arn:aws:kms:us-east-1:111111111111:key/1234";
const S3: &str = "s3.us-east-1.amazonaws.com";
const EC2: &str = "ec2.us-east-1.amazonaws.com";
/// Callers of two accounts that policies name, and of one that they do not name.
const CALLERS: [&str; 8] = [
    ROLE,
    ADMIN,
    "arn:aws:iam::111111111111:role/unnamed",
    "arn:aws:iam::111111111111:root",
    OTHER_ROLE,
    "arn:aws:iam::222222222222:user/unnamed",
    "arn:aws:iam::999999999999:role/unnamed",
    "arn:aws:iam::999999999999:role/app",
];

fn condition() -> BoxedStrategy<Condition> {
    prop_oneof![
        3 => text(
            "kms:ViaService",
            &[S3, EC2, "*", "S3.us-east-1.amazonaws.com", "s3.*"],
            &[S3, EC2, "s3.*.amazonaws.com", "*.us-east-1.amazonaws.com", "*", "e*"],
        ),
        1 => text("kms:CallerAccount", &["111111111111", "222222222222", "*"], &["1*", "*"]),
        1 => text("aws:PrincipalAccount", &["111111111111", "222222222222"], &["??????222222"]),
        1 => text("aws:PrincipalOrgID", &["o-1", "o-2"], &["o-*", "*"]),
        1 => text("aws:PrincipalArn", &[ROLE, OTHER_ROLE], &["*:role/app", "arn:aws:iam::1*"]),
        1 => arn("aws:PrincipalArn", &[ROLE, ADMIN, OTHER_ROLE, "arn:aws:iam::*:role/*"]),
        1 => boolean("aws:SecureTransport"),
        1 => boolean("aws:PrincipalIsAWSService"),
        1 => boolean("kms:GrantIsForAWSResource"),
        1 => null(&["kms:ViaService", "aws:PrincipalOrgID", "aws:SourceArn"]),
        1 => place_and_time(),
    ]
    .boxed()
}

fn statements() -> impl Strategy<Value = Vec<Value>> {
    let actions = || {
        let actions =
            one_of(&["kms:Decrypt", "kms:*", "*", "KMS:decr*", "kms:Encrypt", "kms:CreateGrant"]);
        let except = one_of(&["kms:Decrypt", "kms:PutKeyPolicy", "kms:*"]);
        prop_oneof![
            9 => actions.prop_map(|actions| ("Action", actions)),
            1 => except.prop_map(|actions| ("NotAction", actions)),
        ]
        .boxed()
    };
    let one = move |effect| {
        let resource = Just(("Resource", json!("*"))).boxed();
        statement(effect, [principal(), actions(), resource], condition())
    };
    proptest::collection::vec(prop_oneof![one("Allow"), one("Deny")], 1..6)
}

/// Returns requests that use the key other than through S3.
fn requests(policy: &str) -> impl Iterator<Item = Concrete> {
    let via: &[_] = &[None, Some(EC2), Some("rds.us-east-1.amazonaws.com")];
    let keys = [&[("kms:ViaService", via)][..], &OPEN].concat();
    let contexts = combinations(policy, &keys);
    CALLERS.into_iter().flat_map(move |caller| {
        let own = keys_of(caller);
        let request = |keys: BTreeMap<_, _>| Concrete {
            principal: caller.to_owned(),
            action: "kms:Decrypt".to_owned(),
            resource: KEY.to_owned(),
            keys: own.clone().into_iter().chain(keys).collect(),
        };
        contexts.clone().into_iter().map(request).collect::<Vec<_>>()
    })
}

/// True if a request by a caller of another account than the key's.
fn is_outside(request: &Concrete) -> bool {
    !request.principal.contains("111111111111")
}

#[test]
fn iam_rs_confirms_each_alarm_and_contradicts_no_pass() {
    let settings: Settings = "classification = { tag = \"t\", default = \"all\" }\n\
        class.all.level = \"enforced\"\n[key-policy]\nroot-delegation = \"reject\""
        .parse()
        .unwrap();
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    for statements in policies(statements()) {
        let policy = crate::text(&statements);
        let opinion = SecondOpinion::new(&statements);
        let key = KEY.parse().unwrap();
        for verdict in judge_key_policy(&policy.parse(), &key, &settings.default) {
            let slug = verdict.control.slug;
            let count = counts.entry(slug).or_default();
            let open = || {
                let is_asked = |it: &Concrete| slug != "key-policy-closed" || is_outside(it);
                requests(&policy).find(|request| is_asked(request) && opinion.allows(request))
            };
            let check = |evidence: &Evidence| check(slug, &opinion, &policy, evidence);
            count.add(slug, &policy, &verdict.outcome, open, check);
            if let Outcome::Failed { evidence, .. } = &verdict.outcome {
                let (json, class) = (serde_json::from_str(&policy).unwrap(), &settings.default);
                let judge = |after: &Value| {
                    let judged = judge_key_policy(&after.to_string().parse(), &key, class);
                    judged.into_iter().find(|it| it.control.slug == slug).unwrap().outcome
                };
                let subject = subject(&json, KEY).trusting(class);
                assert_helpful(verdict.control, &json, &subject, evidence, judge);
            }
        }
    }
    println!("{counts:#?}");
    for (slug, count) in counts {
        assert!(count.passed > 100 && count.failed > 100, "{slug}: {count:?}");
        assert!(count.missed == 0, "{slug}: {count:?}");
    }
}

fn check(slug: &str, opinion: &SecondOpinion<'_>, policy: &str, evidence: &Evidence) {
    let witness = evidence.witness().unwrap_or_else(|| panic!("{slug}: {evidence:?}: {policy}"));
    if evidence.is_refused() {
        return;
    }
    let request = Concrete::from(witness);
    assert!(opinion.allows(&request), "{slug}: {request:?} is refused: {policy}");
    if slug == "key-policy-closed" {
        assert!(is_outside(&request), "{request:?}: {policy}");
    } else {
        let via = request.keys.get("kms:ViaService").map(|values| values[0].as_str());
        assert!(via.is_none_or(|via| !via.starts_with("s3.")), "{request:?}: {policy}");
    }
}
