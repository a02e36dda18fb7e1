//! The control `encrypted-with-cmk`: the key of the bucket's default encryption is a
//! customer-managed key.
//!
//! The `KeyManager` of the key decides ([KMS
//! keys](https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-mgmt)): "AWS
//! managed keys are KMS keys in your account that are created, managed, and used on your behalf by
//! an AWS service". The policies of such keys cannot be changed.
//!
//! The control `key-usable` decides whether a customer-managed key can be used.

use crate::{
    Class, Control, Evidence, ExpectedEncryption, ExpectedKey, KeyIdentity, Level, Outcome, Rule,
    Severity, call, control::kms_key,
};
use facts::{Bucket, Fact, Key, KeyLookup, KeyManager, UsedKey};

/// The control `encrypted-with-cmk`.
pub(crate) const ENCRYPTED_WITH_CMK: Control = Control {
    slug: "encrypted-with-cmk",
    level: Level::Cmk,
    severity: Severity::High,
    title: "S3 bucket default encryption should use a customer-managed KMS key",
    holds_when: "the key of the default encryption is customer-managed",
    why: "The policy of the AWS-managed key aws/s3 cannot be changed. Nobody can limit it to the \
          principals that need it, or revoke it when credentials leak. A customer-managed \
          key is a second gate that its owner controls.",
    reference: "https://docs.aws.amazon.com/wellarchitected/latest/security-pillar/sec_protect_data_rest_key_mgmt.html",
    requirements: &["AWS Well-Architected SEC08-BP01", "PCI DSS v4.0.1/3.5.1"],
    remediation: "Create a customer-managed symmetric KMS key in the bucket's region. Set it, by \
          its ARN, as the key of the bucket's default encryption, with a bucket key \
          (s3:PutBucketEncryption). Existing objects keep their encryption until they are \
          written again or changed with UpdateObjectEncryption.",
    calls: &[call::ENCRYPTION, call::ALIAS],
    statement: None,
    adapt: None,
    exempts_log_buckets: true,
    rule: Rule::Bucket(check),
};

fn check(bucket: &Bucket, _: &Class) -> Outcome {
    match kms_key(bucket) {
        Ok(Some(key)) => check_key(key),
        Ok(None) => failed(Evidence::DefaultEncryption {
            algorithm: Some("AES256".to_owned()),
            expected: ExpectedEncryption::CustomerManagedKey,
        }),
        Err(undetermined) => undetermined,
    }
}

fn check_key(UsedKey { reference, resolved }: &UsedKey) -> Outcome {
    match resolved {
        Fact::Unreadable(why) => Outcome::unreadable(why),
        Fact::Known(KeyLookup::AwsManagedDefault) => failed(evidence(KeyIdentity::AwsS3)),
        Fact::Known(KeyLookup::Missing) => {
            failed(evidence(KeyIdentity::Missing(reference.to_string())))
        }
        Fact::Known(KeyLookup::Found(key)) => check_manager(key),
    }
}

fn check_manager(key: &Key) -> Outcome {
    match &key.manager {
        KeyManager::Customer => {
            Outcome::Passed(vec![evidence(KeyIdentity::Named(key.arn.to_string()))])
        }
        KeyManager::Aws => failed(evidence(KeyIdentity::AwsManaged(key.arn.clone()))),
        KeyManager::Other(name) => Outcome::not_understood(evidence(KeyIdentity::ManagedBy {
            key: key.arn.clone(),
            manager: Some(name.clone()),
        })),
    }
}

fn evidence(key: KeyIdentity) -> Evidence {
    Evidence::Key { key, expected: ExpectedKey::CustomerManaged }
}

