//! Random bucket policies.

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
use controls::{Evidence, Outcome, Settings, judge_bucket_policy};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const BUCKET: &str = "arn:aws:s3:::acme";
const KEY: &str = "arn:aws:kms:us-east-1:111111111111:key/1234";
const OTHER_KEY: &str = "arn:aws:kms:us-east-1:111111111111:key/5678";
const FOREIGN_KEY: &str = "arn:aws:kms:us-east-1:222222222222:key/5678";
const ALGORITHM: &str = "s3:x-amz-server-side-encryption";
const KEY_ID: &str = "s3:x-amz-server-side-encryption-aws-kms-key-id";
const SSE_C: &str = "s3:x-amz-server-side-encryption-customer-algorithm";
const CALLERS: [&str; 6] = [
    ROLE,
    ADMIN,
    "arn:aws:iam::111111111111:role/unnamed",
    OTHER_ROLE,
    "arn:aws:iam::222222222222:user/unnamed",
    "arn:aws:iam::999999999999:role/unnamed",
];

fn condition() -> BoxedStrategy<Condition> {
    prop_oneof![
        3 => boolean("aws:SecureTransport"),
        2 => text(ALGORITHM, &["AES256", "aws:kms", "aws:kms:dsse"], &["aws:kms*", "*"]),
        2 => text(
            KEY_ID,
            &[KEY, OTHER_KEY, "1234", "arn:aws:kms:*:111111111111:key/*"],
            &[KEY, "arn:aws:kms:*:111111111111:key/*", "*1234"],
        ),
        1 => arn(KEY_ID, &[KEY, OTHER_KEY]),
        1 => text(SSE_C, &["AES256"], &["*"]),
        2 => null(&[ALGORITHM, KEY_ID, SSE_C]),
        1 => arn("aws:PrincipalArn", &[ROLE, ADMIN, OTHER_ROLE, "arn:aws:iam::*:role/*"]),
        1 => text("aws:PrincipalAccount", &["111111111111", "222222222222"], &["1*"]),
        1 => text("aws:PrincipalOrgID", &["o-1"], &["o-*"]),
        1 => boolean("aws:PrincipalIsAWSService"),
        1 => place_and_time(),
    ]
    .boxed()
}

fn statements() -> impl Strategy<Value = Vec<Value>> {
    let actions = || {
        let actions = one_of(&["s3:*", "*", "s3:PutObject", "s3:Put*", "s3:GetObject"]);
        let except = one_of(&["s3:GetObject", "s3:PutObject", "s3:List*"]);
        prop_oneof![
            6 => actions.prop_map(|actions| ("Action", actions)),
            1 => except.prop_map(|actions| ("NotAction", actions)),
        ]
        .boxed()
    };
    let both = json!([BUCKET, "arn:aws:s3:::acme/*"]);
    let resource = move || {
        let some = one_of(&[
            "arn:aws:s3:::acme/*",
            "arn:aws:s3:::acme",
            "*",
            "arn:aws:s3:::acme/in/*",
            "arn:aws:s3:::acme*",
        ]);
        let except = one_of(&["arn:aws:s3:::acme/public/*", "arn:aws:s3:::acme"]);
        prop_oneof![
            3 => Just(("Resource", both.clone())),
            3 => some.prop_map(|resource| ("Resource", resource)),
            1 => except.prop_map(|resource| ("NotResource", resource)),
        ]
        .boxed()
    };
    let one = move |effect| {
        let everyone = Just(("Principal", json!("*"))).boxed();
        let principal = prop_oneof![3 => everyone, 2 => principal()].boxed();
        statement(effect, [principal, actions(), resource()], condition())
    };
    proptest::collection::vec(prop_oneof![1 => one("Allow"), 4 => one("Deny")], 1..6)
}

/// Objects, each in another resource of the statements.
const OBJECTS: [&str; 3] =
    ["arn:aws:s3:::acme/a", "arn:aws:s3:::acme/in/a", "arn:aws:s3:::acme/public/a"];

/// An action, a resource and condition keys with their values.
type Asked = (&'static str, &'static str, Vec<(&'static str, &'static str)>);

