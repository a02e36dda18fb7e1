//! The control `key-usable`: S3 can use the key of the bucket's default encryption.
//!
//! The key must exist, be Enabled, be a symmetric encryption key, and be in the bucket's region. If
//! AWS manages the key, it must also belong to the bucket's account. If its material was imported,
//! the material must not expire within 30 days. That is of high severity from 7 days on.
//!
//! Follows [the states of KMS
//! keys](https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html) and
//! [SSE-KMS](https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html), which
//! requires a symmetric key in the bucket's region. S3 accepts any key in PutBucketEncryption, so a
//! fault of the key shows only when somebody uploads. The account's own AWS-managed key is always
//! usable. The control `encrypted-with-cmk` reports that it is not customer-managed.

use crate::{
    Class, Control, Evidence, ExpectedKey, KeyIdentity, Level, Outcome, Rule, Severity, call,
    control::kms_key,
};
use facts::{
    AccountId, Bucket, Fact, Key, KeyLookup, KeyManager, KeyReference, KeyState, Region, UsedKey,
};
use jiff::{SignedDuration, Timestamp};

/// The control `key-usable`.
pub(crate) const KEY_USABLE: Control = Control {
    slug: "key-usable",
    level: Level::Cmk,
    severity: Severity::High,
    title: "The KMS key of an S3 bucket's default encryption should be usable",
    holds_when: "the key exists, is Enabled, a symmetric encryption key, and in the bucket's region. \
          Imported material is valid for more than 30 days",
    why: "While the key cannot be used, uploads fail and encrypted objects cannot be read. Once \
          the key is deleted, nobody can ever read them again.",
    reference: "https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html",
    requirements: &[
        "NIST.800-53.r5 SC-12",
        "NIST.800-53.r5 SC-12(2)",
        "AWS Well-Architected SEC08-BP01",
    ],
    remediation: "Key pending deletion: cancel the deletion now (kms:CancelKeyDeletion), then \
          enable the key. Key disabled: enable it (kms:EnableKey), or give the bucket \
          another key. Key missing, in another region or not symmetric: set a \
          customer-managed symmetric key of the bucket's region as its default \
          (s3:PutBucketEncryption). Material about to expire: import the same material again \
          (kms:ImportKeyMaterial).",
    calls: &[call::KEY_STATE, call::ENCRYPTION, call::ALIAS],
    statement: None,
    adapt: None,
    exempts_log_buckets: false,
    rule: Rule::Bucket(check),
};

fn check(bucket: &Bucket, _: &Class) -> Outcome {
    match kms_key(bucket) {
        Ok(Some(key)) => check_used(key, bucket),
        Ok(None) => Outcome::NotApplicable("the default encryption uses no KMS key".into()),
        Err(undetermined) => undetermined,
    }
}

fn check_used(UsedKey { reference, resolved }: &UsedKey, bucket: &Bucket) -> Outcome {
    let named = [named_region(reference, bucket), named_owner(reference, bucket)];
    match resolved {
        Fact::Known(KeyLookup::Missing) => {
            let missing = usable_key(KeyIdentity::Missing(reference.to_string()));
            failed(vec![(Severity::Critical, missing)])
        }
        Fact::Known(KeyLookup::Found(key))
            if key.manager != KeyManager::Aws || serves_another(key, bucket) =>
        {
            let faults = [
                state(&key.state),
                kind(key),
                region(key.arn.region(), bucket),
                owner(key, bucket),
                material(key, bucket.read_at),
            ];
            match judged(key.arn.as_str(), faults.into_iter().flatten().collect()) {
                Outcome::Passed(mut evidence) => {
                    evidence
                        .extend(key.material_expires.map(|at| Evidence::MaterialExpires { at }));
                    Outcome::Passed(evidence)
                }
                other => other,
            }
        }
        Fact::Known(KeyLookup::AwsManagedDefault) if named.iter().any(Option::is_some) => {
            judged(&reference.to_string(), named.into_iter().flatten().collect())
        }
        Fact::Known(KeyLookup::AwsManagedDefault | KeyLookup::Found(_)) => {
            Outcome::NotApplicable("AWS manages the key".into())
        }
        // If the key's name alone shows that S3 cannot use it, the other facts are not needed.
        Fact::Unreadable(why) => match named_region(reference, bucket) {
            Some(fault) => judged(&reference.to_string(), vec![fault]),
            None => Outcome::unreadable(why),
        },
    }
}

