//! Digests of the facts of a bucket, so that a later evaluation can decide if AWS has changed
//! since.
//!
//! A verdict can change for other reasons: new settings, another version of cmkwatch, an exemption
//! that ended. A bucket of another class may use the key, too. Those are not changes of the bucket,
//! and no event announces them.

use facts::{
    Admission, Bucket, Fact, Key, KeyAdministration, KeyLookup, KeyState, PolicyDocument, UsedKey,
};
use iam_policy::NotAPolicy;
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, fmt::Debug};

/// The format of the digests. Increase it if the same fact gets another digest. Digests of
/// different formats are not compared, so a new version of cmkwatch finds no change if there is
/// none.
const FORM: char = '2';

/// A digest of each fact that could be read, by the name of the fact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading(BTreeMap<String, String>);

impl Reading {
    /// Builds a reading from stored digests, which may be of another format.
    #[must_use]
    pub fn stored(fingerprints: BTreeMap<String, String>) -> Self {
        Self(fingerprints)
    }

    /// Returns the digests, by the names of the facts.
    #[must_use]
    pub fn fingerprints(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// Builds the reading of a bucket. `tag` is the key of the tag that names the class. Other tags
    /// decide nothing.
    pub(crate) fn of(bucket: &Bucket, tag: &str) -> Self {
        let mut reading = Self::default();
        if let Fact::Known(tags) = &bucket.tags {
            reading.add(&format!("tag {tag}"), &tags.get(tag));
        }
        if let Fact::Known(policy) = &bucket.policy {
            reading.add("policy", &policy.as_ref().map(in_order));
        }
        if let Fact::Known(encryption) = &bucket.encryption {
            let named = encryption.default.key().map(|key| key.reference.to_string());
            let algorithm = encryption.default.algorithm();
            reading.add(
                "encryption",
                &(algorithm, named, encryption.bucket_key, encryption.blocks_sse_c),
            );
            if let Some(UsedKey { resolved: Fact::Known(key), .. }) = encryption.default.key() {
                reading.add_key(key, bucket);
            }
        }
        reading
    }

    /// Adds what KMS reports about a key of the bucket's own account.
    ///
    /// - A key of another account is left out: it may change without an event that arrives here.
    /// - The state of a key in a custom key store is left out: it changes with the store.
    /// - The deletion of a key is announced when it is scheduled. So all states of a pending
    ///   deletion have one digest.
    fn add_key(&mut self, resolved: &KeyLookup, bucket: &Bucket) {
        let KeyLookup::Found(key) = resolved else { return self.add("key", resolved) };
        let Key { arn, manager, state, spec, usage, origin, administration, .. } = &**key;
        if arn.account() != bucket.id.account() {
            return;
        }
        let state = match state {
            KeyState::PendingDeletion(_) | KeyState::PendingReplicaDeletion => {
                "pending deletion".to_owned()
            }
            _ if !["AWS_KMS", "EXTERNAL"].contains(&origin.as_str()) => String::new(),
            state => format!("{state:?}"),
        };
        self.add("key", &(arn.as_str(), manager, state, spec, usage, origin));
        let Some(KeyAdministration { admissions, rotation, .. }) = administration else { return };
        admissions.all().for_each(|admission| self.add_admission(admission));
        if let Fact::Known(rotation) = rotation {
            self.add("key rotation", rotation);
        }
    }

    /// Adds a way into a key, if an event announces its changes.
    fn add_admission(&mut self, admission: Admission<'_>) {
        match admission {
            Admission::KeyPolicy(Fact::Known(policy)) => self.add("key policy", &in_order(policy)),
            Admission::KeyPolicy(Fact::Unreadable(_)) => {}
            // - AWS documents no event for the policy of a share.
            // - A service can end any grant, and the member rules leave out what services do.
            // - A related key may lie in a region that is not watched.
            Admission::SharedPolicy(_) | Admission::Grants(_) | Admission::RelatedKey(_) => {}
        }
    }

    fn add(&mut self, name: &str, fact: &impl Debug) {
        let hash = Sha256::digest(format!("{fact:?}"));
        let digits: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        self.0.insert(name.to_owned(), format!("{FORM}{digits}"));
    }

    /// Returns true if a fact that both readings have differs.
    pub(crate) fn differs(&self, later: &Self) -> bool {
        let is_other = |(name, digest): (&String, &String)| {
            let before = self.0.get(name).filter(|before| before.starts_with(FORM));
            before.is_some_and(|before| before != digest)
        };
        later.0.iter().any(is_other)
    }

    /// Returns this reading, updated with the facts of a later one. A fact that could not be read
    /// later keeps its digest.
    pub(crate) fn updated(&self, later: &Self) -> Self {
        Self(self.0.clone().into_iter().chain(later.0.clone()).collect())
    }
}

/// Returns the statements of a policy in a fixed order. KMS returns principals in another order
/// [each time](https://github.com/aws/aws-cli/issues/9456), and the order of a policy has no
/// meaning.
fn in_order(policy: &PolicyDocument) -> Vec<String> {
    let policy = match policy {
        Ok(policy) => policy,
        // The reason is in words, which may change.
        Err(NotAPolicy { place, .. }) => return vec![format!("not a policy: {place}")],
    };
    let lines = |text: String| {
        // AWS does not distinguish the case of a condition key.
        let is_spelling = |line: &&str| line.trim_start().starts_with("written: ");
        let mut lines: Vec<_> = text.lines().filter(|line| !is_spelling(line)).collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    let mut statements: Vec<_> =
        policy.statements.iter().map(|statement| lines(format!("{statement:#?}"))).collect();
    statements.sort_unstable();
    statements.push(format!("{:?}", policy.version));
    statements
}

#[cfg(test)]
mod tests {
    use super::*;
    use facts::{
        BucketEncryption, BucketId, DefaultEncryption, GrantCollector, KeyAdmissions, KeyManager,
        KeyState, Permissions, RelatedKey, Rotation,
    };
    use jiff::Timestamp;

    fn reading(facts: &[(&str, &str)]) -> Reading {
        let mut reading = Reading::default();
        facts.iter().for_each(|(name, fact)| reading.add(name, fact));
        reading
    }

    #[test]
    fn only_facts_that_both_readings_have_are_compared() {
        let before = reading(&[("policy", "a"), ("encryption", "b")]);
        assert!(!before.differs(&before));
        assert!(!before.differs(&reading(&[("policy", "a")])));
        assert!(!before.differs(&reading(&[("key", "c")])));
        assert!(before.differs(&reading(&[("policy", "c"), ("encryption", "b")])));
        let unread = before.updated(&reading(&[("policy", "c")]));
        assert!(
            unread.differs(&before)
                && !unread.differs(&reading(&[("policy", "c"), ("encryption", "b")]))
        );
    }

    fn bucket() -> Bucket {
        let text = r#"{"Version": "2012-10-17", "Statement": {"Sid": "Own", "Effect": "Deny", "Principal": {"AWS": "*"},
            "NotAction": ["s3:Get*"], "Resource": "*", "Condition": {"StringLike": {"aws:PrincipalArn": ["a*", "b"]}}}}"#;
        let key = Key {
            arn: "arn:aws:kms:us-east-1:111111111111:key/1234".parse().unwrap(),
            manager: KeyManager::Customer,
            state: KeyState::PendingDeletion(Some(Timestamp::UNIX_EPOCH)),
            spec: "SYMMETRIC_DEFAULT".into(),
            usage: "ENCRYPT_DECRYPT".into(),
            origin: "AWS_KMS".into(),
            created: Timestamp::UNIX_EPOCH,
            material_expires: None,
            related: Vec::new(),
            administration: Some(KeyAdministration {
                admissions: Permissions::of_key_policy(Fact::Known(text.parse())).into(),
                rotation: Fact::Known(Rotation::Every(365)),
                rotated: Fact::Known(Vec::new()),
            }),
        };
        let resolved = Fact::Known(KeyLookup::Found(Box::new(key)));
        let default =
            DefaultEncryption::Kms(UsedKey { reference: "alias/acme".parse().unwrap(), resolved });
        Bucket {
            id: BucketId::new(
                "111111111111".parse().unwrap(),
                "us-east-1".parse().unwrap(),
                "acme".parse().unwrap(),
            )
            .unwrap(),
            read_at: Timestamp::UNIX_EPOCH,
            tags: Fact::Known([("class".to_owned(), "secret".to_owned())].into()),
            encryption: Fact::Known(BucketEncryption {
                default,
                bucket_key: true,
                blocks_sse_c: false,
            }),
            policy: Fact::Known(Some(text.parse())),
            key_users: None,
        }
    }