fn failed(evidence: Evidence) -> Outcome {
    Outcome::Failed { severity: ENCRYPTED_WITH_CMK.severity, evidence: vec![evidence] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{FOREIGN_KEY, KEY_ARN, bucket, by_class, class, denied, key, kms};
    use facts::DefaultEncryption;

    fn check_any(bucket: &Bucket) -> Outcome {
        check(bucket, &class())
    }

    #[test]
    fn the_manager_of_the_key_decides() {
        let customer = key(KEY_ARN);
        let aws = Key { manager: KeyManager::Aws, ..customer.clone() };
        let other = Key { manager: KeyManager::Other("PARTNER".into()), ..customer.clone() };
        let missing = || Fact::Known(KeyLookup::Missing);
        let passed =
            |arn: &str| Outcome::Passed(vec![evidence(KeyIdentity::Named(arn.to_owned()))]);
        for (reference, resolved, expected) in [
            ("", Fact::Known(KeyLookup::AwsManagedDefault), failed(evidence(KeyIdentity::AwsS3))),
            (
                "alias/aws/s3",
                Fact::Known(KeyLookup::AwsManagedDefault),
                failed(evidence(KeyIdentity::AwsS3)),
            ),
            (
                "1234",
                Fact::Known(KeyLookup::Found(Box::new(aws))),
                failed(evidence(KeyIdentity::AwsManaged(KEY_ARN.parse().unwrap()))),
            ),
            ("1234", Fact::Known(KeyLookup::Found(Box::new(customer.clone()))), passed(KEY_ARN)),
            ("alias/a", Fact::Known(KeyLookup::Found(Box::new(customer))), passed(KEY_ARN)),
            (
                FOREIGN_KEY,
                Fact::Known(KeyLookup::Found(Box::new(key(FOREIGN_KEY)))),
                passed(FOREIGN_KEY),
            ),
            ("alias/gone", missing(), failed(evidence(KeyIdentity::Missing("alias/gone".into())))),
            ("aws/s3", missing(), failed(evidence(KeyIdentity::Missing("aws/s3".into())))),
            (
                "1234",
                Fact::Known(KeyLookup::Found(Box::new(other))),
                Outcome::not_understood(evidence(KeyIdentity::ManagedBy {
                    key: KEY_ARN.parse().unwrap(),
                    manager: Some("PARTNER".into()),
                })),
            ),
            (
                "1234",
                Fact::Unreadable(denied("kms:DescribeKey")),
                Outcome::unreadable(&denied("kms:DescribeKey")),
            ),
        ] {
            for of in [DefaultEncryption::Kms, DefaultEncryption::KmsDsse] {
                let bucket = bucket(Fact::Known(of(kms(reference, resolved.clone()))));
                assert_eq!(check_any(&bucket), expected, "{reference} {resolved:?}");
            }
        }
    }

    #[test]
    fn an_encryption_without_a_kms_key_fails_or_is_undetermined() {
        let why = denied("s3:GetEncryptionConfiguration");
        let with = |algorithm: Option<&str>, expected| Evidence::DefaultEncryption {
            algorithm: algorithm.map(str::to_owned),
            expected,
        };
        let (cmk, kms) = (ExpectedEncryption::CustomerManagedKey, ExpectedEncryption::Kms);
        for (encryption, expected) in [
            (Fact::Known(DefaultEncryption::SseS3), failed(with(Some("AES256"), cmk))),
            (
                Fact::Known(DefaultEncryption::Unknown("aws:fsx".into())),
                Outcome::not_understood(with(Some("aws:fsx"), kms)),
            ),
            (
                Fact::Known(DefaultEncryption::Contradictory),
                Outcome::not_understood(with(None, kms)),
            ),
            (Fact::Unreadable(why.clone()), Outcome::unreadable(&why)),
        ] {
            assert_eq!(check_any(&bucket(encryption.clone())), expected, "{encryption:?}");
        }
    }

    #[test]
    fn a_class_of_a_lower_level_does_not_require_the_control() {
        let sse_s3 = bucket(Fact::Known(DefaultEncryption::SseS3));
        assert!(matches!(by_class(&ENCRYPTED_WITH_CMK, &sse_s3, "kms"), Outcome::NotApplicable(_)));
    }
}
