//! What must hold: the customer-managed key of the bucket's default encryption exists, is Enabled, is a symmetric
//! encryption key, and lies in the bucket's region.
//!
//! Follows [the states of KMS keys](https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html) and
//! [SSE-KMS](https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html): the key must be symmetric and
//! in the bucket's region. S3 accepts any key in PutBucketEncryption; what is wrong with it shows when somebody uploads.
//! A key that AWS manages cannot be disabled or deleted, and that it is one is `encrypted_with_cmk`'s finding.

use crate::{Control, Evidence, Level, Outcome, Severity};
use facts::{Bucket, DefaultEncryption, Fact, Key, KeyManager, KeyState, ResolvedKey, UsedKey};

/// See the module.
pub(crate) const KEY_USABLE: Control = Control {
    slug: "key-usable",
    level: Level::Cmk,
    severity: Severity::High,
    title: "The KMS key of an S3 bucket's default encryption should be usable",
    why: "Uploads fail while the key cannot be used, and what it encrypted cannot be read. Once it is deleted, nobody can \
          ever read it again.",
    reference: "https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html",
    requirements: &["NIST.800-53.r5 SC-12", "NIST.800-53.r5 SC-12(2)", "AWS Well-Architected SEC08-BP01"],
    remediation: "Key pending deletion: cancel the deletion now (kms:CancelKeyDeletion), then enable it. Key disabled: enable it \
                  (kms:EnableKey), or give the bucket another key. Key missing, in another region or not symmetric: set a \
                  customer-managed symmetric key of the bucket's region as its default (s3:PutBucketEncryption).",
    check,
};

fn check(bucket: &Bucket) -> Outcome {
    let encryption = match bucket.encryption.known() {
        Ok(encryption) => encryption,
        Err(why) => return Outcome::unreadable(why),
    };
    match encryption {
        DefaultEncryption::Kms(key) | DefaultEncryption::KmsDsse(key) => check_used(key, bucket),
        DefaultEncryption::SseS3 => Outcome::NotApplicable("the default encryption uses no KMS key".into()),
        DefaultEncryption::Unknown(_) | DefaultEncryption::Contradictory => Outcome::not_understood(Evidence::new(
            "default encryption",
            encryption.algorithm(),
            "aws:kms or aws:kms:dsse",
        )),
    }
}

fn check_used(UsedKey { reference, resolved }: &UsedKey, bucket: &Bucket) -> Outcome {
    match resolved {
        Fact::Unreadable(why) => Outcome::unreadable(why),
        Fact::Known(ResolvedKey::AwsManagedDefault) => Outcome::NotApplicable("AWS manages the key".into()),
        Fact::Known(ResolvedKey::Missing) => Outcome::Failed {
            severity: Severity::Critical,
            evidence: vec![Evidence::new("key", format!("{reference} does not exist"), "a key that exists")],
        },
        Fact::Known(ResolvedKey::Found(key))
            if key.manager == KeyManager::Aws && key.arn.account() == bucket.id.account() =>
        {
            Outcome::NotApplicable("AWS manages the key".into())
        }
        Fact::Known(ResolvedKey::Found(key)) => check_found(key, bucket),
    }
}

fn check_found(key: &Key, bucket: &Bucket) -> Outcome {
    let faults: Vec<_> =
        [state(&key.state), kind(key), region(key, bucket), owner(key)].into_iter().flatten().collect();
    match faults.iter().map(|(severity, _)| *severity).max() {
        None => Outcome::Passed(vec![Evidence::new("key", key.arn.as_str(), "a key that can be used")]),
        Some(severity) => {
            let subject = Evidence::new("key", key.arn.as_str(), "a key that can be used");
            let evidence = std::iter::once(subject).chain(faults.into_iter().map(|(_, evidence)| evidence)).collect();
            Outcome::Failed { severity, evidence }
        }
    }
}

type Fault = Option<(Severity, Evidence)>;

fn state(state: &KeyState) -> Fault {
    let (severity, value) = match state {
        KeyState::Enabled => return None,
        KeyState::PendingDeletion(Some(date)) => {
            (Severity::Critical, format!("PendingDeletion, to be deleted on {date}"))
        }
        KeyState::PendingDeletion(None) => (Severity::Critical, "PendingDeletion".into()),
        KeyState::PendingReplicaDeletion => (Severity::Critical, "PendingReplicaDeletion".into()),
        KeyState::Disabled => (Severity::High, "Disabled".into()),
        KeyState::Other(name) => (Severity::High, name.clone()),
    };
    Some((severity, Evidence::new("key state", value, "Enabled")))
}

