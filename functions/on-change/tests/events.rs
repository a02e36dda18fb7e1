//! Which bucket a message is about: the shapes in which CloudTrail records come, and those in which they must not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test may stop it as the test may")]

use on_change::{CALLS, Change, EventError, Message, parse};
use proptest::prelude::*;
use serde_json::{Value, json};

/// An event with a record; what every one of our events has is filled in.
fn event(call: &str, record: Value) -> Value {
    let mut detail = json!({
        "eventVersion": "1.11", "eventSource": "s3.amazonaws.com", "eventName": call, "awsRegion": "eu-north-1",
        "eventID": "b8a1", "eventTime": "2026-11-01T10:00:00Z", "recipientAccountId": "111111111111",
        "userIdentity": { "type": "AssumedRole", "arn": "arn:aws:sts::111111111111:assumed-role/Admin/jane" },
    });
    let fields = detail.as_object_mut().unwrap();
    fields.extend(record.as_object().unwrap().clone());
    json!({
        "version": "0", "id": "e1", "detail-type": "AWS API Call via CloudTrail", "source": "aws.s3",
        "account": "111111111111", "time": "2026-11-01T10:00:01Z", "region": "eu-north-1", "resources": [],
        "detail": detail,
    })
}

fn change(event: &Value) -> Change {
    match parse(&event.to_string()).unwrap() {
        Message::Change(change) => change,
        Message::NoneOfOurs => panic!("{event}"),
    }
}

fn place(event: &Value) -> String {
    change(event).bucket.to_string()
}

#[test]
fn the_shapes_that_records_come_in() {
    let owner = json!([{ "accountId": "222222222222", "type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::acme" }]);
    for (call, record, expected) in [
        // CreateBucket has no resources; the constraint is where the bucket lies.
        (
            "CreateBucket",
            json!({ "requestParameters": {
                "CreateBucketConfiguration": { "LocationConstraint": "ap-south-2", "xmlns": "x" },
                "bucketName": "acme", "Host": "acme.s3.amazonaws.com" } }),
            "111111111111/ap-south-2/acme",
        ),
        (
            "CreateBucket",
            json!({ "awsRegion": "eu-west-1", "requestParameters": {
                "CreateBucketConfiguration": { "LocationConstraint": "EU" }, "bucketName": "acme" } }),
            "111111111111/eu-west-1/acme",
        ),
        // By CloudFormation in us-east-1: no configuration.
        (
            "CreateBucket",
            json!({ "awsRegion": "us-east-1", "requestParameters": { "bucketName": "acme", "x-amz-acl": "private" },
                "userIdentity": { "type": "AWSService", "invokedBy": "cloudformation.amazonaws.com" } }),
            "111111111111/us-east-1/acme",
        ),
        // The owner is the account of the resource, whoever received the record.
        (
            "DeleteBucketEncryption",
            json!({ "requestParameters": { "bucketName": "acme", "encryption": "" }, "resources": owner }),
            "222222222222/eu-north-1/acme",
        ),
        // The sub-resource and the host come in older forms; the policy is an object.
        (
            "PutBucketPolicy",
            json!({ "requestParameters": { "bucketName": "acme", "policy": [""], "host": ["s3.amazonaws.com"],
                "bucketPolicy": { "Version": "2012-10-17", "Statement": [] } } }),
            "111111111111/eu-north-1/acme",
        ),
        // Without parameters the resource tells.
        ("DeleteBucket", json!({ "requestParameters": null, "resources": owner }), "222222222222/eu-north-1/acme"),
        // Tagging by S3 Control.
        (
            "TagResource",
            json!({ "requestParameters": { "resourceArn": "arn:aws:s3:::acme" } }),
            "111111111111/eu-north-1/acme",
        ),
        // A null error code is none.
        (
            "PutBucketTagging",
            json!({ "errorCode": null, "requestParameters": { "bucketName": "acme" } }),
            "111111111111/eu-north-1/acme",
        ),
        // A name of before 2018, in the one region that has such.
        (
            "PutBucketEncryption",
            json!({ "awsRegion": "us-east-1", "requestParameters": { "bucketName": "Acme_Data" } }),
            "111111111111/us-east-1/Acme_Data",
        ),
    ] {
        assert_eq!(place(&event(call, record.clone())), expected, "{call} {record}");
    }
}

