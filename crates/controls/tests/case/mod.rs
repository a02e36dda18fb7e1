//! The cases of policies in `tests/cases/`, one file for each control. Each case names the AWS page
//! that it follows.
#![allow(dead_code, reason = "each test looks at a part of a case")]

use controls::{Class, Outcome, Settings, judge, judge_bucket_policy, judge_key_policy};
use facts::{
    Bucket, BucketEncryption, BucketId, DefaultEncryption, Fact, GrantCollector, GrantConstraints,
    Key, KeyAdministration, KeyAdmissions, KeyArn, KeyGrant, KeyLookup, KeyManager, KeyState,
    Permissions, RelatedKey, Rotation, Tags, Unreadable, UsedKey,
};
use iam_policy::Policy;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path};

/// The bucket that the policies are for.
pub(crate) const BUCKET: &str = "arn:aws:s3:::acme";
/// The key that the policies are for.
pub(crate) const KEY: &str =
    "arn:aws:kms:us-east-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// A policy, with the verdict of a control that a careful reader expects.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) case: String,
    pub(crate) page: String,
    /// `passed`, `undetermined`, or `failed` with the severity.
    pub(crate) expect: String,
    /// Texts that the evidence contains, among others.
    #[serde(default)]
    pub(crate) evidence: Vec<String>,
    /// Texts that the evidence does not contain.
    #[serde(default)]
    pub(crate) absent: Vec<String>,
    /// True if the class rejects a key policy that leaves the key to IAM.
    #[serde(default)]
    reject: bool,
    #[serde(default)]
    trusted: Vec<String>,
    #[serde(default)]
    organizations: Vec<String>,
    /// `allowed-keys` of the class.
    #[serde(default)]
    keys: Vec<String>,
    pub(crate) policy: Value,
    /// The other ways into the key. `None` if the case is about the policy alone.
    #[serde(default)]
    pub(crate) key: Option<WaysIn>,
}

/// Ways into a key beside its key policy.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WaysIn {
    /// The policy `AWS_RAM`.
    shared: Option<Value>,
    grants: Vec<Grant>,
    /// The other keys with the same material.
    related: Vec<Related>,
    /// The facts that could not be read: `policy`, `shared` or `grants`.
    unread: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    to: String,
    operations: Vec<String>,
    #[serde(default)]
    context: BTreeMap<String, String>,
    #[serde(default)]
    source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Related {
    region: String,
    policy: Value,
    #[serde(default)]
    ways_in: WaysIn,
}

impl WaysIn {
    /// True if something could not be read.
    pub(crate) fn is_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    fn permissions(&self, policy: &Value) -> Permissions {
        let mut grants = GrantCollector::of("111111111111".parse().unwrap());
        for (at, grant) in self.grants.iter().enumerate() {
            let constraints = GrantConstraints {
                encryption_context: grant.context.clone(),
                source_arn: grant.source.clone(),
            };
            let grant = KeyGrant {
                id: format!("grant-{at}"),
                grantee: grant.to.clone(),
                by_service: false,
                operations: grant.operations.iter().cloned().collect(),
                constraints,
            };
            grants.add(grant, 0);
        }
        let document = |policy: &Value| policy.to_string().parse();
        Permissions::new(
            self.read("policy", document(policy)),
            self.read("shared", self.shared.as_ref().map(document)),
            self.read("grants", grants.finish()),
        )
    }

    fn read<T>(&self, name: &str, value: T) -> Fact<T> {
        let code = "AccessDeniedException".to_owned();
        let why = Unreadable { permission: "kms:Get", subject: name.to_owned(), code };
        match self.unread.iter().any(|unread| unread == name) {
            true => Fact::Unreadable(why),
            false => Fact::Known(value),
        }
    }

    fn admissions(&self, policy: &Value) -> KeyAdmissions {
        let related = self.related.iter().map(|related| RelatedKey {
            arn: KEY.replace("us-east-1", &related.region).parse().unwrap(),
            permissions: related.ways_in.permissions(&related.policy),
        });
        KeyAdmissions::new(self.permissions(policy), related.collect())
    }
}

/// Returns the verdict of a control on a bucket whose key has these admissions.
pub(crate) fn of_key(slug: &str, admissions: KeyAdmissions, settings: &Settings) -> Outcome {
    let key = Key {
        arn: KEY.parse().unwrap(),
        manager: KeyManager::Customer,
        state: KeyState::Enabled,
        spec: "SYMMETRIC_DEFAULT".into(),
        usage: "ENCRYPT_DECRYPT".into(),
        origin: "AWS_KMS".into(),
        created: Timestamp::UNIX_EPOCH,
        material_expires: None,
        related: Vec::new(),
        administration: Some(KeyAdministration {
            admissions,
            rotation: Fact::Known(Rotation::Off),
            rotated: Fact::Known(Vec::new()),
        }),
    };
    let used = UsedKey {
        reference: KEY.parse().unwrap(),
        resolved: Fact::Known(KeyLookup::Found(Box::new(key))),
    };
    let (account, region) = ("111111111111".parse().unwrap(), "us-east-1".parse().unwrap());
    let bucket = Bucket {
        id: BucketId::new(account, region, "acme".parse().unwrap()).unwrap(),
        read_at: Timestamp::UNIX_EPOCH,
        tags: Fact::Known(Tags::new()),
        encryption: Fact::Known(BucketEncryption {
            default: DefaultEncryption::Kms(used),
            bucket_key: true,
            blocks_sse_c: true,
        }),
        policy: Fact::Known(None),
        key_users: Some(Fact::Known(Vec::new())),
    };
    let verdicts = judge(&bucket, settings).verdicts;
    verdicts.into_iter().find(|verdict| verdict.control.slug == slug).unwrap().outcome
}

impl Case {
    /// Returns the cases of a control.
    pub(crate) fn all(slug: &str) -> Vec<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cases/{slug}.json"));
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    }

    /// Returns the class by which the policy is judged.
    pub(crate) fn class(&self) -> Class {
        self.settings().default
    }

    fn settings(&self) -> Settings {
        let delegation = if self.reject { "reject" } else { "accept" };
        let settings = format!(
            "classification = {{ tag = \"t\", default = \"all\" }}\n\
             class.all = {{ level = \"enforced\", allowed-keys = {:?} }}\n[key-policy]\n\
             root-delegation = \"{delegation}\"\ntrusted-accounts = {:?}\n\
             trusted-organizations = {:?}",
            self.keys, self.trusted, self.organizations
        );
        settings.parse().unwrap()
    }

    /// Judges a policy by the class of the case.
    pub(crate) fn judged(&self, slug: &str, policy: &Value) -> Outcome {
        if let Some(ways_in) = &self.key {
            return of_key(slug, ways_in.admissions(policy), &self.settings());
        }
        let policy = policy.to_string().parse::<Policy>();
        assert!(policy.is_ok(), "{}: {policy:?}", self.case);
        let (key, class): (KeyArn, _) = (KEY.parse().unwrap(), self.class());
        let keys = judge_key_policy(&policy, &key, &class).map(|it| (it.control.slug, it.outcome));
        let buckets = judge_bucket_policy(&policy, BUCKET, key.account(), &key, &class)
            .map(|it| (it.control.slug, it.outcome));
        keys.into_iter().chain(buckets).find(|(found, _)| *found == slug).unwrap().1
    }
}
