//! Applies the remedy of each failing case. The control then passes, and requests that must keep
//! working still do, or the words of the remedy say what it breaks.

use crate::{
    case::{BUCKET, Case, KEY, WaysIn},
    evaluator::{Concrete, SecondOpinion},
};
use controls::{Control, Evidence, Outcome, Remedy, Subject};
use iam_policy::{Effect, Policy, Principal, Selection, Statement};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const OWN: &str = "111111111111";
const ALGORITHM: &str = "s3:x-amz-server-side-encryption";
const KEY_ID: &str = "s3:x-amz-server-side-encryption-aws-kms-key-id";

fn statements(policy: &Value) -> Vec<Value> {
    match &policy["Statement"] {
        Value::Array(statements) => statements.clone(),
        one => vec![one.clone()],
    }
}

fn with(policy: &Value, statements: Vec<Value>) -> Value {
    let mut policy = policy.clone();
    policy["Statement"] = statements.into();
    policy
}

/// Returns what a remedy is filled in with, for a key policy or a bucket policy.
pub(crate) fn subject(policy: &Value, key: &str) -> Subject {
    let policy = policy.to_string().parse::<Policy>().ok();
    Subject {
        bucket: Some(BUCKET.to_owned()),
        key: Some(key.parse().unwrap()),
        bucket_policy: policy.clone(),
        key_policy: policy,
        ..Subject::default()
    }
}

/// Asserts that no remedy of a failing control leaves it failing. `judge` judges a policy.
pub(crate) fn assert_helpful(
    control: &Control,
    policy: &Value,
    subject: &Subject,
    evidence: &[Evidence],
    judge: impl Fn(&Value) -> Outcome,
) {
    for (offer, after) in remedied(policy, &control.remedy(subject, evidence)) {
        let outcome = judge(&after);
        let fails = matches!(outcome, Outcome::Failed { .. });
        assert!(!fails, "{}: {offer}: {outcome:?}: {policy} {after}", control.slug);
    }
}

fn remedy(slug: &str, case: &Case, evidence: &[Evidence]) -> Remedy {
    let control = controls::ALL.into_iter().find(|control| control.slug == slug).unwrap();
    control.remedy(&subject(&case.policy, KEY).trusting(&case.class()), evidence)
}

/// Returns the policies that a remedy offers, each with its name.
pub(crate) fn remedied(policy: &Value, remedy: &Remedy) -> Vec<(&'static str, Value)> {
    let statements = statements(policy);
    let mut offered = Vec::new();
    if let Some(statement) = &remedy.statement {
        offered.push((
            "statement",
            with(policy, [&statements[..], std::slice::from_ref(statement)].concat()),
        ));
    }
    if !remedy.replacements.is_empty() {
        let read: Policy = policy.to_string().parse().unwrap();
        let replaced = statements.iter().enumerate().flat_map(|(at, statement)| {
            let name = read.name(at);
            let by = remedy.replacements.iter().find(|it| it.statement == name);
            by.map_or_else(|| vec![statement.clone()], |it| it.by.clone())
        });
        offered.push(("replacements", with(policy, replaced.collect())));
    }
    offered
}

fn request(principal: &str, action: &str, resource: &str, keys: &[(&str, &str)]) -> Concrete {
    let account = principal.split(':').nth(4).unwrap_or_default();
    let is_service = principal.ends_with(".amazonaws.com");
    let of_caller = [
        ("aws:PrincipalArn", principal),
        ("aws:PrincipalAccount", account),
        ("kms:CallerAccount", account),
    ];
    let of_caller = if is_service { &[][..] } else { &of_caller };
    let service = [
        ("aws:PrincipalIsAWSService", if is_service { "true" } else { "false" }),
        ("aws:SecureTransport", "true"),
    ];
    let all = service.iter().chain(of_caller).chain(keys);
    Concrete {
        principal: principal.to_owned(),
        action: action.to_owned(),
        resource: resource.to_owned(),
        keys: all.map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()])).collect(),
    }
}

/// Returns the callers of the key's own account, and services, that an Allow names. Services come
/// with the values of the conditions.
fn callers(policy: &Policy) -> Vec<(String, Vec<(String, String)>)> {
    let allows = policy.statements.iter().filter(|it| it.effect == Effect::Allow);
    let named = |statement: &Statement| {
        let conditions = statement.conditions.iter().filter(|it| !it.operator.negated);
        let keys: Vec<_> = conditions
            .filter_map(|it| Some((it.written.clone(), it.values.first()?.replace('*', "x"))))
            .collect();
        let Selection::Only(principals) = &statement.principals else { return Vec::new() };
        let caller = |principal: &Principal| match principal {
            Principal::Account(account) if account == OWN => {
                Some((format!("arn:aws:iam::{OWN}:role/administrator"), Vec::new()))
            }
            Principal::Identity { arn, account } if account == OWN => {
                Some((arn.clone(), Vec::new()))
            }
            Principal::Service(name) => Some((name.clone(), keys.clone())),
            _ => None,
        };
        principals.iter().filter_map(caller).collect()
    };
    allows.flat_map(named).collect()
}

