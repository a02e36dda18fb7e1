//! What must hold: no bucket of another class uses the key of the default encryption.
//!
//! A key is as narrow as what it protects ([secure key management](https://docs.aws.amazon.com/wellarchitected/latest/security-pillar/sec_protect_data_rest_key_mgmt.html)):
//! whoever may decrypt for one class may for the other, and revoking the key takes both. Who uses a key is what the findings of its other buckets tell, in every account and region. A bucket without any
//! finding is not seen: one whose class requires nothing, that is exempt from every control, or that passes where the settings
//! say that what passes gets no findings.

use crate::{
    Class, Control, Evidence, Level, Outcome, Rule, Severity, call,
    control::{customer_key, settle},
};
use facts::{Bucket, Key, KeyUser, Unreadable};

/// See the module.
pub(crate) const KEY_SERVES_ONE_CLASS: Control = Control {
    slug: "key-serves-one-class",
    level: Level::Enforced,
    severity: Severity::Low,
    title: "A KMS key should serve S3 buckets of one class of data only",
    holds_when: "no bucket of another class uses the same key",
    why: "Whoever is let into the key for data of one class can read the data of the other, and the key cannot be revoked for \
          one without the other.",
    reference: "https://docs.aws.amazon.com/wellarchitected/latest/security-pillar/sec_protect_data_rest_key_mgmt.html",
    requirements: &["AWS Well-Architected SEC08-BP01"],
    remediation: "Create a key for each class of data, and set it as the default encryption of that class's buckets \
                  (s3:PutBucketEncryption). If the class of a bucket is wrong, correct its classification tag.",
    calls: &[call::ENCRYPTION, call::ALIAS, call::TAGS],
    statement: None,
    lets_off_log_buckets: false,
    rule: Rule::Bucket(check),
};

/// Evidence tells no more of them than this, and not how many there are: that would be news with every bucket.
const MOST_TOLD: usize = 5;

fn check(bucket: &Bucket, class: &Class) -> Outcome {
    settle(customer_key(bucket).and_then(|(key, _)| check_users(bucket, key, class)))
}

fn check_users(bucket: &Bucket, key: &Key, class: &Class) -> Result<Outcome, Outcome> {
    let wanted = format!("class {} only", class.name);
    let users = match &bucket.key_users {
        Some(users) => users.known().map_err(Outcome::unreadable)?,
        None => return Err(unasked(key)),
    };
    let others: Vec<_> = users.iter().filter_map(|user| of_another_class(user, class)).collect();
    if !others.is_empty() {
        let evidence = vec![Evidence::new("other use of the key", told(&others), wanted)];
        return Ok(Outcome::Failed { severity: KEY_SERVES_ONE_CLASS.severity, evidence });
    }
    match users.iter().find(|user| user.class.is_none()) {
        Some(unclear) => {
            let value = format!("{} of a class that could not be read", unclear.bucket.arn());
            Err(Outcome::not_understood(Evidence::new("other use of the key", value, wanted)))
        }
        None => Ok(Outcome::Passed(vec![Evidence::new("use of the key", wanted.clone(), wanted)])),
    }
}

fn unasked(key: &Key) -> Outcome {
    let subject = format!("key {}", key.arn);
    Outcome::unreadable(&Unreadable {
        permission: "securityhub:GetFindings",
        subject,
        code: "not asked".into(),
    })
}

fn of_another_class(user: &KeyUser, class: &Class) -> Option<String> {
    let other = user.class.as_ref().filter(|other| *other != class.name.as_str())?;
    Some(format!("{} (account {}, class {other})", user.bucket.arn(), user.bucket.account()))
}

fn told(others: &[String]) -> String {
    let first: Vec<_> = others.iter().take(MOST_TOLD).map(String::as_str).collect();
    if others.len() > first.len() {
        format!("{} and others", first.join(", "))
    } else {
        first.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{KEY_ARN, bucket, by_class, class, denied, key, kms};
    use facts::{BucketId, DefaultEncryption, Fact, ResolvedKey};

    fn user(name: &str, class: Option<&str>) -> KeyUser {
        let bucket = BucketId::new(
            "222222222222".parse().unwrap(),
            "us-east-1".parse().unwrap(),
            name.parse().unwrap(),
        );
        KeyUser { bucket: bucket.unwrap(), class: class.map(str::to_owned) }
    }

    fn cmk(key_users: Option<Fact<Vec<KeyUser>>>) -> Bucket {
        let found = Fact::Known(ResolvedKey::Found(Box::new(key(KEY_ARN))));
        Bucket { key_users, ..bucket(Fact::Known(DefaultEncryption::Kms(kms("", found)))) }
    }

    fn with(users: Vec<KeyUser>) -> Outcome {
        check(&cmk(Some(Fact::Known(users))), &class())
    }

    #[test]
    fn outcomes() {
        assert!(matches!(with(vec![]), Outcome::Passed(_)));
        assert!(matches!(with(vec![user("b-1", Some("all"))]), Outcome::Passed(_)));
        let Outcome::Failed { severity: Severity::Low, evidence } =
            with(vec![user("b-1", Some("all")), user("b-2", Some("other"))])
        else {
            panic!()
        };
        assert_eq!(evidence[0].value, "arn:aws:s3:::b-2 (account 222222222222, class other)");
        let many = (0..7).map(|number| user(&format!("b-{number}"), Some("other"))).collect();
        let Outcome::Failed { evidence, .. } = with(many) else { panic!() };
        assert!(
            evidence[0].value.ends_with("b-4 (account 222222222222, class other) and others"),
            "{evidence:?}"
        );
    }

    #[test]
    fn what_could_not_be_read_or_was_not_asked_is_undetermined() {
        let why = denied("securityhub:GetFindings");
        assert_eq!(
            check(&cmk(Some(Fact::Unreadable(why.clone()))), &class()),
            Outcome::unreadable(&why)
        );
        assert!(matches!(check(&cmk(None), &class()), Outcome::Undetermined(_)));
        assert!(matches!(with(vec![user("b-1", None)]), Outcome::Undetermined(_)));
        let known_and_unknown = vec![user("b-1", None), user("b-2", Some("other"))];
        assert!(matches!(with(known_and_unknown), Outcome::Failed { .. }));
    }

    #[test]
    fn without_a_key_of_the_customers_there_is_nothing_to_share() {
        let aws = Fact::Known(DefaultEncryption::Kms(kms(
            "",
            Fact::Known(ResolvedKey::AwsManagedDefault),
        )));
        for encryption in [aws, Fact::Known(DefaultEncryption::SseS3)] {
            assert!(matches!(check(&bucket(encryption), &class()), Outcome::NotApplicable(_)));
        }
    }

    #[test]
    fn a_class_that_does_not_require_it_is_not_asked() {
        let other = cmk(Some(Fact::Known(vec![user("b-1", Some("other"))])));
        assert!(matches!(
            by_class(&KEY_SERVES_ONE_CLASS, &other, "cmk"),
            Outcome::NotApplicable(_)
        ));
    }
}
