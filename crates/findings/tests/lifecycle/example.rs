//! An example bucket, its possible states, and a Security Hub that keeps findings.

use controls::{Settings, judge};
use facts::{
    Bucket, BucketEncryption, BucketId, DefaultEncryption, Fact, Key, KeyAdministration, KeyLookup,
    KeyManager, KeyState, Permissions, Rotation, Tags, Unreadable, UsedKey,
};
use findings::{
    About, ApiCall, Compliance, Finding, Held, Item, Looking, Observation, Plan, RecordState, Seen,
    Slug, StoredIn, Terms, Workflow, plan,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

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
    BucketId::new(
        "111111111111".parse().unwrap(),
        "us-east-1".parse().unwrap(),
        "acme".parse().unwrap(),
    )
    .unwrap()
}

pub(crate) fn at(minutes: i64) -> Timestamp {
    "2026-11-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
}

pub(crate) fn used(reference: &str, resolved: Fact<KeyLookup>) -> DefaultEncryption {
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
        created: Timestamp::UNIX_EPOCH,
        material_expires: None,
        related: Vec::new(),
        administration: Some(KeyAdministration {
            admissions: Permissions::of_key_policy(Fact::Known(KEY_POLICY.parse())).into(),
            rotation: Fact::Known(Rotation::Every(365)),
            rotated: Fact::Known(Vec::new()),
        }),
    };
    Fact::Known(used("alias/acme", Fact::Known(KeyLookup::Found(Box::new(key)))))
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
        invoked_by: None,
    }
}

/// Returns a bucket that has no policy, blocks SSE-C and has a bucket key.
pub(crate) fn bucket(encryption: Fact<DefaultEncryption>, tags: Tags, minute: i64) -> Bucket {
    let encryption = encryption.map(|default| BucketEncryption {
        default,
        bucket_key: true,
        blocks_sse_c: true,
    });
    Bucket {
        id: bucket_id(),
        read_at: at(minute),
        tags: Fact::Known(tags),
        encryption,
        policy: Fact::Known(None),
        key_users: Some(Fact::Known(Vec::new())),
    }
}

/// Returns the Security Hub of the bucket's own account and region.
pub(crate) fn own() -> StoredIn {
    StoredIn { place: bucket_id().place(), since: "2026-10-01T00:00:00Z".into() }
}

/// The state of a bucket, and the findings that Security Hub holds. Imports follow the rules of
/// [workflow
/// status](https://docs.aws.amazon.com/securityhub/latest/userguide/findings-workflow-status.html).
#[derive(Clone)]
pub(crate) struct Story {
    pub(crate) item: Item,
    pub(crate) findings: Vec<Finding>,
    pub(crate) security_hub: StoredIn,
    pub(crate) settings: String,
    pub(crate) looking: Looking,
}

impl Default for Story {
    fn default() -> Self {
        let (settings, looking) = (SETTINGS.to_owned(), Looking::Message);
        Self { item: Item::unknown(), findings: Vec::new(), security_hub: own(), settings, looking }
    }
}

impl Story {
    /// Returns the active findings, in the form that is compared with the state.
    pub(crate) fn held(&self) -> Vec<Held> {
        let here =
            self.findings.iter().filter(|finding| finding.stored_in == self.security_hub.place);
        here.filter(|finding| finding.record_state == RecordState::Active).map(Held::of).collect()
    }

    /// Evaluates the bucket with an encryption, and carries out the plan.
    pub(crate) fn observe(&mut self, encryption: Fact<DefaultEncryption>, minute: i64) -> Plan {
        self.observe_tagged(Tags::new(), encryption, minute)
    }

    pub(crate) fn observe_tagged(
        &mut self,
        tags: Tags,
        encryption: Fact<DefaultEncryption>,
        minute: i64,
    ) -> Plan {
        let seen = self.see(tags, encryption, minute);
        self.carry_out(&seen, &[api_call()], &BTreeMap::new(), minute)
    }

    pub(crate) fn see(&self, tags: Tags, encryption: Fact<DefaultEncryption>, minute: i64) -> Seen {
        let settings: Settings = self.settings.parse().unwrap();
        let bucket = bucket(encryption, tags, minute);
        let judgement = judge(&bucket, &settings);
        Seen::bucket(&Observation {
            bucket: &bucket,
            judgement: &judgement,
            stored_in: &self.security_hub.place,
            tag: &settings.tag,
        })
    }