fn kind(key: &Key) -> Fault {
    let symmetric = key.spec == "SYMMETRIC_DEFAULT" && key.usage == "ENCRYPT_DECRYPT";
    (!symmetric).then(|| {
        let value = format!("{} for {}", key.spec, key.usage);
        (Severity::High, Evidence::new("key spec", value, "SYMMETRIC_DEFAULT for ENCRYPT_DECRYPT"))
    })
}

fn region(key: &Key, bucket: &Bucket) -> Fault {
    let (is, wanted) = (key.arn.region(), bucket.id.region());
    (is != wanted).then(|| (Severity::High, Evidence::new("key region", is.as_str(), wanted.as_str())))
}

/// Only a key that AWS manages *for another account* comes this far: such a key serves that account alone.
fn owner(key: &Key) -> Fault {
    (key.manager == KeyManager::Aws).then(|| {
        let value = format!("AWS, for account {}", key.arn.account());
        (Severity::High, Evidence::new("key manager", value, "the customer"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::example::{FOREIGN_KEY, KEY_ARN, bucket, denied, key, kms};

    fn of(resolved: Fact<ResolvedKey>) -> Outcome {
        check(&bucket(Fact::Known(DefaultEncryption::Kms(kms("alias/a", resolved)))))
    }

    fn of_key(key: Key) -> Outcome {
        of(Fact::Known(ResolvedKey::Found(key)))
    }

    #[test]
    fn a_usable_key_passes_whosever_account_it_is_in() {
        for arn in [KEY_ARN, FOREIGN_KEY] {
            assert!(matches!(of_key(key(arn)), Outcome::Passed(_)));
        }
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
                "PendingDeletion, to be deleted on 2026-12-01T10:00:00Z",
            ),
            (with_state(KeyState::PendingDeletion(None)), Severity::Critical, "key state", "PendingDeletion"),
            (with_state(KeyState::PendingReplicaDeletion), Severity::Critical, "key state", "PendingReplicaDeletion"),
            (with_state(KeyState::Disabled), Severity::High, "key state", "Disabled"),
            (with_state(KeyState::Other("PendingImport".into())), Severity::High, "key state", "PendingImport"),
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
                Key { arn: KEY_ARN.replace("us-east-1", "eu-west-1").parse().unwrap(), ..good.clone() },
                Severity::High,
                "key region",
                "eu-west-1",
            ),
            (
                Key { manager: KeyManager::Aws, ..key(FOREIGN_KEY) },
                Severity::High,
                "key manager",
                "AWS, for account 222222222222",
            ),
        ] {
            let Outcome::Failed { severity: found, evidence } = of_key(key.clone()) else { panic!("{key:?}") };
            assert_eq!(found, severity, "{key:?}");
            assert!(evidence.iter().any(|e| e.fact == fact && e.value == value), "{evidence:?}");
        }
    }

    #[test]
    fn the_worst_of_several_faults_gives_the_severity() {
        let two = Key { spec: "RSA_2048".into(), state: KeyState::PendingDeletion(None), ..key(KEY_ARN) };
        let Outcome::Failed { severity, evidence } = of_key(two) else { panic!() };
        assert_eq!((severity, evidence.len()), (Severity::Critical, 3));
    }

    #[test]
    fn a_missing_key_is_critical() {
        let Outcome::Failed { severity, evidence } = of(Fact::Known(ResolvedKey::Missing)) else { panic!() };
        assert_eq!(severity, Severity::Critical);
        assert_eq!(evidence[0].value, "alias/a does not exist");
    }

    #[test]
    fn without_a_customer_managed_key_the_question_does_not_arise() {
        let aws = Key { manager: KeyManager::Aws, ..key(KEY_ARN) };
        assert!(matches!(of(Fact::Known(ResolvedKey::AwsManagedDefault)), Outcome::NotApplicable(_)));
        assert!(matches!(of_key(aws), Outcome::NotApplicable(_)));
        assert!(matches!(check(&bucket(Fact::Known(DefaultEncryption::SseS3))), Outcome::NotApplicable(_)));
    }

    #[test]
    fn unreadable_is_undetermined() {
        let (s3, kms) = (denied("s3:GetEncryptionConfiguration"), denied("kms:DescribeKey"));
        assert_eq!(check(&bucket(Fact::Unreadable(s3.clone()))), Outcome::unreadable(&s3));
        assert_eq!(of(Fact::Unreadable(kms.clone())), Outcome::unreadable(&kms));
        for unclear in [DefaultEncryption::Unknown("aws:fsx".into()), DefaultEncryption::Contradictory] {
            assert!(matches!(check(&bucket(Fact::Known(unclear))), Outcome::Undetermined(_)));
        }
    }
}