fn usable_key(key: KeyIdentity) -> Evidence {
    Evidence::Key { key, expected: ExpectedKey::Usable }
}

fn judged(key: &str, faults: Vec<(Severity, Evidence)>) -> Outcome {
    let subject = usable_key(KeyIdentity::Named(key.to_owned()));
    if faults.is_empty() {
        return Outcome::Passed(vec![subject]);
    }
    failed(std::iter::once((Severity::Informational, subject)).chain(faults).collect())
}

/// Returns the failure with all faults and the severity of the worst.
fn failed(faults: Vec<(Severity, Evidence)>) -> Outcome {
    let severity =
        faults.iter().map(|(severity, _)| *severity).max().unwrap_or(KEY_USABLE.severity);
    Outcome::Failed {
        severity,
        evidence: faults.into_iter().map(|(_, evidence)| evidence).collect(),
    }
}

type Fault = Option<(Severity, Evidence)>;

fn state(state: &KeyState) -> Fault {
    let (severity, state, deletion) = match state {
        KeyState::Enabled | KeyState::Updating => return None,
        KeyState::PendingDeletion(Some(date)) => {
            (Severity::Critical, "PendingDeletion", Some(*date))
        }
        KeyState::PendingDeletion(None) => (Severity::Critical, "PendingDeletion", None),
        KeyState::PendingReplicaDeletion => (Severity::Critical, "PendingReplicaDeletion", None),
        KeyState::Disabled => (Severity::High, "Disabled", None),
        KeyState::Other(name) => (Severity::High, name.as_str(), None),
    };
    Some((severity, Evidence::KeyState { state: state.to_owned(), deletion }))
}