    pub(crate) fn plan(
        &self,
        seen: &Seen,
        api_calls: &[ApiCall],
        repair: &BTreeMap<Slug, Timestamp>,
        minute: i64,
    ) -> Plan {
        let settings = self.settings.parse().unwrap();
        let terms = Terms {
            settings: &settings,
            generation: 1,
            security_hub: &self.security_hub,
            looking: self.looking,
            api_calls,
            repair,
        };
        let mut plan = plan(&self.item, seen, &terms, at(minute));
        if let Some(place) = plan.asks_workflows_of().cloned() {
            plan.heed(&self.workflows(&place));
        }
        plan
    }

    pub(crate) fn carry_out(
        &mut self,
        seen: &Seen,
        api_calls: &[ApiCall],
        repair: &BTreeMap<Slug, Timestamp>,
        minute: i64,
    ) -> Plan {
        let plan = self.plan(seen, api_calls, repair, minute);
        self.apply(&plan);
        self.item = plan.item.published();
        plan
    }

    fn workflows(&self, place: &facts::Place) -> BTreeMap<String, Workflow> {
        let held = self.findings.iter().filter(|finding| finding.stored_in == *place);
        held.map(|finding| (finding.id(), finding.workflow)).collect()
    }

    pub(crate) fn apply(&mut self, plan: &Plan) {
        self.set(&plan.set_new, Workflow::New);
        plan.import.iter().for_each(|finding| self.import(finding));
        self.set(&plan.set_resolved, Workflow::Resolved);
    }

    fn set(&mut self, ids: &[String], workflow: Workflow) {
        let here =
            self.findings.iter_mut().filter(|finding| finding.stored_in == self.security_hub.place);
        here.filter(|finding| ids.contains(&finding.id()))
            .for_each(|finding| finding.workflow = workflow);
    }

    fn import(&mut self, finding: &Finding) {
        let is_it = |other: &&mut Finding| {
            other.id() == finding.id() && other.stored_in == finding.stored_in
        };
        match self.findings.iter_mut().find(is_it) {
            None => {
                assert_eq!(finding.created_at, finding.updated_at, "a new finding: {finding:?}");
                self.findings.push(finding.clone());
            }
            Some(before) if before.updated_at < finding.updated_at => {
                *before = Finding { workflow: workflow_after(before, finding), ..finding.clone() };
            }
            Some(_) => {}
        }
    }

    pub(crate) fn get(&self, slug: &str) -> &Finding {
        let id = About::Bucket(bucket_id()).id(slug);
        self.findings
            .iter()
            .find(|finding| finding.id() == id && finding.stored_in == self.security_hub.place)
            .unwrap()
    }

    /// Returns the active findings: control, status, workflow status, fingerprint.
    pub(crate) fn standing(&self) -> Vec<String> {
        let active =
            self.findings.iter().filter(|finding| finding.record_state == RecordState::Active);
        let say = |f: &Finding| {
            format!("{} {:?} {:?} {}", f.slug, f.compliance, f.workflow, f.fingerprint)
        };
        let mut standing: Vec<_> = active.map(say).collect();
        standing.sort();
        standing
    }
}

fn workflow_after(before: &Finding, now: &Finding) -> Workflow {
    let returns =
        before.record_state == RecordState::Archived && now.record_state == RecordState::Active;
    let fails = before.compliance == Compliance::Passed && now.compliance != Compliance::Passed;
    match before.workflow {
        Workflow::Notified | Workflow::Resolved if returns || fails => Workflow::New,
        workflow => workflow,
    }
}

/// Returns the transitions of a plan, by control.
pub(crate) fn transitions(plan: &Plan) -> Vec<(String, String)> {
    let words = plan.transitions().into_iter();
    words.map(|it| (it.slug.to_string(), it.transition.to_string())).collect()
}

pub(crate) fn expect(plan: &Plan, expected: &[(&str, &str)]) {
    let (mut found, mut expected) = (transitions(plan), expected.to_vec());
    found.sort();
    expected.sort_unstable();
    let expected: Vec<_> =
        expected.iter().map(|&(slug, word)| (slug.to_owned(), word.to_owned())).collect();
    assert_eq!(found, expected);
}
