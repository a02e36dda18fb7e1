//! Policies of a key as people write them, and worse. They have few principals, keys and values, so
//! that statements affect each other.

use iam_policy::{Given, Pattern, Policy, Request};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The key that the policies are attached to.
pub(crate) const KEY: &str = "arn:aws:kms:us-east-1:111111111111:key/1234";
pub(crate) const ROLE: &str = "arn:aws:iam::111111111111:role/app";
pub(crate) const OTHER_ROLE: &str = "arn:aws:iam::222222222222:role/app";
pub(crate) const S3: &str = "s3.us-east-1.amazonaws.com";
pub(crate) const EC2: &str = "ec2.us-east-1.amazonaws.com";

/// Returns requests for an operation: called directly, and called by a service other than S3.
pub(crate) fn requests(action: &str) -> [Request; 2] {
    let s3 = Pattern::wildcard("s3.*.amazonaws.com");
    [Given::absent(), Given::unlike([s3])]
        .map(|via| Request::new(action, KEY).with("kms:ViaService", via))
}

/// Returns the text of a policy with these statements.
pub(crate) fn text(statements: &[Value]) -> String {
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

pub(crate) fn policy(statements: &[Value]) -> Policy {
    text(statements).parse().unwrap()
}

fn one_of(values: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let one = proptest::sample::select(values).prop_map(|value| json!(value));
    let many = proptest::sample::subsequence(values, 1..=2).prop_map(|values| json!(values));
    prop_oneof![3 => one, 1 => many]
}

/// Generates `Principal` or `NotPrincipal`. The latter has no accounts, because an account there
/// means its root user.
fn principal() -> impl Strategy<Value = (&'static str, Value)> {
    let aws = one_of(&["*", "arn:aws:iam::111111111111:root", "222222222222", ROLE, OTHER_ROLE]);
    let except = one_of(&["*", ROLE, OTHER_ROLE]);
    prop_oneof![
        8 => aws.prop_map(|aws| ("Principal", json!({ "AWS": aws }))),
        1 => Just(("Principal", json!("*"))),
        1 => except.prop_map(|aws| ("NotPrincipal", json!({ "AWS": aws }))),
    ]
}

const EXACT: [&str; 4] =
    ["StringEquals", "StringNotEquals", "StringEqualsIfExists", "StringNotEqualsIfExists"];
const LIKE: [&str; 4] =
    ["StringLike", "StringNotLike", "StringLikeIfExists", "StringNotLikeIfExists"];

/// Generates a condition. The values of exact operators have no wildcards, because iam-rs mistakes
/// a `*` in a request for one in the policy.
fn condition() -> impl Strategy<Value = (&'static str, &'static str, Value)> {
    let text = || proptest::sample::select(&EXACT[..]);
    let like = || proptest::sample::select(&LIKE[..]);
    prop_oneof![
        (text(), Just("kms:ViaService"), one_of(&[S3, EC2])),
        (
            like(),
            Just("kms:ViaService"),
            one_of(&[S3, EC2, "s3.*.amazonaws.com", "*.us-east-1.amazonaws.com", "*"])
        ),
        (text(), Just("kms:CallerAccount"), one_of(&["111111111111", "222222222222"])),
        (text(), Just("aws:PrincipalOrgID"), one_of(&["o-1", "o-2"])),
        (
            Just("Null"),
            proptest::sample::select(&["kms:ViaService", "aws:PrincipalOrgID"]),
            proptest::sample::select(&["true", "false"]).prop_map(|value| json!(value))
        ),
        (
            proptest::sample::select(&["ForAllValues:StringEquals", "ForAnyValue:StringLike"]),
            Just("kms:ViaService"),
            one_of(&[S3, EC2])
        ),
    ]
}

/// Generates a statement with one of these effects.
pub(crate) fn statement(effect: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let actions = one_of(&["kms:Decrypt", "kms:*", "*", "KMS:decr*", "kms:Encrypt"]);
    let parts = (
        proptest::sample::select(effect),
        principal(),
        actions,
        proptest::collection::vec(condition(), 0..3),
    );
    (parts, prop::bool::weighted(0.1)).prop_map(
        |((effect, principal, actions, conditions), not_action)| {
            let mut block = json!({});
            for (operator, key, values) in conditions {
                block[operator][key] = values;
            }
            let mut statement = json!({ "Effect": effect, "Resource": "*", "Condition": block });
            statement[principal.0] = principal.1;
            statement[if not_action { "NotAction" } else { "Action" }] = actions;
            statement
        },
    )
}

pub(crate) fn statements() -> impl Strategy<Value = Vec<Value>> {
    proptest::collection::vec(statement(&["Allow", "Deny"]), 1..5)
}
