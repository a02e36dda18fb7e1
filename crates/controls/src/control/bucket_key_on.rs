//! The control `bucket-key-on`: the bucket has an S3 Bucket Key.
//!
//! "[S3 Bucket Keys](https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-key.html) aren't
//! supported for DSSE-KMS", and SSE-S3 has no use for them. The control does not apply to these
//! two.

use crate::{
    Class, Control, Evidence, Level, Outcome, Rule, Severity, call,
    control::{decided, kms_key},
};
use facts::{Bucket, DefaultEncryption};

/// The control `bucket-key-on`.
pub(crate) const BUCKET_KEY_ON: Control = Control {
    slug: "bucket-key-on",
    level: Level::Cmk,
    severity: Severity::Low,
    title: "S3 buckets that are encrypted with a KMS key should use an S3 Bucket Key",
    holds_when: "the S3 Bucket Key is enabled",
    why: "Without a bucket key, every object costs a call of KMS. All keys of the account share \
          the request quota and the bill, and the cost drives teams back to SSE-S3.",
    reference: "https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-key.html",
    requirements: &[],
    remediation: "Set BucketKeyEnabled in the bucket's default encryption \
          (s3:PutBucketEncryption). Existing objects keep their own data keys and their \
          encryption context, which is the ARN of the object. For new objects it is the ARN of \
          the bucket. So a key policy or IAM policy that names ARNs of objects in \
          kms:EncryptionContext:aws:s3:arn must name both.",
    calls: &[call::ENCRYPTION],
    statement: None,
    adapt: None,
    exempts_log_buckets: false,
    rule: Rule::Bucket(check),
};

fn check(bucket: &Bucket, _: &Class) -> Outcome {
    decided(kms_key(bucket).and_then(|_| judged(bucket)))
}

fn judged(bucket: &Bucket) -> Result<Outcome, Outcome> {
    let encryption = bucket.encryption.known().map_err(Outcome::unreadable)?;
    Ok(match (&encryption.default, encryption.bucket_key) {
        (DefaultEncryption::Kms(_), true) => {
            Outcome::Passed(vec![Evidence::BucketKey { enabled: true }])
        }
        (DefaultEncryption::Kms(_), false) => {
            let evidence = vec![Evidence::BucketKey { enabled: false }];
            Outcome::Failed { severity: BUCKET_KEY_ON.severity, evidence }
        }
        (other, _) => Outcome::NotApplicable(format!("{} has no bucket key", other.algorithm())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{bucket, class, denied, kms};
    use facts::{Fact, KeyLookup};

    fn of(default: DefaultEncryption, bucket_key: bool) -> Outcome {
        let mut bucket = bucket(Fact::Known(default));
        if let Fact::Known(encryption) = &mut bucket.encryption {
            encryption.bucket_key = bucket_key;
        }
        check(&bucket, &class())
    }

    #[test]
    fn outcomes() {
        let key = || kms("", Fact::Known(KeyLookup::AwsManagedDefault));
        assert!(matches!(of(DefaultEncryption::Kms(key()), true), Outcome::Passed(_)));
        assert!(matches!(
            of(DefaultEncryption::Kms(key()), false),
            Outcome::Failed { severity: Severity::Low, .. }
        ));
        assert!(matches!(of(DefaultEncryption::KmsDsse(key()), false), Outcome::NotApplicable(_)));
        assert!(matches!(of(DefaultEncryption::SseS3, false), Outcome::NotApplicable(_)));
        assert!(matches!(of(DefaultEncryption::Contradictory, true), Outcome::Undetermined(_)));
        let why = denied("s3:GetEncryptionConfiguration");
        assert_eq!(
            check(&bucket(Fact::Unreadable(why.clone())), &class()),
            Outcome::unreadable(&why)
        );
    }
}
