//! Generates policies from a few words that are related to each other, and from any text in their
//! place.

use arbitrary::{Result, Unstructured};
use iam_policy::{Given, Pattern, Policy, Request};
use serde_json::{Value, json};

const PRINCIPALS: [&str; 9] = [
    "*",
    "111111111111",
    "arn:aws:iam::111111111111:root",
    "arn:aws:iam::111111111111:role/app",
    "arn:aws:sts::111111111111:assumed-role/app/me",
    "222222222222",
    "arn:aws:iam::222222222222:user/ann",
    "AROAEXAMPLEEXAMPLE",
    "s3.amazonaws.com",
];
const ACTIONS: [&str; 8] =
    ["*", "kms:*", "kms:Decrypt", "kms:De*", "s3:*", "s3:PutObject", "s3:?et*", "kms:"];
const RESOURCES: [&str; 8] = [
    "*",
    "arn:aws:s3:::acme",
    "arn:aws:s3:::acme/*",
    "arn:aws:s3:::acme/in/*",
    "arn:aws:s3:::*/${aws:username}",
    "arn:aws:kms:*:*:key/*",
    "arn:*acme",
    "arn:aws:s3:::ac?e*",
];
const OPERATORS: [&str; 16] = [
    "StringEquals",
    "StringNotEquals",
    "StringLike",
    "StringNotLikeIfExists",
    "StringEqualsIgnoreCase",
    "ArnLike",
    "ArnNotEqualsIfExists",
    "Bool",
    "Null",
    "NumericLessThan",
    "DateGreaterThan",
    "IpAddress",
    "BinaryEquals",
    "ForAllValues:StringLike",
    "ForAnyValue:StringNotEquals",
    "ForAnyValue:ArnLikeIfExists",
];
const KEYS: [&str; 9] = [
    "kms:ViaService",
    "kms:CallerAccount",
    "aws:PrincipalArn",
    "aws:PrincipalAccount",
    "aws:SecureTransport",
    "aws:PrincipalOrgID",
    "aws:TagKeys",
    "s3:x-amz-server-side-encryption",
    "aws:PrincipalIsAWSService",
];
const VALUES: [&str; 12] = [
    "s3.us-east-1.amazonaws.com",
    "s3.*.amazonaws.com",
    "*",
    "true",
    "false",
    "111111111111",
    "222222222222",
    "o-1",
    "arn:aws:iam::111111111111:role/app",
    "arn:aws:iam::*:role/*",
    "${aws:username}",
    "1.2",
];

/// Generates a word of the list, or any text.
fn word(u: &mut Unstructured<'_>, words: &[&str]) -> Result<String> {
    Ok(if u.ratio(1, 8)? {
        u.arbitrary::<&str>()?.chars().take(300).collect()
    } else {
        (*u.choose(words)?).to_owned()
    })
}

fn words(u: &mut Unstructured<'_>, from: &[&str]) -> Result<Value> {
    let number = u.int_in_range(0..=3)?;
    if number == 0 {
        Ok(json!(word(u, from)?))
    } else {
        (0..number).map(|_| Ok(json!(word(u, from)?))).collect()
    }
}

fn statement(u: &mut Unstructured<'_>) -> Result<Value> {
    let mut conditions = json!({});
    for _ in 0..u.int_in_range(0..=3)? {
        conditions[word(u, &OPERATORS)?][word(u, &KEYS)?] = words(u, &VALUES)?;
    }
    let kind = if u.ratio(1, 8)? { "Service" } else { "AWS" };
    let mut statement = json!({ "Effect": u.choose(&["Allow", "Deny"])?, "Condition": conditions });
    statement[*u.choose(&["Principal", "Principal", "NotPrincipal"])?] =
        json!({ kind: words(u, &PRINCIPALS)? });
    statement[*u.choose(&["Action", "Action", "NotAction"])?] = words(u, &ACTIONS)?;
    statement[*u.choose(&["Resource", "Resource", "NotResource"])?] = words(u, &RESOURCES)?;
    Ok(statement)
}

/// Generates a text that is a policy most of the time.
pub fn text(u: &mut Unstructured<'_>) -> Result<String> {
    let statements =
        (0..u.int_in_range(1..=12)?).map(|_| statement(u)).collect::<Result<Vec<_>>>()?;
    Ok(json!({ "Version": u.choose(&["2012-10-17", "2008-10-17"])?, "Statement": statements })
        .to_string())
}

/// Returns the policy with one more statement, which refuses everything.
pub fn closed(text: &str) -> Policy {
    let mut policy: Value = serde_json::from_str(text).unwrap();
    let refuse = json!({ "Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*" });
    policy["Statement"].as_array_mut().unwrap().push(refuse);
    policy.to_string().parse().unwrap()
}

/// Returns requests like those that the controls ask about.
pub fn requests() -> Vec<Request> {
    let key = "arn:aws:kms:us-east-1:111111111111:key/1234";
    let via = [
        Given::absent(),
        Given::unlike([Pattern::wildcard("s3.*.amazonaws.com")]),
        Given::text("x").or_absent(),
    ];
    let mut requests: Vec<_> =
        via.map(|via| Request::new("kms:Decrypt", key).with("kms:ViaService", via)).into();
    for resource in ["arn:aws:s3:::acme", "arn:aws:s3:::acme/?*"] {
        requests
            .push(Request::new("s3:*", resource).with("aws:SecureTransport", Given::text("false")));
    }
    requests
}
