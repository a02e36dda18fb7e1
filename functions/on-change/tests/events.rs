//! Tests which bucket a message is about: the shapes of CloudTrail records that are accepted, and
//! those that must not be.
//!
//! `records/` holds a record of each shape, with the expected outcome.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of a test may stop it as the test may"
)]

use on_change::{BUCKET_CALLS, ChangeError, ChangeMessage, KEY_CALLS, parse};
use proptest::prelude::*;
use queue::{Purpose, Revisit, Visit};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// An event with a record. The fields that every event of S3 has are filled in.
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
        ChangeMessage::Buckets(Revisit { purpose: Purpose::Evaluate, visits }) => {
            visits.into_iter().next().unwrap()
        }
        other => panic!("{event}: {other:?}"),
    }
}

/// Returns the outcome of a message, in the words of `records/`.
fn outcome(body: &str) -> Value {
    let calls = |api_calls: &[findings::ApiCall]| {
        let [call] = api_calls else { panic!("{api_calls:?}") };
        (json!(call.principal), json!(call.invoked_by))
    };
    match parse(body) {
        Ok(ChangeMessage::NoneOfOurs) => json!({ "ignored": true }),
        Ok(ChangeMessage::Account(change)) => json!({ "account": change.account.as_str() }),
        Ok(ChangeMessage::Buckets(Revisit { purpose: Purpose::Evaluate, visits })) => {
            let [visit] = visits.as_slice() else { panic!("{visits:?}") };
            let (by, through) = calls(&visit.api_calls);
            json!({ "bucket": visit.bucket.to_string(), "changed_by": by, "invoked_by": through })
        }
        Ok(ChangeMessage::Key(change)) => {
            let (by, through) = calls(&change.api_calls);
            let mut outcome = json!({ "key": change.users.subject.as_str(), "changed_by": by, "invoked_by": through });
            if change.concerns_related {
                outcome["concerns_related"] = json!(true);
            }
            outcome
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

#[test]
fn each_shape_of_a_record_leads_to_its_bucket_or_key_and_its_caller() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records");
    let mut count = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let case: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let (found, expected) = (outcome(&case["event"].to_string()), &case["expected"]);
        match expected["error"].as_str() {
            Some(words) => {
                assert!(
                    found["error"].as_str().is_some_and(|error| error.contains(words)),
                    "{path:?}: {found}"
                )
            }
            None => assert_eq!(&found, expected, "{path:?}"),
        }
        count += 1;
    }
    assert!(count > 40, "{count} records");
}

#[test]
fn a_bucket_name_from_before_2018_is_valid_in_us_east_1() {
    let record =
        json!({ "awsRegion": "us-east-1", "requestParameters": { "bucketName": "Acme_Data" } });
    let bucket = change(&event("PutBucketEncryption", record)).bucket;
    assert_eq!(bucket.to_string(), "111111111111/us-east-1/Acme_Data");
}

#[test]
fn a_call_without_a_named_identity_has_no_caller() {
    for identity in [
        Value::Null,
        json!({}),
        json!({ "type": "Unknown" }),
        json!({ "arn": " ", "principalId": "" }),
    ] {
        let record =
            json!({ "userIdentity": identity, "requestParameters": { "bucketName": "acme" } });
        let api_call = change(&event("PutBucketEncryption", record)).api_calls.remove(0);
        assert_eq!((api_call.principal, api_call.invoked_by), (None, None), "{identity}");
    }
}

#[test]
fn unrelated_events_are_ignored() {
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
    ] {
        assert_eq!(parse(&event.to_string()).unwrap(), ChangeMessage::NoneOfOurs, "{event}");
    }
}

#[test]
fn every_bucket_call_is_understood() {
    for call in BUCKET_CALLS {
        change(&event(call, json!({ "resources": [{ "ARN": "arn:aws:s3:::acme" }] })));
    }
}

const KEY: &str = "arn:aws:kms:eu-north-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab";
/// An event of KMS.
fn key_event(call: &str, record: Value) -> Value {
    let mut event = event(call, record);
    event["source"] = json!("aws.kms");
    event["detail"]["eventSource"] = json!("kms.amazonaws.com");
    event
}

