//! Everything outside the evaluations of the model: S3, the table, Security Hub and the queue.

use super::{BUCKETS, CLASSES, DELAY, KEY, settings};
use crate::{
    WatchError,
    protocol::{self, Next, Refusal, World},
};
use controls::judge;
use facts::{
    Bucket, BucketEncryption, BucketId, DefaultEncryption, Fact, Key, KeyAdministration, KeyLookup,
    KeyManager, KeyState, KeyUser, Permissions, Place, Rotation, Tags, Unreadable, UsedKey,
};
use findings::{
    About, Compliance, Finding, Held, Item, Neighbours, Observation, RecordState, Seen, StoredIn,
    Terms, Transition, Workflow, repairs,
};
use jiff::Timestamp;
use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// The setting of a bucket in S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    SseS3,
    SharedKey,
    Refused,
    Deleted,
}

/// A message in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ModelMessage {
    Evaluate(usize),
    SecondLook(usize),
    Neighbours { of: usize, class: Option<String> },
}

/// The model of everything outside the evaluations: S3, the table, Security Hub and the queue.
pub(super) struct Outside {
    pub(super) milliseconds: i64,
    pub(super) truth: [Truth; BUCKETS],
    pub(super) table: [Option<Item>; BUCKETS],
    /// The table as the index shows it.
    pub(super) index: [Option<Item>; BUCKETS],
    /// The findings that Security Hub holds; `visible` are those that it shows.
    pub(super) destination: BTreeMap<String, Finding>,
    pub(super) visible: BTreeMap<String, Finding>,
    /// Edits of workflow statuses that have not yet taken effect.
    pub(super) edits: VecDeque<(Vec<String>, Workflow)>,
    pub(super) queue: Vec<ModelMessage>,
    /// The last report about each finding: true if the finding did not pass.
    pub(super) known: BTreeMap<String, bool>,
    /// True if Security Hub answers late. Second looks make up for that.
    pub(super) is_late: bool,
}

impl Outside {
    fn tick(&mut self) -> Timestamp {
        self.milliseconds += 1;
        Timestamp::from_millisecond(1_790_000_000_000 + self.milliseconds).unwrap()
    }

    /// Imports a finding by [AWS's
    /// rules](https://docs.aws.amazon.com/securityhub/latest/userguide/finding-update-batchimportfindings.html).
    fn import(&mut self, finding: &Finding) {
        let before = self.destination.get(&finding.id());
        if before.is_some_and(|before| before.updated_at >= finding.updated_at) {
            return;
        }
        let workflow = match before {
            None => finding.workflow,
            Some(before) => {
                let returns = before.record_state == RecordState::Archived
                    && finding.record_state == RecordState::Active;
                let fails = before.compliance == Compliance::Passed
                    && finding.compliance != Compliance::Passed;
                match before.workflow {
                    Workflow::Notified | Workflow::Resolved if returns || fails => Workflow::New,
                    workflow => workflow,
                }
            }
        };
        if before.is_none() {
            assert_eq!(
                finding.created_at, finding.updated_at,
                "AWS refuses to create it: {finding:?}"
            );
        }
        match finding.product_fields.transition {
            Some(Transition::Opened | Transition::Worsened | Transition::Unreadable) => {
                self.known.insert(finding.id(), true);
            }
            Some(Transition::Resolved) => drop(self.known.insert(finding.id(), false)),
            // This transition is not alerted.
            Some(Transition::FirstSeen) => drop(self.known.entry(finding.id()).or_insert(false)),
            Some(Transition::Gone) => drop(self.known.remove(&finding.id())),
            Some(Transition::Eased | Transition::Changed | Transition::Unchanged) => {}
            other => panic!("{other:?}"),
        }
        self.destination.insert(finding.id(), Finding { workflow, ..finding.clone() });
        self.show();
    }

    /// Makes all imports and edits visible at once, unless Security Hub is late.
    fn show(&mut self) {
        if !self.is_late {
            self.catch_up();
        }
    }

    pub(super) fn apply_edit(&mut self) {
        let Some((ids, workflow)) = self.edits.pop_front() else { return };
        for id in ids {
            self.destination.get_mut(&id).unwrap().workflow = workflow;
        }
    }

    pub(super) fn catch_up(&mut self) {
        while !self.edits.is_empty() {
            self.apply_edit();
        }
        self.visible = self.destination.clone();
    }
}

/// A future that yields once. The scheduler decides when the next call is made.
#[derive(Default)]
pub(super) struct Step(bool);

impl Future for Step {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

pub(super) fn bucket_id(number: usize) -> BucketId {
    let name = format!("acme-{number}");
    BucketId::new(
        "111111111111".parse().unwrap(),
        "us-east-1".parse().unwrap(),
        name.parse().unwrap(),
    )
    .unwrap()
}

fn place() -> Place {
    bucket_id(0).place()
}

/// A bucket of the model, as an evaluation reads and writes it.
pub(super) struct Model {
    outside: Rc<RefCell<Outside>>,
    number: usize,
    about: About,
}

impl Model {
    pub(super) fn new(outside: &Rc<RefCell<Outside>>, number: usize) -> Self {
        Self { outside: Rc::clone(outside), number, about: About::Bucket(bucket_id(number)) }
    }

    /// Returns the findings of the bucket that Security Hub shows.
    fn visible(&self) -> Vec<Finding> {
        let visible = &self.outside.borrow().visible;
        visible.values().filter(|finding| finding.about == self.about).cloned().collect()
    }