    /// If this test fails, the same fact gets another digest than before. Increase `FORM`, and
    /// write down the new digests.
    #[test]
    fn the_same_bucket_has_the_same_digests() {
        let found: Vec<_> = Reading::of(&bucket(), "class").0.into_iter().collect();
        let found: Vec<_> =
            found.iter().map(|(name, digest)| (name.as_str(), digest.as_str())).collect();
        let expected = [
            ("encryption", "21660425c26656ba2"),
            ("key", "26d4147fba55830eb"),
            ("key policy", "237bcc7d4e6d7d3c3"),
            ("key rotation", "21bcd329b9d866fc5"),
            ("policy", "249f76ca70f94e75b"),
            ("tag class", "23c29e8de7afb564c"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn another_order_of_a_policy_is_not_a_change() {
        let with = |principals: &str, sids: [&str; 2]| {
            let statement = |sid: &str| {
                format!(
                    r#"{{"Sid": "{sid}", "Effect": "Allow", "Principal": {{"AWS": [{principals}]}}, "Action": ["s3:a", "s3:b"],
                        "Resource": "*"}}"#
                )
            };
            let text =
                format!(r#"{{"Statement": [{}, {}]}}"#, statement(sids[0]), statement(sids[1]));
            Reading::of(&Bucket { policy: Fact::Known(Some(text.parse())), ..bucket() }, "class")
        };
        let before = with(r#""111111111111", "222222222222""#, ["A", "B"]);
        assert!(!before.differs(&with(r#""222222222222", "111111111111""#, ["B", "A"])));
        assert!(before.differs(&with(r#""222222222222", "333333333333""#, ["B", "A"])));
        assert!(before.differs(&with(r#""111111111111""#, ["A", "B"])));
    }

    fn key_of(bucket: &mut Bucket) -> &mut Key {
        let Fact::Known(BucketEncryption { default: DefaultEncryption::Kms(used), .. }) =
            &mut bucket.encryption
        else {
            panic!()
        };
        let Fact::Known(KeyLookup::Found(key)) = &mut used.resolved else { panic!() };
        key
    }

    #[test]
    fn facts_that_no_event_announces_are_left_out() {
        let of = |change: fn(&mut Key)| {
            let mut bucket = bucket();
            change(key_of(&mut bucket));
            Reading::of(&bucket, "class")
        };
        let admitting = |is_open: bool| {
            let mut grants = GrantCollector::of("111111111111".parse().unwrap());
            if is_open {
                grants.add_service("rds.amazonaws.com".to_owned());
            }
            let document = || "{}".parse();
            let permissions = Permissions::new(
                Fact::Known(document()),
                Fact::Known(is_open.then(document)),
                Fact::Known(grants.finish()),
            );
            let related = RelatedKey {
                arn: "arn:aws:kms:eu-west-1:111111111111:key/1234".parse().unwrap(),
                permissions: permissions.clone(),
            };
            let related = if is_open { vec![related] } else { Vec::new() };
            let admissions = KeyAdmissions::new(permissions, related);
            let mut bucket = bucket();
            key_of(&mut bucket).administration.as_mut().unwrap().admissions = admissions;
            Reading::of(&bucket, "class")
        };
        assert_eq!(admitting(false), admitting(true));

        let pending = of(|key| key.state = KeyState::PendingReplicaDeletion);
        assert!(!pending.differs(&of(|key| key.state = KeyState::PendingDeletion(None))));
        let connected = of(|key| {
            key.origin = "AWS_CLOUDHSM".into();
            key.state = KeyState::Enabled;
        });
        let disconnected = of(|key| {
            key.origin = "AWS_CLOUDHSM".into();
            key.state = KeyState::Other("Unavailable".into());
        });
        assert!(!connected.differs(&disconnected));
        let foreign =
            of(|key| key.arn = "arn:aws:kms:us-east-1:222222222222:key/1234".parse().unwrap());
        assert!(!foreign.fingerprints().contains_key("key policy"));
    }

    #[test]
    fn a_digest_of_another_format_is_not_a_change() {
        let other = Reading::stored([("policy".to_owned(), "0abc".to_owned())].into());
        assert!(!other.differs(&reading(&[("policy", "a")])));
    }
}
