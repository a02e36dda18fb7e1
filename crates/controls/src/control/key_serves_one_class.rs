//! The control `key-serves-one-class`: no bucket of another class uses the key of the default
//! encryption.
//!
//! A key is as narrow as the data that it protects ([secure key
//! management](https://docs.aws.amazon.com/wellarchitected/latest/security-pillar/sec_protect_data_rest_key_mgmt.html)).
//! A principal that may decrypt for one class may decrypt for the other. If the key is revoked,
//! both classes lose it.
//!
//! The facts list the other buckets that use the key, from the table of states: in every account
//! and region that is watched. A bucket that has no row there is not seen.

use crate::{
    Class, Control, Evidence, Level, Outcome, Rule, Severity, call,
    control::{customer_key, decided},
};
use facts::{Bucket, Key, KeyUser, Unreadable};

/// The control `key-serves-one-class`.
pub(crate) const KEY_SERVES_ONE_CLASS: Control = Control {
    slug: "key-serves-one-class",
    level: Level::Enforced,
    severity: Severity::Low,
    title: "A KMS key should serve S3 buckets of one class of data only",
    holds_when: "no bucket of another class uses the same key",
    why: "A principal that can use the key for data of one class can read the data of the other \
          class. The key cannot be revoked for one class alone.",
    reference: "https://docs.aws.amazon.com/wellarchitected/latest/security-pillar/sec_protect_data_rest_key_mgmt.html",
    requirements: &["AWS Well-Architected SEC08-BP01"],
    remediation: "Create a key for each class of data. Set it as the default encryption of that \
          class's buckets (s3:PutBucketEncryption). If the class of a bucket is wrong, \
          correct its classification tag.",
    calls: &[call::ENCRYPTION, call::ALIAS, call::TAGS],
    statement: None,
    adapt: None,
    exempts_log_buckets: false,
    rule: Rule::Bucket(check),
};

/// The greatest number of buckets that the evidence lists. Further buckets are not counted, because
/// the finding would then change with every bucket that starts to use the key.
const MOST_LISTED: usize = 5;

fn check(bucket: &Bucket, class: &Class) -> Outcome {
    decided(customer_key(bucket).and_then(|(key, _)| check_users(bucket, key, class)))
}

fn check_users(bucket: &Bucket, key: &Key, class: &Class) -> Result<Outcome, Outcome> {
    let users = match &bucket.key_users {
        Some(users) => users.known().map_err(Outcome::unreadable)?,
        None => return Err(unasked(key)),
    };
    let others: Vec<_> = users.iter().filter(|user| is_of_another_class(user, class)).collect();
    if !others.is_empty() {
        let evidence = vec![listed(&others, class)];
        return Ok(Outcome::Failed { severity: KEY_SERVES_ONE_CLASS.severity, evidence });
    }
    match users.iter().find(|user| user.class.is_none()) {
        Some(unclear) => Err(Outcome::not_understood(listed(&[unclear], class))),
        None => {
            let class = class.name.clone();
            Ok(Outcome::Passed(vec![Evidence::KeyOfOneClass { class }]))
        }
    }
}

fn unasked(key: &Key) -> Outcome {
    let subject = format!("key {}", key.arn);
    Outcome::unreadable(&Unreadable {
        permission: "dynamodb:Query",
        subject,
        code: "not asked".into(),
    })
}

fn is_of_another_class(user: &KeyUser, class: &Class) -> bool {
    user.class.as_ref().is_some_and(|other| other != class.name.as_str())
}

fn listed(users: &[&KeyUser], class: &Class) -> Evidence {
    Evidence::KeyOfOtherClasses {
        class: class.name.clone(),
        buckets: users.iter().take(MOST_LISTED).map(|user| (*user).clone()).collect(),
        more: users.len() > MOST_LISTED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{KEY_ARN, bucket, by_class, class, denied, key, kms};
    use facts::{BucketId, DefaultEncryption, Fact, KeyLookup};

    fn user(name: &str, class: Option<&str>) -> KeyUser {
        let bucket = BucketId::new(
            "222222222222".parse().unwrap(),
            "us-east-1".parse().unwrap(),
            name.parse().unwrap(),
        );
        KeyUser { bucket: bucket.unwrap(), class: class.map(str::to_owned) }
    }

    fn cmk(key_users: Option<Fact<Vec<KeyUser>>>) -> Bucket {
        let found = Fact::Known(KeyLookup::Found(Box::new(key(KEY_ARN))));
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
        assert_eq!(evidence[0].value(), "arn:aws:s3:::b-2 (account 222222222222, class other)");
        let many = (0..7).map(|number| user(&format!("b-{number}"), Some("other"))).collect();
        let Outcome::Failed { evidence, .. } = with(many) else { panic!() };
        assert!(
            evidence[0].value().ends_with("b-4 (account 222222222222, class other) and others"),
            "{evidence:?}"
        );
    }

    #[test]
    fn key_users_that_were_not_read_or_not_looked_up_are_undetermined() {
        let why = denied("dynamodb:Query");
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
    fn the_control_does_not_apply_without_a_customer_managed_key() {
        let aws =
            Fact::Known(DefaultEncryption::Kms(kms("", Fact::Known(KeyLookup::AwsManagedDefault))));
        for encryption in [aws, Fact::Known(DefaultEncryption::SseS3)] {
            assert!(matches!(check(&bucket(encryption), &class()), Outcome::NotApplicable(_)));
        }
    }

    #[test]
    fn a_class_of_a_lower_level_does_not_require_the_control() {
        let other = cmk(Some(Fact::Known(vec![user("b-1", Some("other"))])));
        assert!(matches!(
            by_class(&KEY_SERVES_ONE_CLASS, &other, "cmk"),
            Outcome::NotApplicable(_)
        ));
    }
}
