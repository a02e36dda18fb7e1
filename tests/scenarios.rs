//! Does the pure evaluation judge every scenario as expected? The facts are those that AWS would
//! give.
//!
//! `make expectations` rewrites the expected verdicts of all scenarios. Review the diff.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may stop at the first thing that is not as expected"
)]

use cmkwatch_tests::{
    Encryption, GrantSetup, KeySetup, Refused, Scenario, Spelling, State, made_out, root, scenarios,
};
use controls::{OF_BUCKETS, Outcome, Settings, Verdict, judge};
use facts::{
    Algorithm, Bucket, BucketEncryption, BucketId, EncryptionRule, Fact, GrantCollector,
    GrantConstraints, Key, KeyAdministration, KeyAdmissions, KeyArn, KeyGrant, KeyLookup,
    KeyManager, KeyReference, KeyState, KeyUser, Permissions, PolicyDocument, RelatedKey, Rotation,
    Tags, Unreadable, UsedKey,
};
use jiff::{SignedDuration, Timestamp};
use std::{collections::BTreeMap, env, fs};

const ACCOUNT: &str = "111111111111";
const REGION: &str = "us-east-1";
const BUCKET: &str = "arn:aws:s3:::acme";

#[test]
fn scenarios_have_their_verdicts() {
    let settings: Settings =
        fs::read_to_string(root().join("infra/cmkwatch.toml")).unwrap().parse().unwrap();
    let mut wrong = Vec::new();
    for scenario in scenarios() {
        let verdicts = judge(&bucket(&scenario), &settings).verdicts;
        let found: BTreeMap<_, _> = verdicts.iter().filter_map(described).collect();
        if found != scenario.expect && env::var_os("UPDATE_EXPECT").is_some() {
            rewrite(&scenario.name, &found);
        } else if found != scenario.expect {
            wrong.push(format!(
                "{}: {}\nfound {}",
                scenario.name,
                scenario.question,
                toml::to_string(&found).unwrap()
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nIf these verdicts are right: make expectations",
        wrong.join("\n")
    );
}

/// Rewrites the expected verdicts, which are at the end of a scenario's file, in the order of the
/// controls.
fn rewrite(name: &str, found: &BTreeMap<String, String>) {
    let path = root().join("tests/scenarios").join(name).join("scenario.toml");
    let text = fs::read_to_string(&path).unwrap();
    let (before, _) = text.split_once("[expect]\n").unwrap();
    let slugs =
        OF_BUCKETS.iter().map(|control| control.slug).filter(|slug| found.contains_key(*slug));
    let lines = slugs.map(|slug| format!("{slug} = {:?}\n", found[slug]));
    fs::write(path, format!("{before}[expect]\n{}", lines.collect::<String>())).unwrap();
}

fn described(verdict: &Verdict) -> Option<(String, String)> {
    let described = match &verdict.outcome {
        Outcome::Passed(_) => "PASSED INFORMATIONAL".to_owned(),
        Outcome::Failed { severity, .. } => format!("FAILED {severity}"),
        Outcome::Undetermined(_) => format!("WARNING {}", verdict.control.severity),
        Outcome::NotApplicable(_) => return None,
    };
    Some((verdict.control.slug.to_owned(), described))
}

fn bucket(scenario: &Scenario) -> Bucket {
    let id =
        BucketId::new(ACCOUNT.parse().unwrap(), REGION.parse().unwrap(), "acme".parse().unwrap())
            .unwrap();
    let tags: Tags = scenario
        .class
        .iter()
        .map(|class| ("data-classification".to_owned(), class.clone()))
        .collect();
    Bucket {
        id,
        read_at: Timestamp::UNIX_EPOCH,
        tags: Fact::Known(tags),
        encryption: unless_refused(scenario, Refused::Encryption, encryption(scenario)),
        policy: unless_refused(scenario, Refused::BucketPolicy, policy(scenario)),
        key_users: Some(Fact::Known(
            scenario.key_shared_with.as_deref().map(other_user).into_iter().collect(),
        )),
    }
}

fn other_user(class: &str) -> KeyUser {
    let other =
        BucketId::new(ACCOUNT.parse().unwrap(), REGION.parse().unwrap(), "other".parse().unwrap());
    KeyUser { bucket: other.unwrap(), class: Some(class.to_owned()) }
}

fn unless_refused<T>(scenario: &Scenario, refused: Refused, value: T) -> Fact<T> {
    if scenario.refused == Some(refused) {
        let permission = refused.action();
        Fact::Unreadable(Unreadable {
            permission,
            subject: "it".into(),
            code: "AccessDenied".into(),
        })
    } else {
        Fact::Known(value)
    }
}

fn policy(scenario: &Scenario) -> Option<PolicyDocument> {
    let policy = scenario.bucket_policy.as_ref()?;
    Some(made_out(policy, BUCKET, scenario.key.as_ref().map(arn).as_deref()).parse())
}

/// Returns the default encryption of a scenario. A bucket that is left as S3 makes it blocks SSE-C.
fn encryption(scenario: &Scenario) -> BucketEncryption {
    let rules: Vec<_> =
        scenario.encryption.iter().map(|encryption| rule(encryption, scenario)).collect();
    let BucketEncryption { default, bucket_key, blocks_sse_c } = BucketEncryption::of(&rules);
    let used = |reference| UsedKey { resolved: resolved(scenario, &reference), reference };
    let blocks_sse_c = blocks_sse_c || scenario.encryption.is_none();
    BucketEncryption { default: default.map_key(used), bucket_key, blocks_sse_c }
}

fn rule(encryption: &Encryption, scenario: &Scenario) -> EncryptionRule {
    let arn = scenario.key.as_ref().map(arn).unwrap_or_default();
    let spelled = match encryption.key {
        Some(Spelling::Id) => "1234".to_owned(),
        Some(Spelling::Arn) => arn,
        Some(Spelling::Alias) => "alias/acme".to_owned(),
        Some(Spelling::AliasArn) => arn.replace("key/1234", "alias/acme"),
        None => encryption.literal.clone().unwrap_or_default(),
    };
    EncryptionRule {
        default: Some((Algorithm::from(encryption.algorithm.as_str()), spelled.parse().unwrap())),
        bucket_key: encryption.bucket_key,
        blocks_sse_c: encryption.blocks_sse_c,
    }
}

fn arn(key: &KeySetup) -> String {
    let account = if key.in_another_account { "222222222222" } else { ACCOUNT };
    let region = if key.in_another_region { "eu-west-1" } else { REGION };
    let id = if key.replica.is_some() { "mrk-1234" } else { "1234" };
    format!("arn:aws:kms:{region}:{account}:key/{id}")
}

/// Returns the time at which the bucket is read, and a number of days before or after it.
fn in_days(days: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * days)
}

fn resolved(scenario: &Scenario, reference: &KeyReference) -> Fact<KeyLookup> {
    let found = match (reference, &scenario.key) {
        (KeyReference::Absent, _) => KeyLookup::AwsManagedDefault,
        (reference, _) if reference.is_reserved_alias() => KeyLookup::AwsManagedDefault,
        (_, None) => KeyLookup::Missing,
        (_, Some(key)) => KeyLookup::Found(Box::new(Key {
            arn: arn(key).parse().unwrap(),
            manager: KeyManager::Customer,
            state: match key.state {
                _ if key.expires_in_days.is_some_and(|days| days < 0) => {
                    KeyState::Other("PendingImport".into())
                }
                State::Enabled => KeyState::Enabled,
                State::Disabled => KeyState::Disabled,
                State::PendingDeletion => KeyState::PendingDeletion(None),
            },
            spec: key.spec.clone(),
            usage: key.usage.clone(),
            origin: if key.imported { "EXTERNAL" } else { "AWS_KMS" }.into(),
            created: in_days(-key.created_days_ago),
            material_expires: key.expires_in_days.filter(|days| *days > 0).map(in_days),
            related: Vec::new(),
            administration: Some(administration(scenario, key)),
        })),
    };
    unless_refused(scenario, Refused::Key, found)
}

fn administration(scenario: &Scenario, key: &KeySetup) -> KeyAdministration {
    let rotation = match u32::try_from(key.rotation_days).unwrap() {
        _ if key.imported => Rotation::Unsupported,
        0 => Rotation::Off,
        days => Rotation::Every(days),
    };
    let mut rotated: Vec<_> = key.rotated_days_ago.iter().map(|days| in_days(-days)).collect();
    rotated.sort_by(|one, two| two.cmp(one));
    let on_replica = scenario.refused_on_replica;
    let own = permissions(scenario, key, !on_replica, key.policy.as_deref(), &key.grants);
    let related = key.replica.iter().map(|replica| RelatedKey {
        arn: arn(key).replace(REGION, "eu-west-1").parse().unwrap(),
        permissions: permissions(
            scenario,
            key,
            on_replica,
            replica.policy.as_deref(),
            &replica.grants,
        ),
    });
    KeyAdministration {
        admissions: KeyAdmissions::new(own, related.collect()),
        rotation: unless_refused(scenario, Refused::Rotation, rotation),
        rotated: unless_refused(scenario, Refused::Rotations, rotated),
    }
}

/// Returns the policies and the grants of the key or its replica. What is refused is refused on
/// this key if `is_refused_here` is true.
fn permissions(
    scenario: &Scenario,
    key: &KeySetup,
    is_refused_here: bool,
    policy: Option<&str>,
    grants: &[GrantSetup],
) -> Permissions {
    let default = r#"{"Statement": {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::<account>:root"}, "Action": "kms:*",
        "Resource": "*"}}"#;
    let here =
        Scenario { refused: scenario.refused.filter(|_| is_refused_here), ..scenario.clone() };
    let document =
        |policy: &str| -> PolicyDocument { made_out(policy, BUCKET, Some(&arn(key))).parse() };
    let shared = key.shared_policy.as_deref().map(document);
    let mut collected = GrantCollector::of(arn(key).parse::<KeyArn>().unwrap().account().clone());
    for GrantSetup { to, operations } in grants {
        let grant = KeyGrant {
            id: "grant".to_owned(),
            grantee: made_out(to, BUCKET, Some(&arn(key))),
            by_service: false,
            operations: operations.iter().cloned().collect(),
            constraints: GrantConstraints::default(),
        };
        collected.add(grant, 0);
    }
    Permissions::new(
        unless_refused(&here, Refused::KeyPolicy, document(policy.unwrap_or(default))),
        unless_refused(&here, Refused::KeyPolicy, shared),
        unless_refused(&here, Refused::Grants, collected.finish()),
    )
}
