//! Measures how long a policy takes to be read and judged, by its size in KB.
//!
//! Some policies are like those that people write, others are made to be hard. AWS accepts 20 KB
//! for a bucket and 32 KB for a key. Larger policies show how the time grows.
#![allow(
    clippy::unwrap_used,
    reason = "a bench may stop at the first thing that is not as expected"
)]

use controls::{Class, Settings, judge, judge_bucket_policy, judge_key_policy};
use divan::Bencher;
use facts::{
    Bucket, BucketEncryption, BucketId, DefaultEncryption, Fact, GrantCollector, GrantConstraints,
    Key, KeyAdministration, KeyAdmissions, KeyArn, KeyGrant, KeyLookup, KeyManager, KeyState,
    MOST_GRANTS, Permissions, Rotation, Tags, UsedKey,
};
use iam_policy::Policy;
use jiff::Timestamp;
use serde_json::{Value, json};

const KEY: &str = "arn:aws:kms:us-east-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const BUCKET: &str = "arn:aws:s3:::acme";
const SIZES: [usize; 5] = [8, 16, 20, 32, 64];

fn main() {
    divan::main();
}

fn settings() -> Settings {
    "classification = { tag = \"t\", default = \"all\" }\nclass.all.level = \"enforced\""
        .parse()
        .unwrap()
}

fn class() -> Class {
    settings().default
}

