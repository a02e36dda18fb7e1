//! The control `tls-only`: the bucket policy refuses every request without TLS.
//!
//! [`aws:SecureTransport`](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-securetransport)
//! is in every request, and false in a request over plain HTTP. The policy must refuse every S3
//! action by every caller, on the bucket and on each of its objects. A condition on `s3:TlsVersion`
//! alone is not enough. A request without TLS has no version, and a comparison with an absent value
//! is false.

use crate::{
    BucketPolicyVerdict, Class, Control, Evidence, Level, Outcome, ProbedRequest, Rule, Severity,
    Subject, call,
    control::{decided, policy_of},
    s3_actions,
    unrefused::{self, Owned},
};
use facts::Bucket;
use iam_policy::{Given, Policy, Request};
use serde_json::{Value, json};

/// The control `tls-only`.
pub(crate) const TLS_ONLY: Control = Control {
    slug: "tls-only",
    level: Level::Enforced,
    severity: Severity::Medium,
    title: "S3 bucket policies should refuse requests without TLS",
    holds_when: "the bucket policy refuses every request without TLS",
    why: "Over plain HTTP, anybody on the network path can read and change objects and signed \
          requests, however they are encrypted at rest.",
    reference: "https://docs.aws.amazon.com/securityhub/latest/userguide/s3-controls.html#s3-5",
    requirements: &[
        "CIS AWS Foundations Benchmark v5.0.0/2.1.1",
        "CIS AWS Foundations Benchmark v3.0.0/2.1.1",
        "CIS AWS Foundations Benchmark v1.4.0/2.1.2",
        "NIST.800-53.r5 AC-17(2)",
        "NIST.800-53.r5 AC-4",
        "NIST.800-53.r5 IA-5(1)",
        "NIST.800-53.r5 SC-12(3)",
        "NIST.800-53.r5 SC-13",
        "NIST.800-53.r5 SC-23",
        "NIST.800-53.r5 SC-23(3)",
        "NIST.800-53.r5 SC-7(4)",
        "NIST.800-53.r5 SC-8",
        "NIST.800-53.r5 SC-8(1)",
        "NIST.800-53.r5 SC-8(2)",
        "NIST.800-53.r5 SI-7(6)",
        "NIST.800-171.r2 3.13.8",
        "NIST.800-171.r2 3.13.15",
        "PCI DSS v3.2.1/4.1",
        "PCI DSS v4.0.1/4.2.1",
    ],
    remediation: "Add a Deny to the bucket policy (s3:PutBucketPolicy).",
    calls: &[call::BUCKET_POLICY],
    statement: Some(statement),
    adapt: None,
    exempts_log_buckets: false,
    rule: Rule::Bucket(check),
};

fn check(bucket: &Bucket, _: &Class) -> Outcome {
    decided(policy_of(bucket).map(|policy| {
        of_policy(policy, Owned { bucket: &bucket.id.arn(), owner: bucket.id.account() }).outcome
    }))
}

/// Judges a bucket policy.
pub(crate) fn of_policy(policy: Option<&Policy>, of: Owned<'_>) -> BucketPolicyVerdict {
    let bucket = of.bucket;
    let probes = [
        (
            ProbedRequest::AnyOnBucket(bucket.to_owned()),
            plain_http(bucket.to_owned(), &s3_actions::ON_BUCKETS),
        ),
        (
            ProbedRequest::AnyOnObjects(bucket.to_owned()),
            plain_http(format!("{bucket}/?*"), &s3_actions::ON_OBJECTS),
        ),
    ];
    unrefused::verdict(&TLS_ONLY, policy, of, &probes, |unrefused| Evidence::RequestWithoutTls {
        unrefused,
    })
}

fn plain_http(resource: String, actions: &'static [&'static str]) -> Request {
    Request::new("s3:*", resource)
        .such_as(actions)
        .with("aws:SecureTransport", Given::text("false"))
        .with("s3:TlsVersion", Given::absent())
}

fn statement(subject: &Subject) -> Option<Value> {
    let bucket = subject.bucket.as_ref()?;
    Some(json!({
        "Sid": "OnlyOverTls", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
        "Resource": [bucket, format!("{bucket}/*")],
        "Condition": { "Bool": { "aws:SecureTransport": "false" } },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{KEY_ARN, bucket, by_class, class, denied, key, kms};
    use facts::{DefaultEncryption, Fact, KeyLookup};

    fn cmk() -> Bucket {
        bucket(Fact::Known(DefaultEncryption::Kms(kms(
            "",
            Fact::Known(KeyLookup::Found(Box::new(key(KEY_ARN)))),
        ))))
    }

    fn with_policy(policy: &str) -> Outcome {
        check(&Bucket { policy: Fact::Known(Some(policy.parse())), ..cmk() }, &class())
    }

    /// The cases of policies are in `tests/cases/`. Here, the offered statement makes the control
    /// pass.
    #[test]
    fn outcomes() {
        let statement = statement(&Subject::of(&cmk())).unwrap();
        let passed = with_policy(&json!({ "Statement": [statement] }).to_string());
        assert!(matches!(passed, Outcome::Passed(_)), "{passed:?}");
        let failed = check(&cmk(), &class());
        assert!(
            matches!(&failed, Outcome::Failed { severity: Severity::Medium, .. }),
            "{failed:?}"
        );
    }

    #[test]
    fn a_class_of_a_lower_level_does_not_require_the_control() {
        assert!(matches!(by_class(&TLS_ONLY, &cmk(), "cmk"), Outcome::NotApplicable(_)));
    }

    #[test]
    fn facts_that_were_not_read_or_understood_are_undetermined() {
        let why = denied("s3:GetBucketPolicy");
        let unread = Bucket { policy: Fact::Unreadable(why.clone()), ..cmk() };
        assert_eq!(check(&unread, &class()), Outcome::unreadable(&why));
        assert!(matches!(with_policy("{}"), Outcome::Undetermined(_)));
    }
}
