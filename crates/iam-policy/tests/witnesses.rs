//! Examples of requests, as the analysis finds them.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may stop at the first thing that is not as expected"
)]

use iam_policy::{Given, Pattern, Policy, Request};
use serde_json::{Value, json};

const KEY: &str = "arn:aws:kms:eu-west-1:111111111111:key/1234";

fn policy(statements: &Value) -> Policy {
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string().parse().unwrap()
}

/// Returns the example of a request that a statement for everyone with this condition allows.
fn allowed(condition: &Value) -> Option<String> {
    let policy = policy(&json!({
        "Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*", "Condition": condition,
    }));
    let requests = [Request::new("kms:Decrypt", KEY)];
    let grants = policy.allowed(&requests).unwrap();
    let witnesses = policy.witnesses(&requests, &[grants.iter().collect()]);
    witnesses[0].as_ref().map(ToString::to_string)
}

#[test]
fn an_example_meets_the_condition_of_an_allow() {
    const ROLE: &str = "arn:aws:iam::999999999999:role/example";
    for (condition, caller, more) in [
        (json!({}), ROLE, ""),
        (
            json!({ "StringLike": { "aws:PrincipalOrgID": "o-ab*" } }),
            ROLE,
            " with aws:PrincipalOrgID o-abexample",
        ),
        (
            json!({ "NotIpAddress": { "aws:SourceIp": ["203.0.113.0/24", "10.0.0.0/8"] }, "Null": { "aws:SourceIp": "false" } }),
            ROLE,
            " with aws:SourceIp 198.51.100.10",
        ),
        (
            json!({ "NumericGreaterThan": { "aws:MultiFactorAuthAge": "100" } }),
            ROLE,
            " with aws:MultiFactorAuthAge 101",
        ),
        (
            json!({ "DateGreaterThan": { "aws:CurrentTime": "2026-06-01T00:00:00Z" } }),
            ROLE,
            " with aws:CurrentTime 2026-06-02T00:00:00Z",
        ),
        (
            json!({ "StringEquals": { "aws:PrincipalOrgID": "o-abcdefghij" }, "ForAnyValue:StringLike": { "aws:PrincipalOrgPaths": "o-*/r-cd34/*" } }),
            ROLE,
            " with aws:PrincipalOrgID o-abcdefghij, aws:PrincipalOrgPaths o-abcdefghij/r-cd34/example",
        ),
        (json!({ "Null": { "aws:PrincipalOrgID": "true" } }), ROLE, " without aws:PrincipalOrgID"),
        (
            json!({ "ArnLike": { "aws:PrincipalArn": "arn:aws:iam::*:role/admin-*" } }),
            "arn:aws:iam::999999999999:role/admin-example",
            " with aws:PrincipalArn arn:aws:iam::999999999999:role/admin-example",
        ),
        (
            json!({ "StringEquals": { "aws:PrincipalType": "User" } }),
            "arn:aws:iam::999999999999:user/example",
            " with aws:PrincipalType User",
        ),
        (
            json!({ "StringEquals": { "aws:username": "ann" } }),
            "arn:aws:iam::999999999999:user/ann",
            " with aws:username ann",
        ),
        (
            json!({ "StringEquals": { "aws:PrincipalTag/team": "${aws:ResourceTag/team}" } }),
            ROLE,
            " with aws:PrincipalTag/team example, aws:ResourceTag/team example",
        ),
        (
            json!({ "ForAnyValue:StringEquals": { "aws:TagKeys": "a" }, "ForAnyValue:StringNotEquals": { "aws:TagKeys": "a" } }),
            ROLE,
            " with aws:TagKeys a+example",
        ),
    ] {
        let expected = format!("{caller} calls kms:Decrypt on {KEY}{more}");
        assert_eq!(allowed(&condition), Some(expected), "{condition}");
    }
}

#[test]
fn a_long_list_of_accounts_is_analysed() {
    let accounts: Vec<_> = (0..300)
        .map(|number| format!("arn:aws:iam::{}:role/*", 200_000_000_000_u64 + number))
        .collect();
    let found = allowed(&json!({ "ArnLike": { "aws:PrincipalArn": accounts } })).unwrap();
    assert!(found.starts_with("arn:aws:iam::200000000000:role/example calls"), "{found}");
}

#[test]
fn no_example_is_found_if_there_is_none() {
    for condition in [
        json!({ "IpAddress": { "aws:SourceIp": "10.0.0.0/8" }, "NotIpAddress": { "aws:SourceIp": "10.0.0.0/8" } }),
        json!({ "StringEquals": { "aws:PrincipalType": "User", "aws:PrincipalArn": "arn:aws:iam::222222222222:role/a" } }),
        json!({ "StringEquals": { "kms:CallerAccount": [] } }),
        json!({ "StringEquals": { "aws:PrincipalOrgID": "o-1" }, "ForAnyValue:StringLike": { "aws:PrincipalOrgPaths": "o-2/*" } }),
    ] {
        assert_eq!(allowed(&condition), None, "{condition}");
    }
}

/// Returns the example of a request for an object over plain HTTP that no Deny refuses.
fn unrefused(deny: &Value) -> Option<String> {
    let mut statement =
        json!({ "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*" });
    for (element, value) in deny.as_object().unwrap() {
        if let Some(element) = element.strip_prefix("Not") {
            statement.as_object_mut().unwrap().remove(element);
        }
        statement[element] = value.clone();
    }
    let request = Request::new("s3:*", "arn:aws:s3:::acme/?*")
        .such_as(&["s3:GetObject", "s3:PutObject"])
        .preferably_by("111111111111")
        .with("s3:x-amz-acl", Given::like(Pattern::wildcard("*")).such_as(["private"]));
    let gap = policy(&statement).gaps(&[request]).unwrap().pop().unwrap();
    gap.map(|gap| gap.witness.map_or_else(|| "not found".to_owned(), |it| it.to_string()))
}

#[test]
fn an_example_is_what_a_deny_leaves() {
    const ROLE: &str = "arn:aws:iam::111111111111:role/example";
    for (deny, caller, call, more) in [
        (
            json!({ "Resource": "arn:aws:s3:::acme/in/*" }),
            ROLE,
            "s3:GetObject on arn:aws:s3:::acme/example",
            "",
        ),
        (
            json!({ "NotResource": "arn:aws:s3:::acme/public/*" }),
            ROLE,
            "s3:GetObject on arn:aws:s3:::acme/public/example",
            "",
        ),
        (json!({ "Action": "s3:Get*" }), ROLE, "s3:PutObject on arn:aws:s3:::acme/example", ""),
        (
            json!({ "Principal": { "AWS": "111111111111" } }),
            "arn:aws:iam::999999999999:role/example",
            "s3:GetObject on arn:aws:s3:::acme/example",
            "",
        ),
        (
            json!({ "Condition": { "Null": { "aws:PrincipalArn": "false" } } }),
            "an anonymous caller",
            "s3:GetObject on arn:aws:s3:::acme/example",
            " without aws:PrincipalArn",
        ),
        (
            json!({ "Condition": { "StringNotEquals": { "s3:x-amz-acl": "bucket-owner-full-control" } } }),
            ROLE,
            "s3:GetObject on arn:aws:s3:::acme/example",
            " with s3:x-amz-acl bucket-owner-full-control",
        ),
    ] {
        let acl = if more.contains("s3:x-amz-acl") { "" } else { " with s3:x-amz-acl private" };
        let expected = format!("{caller} calls {call}{acl}{more}");
        assert_eq!(unrefused(&deny), Some(expected), "{deny}");
    }
    assert_eq!(unrefused(&json!({})), None);
}
