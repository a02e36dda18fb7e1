//! The control `key-rotates`: the key's material is replaced often enough.
//!
//! [Automatic rotation](https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html)
//! exists for symmetric encryption keys whose material KMS generated. Keys with imported material
//! can be [rotated on
//! demand](https://docs.aws.amazon.com/kms/latest/developerguide/rotating-keys-on-demand.html) only.
//! They are judged by the last rotation, or by the creation of the key if they were never rotated.
//! The control does not apply to asymmetric keys and custom key stores.
//!
//! While a deletion is pending, KMS says that rotation is off. The control `key-usable` reports the
//! deletion, so this control does not.
//!
//! The evidence has the days on which the key was rotated.

use crate::{
    Class, Control, Evidence, Level, Outcome, Rule, Severity, call,
    control::{customer_key, decided},
};
use facts::{Bucket, Key, KeyAdministration, KeyState, Rotation};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

/// The control `key-rotates`.
pub(crate) const KEY_ROTATES: Control = Control {
    slug: "key-rotates",
    level: Level::Cmk,
    severity: Severity::Medium,
    title: "The KMS key of an S3 bucket should be rotated regularly",
    holds_when: "automatic rotation is on, with a period of `max-rotation-days` at most. A key with \
          imported material was rotated within that time",
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
          RotationPeriodInDays). Imported material: import new material and rotate on demand \
          (kms:ImportKeyMaterial with NEW_KEY_MATERIAL, kms:RotateKeyOnDemand). What was encrypted before stays \
          readable, and nothing has to be changed elsewhere.",
    calls: &[call::ROTATION, call::ENCRYPTION, call::ALIAS],
    statement: None,
    adapt: None,
    exempts_log_buckets: false,
    rule: Rule::Bucket(check),
};

fn check(bucket: &Bucket, class: &Class) -> Outcome {
    decided(
        customer_key(bucket).and_then(|(key, administration)| {
            check_key(key, administration, bucket.read_at, class)
        }),
    )
}

fn check_key(
    key: &Key,
    administration: &KeyAdministration,
    now: Timestamp,
    class: &Class,
) -> Result<Outcome, Outcome> {
    let none = |why: String| Ok(Outcome::NotApplicable(why));
    if matches!(key.state, KeyState::PendingDeletion(_) | KeyState::PendingReplicaDeletion) {
        return none("the key is about to be deleted".into());
    }
    let KeyAdministration { rotation, rotated, .. } = administration;
    let at_most_days = class.max_rotation_days;
    match (key.spec.as_str(), key.origin.as_str()) {
        ("SYMMETRIC_DEFAULT", "AWS_KMS") => {
            let every_days = match rotation.known().map_err(Outcome::unreadable)? {
                Rotation::Unsupported => return none("KMS does not rotate this key".into()),
                Rotation::Off => None,
                Rotation::Every(days) => Some(*days),
            };
            // The days decide nothing here. So the control passes even if they could not be read.
            let rotated = rotated.known().ok().map(|all| days(all));
            let holds = every_days.is_some_and(|days| days <= at_most_days);
            Ok(outcome(holds, Evidence::KeyRotation { every_days, at_most_days, rotated }))
        }
        ("SYMMETRIC_DEFAULT", "EXTERNAL") => {
            let rotated = rotated.known().map_err(Outcome::unreadable)?;
            let last = rotated.first().unwrap_or(&key.created);
            let age = now.duration_since(*last);
            let holds = age <= SignedDuration::from_hours(i64::from(at_most_days) * 24);
            let is_never = rotated.is_empty();
            let (rotated, created) = (Some(days(rotated)), day(&key.created));
            let evidence = Evidence::LastRotation { rotated, created, at_most_days };
            // A replica is younger than its material, which came from the primary.
            if holds && is_never && key.arn.is_multi_region() {
                return Err(Outcome::not_understood(evidence));
            }
            Ok(outcome(holds, evidence))
        }
        (spec, origin) => none(format!("KMS rotates no {spec} key of origin {origin}")),
    }
}

fn outcome(holds: bool, evidence: Evidence) -> Outcome {
    let evidence = vec![evidence];
    if holds {
        Outcome::Passed(evidence)
    } else {
        Outcome::Failed { severity: KEY_ROTATES.severity, evidence }
    }
}

fn days(times: &[Timestamp]) -> Vec<Date> {
    times.iter().map(day).collect()
}