fn subject(event: &Value) -> Option<String> {
    match parse(&event.to_string()).unwrap() {
        ChangeMessage::Key(change) => Some(change.users.subject.as_str().to_owned()),
        _ => None,
    }
}

#[test]
fn a_kms_event_without_a_key_is_an_error_and_one_that_changes_no_key_is_dropped() {
    for call in KEY_CALLS {
        assert!(
            matches!(
                parse(&key_event(call, json!({})).to_string()),
                Err(ChangeError::Lacks { .. })
            ),
            "{call}"
        );
    }
    let broken = key_event(
        "DisableKey",
        json!({ "requestParameters": { "keyId": "1" }, "recipientAccountId": "1" }),
    );
    assert!(matches!(parse(&broken.to_string()), Err(ChangeError::Malformed { .. })));
    for call in ["Decrypt", "PutBucketEncryption"] {
        assert_eq!(
            subject(&key_event(call, json!({ "resources": [{ "ARN": KEY }] }))),
            None,
            "{call}"
        );
    }
    let failed = key_event(
        "DisableKey",
        json!({ "errorCode": "AccessDenied", "resources": [{ "ARN": KEY }] }),
    );
    assert_eq!(subject(&failed), None);
}

#[test]
fn a_request_to_evaluate_buckets_is_read() {
    let body = json!({
        "source": "cmkwatch", "detail-type": "Buckets To Be Evaluated",
        "detail": { "account": "111111111111", "region": "us-east-1", "buckets": [{"bucket": "acme"}, {"bucket": "other"}] },
    });
    let ChangeMessage::Buckets(revisit) = parse(&body.to_string()).unwrap() else { panic!() };
    let buckets: Vec<_> = revisit.visits.iter().map(|visit| visit.bucket.to_string()).collect();
    assert_eq!(buckets, ["111111111111/us-east-1/acme", "111111111111/us-east-1/other"]);
    let broken = body.to_string().replace("us-east-1", "x");
    assert!(matches!(parse(&broken), Err(ChangeError::NoRequest(_))));
}

#[test]
fn a_message_that_cannot_be_understood_is_an_error() {
    for body in ["", "{", "null", "[]", "\"text\"", "{\"source\":\"aws.s3\"}", "\u{0}"] {
        assert!(matches!(parse(body).unwrap_err(), ChangeError::NoEvent(_)), "{body:?}");
    }
    let named = |name: &str| json!({ "requestParameters": { "bucketName": name } });
    let lacking = [
        event("PutBucketEncryption", json!({})),
        event("PutBucketEncryption", named("")),
        event("PutBucketEncryption", named(" ")),
        event("PutBucketEncryption", json!({ "requestParameters": [] })),
    ];
    for event in lacking {
        assert!(
            matches!(parse(&event.to_string()).unwrap_err(), ChangeError::Lacks { .. }),
            "{event}"
        );
    }
    let malformed = [
        event("PutBucketEncryption", named("../etc")),
        event("PutBucketEncryption", json!({ "requestParameters": { "bucketName": 5 } })),
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
        assert!(
            matches!(parse(&event.to_string()).unwrap_err(), ChangeError::Malformed { .. }),
            "{event}"
        );
    }
}

/// Generates arbitrary JSON, biased towards the names that the parser looks at.
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
            proptest::collection::vec((name.clone(), inner), 0..8).prop_map(|pairs| pairs
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    #[test]
    fn the_parser_does_not_panic_on_arbitrary_text(body in "\\PC*") {
        let _ = parse(&body);
    }

    #[test]
    fn the_parser_does_not_panic_on_arbitrary_records(record in any_json(), field in "requestParameters|resources|userIdentity|errorCode|awsRegion") {
        let mut event = event("PutBucketEncryption", json!({ "requestParameters": { "bucketName": "acme" } }));
        event["detail"][field] = record;
        if let Ok(ChangeMessage::Buckets(revisit)) = parse(&event.to_string()) {
            prop_assert_eq!(revisit.visits[0].bucket.account().as_str().len(), 12);
        }
    }

    #[test]
    fn the_parser_does_not_panic_on_arbitrary_events(event in any_json()) {
        let _ = parse(&event.to_string());
    }
}
