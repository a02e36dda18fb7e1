//! The control `encrypted-with-kms`: the bucket's default encryption is `aws:kms` or
//! `aws:kms:dsse`, with any key.
//!
//! Follows [Security Hub
//! S3.17](https://docs.aws.amazon.com/securityhub/latest/userguide/s3-controls.html#s3-17), which
//! requires SSE-KMS or DSSE-KMS, but not a customer-managed key. The control `encrypted-with-cmk`
//! decides whether the key is customer-managed.

use crate::{Class, Control, Evidence, Level, Outcome, Rule, Severity, call};
use facts::{Bucket, DefaultEncryption};

/// The control `encrypted-with-kms`.
pub(crate) const ENCRYPTED_WITH_KMS: Control = Control {
    slug: "encrypted-with-kms",
    level: Level::Kms,
    severity: Severity::Medium,
    title: "S3 bucket default encryption should use AWS KMS",
    holds_when: "default encryption is `aws:kms` or `aws:kms:dsse`, with any key",
    why: "With SSE-S3, nobody can limit, revoke or audit the use of the key. Every principal \
          that can read an object can decrypt it.",
    reference: "https://docs.aws.amazon.com/securityhub/latest/userguide/s3-controls.html#s3-17",
    requirements: &[
        "NIST.800-53.r5 SC-12(2)",
        "NIST.800-53.r5 CM-3(6)",
        "NIST.800-53.r5 SC-13",
        "NIST.800-53.r5 SC-28",
        "NIST.800-53.r5 SC-28(1)",
        "NIST.800-53.r5 SC-7(10)",
        "NIST.800-53.r5 CA-9(1)",
        "NIST.800-53.r5 SI-7(6)",
        "NIST.800-53.r5 AU-9",
        "NIST.800-171.r2 3.8.9",
        "NIST.800-171.r2 3.13.11",
        "NIST.800-171.r2 3.13.16",
        "PCI DSS v4.0.1/3.5.1",
    ],
    remediation: "Set the bucket's default encryption to aws:kms with a KMS key of your own and \
          a bucket key (s3:PutBucketEncryption). Existing objects keep their encryption \
          until they are written again or changed with UpdateObjectEncryption.",
    calls: &[call::ENCRYPTION],
    statement: None,
    adapt: None,
    exempts_log_buckets: true,
    rule: Rule::Bucket(check),
};

fn check(bucket: &Bucket, _: &Class) -> Outcome {
    let encryption = match bucket.encryption.known() {
        Ok(encryption) => &encryption.default,
        Err(why) => return Outcome::unreadable(why),
    };
    let evidence = Evidence::default_encryption(encryption);
    match encryption {
        DefaultEncryption::Kms(_) | DefaultEncryption::KmsDsse(_) => {
            Outcome::Passed(vec![evidence])
        }
        DefaultEncryption::SseS3 => {
            Outcome::Failed { severity: ENCRYPTED_WITH_KMS.severity, evidence: vec![evidence] }
        }
        DefaultEncryption::Unknown(_) | DefaultEncryption::Contradictory => {
            Outcome::not_understood(evidence)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExpectedEncryption;
    use crate::example::{bucket, by_class, class, denied, kms};
    use facts::{Fact, KeyLookup};

    fn check_any(bucket: &Bucket) -> Outcome {
        check(bucket, &class())
    }

    #[test]
    fn outcomes() {
        let with = |algorithm: Option<&str>| Evidence::DefaultEncryption {
            algorithm: algorithm.map(str::to_owned),
            expected: ExpectedEncryption::Kms,
        };
        let evidence = |algorithm| vec![with(Some(algorithm))];
        let failed = Outcome::Failed { severity: Severity::Medium, evidence: evidence("AES256") };
        let key = kms("", Fact::Known(KeyLookup::AwsManagedDefault));
        let unread = kms("alias/a", Fact::Unreadable(denied("kms:DescribeKey")));
        for (encryption, expected) in [
            (DefaultEncryption::SseS3, failed),
            (DefaultEncryption::Kms(key.clone()), Outcome::Passed(evidence("aws:kms"))),
            (DefaultEncryption::KmsDsse(key), Outcome::Passed(evidence("aws:kms:dsse"))),
            // Any key is enough, so an unreadable key does not matter here.
            (DefaultEncryption::Kms(unread), Outcome::Passed(evidence("aws:kms"))),
            (
                DefaultEncryption::Unknown("aws:fsx".into()),
                Outcome::not_understood(with(Some("aws:fsx"))),
            ),
            (DefaultEncryption::Contradictory, Outcome::not_understood(with(None))),
        ] {
            assert_eq!(
                check_any(&bucket(Fact::Known(encryption.clone()))),
                expected,
                "{encryption:?}"
            );
        }
    }

    #[test]
    fn an_unreadable_encryption_is_undetermined() {
        let why = denied("s3:GetEncryptionConfiguration");
        assert_eq!(check_any(&bucket(Fact::Unreadable(why.clone()))), Outcome::unreadable(&why));
    }

    #[test]
    fn a_class_of_a_lower_level_does_not_require_the_control() {
        let sse_s3 = bucket(Fact::Known(DefaultEncryption::SseS3));
        assert!(matches!(
            by_class(&ENCRYPTED_WITH_KMS, &sse_s3, "sse-s3"),
            Outcome::NotApplicable(_)
        ));
    }
}
