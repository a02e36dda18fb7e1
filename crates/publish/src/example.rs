//! Findings for the tests of this crate.

use controls::Severity;
use facts::BucketId;
use findings::{
    About, Compliance, Finding, ProductFields, Reason, RecordState, Resource, Workflow,
};

/// The bucket of the findings.
pub(crate) fn bucket() -> BucketId {
    BucketId::new(
        "111111111111".parse().unwrap(),
        "eu-west-1".parse().unwrap(),
        "acme".parse().unwrap(),
    )
    .unwrap()
}

/// A finding about the bucket. Each number is another control.
pub(crate) fn finding(number: usize) -> Finding {
    Finding {
        about: About::Bucket(bucket()),
        slug: format!("control-{number}").into(),
        stored_in: bucket().place(),
        title: "Buckets should be good".into(),
        description: "This one is not.".into(),
        severity: Severity::High,
        compliance: Compliance::Failed,
        reasons: vec![Reason {
            code: "KEY_STATE".into(),
            description: "key state is Disabled".into(),
        }],
        requirements: vec!["PCI DSS v4.0.1/3.5.1".into()],
        remediation: "Make it good.".into(),
        reference: "https://docs.aws.amazon.com/".into(),
        resources: vec![
            Resource::Bucket(bucket().arn()),
            Resource::Key("arn:aws:kms:eu-west-1:111111111111:key/1".parse().unwrap()),
        ],
        fingerprint: String::new(),
        product_fields: ProductFields { version: Some("0.1.0".into()), ..ProductFields::default() },
        record_state: RecordState::Archived,
        created_at: "2026-11-01T00:00:00Z".parse().unwrap(),
        first_observed_at: "2026-11-01T00:00:00Z".parse().unwrap(),
        updated_at: "2026-11-02T00:00:00.123456789Z".parse().unwrap(),
        workflow: Workflow::Notified,
    }
}
