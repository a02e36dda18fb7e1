//! Which bucket a message is about: the shapes in which CloudTrail records come, and those in which they must not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of a test may stop it as the test may"
)]

use facts::KeySubject;
use on_change::{BUCKET_CALLS, EventError, KEY_CALLS, Message, parse};
use proptest::prelude::*;
use queue::{Purpose, Revisit, Visit};
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

fn change(event: &Value) -> Visit {
    match parse(&event.to_string()).unwrap() {
        Message::Buckets(Revisit { purpose: Purpose::Evaluate, visits }) => visits.into_iter().next().unwrap(),
        other => panic!("{event}: {other:?}"),
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
        change(&event("PutBucketEncryption", record)).api_calls.remove(0)
    };
    let api_call = of(json!({ "type": "IAMUser", "arn": "arn:aws:iam::111111111111:user/jane" }));
    assert_eq!(api_call.principal.as_deref(), Some("arn:aws:iam::111111111111:user/jane"));
    assert_eq!((api_call.event_name.as_str(), api_call.event_id.as_deref()), ("PutBucketEncryption", Some("b8a1")));
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
    for call in BUCKET_CALLS {
        change(&event(call, json!({ "requestParameters": { "bucketName": "acme" } })));
    }
}

const KEY: &str = "arn:aws:kms:eu-north-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const ALIAS: &str = "arn:aws:kms:eu-north-1:111111111111:alias/acme";

/// An event of KMS.
fn key_event(call: &str, record: Value) -> Value {
    let mut event = event(call, record);
    event["source"] = json!("aws.kms");
    event["detail"]["eventSource"] = json!("kms.amazonaws.com");
    event
}

fn subject(event: &Value) -> Option<String> {
    match parse(&event.to_string()).unwrap() {
        Message::Key(change) => Some(match change.users.subject {
            KeySubject::Key(key) => key.to_string(),
            KeySubject::Alias(alias) => alias.to_string(),
        }),
        _ => None,
    }
}

#[test]
fn the_shapes_that_records_of_kms_come_in() {
    let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
    let resource = |arns: &[&str]| {
        let entry = |arn: &&str| json!({ "accountId": "111111111111", "type": "AWS::KMS::Key", "ARN": arn });
        Value::from(arns.iter().map(entry).collect::<Vec<_>>())
    };
    for (call, record, expected) in [
        ("PutKeyPolicy", json!({ "requestParameters": { "keyId": id }, "resources": resource(&[KEY]) }), KEY),
        // In 2014 a resource had no type; the answer names the key since December 2022.
        ("DisableKey", json!({ "requestParameters": { "keyId": "x" }, "resources": [{ "ARN": KEY }] }), KEY),
        ("EnableKey", json!({ "responseElements": { "keyId": KEY } }), KEY),
        ("DisableKeyRotation", json!({ "requestParameters": { "keyId": KEY } }), KEY),
        ("EnableKeyRotation", json!({ "requestParameters": { "keyId": id } }), KEY),
        // Both resources are typed as keys; the alias is what leads to buckets, by whichever spelling.
        (
            "UpdateAlias",
            json!({ "requestParameters": { "aliasName": "alias/acme", "targetKeyId": id }, "resources": resource(&[ALIAS, KEY]) }),
            ALIAS,
        ),
        ("CreateAlias", json!({ "resources": resource(&[KEY, ALIAS]) }), ALIAS),
        ("DeleteAlias", json!({ "requestParameters": { "aliasName": "alias/acme" } }), ALIAS),
    ] {
        assert_eq!(subject(&key_event(call, record.clone())).as_deref(), Some(expected), "{call} {record}");
    }
}

/// <https://docs.aws.amazon.com/kms/latest/developerguide/ct-delete-key.html>: no request, no request id, and nobody who asked.
#[test]
fn a_key_that_is_finally_deleted_is_a_service_event() {
    let mut deleted = key_event(
        "DeleteKey",
        json!({
            "eventType": "AwsServiceEvent", "requestParameters": null, "sourceIPAddress": "AWS Internal",
            "userIdentity": { "accountId": "111111111111", "invokedBy": "AWS Internal" },
            "resources": [{ "accountId": "111111111111", "type": "AWS::KMS::Key", "ARN": KEY }],
        }),
    );
    deleted["detail-type"] = json!("AWS Service Event via CloudTrail");
    assert_eq!(subject(&deleted).as_deref(), Some(KEY));
    let Message::Key(change) = parse(&deleted.to_string()).unwrap() else { panic!() };
    assert_eq!(change.api_calls[0].principal.as_deref(), Some("AWS Internal"));
}

#[test]
fn an_event_of_kms_without_a_key_is_an_error_and_one_that_changes_none_is_dropped() {
    for call in KEY_CALLS {
        assert!(matches!(parse(&key_event(call, json!({})).to_string()), Err(EventError::Lacks { .. })), "{call}");
    }
    let broken = key_event("DisableKey", json!({ "requestParameters": { "keyId": "1" }, "recipientAccountId": "1" }));
    assert!(matches!(parse(&broken.to_string()), Err(EventError::Malformed { .. })));
    for call in ["CreateKey", "Decrypt", "PutBucketEncryption"] {
        assert_eq!(subject(&key_event(call, json!({ "resources": [{ "ARN": KEY }] }))), None, "{call}");
    }
    let failed = key_event("DisableKey", json!({ "errorCode": "AccessDenied", "resources": [{ "ARN": KEY }] }));
    assert_eq!(subject(&failed), None);
}

#[test]
fn buckets_that_are_to_be_evaluated_are_read() {
    let body = json!({
        "source": "cmkwatch", "detail-type": "Buckets To Be Evaluated",
        "detail": { "account": "111111111111", "region": "us-east-1", "buckets": [{"bucket": "acme"}, {"bucket": "other"}] },
    });
    let Message::Buckets(revisit) = parse(&body.to_string()).unwrap() else { panic!() };
    let buckets: Vec<_> = revisit.visits.iter().map(|visit| visit.bucket.to_string()).collect();
    assert_eq!(buckets, ["111111111111/us-east-1/acme", "111111111111/us-east-1/other"]);
    let broken = body.to_string().replace("us-east-1", "x");
    assert!(matches!(parse(&broken), Err(EventError::NoRequest(_))));
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
        if let Ok(Message::Buckets(revisit)) = parse(&event.to_string()) {
            prop_assert_eq!(revisit.visits[0].bucket.account().as_str().len(), 12);
        }
    }

    #[test]
    fn no_event_makes_the_parser_panic(event in any_json()) {
        let _ = parse(&event.to_string());
    }
}