/// The time before the end of imported material from which on the control fails.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The time before the end of imported material from which on the failure is of high severity.
const VERY_SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Returns a fault if imported material expires soon. Then the key [cannot be
/// used](https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys-conceptual.html) until
/// the same material is imported again.
fn material(key: &Key, now: Timestamp) -> Fault {
    let at = key.material_expires?;
    let severity = match at.duration_since(now) {
        left if left <= VERY_SOON => Severity::High,
        left if left <= SOON => Severity::Medium,
        _ => return None,
    };
    Some((severity, Evidence::MaterialExpires { at }))
}

fn kind(key: &Key) -> Fault {
    let symmetric = key.spec == "SYMMETRIC_DEFAULT" && key.usage == "ENCRYPT_DECRYPT";
    (!symmetric).then(|| {
        let evidence = Evidence::KeySpec { spec: key.spec.clone(), usage: key.usage.clone() };
        (Severity::High, evidence)
    })
}

fn region(is: &Region, bucket: &Bucket) -> Fault {
    let expected = bucket.id.region();
    (is != expected).then(|| {
        let evidence = Evidence::KeyRegion { region: is.clone(), expected: expected.clone() };
        (Severity::High, evidence)
    })
}

fn named_region(reference: &KeyReference, bucket: &Bucket) -> Fault {
    reference.place().and_then(|(_, is)| region(is, bucket))
}

/// True if the key is in another account or region than the bucket. An AWS-managed key serves one
/// account in one region.
fn serves_another(key: &Key, bucket: &Bucket) -> bool {
    key.arn.account() != bucket.id.account() || key.arn.region() != bucket.id.region()
}

fn owner(key: &Key, bucket: &Bucket) -> Fault {
    let foreign = key.manager == KeyManager::Aws && key.arn.account() != bucket.id.account();
    foreign.then(|| aws_for(key.arn.account()))
}

fn named_owner(reference: &KeyReference, bucket: &Bucket) -> Fault {
    reference
        .place()
        .map(|(account, _)| account)
        .filter(|account| *account != bucket.id.account())
        .map(aws_for)
}

fn aws_for(account: &AccountId) -> (Severity, Evidence) {
    (Severity::High, Evidence::KeyManager { account: account.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{FOREIGN_KEY, KEY_ARN, bucket, class, denied, key, kms};
    use facts::DefaultEncryption;

    fn of(resolved: Fact<KeyLookup>) -> Outcome {
        check_any(&bucket(Fact::Known(DefaultEncryption::Kms(kms("alias/a", resolved)))))
    }

    fn of_key(key: Key) -> Outcome {
        of(Fact::Known(KeyLookup::Found(Box::new(key))))
    }

    fn check_any(bucket: &Bucket) -> Outcome {
        check(bucket, &class())
    }

    #[test]
    fn a_usable_key_passes_in_any_account() {
        for arn in [KEY_ARN, FOREIGN_KEY] {
            assert!(matches!(of_key(key(arn)), Outcome::Passed(_)));
        }
        assert!(matches!(
            of_key(Key { state: KeyState::Updating, ..key(KEY_ARN) }),
            Outcome::Passed(_)
        ));
    }

    #[test]
    fn each_fault_fails_with_its_severity() {
        let good = key(KEY_ARN);
        let date = "2026-12-01T10:00:00Z".parse().unwrap();
        let with_state = |state| Key { state, ..good.clone() };
        for (key, severity, fact, value) in [
            (
                with_state(KeyState::PendingDeletion(Some(date))),
                Severity::Critical,
                "key state",
                "PendingDeletion (deletion on 2026-12-01T10:00:00Z)",
            ),
            (
                with_state(KeyState::PendingDeletion(None)),
                Severity::Critical,
                "key state",
                "PendingDeletion",
            ),
            (
                with_state(KeyState::PendingReplicaDeletion),
                Severity::Critical,
                "key state",
                "PendingReplicaDeletion",
            ),
            (with_state(KeyState::Disabled), Severity::High, "key state", "Disabled"),
            (
                with_state(KeyState::Other("PendingImport".into())),
                Severity::High,
                "key state",
                "PendingImport",
            ),
            (
                Key { spec: "RSA_2048".into(), ..good.clone() },
                Severity::High,
                "key spec",
                "RSA_2048 for ENCRYPT_DECRYPT",
            ),
            (
                Key { usage: "GENERATE_VERIFY_MAC".into(), ..good.clone() },
                Severity::High,
                "key spec",
                "SYMMETRIC_DEFAULT for GENERATE_VERIFY_MAC",
            ),
            (
                Key {
                    arn: KEY_ARN.replace("us-east-1", "eu-west-1").parse().unwrap(),
                    ..good.clone()
                },
                Severity::High,
                "key region",
                "eu-west-1",
            ),
            (
                Key { manager: KeyManager::Aws, ..key(FOREIGN_KEY) },
                Severity::High,
                "key manager",
                "AWS (for account 222222222222)",
            ),
        ] {
            let Outcome::Failed { severity: found, evidence } = of_key(key.clone()) else {
                panic!("{key:?}")
            };
            assert_eq!(found, severity, "{key:?}");
            assert!(
                evidence.iter().any(|e| e.fact() == fact && e.value() == value),
                "{evidence:?}"
            );
        }
    }

    /// The time until imported material expires, in hours, and the severity.
    #[test]
    fn imported_material_fails_from_30_days_before_it_expires() {
        for (hours, expected) in [
            (-1, Some(Severity::High)),
            (7 * 24, Some(Severity::High)),
            (7 * 24 + 1, Some(Severity::Medium)),
            (30 * 24, Some(Severity::Medium)),
            (30 * 24 + 1, None),
        ] {
            let at = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours);
            let outcome = of_key(Key { material_expires: Some(at), ..key(KEY_ARN) });
            let (severity, evidence) = match outcome {
                Outcome::Failed { severity, evidence } => (Some(severity), evidence),
                Outcome::Passed(evidence) => (None, evidence),
                other => panic!("{other:?}"),
            };
            assert_eq!(
                (severity, evidence.last()),
                (expected, Some(&Evidence::MaterialExpires { at }))
            );
        }
        let Outcome::Passed(evidence) = of_key(key(KEY_ARN)) else { panic!() };
        assert_eq!(evidence.len(), 1);
    }

    #[test]
    fn the_worst_of_several_faults_gives_the_severity() {
        let two =
            Key { spec: "RSA_2048".into(), state: KeyState::PendingDeletion(None), ..key(KEY_ARN) };
        let Outcome::Failed { severity, evidence } = of_key(two) else { panic!() };
        assert_eq!((severity, evidence.len()), (Severity::Critical, 3));
    }

    #[test]
    fn a_missing_key_is_critical() {
        let Outcome::Failed { severity, evidence } = of(Fact::Known(KeyLookup::Missing)) else {
            panic!()
        };
        assert_eq!(severity, Severity::Critical);
        assert_eq!(evidence[0].value(), "alias/a (no such key)");
    }

    #[test]
    fn the_control_does_not_apply_to_sse_s3_or_the_own_aws_managed_key() {
        let aws = Key { manager: KeyManager::Aws, ..key(KEY_ARN) };
        assert!(matches!(of(Fact::Known(KeyLookup::AwsManagedDefault)), Outcome::NotApplicable(_)));
        assert!(matches!(of_key(aws), Outcome::NotApplicable(_)));
        assert!(matches!(
            check_any(&bucket(Fact::Known(DefaultEncryption::SseS3))),
            Outcome::NotApplicable(_)
        ));
    }

    #[test]
    fn the_name_alone_can_show_that_the_key_is_unusable() {
        let named = |reference: &str, resolved| {
            let used = kms(reference, resolved);
            check_any(&bucket(Fact::Known(DefaultEncryption::Kms(used))))
        };
        let elsewhere = "arn:aws:kms:eu-west-1:111111111111:key/1234";
        let unread = || Fact::Unreadable(denied("kms:DescribeKey"));
        let fact = |outcome: Outcome| match outcome {
            Outcome::Failed { evidence, .. } => evidence.last().unwrap().fact(),
            other => panic!("{other:?}"),
        };
        assert_eq!(fact(named(elsewhere, unread())), "key region");
        assert_eq!(named(KEY_ARN, unread()), Outcome::unreadable(&denied("kms:DescribeKey")));
        let default = || Fact::Known(KeyLookup::AwsManagedDefault);
        assert_eq!(
            fact(named("arn:aws:kms:us-east-1:222222222222:alias/aws/s3", default())),
            "key manager"
        );
        // The result is the same if AWS has created that key already.
        let made = Key { manager: KeyManager::Aws, ..key(elsewhere) };
        let alias = "arn:aws:kms:eu-west-1:111111111111:alias/aws/s3";
        assert_eq!(fact(named(alias, default())), "key region");
        assert_eq!(fact(named(alias, Fact::Known(KeyLookup::Found(Box::new(made))))), "key region");
        let own = named("arn:aws:kms:us-east-1:111111111111:alias/aws/s3", default());
        assert!(matches!(own, Outcome::NotApplicable(_)), "{own:?}");
    }

    #[test]
    fn an_unreadable_or_unknown_encryption_or_key_is_undetermined() {
        let (s3, kms) = (denied("s3:GetEncryptionConfiguration"), denied("kms:DescribeKey"));
        assert_eq!(check_any(&bucket(Fact::Unreadable(s3.clone()))), Outcome::unreadable(&s3));
        assert_eq!(of(Fact::Unreadable(kms.clone())), Outcome::unreadable(&kms));
        for unclear in
            [DefaultEncryption::Unknown("aws:fsx".into()), DefaultEncryption::Contradictory]
        {
            assert!(matches!(check_any(&bucket(Fact::Known(unclear))), Outcome::Undetermined(_)));
        }
    }
}