#[test]
fn the_actor_is_told_as_far_as_the_record_does() {
    let of = |identity: Value| {
        let record = json!({ "userIdentity": identity, "requestParameters": { "bucketName": "acme" } });
        change(&event("PutBucketEncryption", record)).actor
    };
    let actor = of(json!({ "type": "IAMUser", "arn": "arn:aws:iam::111111111111:user/jane" }));
    assert_eq!(actor.principal.as_deref(), Some("arn:aws:iam::111111111111:user/jane"));
    assert_eq!((actor.event_name.as_str(), actor.event_id.as_deref()), ("PutBucketEncryption", Some("b8a1")));
    let service = of(json!({ "invokedBy": "cloudformation.amazonaws.com" }));
    assert_eq!(service.principal.as_deref(), Some("cloudformation.amazonaws.com"));
    assert_eq!(of(Value::Null).principal, None);
}

#[test]
fn what_is_not_ours_is_not() {
    let named = json!({ "requestParameters": { "bucketName": "acme" } });
    let with = |pointer: &str, value: Value| {
        let mut event = event("PutBucketEncryption", named.clone());
        *event.pointer_mut(pointer).unwrap() = value;
        event
    };
    for event in [
        event("GetBucketEncryption", named.clone()),
        event(
            "PutBucketEncryption",
            json!({ "errorCode": "AccessDenied", "requestParameters": { "bucketName": "acme" } }),
        ),
        with("/source", json!("aws.ec2")),
        with("/source", json!("my.own")),
        with("/detail-type", json!("Object Created")),
        with("/detail/eventSource", json!("s3express.amazonaws.com")),
        with("/detail", json!("a text")),
        with("/detail", json!(null)),
        event(
            "TagResource",
            json!({ "requestParameters": { "resourceArn": "arn:aws:s3:eu-north-1:111111111111:accesspoint/a" } }),
        ),
    ] {
        assert_eq!(parse(&event.to_string()).unwrap(), Message::NoneOfOurs, "{event}");
    }
}

#[test]
fn every_call_of_ours_is_understood() {
    for call in CALLS {
        change(&event(call, json!({ "requestParameters": { "bucketName": "acme" } })));
    }
}

#[test]
fn what_cannot_be_understood_is_an_error_and_no_bucket() {
    for body in ["", "{", "null", "[]", "\"text\"", "{\"source\":\"aws.s3\"}", "\u{0}"] {
        assert!(matches!(parse(body).unwrap_err(), EventError::NoEvent(_)), "{body:?}");
    }
    let lacking = [
        event("PutBucketEncryption", json!({})),
        event("PutBucketEncryption", json!({ "requestParameters": { "bucketName": 5 } })),
        event("PutBucketEncryption", json!({ "requestParameters": [] })),
    ];
    for event in lacking {
        assert!(matches!(parse(&event.to_string()).unwrap_err(), EventError::Lacks { .. }), "{event}");
    }
    let named = |name: &str| json!({ "requestParameters": { "bucketName": name } });
    let malformed = [
        event("PutBucketEncryption", named("../etc")),
        event("PutBucketEncryption", named("")),
        event("PutBucketEncryption", named("acme\n")),
        event("PutBucketEncryption", named("Acme_Data")),
        event(
            "PutBucketEncryption",
            json!({ "requestParameters": { "bucketName": "acme" }, "recipientAccountId": "1" }),
        ),
        event(
            "PutBucketEncryption",
            json!({ "requestParameters": { "bucketName": "acme" }, "recipientAccountId": "11111111111x" }),
        ),
        event(
            "PutBucketEncryption",
            json!({ "requestParameters": { "bucketName": "acme" }, "awsRegion": "eu-north-1.evil.example" }),
        ),
    ];
    for event in malformed {
        assert!(matches!(parse(&event.to_string()).unwrap_err(), EventError::Malformed { .. }), "{event}");
    }
}

/// Any JSON, biased towards the names that the parser looks at.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        Just("detail"),
        Just("source"),
        Just("detail-type"),
        Just("requestParameters"),
        Just("bucketName"),
        Just("resources"),
        Just("ARN"),
        Just("accountId"),
        Just("awsRegion"),
        Just("userIdentity"),
        Just("eventName"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC*".prop_map(Value::from),
        Just(json!("PutBucketEncryption")),
        Just(json!("arn:aws:s3:::acme")),
    ];
    leaf.prop_recursive(5, 60, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((name.clone(), inner), 0..8)
                .prop_map(|pairs| pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(body in "\\PC*") {
        let _ = parse(&body);
    }

    #[test]
    fn no_record_makes_the_parser_panic(record in any_json(), field in "requestParameters|resources|userIdentity|errorCode|awsRegion") {
        let mut event = event("PutBucketEncryption", json!({ "requestParameters": { "bucketName": "acme" } }));
        event["detail"][field] = record;
        if let Ok(Message::Change(change)) = parse(&event.to_string()) {
            prop_assert_eq!(change.bucket.account().as_str().len(), 12);
        }
    }

    #[test]
    fn no_event_makes_the_parser_panic(event in any_json()) {
        let _ = parse(&event.to_string());
    }
}