/// Returns requests that must keep working: administration, grants for AWS services, use through
/// S3, and services that the policy names.
fn of_key(policy: &Policy) -> Vec<Concrete> {
    const S3: (&str, &str) = ("kms:ViaService", "s3.us-east-1.amazonaws.com");
    const FOR_SERVICE: (&str, &str) = ("kms:GrantIsForAWSResource", "true");
    let administration =
        ["kms:PutKeyPolicy", "kms:DescribeKey", "kms:ScheduleKeyDeletion", "kms:TagResource"];
    let mut all = Vec::new();
    for (caller, keys) in callers(policy) {
        let keys: Vec<_> = keys.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        if caller.ends_with(".amazonaws.com") {
            let uses = ["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey", "kms:CreateGrant"];
            all.extend(uses.map(|action| request(&caller, action, KEY, &keys)));
            continue;
        }
        all.extend(administration.map(|action| request(&caller, action, KEY, &[])));
        all.push(request(&caller, "kms:CreateGrant", KEY, &[FOR_SERVICE]));
        all.extend(
            ["kms:Decrypt", "kms:GenerateDataKey"].map(|it| request(&caller, it, KEY, &[S3])),
        );
    }
    all
}

/// Returns requests that must keep working: reading, uploads with the default encryption or the
/// bucket's key, and writers of logs.
fn of_bucket(policy: &Policy) -> Vec<Concrete> {
    let object = "arn:aws:s3:::acme/AWSLogs/111111111111/a";
    let role = format!("arn:aws:iam::{OWN}:role/administrator");
    let uploads: [&[(&str, &str)]; 2] = [&[], &[(ALGORITHM, "aws:kms"), (KEY_ID, KEY)]];
    let mut all = Vec::new();
    for (caller, keys) in callers(policy).into_iter().chain([(role, Vec::new())]) {
        let keys: Vec<_> = keys.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        all.push(request(&caller, "s3:GetObject", object, &keys));
        all.push(request(&caller, "s3:GetBucketAcl", BUCKET, &keys));
        for upload in uploads {
            all.push(request(&caller, "s3:PutObject", object, &[&keys, upload].concat()));
        }
        if caller.ends_with(".amazonaws.com") {
            for upload in [&[(ALGORITHM, "AES256")], &[(ALGORITHM, "aws:kms")]] {
                all.push(request(&caller, "s3:PutObject", object, &[&keys, &upload[..]].concat()));
            }
        }
    }
    all
}

/// True if a control does not fail any more, except for another key with the same material. Its
/// policy is not the one that was remedied. Facts that could not be read are still unread.
fn is_remedied(case: &Case, after: &Outcome) -> bool {
    let is_of_related = |it: &Evidence| matches!(it, Evidence::OfRelatedKey { .. });
    match after {
        Outcome::Passed(_) => true,
        Outcome::Undetermined(_) => case.key.as_ref().is_some_and(WaysIn::is_unread),
        Outcome::Failed { evidence, .. } => evidence.iter().all(is_of_related),
        Outcome::NotApplicable(_) => false,
    }
}

/// Applies the remedies of the failing cases of a control. Returns the number of policies that were
/// offered, by the way in which they were.
fn check(slug: &str) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for case in Case::all(slug).into_iter().filter(|case| case.expect.starts_with("failed")) {
        let Outcome::Failed { evidence, .. } = case.judged(slug, &case.policy) else {
            panic!("{}", case.case)
        };
        let remedy = remedy(slug, &case, &evidence);
        if evidence.iter().all(Evidence::is_refused) {
            assert!(remedy.statement.is_none(), "{}: {remedy:?}", case.case);
            assert!(remedy.words.contains(" in place of "), "{}: {remedy:?}", case.case);
            continue;
        }
        let policy: Policy = case.policy.to_string().parse().unwrap();
        let (keep, allow) = if slug.starts_with("key-") {
            (of_key(&policy), Vec::new())
        } else {
            let allow =
                json!({ "Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*" });
            (of_bucket(&policy), vec![allow])
        };
        for (offer, policy) in remedied(&case.policy, &remedy) {
            let after = case.judged(slug, &policy);
            assert!(is_remedied(&case, &after), "{}: {offer}: {after:?}: {policy}", case.case);
            let old = [statements(&case.policy), allow.clone()].concat();
            let new = [policy["Statement"].as_array().unwrap().clone(), allow.clone()].concat();
            let (old, new) = (SecondOpinion::new(&old), SecondOpinion::new(&new));
            for request in keep.iter().filter(|request| old.allows(request)) {
                let is_said = remedy.words.contains("no longer");
                assert!(
                    new.allows(request) || (offer == "statement" && is_said),
                    "{}: {offer} refuses {request:?}: {policy}",
                    case.case
                );
            }
            *counts.entry(offer).or_default() += 1;
        }
    }
    counts
}

#[test]
fn key_used_only_via_s3() {
    let counts = check("key-used-only-via-s3");
    println!("{counts:?}");
    assert!(counts["statement"] > 20 && counts["replacements"] > 20, "{counts:?}");
}

#[test]
fn key_policy_closed() {
    println!("{:?}", check("key-policy-closed"));
}

#[test]
fn tls_only() {
    println!("{:?}", check("tls-only"));
}

#[test]
fn uploads_use_cmk() {
    println!("{:?}", check("uploads-use-cmk"));
}

#[test]
fn ssec_blocked() {
    println!("{:?}", check("ssec-blocked"));
}
