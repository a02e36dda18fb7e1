//! The control `key-rotates`: KMS rotates the key's material by itself, and often enough.
//!
//! [Automatic rotation](https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html)
//! exists for symmetric encryption keys whose material KMS generated. The control does not apply to
//! imported material and custom key stores. While a deletion is pending, KMS says that rotation is
//! off. The control `key-usable` reports the deletion, so this control does not.

use crate::{
    Class, Control, Evidence, Level, Outcome, Rule, Severity, call,
    control::{customer_key, decided},
};
use facts::{Bucket, Key, KeyAdministration, KeyState, Rotation};

/// The control `key-rotates`.
pub(crate) const KEY_ROTATES: Control = Control {
    slug: "key-rotates",
    level: Level::Cmk,
    severity: Severity::Medium,
    title: "The KMS key of an S3 bucket should be rotated automatically",
    holds_when: "automatic rotation is on, with a period of `max-rotation-days` at most",
    why: "Key material that is never replaced protects more and more data. All of it is exposed \
          at once if the material leaks.",
    reference: "https://docs.aws.amazon.com/securityhub/latest/userguide/kms-controls.html#kms-4",
    requirements: &[
        "CIS AWS Foundations Benchmark v5.0.0/3.6",
        "CIS AWS Foundations Benchmark v3.0.0/3.6",
        "CIS AWS Foundations Benchmark v1.4.0/3.8",
        "CIS AWS Foundations Benchmark v1.2.0/2.8",
        "NIST.800-53.r5 SC-12",
        "NIST.800-53.r5 SC-12(2)",
        "NIST.800-53.r5 SC-28(3)",
        "PCI DSS v3.2.1/3.6.4",
        "PCI DSS v4.0.1/3.7.4",
    ],
    remediation: "Switch rotation on, with a period that the bucket's class allows (kms:EnableKeyRotation with \
          RotationPeriodInDays). What was encrypted before stays readable, and nothing has to be changed elsewhere.",
    calls: &[call::ROTATION, call::ENCRYPTION, call::ALIAS],
    statement: None,
    adapt: None,
    exempts_log_buckets: false,
    rule: Rule::Bucket(check),
};

fn check(bucket: &Bucket, class: &Class) -> Outcome {
    decided(
        customer_key(bucket)
            .and_then(|(key, administration)| check_key(key, administration, class)),
    )
}

fn check_key(
    key: &Key,
    administration: &KeyAdministration,
    class: &Class,
) -> Result<Outcome, Outcome> {
    let none = |why: String| Ok(Outcome::NotApplicable(why));
    if matches!(key.state, KeyState::PendingDeletion(_) | KeyState::PendingReplicaDeletion) {
        return none("the key is about to be deleted".into());
    }
    if key.origin != "AWS_KMS" || key.spec != "SYMMETRIC_DEFAULT" {
        return none(format!("KMS rotates no {} key of origin {}", key.spec, key.origin));
    }
    let at_most_days = class.max_rotation_days;
    match administration.rotation.known().map_err(Outcome::unreadable)? {
        Rotation::Unsupported => none("KMS does not rotate this key".into()),
        Rotation::Off => Ok(failed(None, at_most_days)),
        Rotation::Every(days) if *days > at_most_days => Ok(failed(Some(*days), at_most_days)),
        Rotation::Every(days) => Ok(passed(*days, at_most_days)),
    }
}

fn passed(days: u32, at_most_days: u32) -> Outcome {
    Outcome::Passed(vec![Evidence::KeyRotation { every_days: Some(days), at_most_days }])
}

fn failed(every_days: Option<u32>, at_most_days: u32) -> Outcome {
    let evidence = vec![Evidence::KeyRotation { every_days, at_most_days }];
    Outcome::Failed { severity: KEY_ROTATES.severity, evidence }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{KEY_ARN, bucket, class, denied, key, kms};
    use facts::{DefaultEncryption, Fact, KeyLookup};

    fn of(rotation: Fact<Rotation>, change: impl FnOnce(&mut Key)) -> Outcome {
        let mut key = key(KEY_ARN);
        key.administration.as_mut().unwrap().rotation = rotation;
        change(&mut key);
        let used = kms("alias/a", Fact::Known(KeyLookup::Found(Box::new(key))));
        check(
            &bucket(Fact::Known(DefaultEncryption::Kms(used))),
            &Class { max_rotation_days: 365, ..class() },
        )
    }

    #[test]
    fn outcomes() {
        for (rotation, expected) in [
            (Rotation::Every(365), passed(365, 365)),
            (Rotation::Every(90), passed(90, 365)),
            (Rotation::Every(366), failed(Some(366), 365)),
            (Rotation::Off, failed(None, 365)),
            (Rotation::Unsupported, Outcome::NotApplicable("KMS does not rotate this key".into())),
        ] {
            assert_eq!(of(Fact::Known(rotation), |_| {}), expected);
        }
    }

    #[test]
    fn the_control_does_not_apply_to_keys_that_kms_does_not_rotate() {
        let changes: [fn(&mut Key); 4] = [
            |key| key.origin = "EXTERNAL".into(),
            |key| key.spec = "RSA_2048".into(),
            |key| key.state = KeyState::PendingDeletion(None),
            |key| key.state = KeyState::PendingReplicaDeletion,
        ];
        for change in changes {
            assert!(matches!(of(Fact::Known(Rotation::Off), change), Outcome::NotApplicable(_)));
        }
        let sse_s3 = bucket(Fact::Known(DefaultEncryption::SseS3));
        assert!(matches!(check(&sse_s3, &class()), Outcome::NotApplicable(_)));
    }

    #[test]
    fn an_unreadable_rotation_is_undetermined() {
        let why = denied("kms:GetKeyRotationStatus");
        assert_eq!(of(Fact::Unreadable(why.clone()), |_| {}), Outcome::unreadable(&why));
    }
}