/// Returns the day of a time in UTC.
fn day(time: &Timestamp) -> Date {
    time.to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{KEY_ARN, bucket, class, denied, key, kms};
    use facts::{DefaultEncryption, Fact, KeyLookup};

    /// Judges a key on 2 January 1971, with rotations on the days since 1970.
    fn of(
        rotation: Fact<Rotation>,
        rotated: Fact<Vec<i64>>,
        change: impl FnOnce(&mut Key),
    ) -> Outcome {
        let day = |day| Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * day);
        let mut key = key(KEY_ARN);
        let administration = key.administration.as_mut().unwrap();
        administration.rotation = rotation;
        administration.rotated = rotated.map(|days| days.into_iter().map(day).collect());
        change(&mut key);
        let used = kms("alias/a", Fact::Known(KeyLookup::Found(Box::new(key))));
        let bucket = bucket(Fact::Known(DefaultEncryption::Kms(used)));
        let class = Class { max_rotation_days: 365, ..class() };
        check(&Bucket { read_at: day(366), ..bucket }, &class)
    }

    fn with(rotation: Rotation) -> Outcome {
        of(Fact::Known(rotation), Fact::Known(Vec::new()), |_| {})
    }

    /// Returns the verdict and the words of the evidence.
    fn described(outcome: &Outcome) -> String {
        match outcome {
            Outcome::Passed(evidence) => format!("passed: {}", evidence[0].value()),
            Outcome::Failed { evidence, .. } => format!("failed: {}", evidence[0].value()),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn automatic_rotation_must_be_on_and_often_enough() {
        for (rotation, expected) in [
            (Rotation::Every(365), "passed: on, every 365 days"),
            (Rotation::Every(90), "passed: on, every 90 days"),
            (Rotation::Every(366), "failed: on, every 366 days"),
            (Rotation::Off, "failed: off"),
        ] {
            assert_eq!(described(&with(rotation)), expected);
        }
        let unsupported = Outcome::NotApplicable("KMS does not rotate this key".into());
        assert_eq!(with(Rotation::Unsupported), unsupported);
    }

    #[test]
    fn the_evidence_has_the_days_of_past_rotations() {
        let with = |rotated| described(&of(Fact::Known(Rotation::Every(90)), rotated, |_| {}));
        let on = "passed: on, every 90 days";
        let days = format!("{on}; rotated on 1970-04-01, 1970-01-01");
        assert_eq!(with(Fact::Known(vec![90, 0])), days);
        let many = format!(
            "{on}; rotated on 1970-01-10, 1970-01-09, 1970-01-08, 1970-01-07, 1970-01-06 and before"
        );
        assert_eq!(with(Fact::Known((4..10).rev().collect())), many);
        let unread = Fact::Unreadable(denied("kms:ListKeyRotations"));
        assert_eq!(with(unread), format!("{on}; the days of past rotations could not be read"));
    }

    /// Keys with imported material: the days of rotations, the day of creation, the verdict.
    #[test]
    fn imported_material_is_judged_by_the_last_rotation() {
        for (rotated, created, expected) in [
            (vec![1], 0, "passed: on 1970-01-02"),
            (vec![300, 0], 0, "passed: on 1970-10-28, 1970-01-01"),
            (vec![0], 0, "failed: on 1970-01-01"),
            (vec![], 1, "passed: never, since the key was created on 1970-01-02"),
            (vec![], 0, "failed: never, since the key was created on 1970-01-01"),
        ] {
            let imported = |key: &mut Key| {
                key.origin = "EXTERNAL".into();
                key.created += SignedDuration::from_hours(24 * created);
            };
            let outcome = of(Fact::Known(Rotation::Unsupported), Fact::Known(rotated), imported);
            assert_eq!(described(&outcome), expected);
        }
        let replica = |key: &mut Key| {
            key.origin = "EXTERNAL".into();
            key.arn = "arn:aws:kms:us-east-1:111111111111:key/mrk-1234".parse().unwrap();
            key.created += SignedDuration::from_hours(24);
        };
        let young = of(Fact::Known(Rotation::Unsupported), Fact::Known(vec![]), replica);
        assert!(matches!(young, Outcome::Undetermined(_)), "{young:?}");
        let why = denied("kms:ListKeyRotations");
        let imported = |key: &mut Key| key.origin = "EXTERNAL".into();
        let unread =
            of(Fact::Known(Rotation::Unsupported), Fact::Unreadable(why.clone()), imported);
        assert_eq!(unread, Outcome::unreadable(&why));
    }

    #[test]
    fn the_control_does_not_apply_to_keys_that_kms_does_not_rotate() {
        let changes: [fn(&mut Key); 4] = [
            |key| key.origin = "AWS_CLOUDHSM".into(),
            |key| key.spec = "RSA_2048".into(),
            |key| key.state = KeyState::PendingDeletion(None),
            |key| key.state = KeyState::PendingReplicaDeletion,
        ];
        for change in changes {
            let outcome = of(Fact::Known(Rotation::Off), Fact::Known(Vec::new()), change);
            assert!(matches!(outcome, Outcome::NotApplicable(_)));
        }
        let sse_s3 = bucket(Fact::Known(DefaultEncryption::SseS3));
        assert!(matches!(check(&sse_s3, &class()), Outcome::NotApplicable(_)));
    }

    #[test]
    fn an_unreadable_rotation_is_undetermined() {
        let why = denied("kms:GetKeyRotationStatus");
        let unread = of(Fact::Unreadable(why.clone()), Fact::Known(Vec::new()), |_| {});
        assert_eq!(unread, Outcome::unreadable(&why));
    }
}