/// Returns a policy of at most this size. `statement` makes its statements one after another.
fn policy(kilobytes: usize, statement: impl Fn(usize) -> Value) -> String {
    let mut statements = Vec::new();
    let mut size = 50;
    for number in 0.. {
        let next = statement(number);
        size += next.to_string().len() + 1;
        if size > kilobytes * 1024 {
            break;
        }
        statements.push(next);
    }
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

fn judge_key(bencher: Bencher, text: &str) {
    let (key, class): (KeyArn, _) = (KEY.parse().unwrap(), class());
    bencher.bench(|| judge_key_policy(&text.parse::<Policy>(), &key, &class));
}

fn judge_bucket(bencher: Bencher, text: &str) {
    let (key, class): (KeyArn, _) = (KEY.parse().unwrap(), class());
    bencher.bench(|| {
        judge_bucket_policy(&text.parse::<Policy>(), BUCKET, key.account(), &key, &class)
    });
}

fn role(number: usize) -> String {
    format!("arn:aws:iam::{:012}:role/team-{number}/app", 111_111_111_111 + number % 7)
}

fn use_of(principal: &Value, condition: &Value) -> Value {
    json!({ "Effect": "Allow", "Principal": principal, "Action": ["kms:Decrypt", "kms:GenerateDataKey*"], "Resource": "*", "Condition": condition })
}

fn refuse(action: &str, resource: &Value, condition: &Value) -> Value {
    json!({ "Effect": "Deny", "Principal": "*", "Action": action, "Resource": resource, "Condition": condition })
}

/// Statements that each admit one or two roles, half of them through S3 only, with a Deny now and
/// then.
#[divan::bench(args = SIZES)]
fn key_with_many_roles(bencher: Bencher, kilobytes: usize) {
    let text = policy(kilobytes, |number| match number % 10 {
        9 => refuse(
            "kms:*",
            &json!("*"),
            &json!({ "StringNotEquals": { "aws:PrincipalOrgID": "o-exampleorg" }, "Bool": { "aws:PrincipalIsAWSService": "false" } }),
        ),
        even if even % 2 == 0 => use_of(
            &json!({ "AWS": role(number) }),
            &json!({ "StringEquals": { "kms:ViaService": "s3.us-east-1.amazonaws.com" } }),
        ),
        _ => use_of(&json!({ "AWS": [role(number), role(number + 1000)] }), &json!({})),
    });
    judge_key(bencher, &text);
}

/// Statements that admit everyone, with conditions on the principal.
#[divan::bench(args = SIZES)]
fn key_with_everyone_by_conditions(bencher: Bencher, kilobytes: usize) {
    let text = policy(kilobytes, |number| {
        if number % 3 == 0 {
            refuse(
                "kms:*",
                &json!("*"),
                &json!({ "ArnNotEquals": { "aws:PrincipalArn": role(number) }, "StringEquals": { "aws:PrincipalTag/team": number.to_string() } }),
            )
        } else {
            use_of(&json!("*"), &json!({ "ArnLike": { "aws:PrincipalArn": role(number) } }))
        }
    });
    judge_key(bencher, &text);
}

/// Wildcards that almost match, many times over.
#[divan::bench(args = SIZES)]
fn key_with_hostile_wildcards(bencher: Bencher, kilobytes: usize) {
    let text = policy(kilobytes, |number| {
        let pattern = format!("{}b{number}", "*a".repeat(100));
        use_of(
            &json!("*"),
            &json!({ "StringLike": { "kms:ViaService": [pattern, "a".repeat(200)] } }),
        )
    });
    judge_key(bencher, &text);
}

/// Deny statements that each leave one of two ways open.
#[divan::bench(args = SIZES)]
fn key_with_refusals_that_depend_on_each_other(bencher: Bencher, kilobytes: usize) {
    let tag = |number: usize| format!("aws:PrincipalTag/{}", number % 40);
    let text = policy(kilobytes, |number| match number {
        0 => use_of(&json!("*"), &json!({})),
        _ => {
            let value = if number % 2 == 0 { "StringEquals" } else { "StringNotEquals" };
            refuse(
                "kms:*",
                &json!("*"),
                &json!({ value: { tag(number * 7): "a", tag(number * 11 + 3): "a" } }),
            )
        }
    });
    judge_key(bencher, &text);
}

/// Statements that are typical of bucket policies.
#[divan::bench(args = SIZES)]
fn bucket_with_many_statements(bencher: Bencher, kilobytes: usize) {
    let text = policy(kilobytes, |number| match number % 4 {
        0 => refuse(
            "s3:*",
            &json!([BUCKET, format!("{BUCKET}/{number}/*")]),
            &json!({ "Bool": { "aws:SecureTransport": "false" } }),
        ),
        1 => refuse(
            "s3:PutObject",
            &json!(format!("{BUCKET}/*")),
            &json!({ "StringNotEquals": { "s3:x-amz-server-side-encryption-aws-kms-key-id": format!("{KEY}{number}") }, "StringEquals": { "aws:PrincipalOrgID": "o-exampleorg" } }),
        ),
        _ => {
            json!({ "Effect": "Allow", "Principal": { "AWS": role(number) }, "Action": ["s3:GetObject", "s3:PutObject"], "Resource": format!("{BUCKET}/{number}/*") })
        }
    });
    judge_bucket(bencher, &text);
}

/// Deny statements with exceptions: resources and actions that almost match.
#[divan::bench(args = SIZES)]
fn bucket_with_hostile_wildcards(bencher: Bencher, kilobytes: usize) {
    let text = policy(kilobytes, |number| {
        let pattern = format!("{BUCKET}/{}b{number}", "*a".repeat(60));
        json!({ "Effect": "Deny", "Principal": "*", "NotAction": [format!("s3:*{number}*"), "s3:*a*a*a*a*"], "NotResource": [pattern, format!("{BUCKET}/{}", "a".repeat(120))] })
    });
    judge_bucket(bencher, &text);
}

/// The greatest number of grants that are looked at, beside a key policy whose Deny statements
/// close them. Its size in KB is the argument.
#[divan::bench(args = [1, 8, 20])]
fn key_with_grants_that_are_refused(bencher: Bencher, kilobytes: usize) {
    let text = policy(kilobytes, |number| {
        let other = json!({ "ArnEquals": { "aws:PrincipalArn": role(number) } });
        let all = json!({ "StringNotEquals": { "kms:ViaService": "s3.us-east-1.amazonaws.com" } });
        refuse("kms:*", &json!("*"), if number == 0 { &all } else { &other })
    });
    let mut grants = GrantCollector::of("111111111111".parse().unwrap());
    for number in 0..MOST_GRANTS {
        let grant = KeyGrant {
            id: number.to_string(),
            grantee: role(number),
            by_service: false,
            operations: ["Decrypt", "GenerateDataKey"].map(str::to_owned).into(),
            constraints: GrantConstraints::default(),
        };
        grants.add(grant, 0);
    }
    let permissions = Permissions::new(
        Fact::Known(text.parse()),
        Fact::Known(None),
        Fact::Known(grants.finish()),
    );
    let (bucket, settings) = (bucket(permissions.into()), settings());
    bencher.bench(|| judge(&bucket, &settings));
}

/// Returns a bucket whose key has these admissions.
fn bucket(admissions: KeyAdmissions) -> Bucket {
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
    let resolved = Fact::Known(KeyLookup::Found(Box::new(key)));
    let used = UsedKey { reference: KEY.parse().unwrap(), resolved };
    let (account, region) = ("111111111111".parse().unwrap(), "us-east-1".parse().unwrap());
    Bucket {
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
    }
}
