//! The control `ssec-blocked`: an object cannot be uploaded with a key of the caller's own (SSE-C).
//!
//! S3 [blocks
//! SSE-C](https://docs.aws.amazon.com/AmazonS3/latest/userguide/blocking-unblocking-s3-c-encryption-gpb.html)
//! if the bucket's encryption says so, which is the default for new buckets since April 2026. A
//! bucket policy can refuse SSE-C too, because such an upload has the header
//! `x-amz-server-side-encryption-customer-algorithm`.

use crate::{
    BucketPolicyVerdict, Class, Control, Evidence, Level, Outcome, ProbedRequest, Rule, Severity,
    Subject, call,
    control::policy_of,
    unrefused::{self, Owned},
};
use facts::{Bucket, Fact};
use iam_policy::{Given, Policy, Request};
use serde_json::{Value, json};

/// The control `ssec-blocked`.
pub(crate) const SSEC_BLOCKED: Control = Control {
    slug: "ssec-blocked",
    level: Level::Cmk,
    severity: Severity::Low,
    title: "S3 buckets should block uploads with customer-provided keys (SSE-C)",
    holds_when: "SSE-C uploads are blocked, by the bucket's encryption or by the bucket policy",
    why: "An object that is uploaded with a key of the caller's own can be read by nobody else. \
          Stolen credentials are used this way to hold data to ransom.",
    reference: "https://docs.aws.amazon.com/AmazonS3/latest/userguide/blocking-unblocking-s3-c-encryption-gpb.html",
    requirements: &[],
    remediation: "Block SSE-C in the bucket's encryption (BlockedEncryptionTypes SSE-C with \
          s3:PutBucketEncryption), or refuse it in the bucket policy.",
    calls: &[call::ENCRYPTION, call::BUCKET_POLICY],
    statement: Some(statement),
    adapt: None,
    exempts_log_buckets: false,
    rule: Rule::Bucket(check),
};

const ALGORITHM: &str = "s3:x-amz-server-side-encryption-customer-algorithm";

const KMS_HEADERS: [&str; 2] =
    ["s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"];

/// Judges a bucket. The encryption or the bucket policy may block SSE-C. If one could not be read,
/// the outcome is undetermined unless the other blocks.
fn check(bucket: &Bucket, _: &Class) -> Outcome {
    if let Fact::Known(encryption) = &bucket.encryption
        && encryption.blocks_sse_c
    {
        return Outcome::Passed(vec![Evidence::SseCBlocked]);
    }
    let by_policy = match policy_of(bucket) {
        Ok(policy) => {
            of_policy(policy, Owned { bucket: &bucket.id.arn(), owner: bucket.id.account() })
                .outcome
        }
        Err(undetermined) => return undetermined,
    };
    match (&bucket.encryption, by_policy) {
        (Fact::Unreadable(why), Outcome::Failed { .. }) => Outcome::unreadable(why),
        (_, by_policy) => by_policy,
    }
}

/// Judges a bucket policy.
pub(crate) fn of_policy(policy: Option<&Policy>, of: Owned<'_>) -> BucketPolicyVerdict {
    let bucket = of.bucket;
    let request =
        Request::new("s3:PutObject", format!("{bucket}/?*")).with(ALGORITHM, Given::text("AES256"));
    // A request has either these headers or those of SSE-KMS
    // (https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html).
    let request = KMS_HEADERS
        .into_iter()
        .fold(request, |request, header| request.with(header, Given::absent()));
    let probes = [(ProbedRequest::UploadWithSseC, request)];
    unrefused::verdict(&SSEC_BLOCKED, policy, of, &probes, |unrefused| Evidence::Upload {
        unrefused,
    })
}

fn statement(subject: &Subject) -> Option<Value> {
    let bucket = subject.bucket.as_ref()?;
    Some(json!({
        "Sid": "NoKeysOfOthers", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
        "Resource": format!("{bucket}/*"), "Condition": { "Null": { ALGORITHM: "false" } },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{KEY_ARN, bucket, by_class, class, denied, key, kms};
    use facts::{DefaultEncryption, Fact, KeyLookup};

    fn cmk() -> Bucket {
        let mut bucket = bucket(Fact::Known(DefaultEncryption::Kms(kms(
            "",
            Fact::Known(KeyLookup::Found(Box::new(key(KEY_ARN)))),
        ))));
        if let Fact::Known(encryption) = &mut bucket.encryption {
            encryption.blocks_sse_c = false;
        }
        bucket
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
        assert!(matches!(&failed, Outcome::Failed { severity: Severity::Low, .. }), "{failed:?}");
    }

    #[test]
    fn a_class_of_a_lower_level_does_not_require_the_control() {
        assert!(matches!(by_class(&SSEC_BLOCKED, &cmk(), "kms"), Outcome::NotApplicable(_)));
    }

    #[test]
    fn facts_that_were_not_read_or_understood_are_undetermined() {
        let why = denied("s3:GetBucketPolicy");
        let unread = Bucket { policy: Fact::Unreadable(why.clone()), ..cmk() };
        assert_eq!(check(&unread, &class()), Outcome::unreadable(&why));
        assert!(matches!(with_policy("{}"), Outcome::Undetermined(_)));
    }

    #[test]
    fn an_unreadable_side_is_undetermined_unless_the_other_side_blocks() {
        let why = denied("s3:GetEncryptionConfiguration");
        let unread = Bucket { encryption: Fact::Unreadable(why.clone()), ..cmk() };
        assert_eq!(check(&unread, &class()), Outcome::unreadable(&why));
        let refused =
            json!({ "Statement": [statement(&Subject::of(&cmk())).unwrap()] }).to_string();
        let refused = Bucket { policy: Fact::Known(Some(refused.parse())), ..unread };
        assert!(matches!(check(&refused, &class()), Outcome::Passed(_)));
        let blocked = Bucket {
            policy: Fact::Unreadable(why),
            ..bucket(Fact::Known(DefaultEncryption::SseS3))
        };
        assert!(matches!(check(&blocked, &class()), Outcome::Passed(_)));
    }
}