    /// Makes a second look and the comparison that follows; returns true if another look must
    /// follow.
    pub(super) async fn look_again(&self, terms: &Terms<'_>) -> Result<bool, WatchError> {
        let (reconciled, next) = protocol::second_look(self, terms, DELAY).await?;
        if next == Next::Compare {
            Step::default().await;
            let active = self
                .visible()
                .into_iter()
                .filter(|finding| finding.record_state == RecordState::Active);
            let held: Vec<_> = active.map(|finding| Held::of(&finding)).collect();
            let found = repairs(&reconciled.item, &self.about, &held, None, self.now());
            protocol::repair(self, terms, reconciled.item, &found).await?;
        }
        Ok(next == Next::LookAgain)
    }
}

impl World for Model {
    fn now(&self) -> Timestamp {
        self.outside.borrow_mut().tick()
    }

    async fn read(&self) -> Result<Item, WatchError> {
        Step::default().await;
        let now = self.now();
        let outside = self.outside.borrow();
        let mine = |finding: &&Finding| finding.about == self.about;
        let adopt = || {
            let held: Vec<_> = outside.visible.values().filter(mine).cloned().collect();
            Item::adopt(&held, &stored_in(), now)
        };
        Ok(outside.table[self.number].clone().unwrap_or_else(adopt))
    }

    async fn see(&self) -> Result<Seen, WatchError> {
        let read_at = self.now();
        Step::default().await;
        let outside = self.outside.borrow();
        Ok(seen(self.number, outside.truth[self.number], read_at, &outside.index))
    }

    async fn commit(&self, item: &Item, over: u64) -> Result<bool, WatchError> {
        Step::default().await;
        let row = &mut self.outside.borrow_mut().table[self.number];
        let fits = row.as_ref().map_or(0, |row| row.version) == over;
        if fits {
            *row = Some(item.clone());
        }
        Ok(fits)
    }

    async fn workflows(&self, _: &Place) -> Result<BTreeMap<String, Workflow>, WatchError> {
        Step::default().await;
        Ok(self.visible().into_iter().map(|finding| (finding.id(), finding.workflow)).collect())
    }

    /// Imports findings one by one, so that a run can die between two of them.
    async fn import(&self, _: &Place, findings: &[Finding]) -> Result<Vec<Refusal>, WatchError> {
        for finding in findings {
            Step::default().await;
            self.outside.borrow_mut().import(finding);
        }
        Ok(Vec::new())
    }

    async fn set_workflow(&self, ids: &[String], workflow: Workflow) -> Result<(), WatchError> {
        Step::default().await;
        let mut outside = self.outside.borrow_mut();
        outside.edits.push_back((ids.to_vec(), workflow));
        outside.show();
        Ok(())
    }

    fn report_missed(&self, _transitions: u32) {}

    async fn ask_neighbours(&self, item: &Item) -> Result<(), WatchError> {
        for Neighbours { class, .. } in &item.neighbours {
            Step::default().await;
            let message = ModelMessage::Neighbours { of: self.number, class: class.clone() };
            self.outside.borrow_mut().queue.push(message);
        }
        Ok(())
    }
}

pub(super) fn stored_in() -> StoredIn {
    StoredIn { place: place(), since: "2026-10-01T00:00:00Z".into() }
}

/// Judges a bucket. `index` shows the other users of its key.
fn seen(number: usize, truth: Truth, read_at: Timestamp, index: &[Option<Item>; BUCKETS]) -> Seen {
    let id = bucket_id(number);
    let denied = Unreadable {
        permission: "s3:GetEncryptionConfiguration",
        subject: "the bucket".into(),
        code: "AccessDenied".into(),
    };
    let default = match truth {
        Truth::Deleted => return Seen::gone(&id, read_at),
        Truth::SseS3 => Fact::Known(DefaultEncryption::SseS3),
        Truth::SharedKey => Fact::Known(DefaultEncryption::Kms(shared_key())),
        Truth::Refused => Fact::Unreadable(denied),
    };
    let users = index.iter().enumerate().filter_map(|(other, item)| {
        let used = &item.as_ref()?.class_and_key;
        let shares = other != number && used.key.as_ref().is_some_and(|key| key.as_str() == KEY);
        shares.then(|| KeyUser { bucket: bucket_id(other), class: used.class.clone() })
    });
    let users = users.filter(|user| user.class.as_deref() != Some(CLASSES[number])).collect();
    let bucket = Bucket {
        id,
        read_at,
        tags: Fact::Known(Tags::from([("class".to_owned(), CLASSES[number].to_owned())])),
        encryption: default.map(|default| BucketEncryption {
            default,
            bucket_key: true,
            blocks_sse_c: true,
        }),
        policy: Fact::Known(None),
        key_users: Some(Fact::Known(users)),
    };
    let judgement = judge(&bucket, settings());
    Seen::bucket(&Observation {
        bucket: &bucket,
        judgement: &judgement,
        stored_in: &place(),
        tag: "data-classification",
    })
}

fn shared_key() -> UsedKey {
    let policy = r#"{"Statement": {"Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "kms:*",
        "Resource": "*"}}"#;
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
            admissions: Permissions::of_key_policy(Fact::Known(policy.parse())).into(),
            rotation: Fact::Known(Rotation::Every(365)),
            rotated: Fact::Known(Vec::new()),
        }),
    };
    UsedKey {
        reference: KEY.parse().unwrap(),
        resolved: Fact::Known(KeyLookup::Found(Box::new(key))),
    }
}
