//! A bucket, states that it can be in, and a Security Hub that remembers.

use controls::{Settings, judge};
use facts::{
    Bucket, BucketEncryption, BucketId, DefaultEncryption, Fact, Governance, Key, KeyManager, KeyState, ResolvedKey,
    Rotation, Tags, Unreadable, UsedKey,
};
use findings::{About, ApiCall, Finding, Observation, Plan, after, plan};
use jiff::{SignedDuration, Timestamp};

pub(crate) const KEY: &str = "arn:aws:kms:us-east-1:111111111111:key/1234";
const KEY_POLICY: &str = r#"{"Statement": {"Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "kms:*",
    "Resource": "*"}}"#;
pub(crate) const SETTINGS: &str = r#"
    classification = { tag = "data-classification", default = "confidential" }
    class.public.level = "sse-s3"
    class.confidential.level = "cmk"
    findings = { refresh-after-days = 30 }
    # The stories are told with three controls.
    [[exempt]]
    buckets = "*"
    controls = ["key-used-only-via-s3", "key-policy-closed", "key-rotates", "bucket-key-on", "ssec-blocked"]
    reason = "not in the story"
    until = 9999-12-31
"#;

pub(crate) fn bucket_id() -> BucketId {
    BucketId::new("111111111111".parse().unwrap(), "us-east-1".parse().unwrap(), "acme".parse().unwrap()).unwrap()
}

pub(crate) fn at(minutes: i64) -> Timestamp {
    "2026-11-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
}

pub(crate) fn used(reference: &str, resolved: Fact<ResolvedKey>) -> DefaultEncryption {
    DefaultEncryption::Kms(UsedKey { reference: reference.parse().unwrap(), resolved })
}

pub(crate) fn cmk(state: KeyState) -> Fact<DefaultEncryption> {
    let key = Key {
        arn: KEY.parse().unwrap(),
        manager: KeyManager::Customer,
        state,
        spec: "SYMMETRIC_DEFAULT".into(),
        usage: "ENCRYPT_DECRYPT".into(),
        origin: "AWS_KMS".into(),
        governance: Some(Governance {
            policy: Fact::Known(KEY_POLICY.parse()),
            rotation: Fact::Known(Rotation::Every(365)),
        }),
    };
    Fact::Known(used("alias/acme", Fact::Known(ResolvedKey::Found(Box::new(key)))))
}

pub(crate) fn sse_s3() -> Fact<DefaultEncryption> {
    Fact::Known(DefaultEncryption::SseS3)
}

pub(crate) fn unreadable() -> Fact<DefaultEncryption> {
    Fact::Unreadable(Unreadable {
        permission: "s3:GetEncryptionConfiguration",
        subject: "bucket acme".into(),
        code: "AccessDenied".into(),
    })
}

pub(crate) fn api_call() -> ApiCall {
    ApiCall {
        event_name: "PutBucketEncryption".into(),
        event_id: Some("b1c2".into()),
        event_time: Some("2026-11-01T00:00:00Z".into()),
        principal: Some("arn:aws:iam::111111111111:user/<jane>".into()),
    }
}

/// A bucket without a policy that blocks SSE-C and has a bucket key.
pub(crate) fn bucket(encryption: Fact<DefaultEncryption>, tags: Tags, minute: i64) -> Bucket {
    let encryption = encryption.map(|default| BucketEncryption { default, bucket_key: true, blocks_sse_c: true });
    Bucket {
        id: bucket_id(),
        read_at: at(minute),
        tags: Fact::Known(tags),
        encryption,
        policy: Fact::Known(None),
        key_users: Some(Fact::Known(Vec::new())),
    }
}

/// What stands in Security Hub.
#[derive(Default)]
pub(crate) struct Hub {
    pub(crate) findings: Vec<Finding>,
}

impl Hub {
    pub(crate) fn observe(&mut self, encryption: Fact<DefaultEncryption>, minute: i64) -> Plan {
        self.observe_with(SETTINGS, Tags::new(), encryption, minute)
    }

    pub(crate) fn observe_with(
        &mut self,
        settings: &str,
        tags: Tags,
        encryption: Fact<DefaultEncryption>,
        minute: i64,
    ) -> Plan {
        let settings: Settings = settings.parse().unwrap();
        let bucket = bucket(encryption, tags, minute);
        let judgement = judge(&bucket, &settings);
        let api_calls = [api_call()];
        let observation = Observation {
            bucket: &bucket,
            judgement: &judgement,
            api_calls: &api_calls,
            settings: &settings,
            hub: &bucket_id().place(),
        };
        let plan = plan(&observation, &self.findings);
        self.apply(&plan);
        plan
    }

    pub(crate) fn apply(&mut self, plan: &Plan) {
        self.findings = after(std::mem::take(&mut self.findings), plan);
    }

    pub(crate) fn get(&self, slug: &str) -> &Finding {
        self.findings.iter().find(|finding| finding.id == About::Bucket(bucket_id()).id(slug)).unwrap()
    }
}