/// Returns the requests that a control wants refused.
fn asked(slug: &str) -> Vec<Asked> {
    let uploads = |keys: &[(&'static str, &'static str)]| {
        OBJECTS.map(|object| ("s3:PutObject", object, keys.to_vec()))
    };
    match slug {
        "tls-only" => {
            let on_bucket = ["s3:ListBucket", "s3:PutBucketPolicy"].map(|it| (it, BUCKET, vec![]));
            let on_objects = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
                .into_iter()
                .flat_map(|action| OBJECTS.map(|object| (action, object, vec![])));
            on_bucket.into_iter().chain(on_objects).collect()
        }
        "ssec-blocked" => uploads(&[(SSE_C, "AES256")]).to_vec(),
        _ => {
            let mut all = uploads(&[(ALGORITHM, "AES256")]).to_vec();
            for algorithm in ["aws:kms", "aws:kms:dsse"] {
                all.extend(uploads(&[(ALGORITHM, algorithm)]));
                for key in [OTHER_KEY, FOREIGN_KEY] {
                    all.extend(uploads(&[(ALGORITHM, algorithm), (KEY_ID, key)]));
                }
            }
            all
        }
    }
}

/// Returns requests that a control wants refused, by different callers, from different places.
fn requests(slug: &str, policy: &str) -> impl Iterator<Item = Concrete> {
    let mut contexts = combinations(policy, &OPEN);
    if slug == "tls-only" {
        for keys in &mut contexts {
            keys.insert("aws:SecureTransport".to_owned(), vec!["false".to_owned()]);
        }
    }
    asked(slug).into_iter().flat_map(move |(action, resource, keys)| {
        let contexts = contexts.clone();
        CALLERS.into_iter().flat_map(move |caller| {
            let own =
                keys.iter().map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()]));
            let own: BTreeMap<_, _> = keys_of(caller).into_iter().chain(own).collect();
            let request = |keys: &BTreeMap<_, _>| Concrete {
                principal: caller.to_owned(),
                action: action.to_owned(),
                resource: resource.to_owned(),
                keys: own.clone().into_iter().chain(keys.clone()).collect(),
            };
            contexts.iter().map(request).collect::<Vec<_>>()
        })
    })
}

/// Returns the statements with an Allow of everything, so that only a Deny refuses.
fn with_allow(statements: &[Value]) -> Vec<Value> {
    let all = json!({ "Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*" });
    [statements, &[all]].concat()
}

#[test]
fn iam_rs_confirms_each_alarm_and_contradicts_no_pass() {
    let settings: Settings = "classification = { tag = \"t\", default = \"all\" }\n\
        class.all.level = \"enforced\""
        .parse()
        .unwrap();
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    for statements in policies(statements()) {
        let policy = crate::text(&statements);
        let key: facts::KeyArn = KEY.parse().unwrap();
        let statements = with_allow(&statements);
        let opinion = SecondOpinion::new(&statements);
        let judged =
            judge_bucket_policy(&policy.parse(), BUCKET, key.account(), &key, &settings.default);
        for verdict in judged {
            let slug = verdict.control.slug;
            let count = counts.entry(slug).or_default();
            let open = || requests(slug, &policy).find(|request| opinion.allows(request));
            let check = |evidence: &Evidence| check(slug, &opinion, &policy, evidence);
            count.add(slug, &policy, &verdict.outcome, open, check);
            if let Outcome::Failed { evidence, .. } = &verdict.outcome {
                let (json, class) = (serde_json::from_str(&policy).unwrap(), &settings.default);
                let judge = |after: &Value| {
                    let judged = judge_bucket_policy(
                        &after.to_string().parse(),
                        BUCKET,
                        key.account(),
                        &key,
                        class,
                    );
                    judged.into_iter().find(|it| it.control.slug == slug).unwrap().outcome
                };
                let subject = subject(&json, KEY).trusting(class);
                assert_helpful(verdict.control, &json, &subject, evidence, judge);
            }
        }
    }
    println!("{counts:#?}");
    for (slug, count) in counts {
        assert!(count.passed > 20 && count.failed > 100, "{slug}: {count:?}");
        assert!(count.missed == 0, "{slug}: {count:?}");
    }
}

fn check(slug: &str, opinion: &SecondOpinion<'_>, policy: &str, evidence: &Evidence) {
    let witness = evidence.witness().unwrap_or_else(|| panic!("{slug}: {evidence:?}: {policy}"));
    let request = Concrete::from(witness);
    let is_as_said = opinion.allows(&request) != evidence.is_refused();
    assert!(is_as_said, "{slug}: {evidence:?} is not as {request:?} shows: {policy}");
}
