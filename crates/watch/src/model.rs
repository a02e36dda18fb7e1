//! Tests the protocol in random orders of its steps.
//!
//! Two buckets of different classes may use one key. Their settings change at any moment, and each
//! change sends a message.
//!
//! - Evaluations are the real ones ([`protocol`]). They stop before each call to the outside, so
//!   that they interleave in any way. They may die anywhere, and then the message comes back.
//! - Security Hub follows AWS's rules. Edits take effect later, in order, and its answers are old.
//!   The index of keys is old, too.
//! - Second looks run after all else is done, because they are delayed by more than all of that
//!   takes.
//!
//! At rest Security Hub, the state and the settings in S3 must agree. A reader of all transitions
//! must know the current status.

use crate::{
    WatchError,
    protocol::{self, Next, Refusal, World},
};
use controls::{Settings, judge};
use facts::{
    Bucket, BucketEncryption, BucketId, DefaultEncryption, Fact, Key, KeyAdministration, KeyLookup,
    KeyManager, KeyState, KeyUser, Place, Rotation, Tags, Unreadable, UsedKey,
};
use findings::{
    About, Compliance, Finding, Held, Item, Looking, Neighbours, Observation, RecordState, Seen,
    StoredIn, Terms, Workflow, fields, repairs,
};
use futures_util::task::noop_waker_ref;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::LazyLock,
    task::{Context, Poll},
};

const KEY: &str = "arn:aws:kms:us-east-1:111111111111:key/1234";
const CLASSES: [&str; 2] = ["secret", "restricted"];
const BUCKETS: usize = CLASSES.len();
const DELAY: SignedDuration = SignedDuration::from_secs(300);
const SETTINGS: &str = r#"
    classification = { tag = "class", default = "secret" }
    class.secret.level = "enforced"
    class.restricted.level = "enforced"
    [[exempt]]
    buckets = "*"
    controls = [EXEMPT]
    reason = "not in the model"
    until = 9999-12-31
"#;

/// The controls of the model. Buckets are exempt from all others.
const CONTROLS: [&str; 3] = ["encrypted-with-kms", "encrypted-with-cmk", "key-serves-one-class"];

/// The setting of a bucket in S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    SseS3,
    SharedKey,
    Refused,
    Deleted,
}

/// A message in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ModelMessage {
    Evaluate(usize),
    SecondLook(usize),
    Neighbours { of: usize, class: Option<String> },
}

/// The model of everything outside the evaluations: S3, the table, Security Hub and the queue.
struct Outside {
    milliseconds: i64,
    truth: [Truth; BUCKETS],
    table: [Option<Item>; BUCKETS],
    /// The table as the index shows it.
    index: [Option<Item>; BUCKETS],
    /// The findings that Security Hub holds; `visible` are those that it shows.
    destination: BTreeMap<String, Finding>,
    visible: BTreeMap<String, Finding>,
    /// Edits of workflow statuses that have not yet taken effect.
    edits: VecDeque<(Vec<String>, Workflow)>,
    queue: Vec<ModelMessage>,
    /// The last report about each finding: true if the finding did not pass.
    known: BTreeMap<String, bool>,
    /// True if Security Hub answers late. Second looks make up for that.
    is_late: bool,
}

impl Outside {
    fn tick(&mut self) -> Timestamp {
        self.milliseconds += 1;
        Timestamp::from_millisecond(1_790_000_000_000 + self.milliseconds).unwrap()
    }

    /// Imports a finding by [AWS's
    /// rules](https://docs.aws.amazon.com/securityhub/latest/userguide/finding-update-batchimportfindings.html).
    fn import(&mut self, finding: &Finding) {
        let before = self.destination.get(&finding.id);
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
        match finding.product_fields[fields::TRANSITION].as_str() {
            "opened" | "worsened" | "unreadable" => {
                self.known.insert(finding.id.clone(), true);
            }
            "resolved" => drop(self.known.insert(finding.id.clone(), false)),
            // This transition is not alerted.
            "first-seen" => drop(self.known.entry(finding.id.clone()).or_insert(false)),
            "gone" => drop(self.known.remove(&finding.id)),
            "eased" | "changed" | "unchanged" => {}
            other => panic!("{other}"),
        }
        self.destination.insert(finding.id.clone(), Finding { workflow, ..finding.clone() });
        self.show();
    }

    /// Makes all imports and edits visible at once, unless Security Hub is late.
    fn show(&mut self) {
        if !self.is_late {
            self.catch_up();
        }
    }

    fn apply_edit(&mut self) {
        let Some((ids, workflow)) = self.edits.pop_front() else { return };
        for id in ids {
            self.destination.get_mut(&id).unwrap().workflow = workflow;
        }
    }

    fn catch_up(&mut self) {
        while !self.edits.is_empty() {
            self.apply_edit();
        }
        self.visible = self.destination.clone();
    }
}

/// A future that yields once. The scheduler decides when the next call is made.
#[derive(Default)]
struct Step(bool);

impl Future for Step {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn bucket_id(number: usize) -> BucketId {
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
struct Model {
    outside: Rc<RefCell<Outside>>,
    number: usize,
    about: About,
}

impl Model {
    fn new(outside: &Rc<RefCell<Outside>>, number: usize) -> Self {
        Self { outside: Rc::clone(outside), number, about: About::Bucket(bucket_id(number)) }
    }

    /// Returns the findings of the bucket that Security Hub shows.
    fn visible(&self) -> Vec<Finding> {
        let visible = &self.outside.borrow().visible;
        visible.values().filter(|finding| finding.about == self.about).cloned().collect()
    }

    /// Makes a second look and the comparison that follows; returns true if another look must
    /// follow.
    async fn look_again(&self, terms: &Terms<'_>) -> Result<bool, WatchError> {
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
        Ok(self.visible().into_iter().map(|finding| (finding.id, finding.workflow)).collect())
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

fn stored_in() -> StoredIn {
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
        let shares = other != number && used.key.as_deref() == Some(KEY);
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
        administration: Some(KeyAdministration {
            policy: Fact::Known(policy.parse()),
            rotation: Fact::Known(Rotation::Every(365)),
        }),
    };
    UsedKey {
        reference: KEY.parse().unwrap(),
        resolved: Fact::Known(KeyLookup::Found(Box::new(key))),
    }
}

fn settings() -> &'static Settings {
    static PARSED: LazyLock<Settings> = LazyLock::new(parsed);
    &PARSED
}

fn parsed() -> Settings {
    let slugs = controls::OF_BUCKETS.iter().map(|control| control.slug);
    let exempt: Vec<_> =
        slugs.filter(|slug| !CONTROLS.contains(slug)).map(|slug| format!("{slug:?}")).collect();
    SETTINGS.replace("EXEMPT", &exempt.join(", ")).parse().unwrap()
}

type Running = Pin<Box<dyn Future<Output = Result<(), WatchError>>>>;

/// Handles a message: evaluates its bucket, or queues the buckets that it concerns.
fn handle(outside: &Rc<RefCell<Outside>>, message: ModelMessage) -> Running {
    let outside = Rc::clone(outside);
    Box::pin(async move {
        let (destination, nothing) = (stored_in(), BTreeMap::new());
        let terms = Terms {
            settings: settings(),
            generation: 1,
            security_hub: &destination,
            looking: Looking::Message,
            api_calls: &[],
            repair: &nothing,
        };
        match message {
            ModelMessage::Evaluate(number) => {
                protocol::evaluate(&Model::new(&outside, number), &terms, None).await?;
                Step::default().await;
                let mut outside = outside.borrow_mut();
                let looks_again = outside.is_late;
                outside.queue.extend(looks_again.then_some(ModelMessage::SecondLook(number)));
            }
            ModelMessage::SecondLook(number) => {
                let looks_again = Model::new(&outside, number).look_again(&terms).await?;
                Step::default().await;
                if looks_again {
                    outside.borrow_mut().queue.push(ModelMessage::SecondLook(number));
                }
            }
            ModelMessage::Neighbours { of, class } => {
                Step::default().await;
                // The message is delayed, so the index has caught up.
                let mut outside = outside.borrow_mut();
                outside.index = outside.table.clone();
                for number in (0..BUCKETS).filter(|number| *number != of) {
                    let used = outside.index[number]
                        .as_ref()
                        .map(|item| item.class_and_key.clone())
                        .unwrap_or_default();
                    if used.key.as_deref() == Some(KEY) && used.class != class {
                        outside.queue.push(ModelMessage::Evaluate(number));
                    }
                }
            }
        }
        Ok(())
    })
}

/// A step of a test case.
#[derive(Debug, Clone)]
enum Happening {
    Change(usize, Truth),
    Take(usize),
    Advance(usize, usize),
    Die(usize),
    EditTakesEffect,
    SecurityHubCatchesUp,
    IndexCatchesUp,
}

/// The scheduler: runs evaluations step by step.
struct Play {
    outside: Rc<RefCell<Outside>>,
    running: Vec<(ModelMessage, Running)>,
}

impl Play {
    fn new() -> Self {
        let outside = Outside {
            milliseconds: 0,
            truth: [Truth::SseS3; BUCKETS],
            table: [const { None }; BUCKETS],
            index: [const { None }; BUCKETS],
            destination: BTreeMap::new(),
            visible: BTreeMap::new(),
            edits: VecDeque::new(),
            queue: (0..BUCKETS).map(ModelMessage::Evaluate).collect(),
            known: BTreeMap::new(),
            is_late: true,
        };
        Self { outside: Rc::new(RefCell::new(outside)), running: Vec::new() }
    }

    fn play(&mut self, happenings: &[Happening]) {
        happenings.iter().for_each(|happening| self.happen(happening));
        self.run_until_idle();
    }

    fn happen(&mut self, happening: &Happening) {
        match *happening {
            Happening::Change(number, truth) => {
                let mut outside = self.outside.borrow_mut();
                outside.truth[number] = truth;
                outside.queue.push(ModelMessage::Evaluate(number));
            }
            Happening::Take(nth) => {
                self.take(nth, |message| !matches!(message, ModelMessage::SecondLook(_)))
            }
            Happening::Advance(nth, steps) => (0..steps).for_each(|_| self.advance(nth)),
            Happening::Die(nth) => {
                if nth < self.running.len() {
                    let (message, _) = self.running.remove(nth);
                    self.outside.borrow_mut().queue.push(message);
                }
            }
            Happening::EditTakesEffect => self.outside.borrow_mut().apply_edit(),
            Happening::SecurityHubCatchesUp => {
                let mut outside = self.outside.borrow_mut();
                outside.visible = outside.destination.clone();
            }
            Happening::IndexCatchesUp => {
                let mut outside = self.outside.borrow_mut();
                outside.index = outside.table.clone();
            }
        }
    }

    fn take(&mut self, nth: usize, may: impl Fn(&ModelMessage) -> bool) {
        let mut outside = self.outside.borrow_mut();
        let waiting: Vec<_> =
            (0..outside.queue.len()).filter(|at| may(&outside.queue[*at])).collect();
        let Some(at) = waiting.get(nth % waiting.len().max(1)) else { return };
        let message = outside.queue.remove(*at);
        drop(outside);
        self.running.push((message.clone(), handle(&self.outside, message)));
    }

    /// Lets one evaluation make its next call.
    fn advance(&mut self, nth: usize) {
        if self.running.is_empty() {
            return;
        }
        let nth = nth % self.running.len();
        match self.running[nth].1.as_mut().poll(&mut Context::from_waker(noop_waker_ref())) {
            Poll::Pending => {}
            Poll::Ready(done) => {
                let (message, _) = self.running.remove(nth);
                // A message whose evaluation failed is delivered again.
                if done.is_err() {
                    self.outside.borrow_mut().queue.push(message);
                }
            }
        }
    }

    /// Runs all evaluations to their end. Second looks begin once no other message is left.
    fn run_until_idle(&mut self) {
        for _ in 0..100_000 {
            if !self.running.is_empty() {
                self.advance(0);
                continue;
            }
            let is_second = |message: &ModelMessage| matches!(message, ModelMessage::SecondLook(_));
            let others = self.outside.borrow().queue.iter().any(|message| !is_second(message));
            if !others {
                let mut outside = self.outside.borrow_mut();
                outside.milliseconds += 1 + i64::try_from(DELAY.as_millis()).unwrap();
                outside.catch_up();
                outside.index = outside.table.clone();
            }
            if self.outside.borrow().queue.is_empty() {
                return;
            }
            self.take(0, |message| !others || !is_second(message));
        }
        panic!("it never becomes idle: {:?}", self.outside.borrow().queue);
    }

    /// Compares the findings and the state with the settings in S3.
    fn check(&self) -> Result<(), TestCaseError> {
        let outside = self.outside.borrow();
        for number in 0..BUCKETS {
            let expected = self.expected(number);
            let about = About::Bucket(bucket_id(number));
            let held = outside.destination.values().filter(|finding| finding.about == about);
            let active = held.filter(|finding| finding.record_state == RecordState::Active);
            let found: BTreeMap<_, _> = active
                .map(|finding| (finding.slug().to_owned(), (finding.compliance, finding.workflow)))
                .collect();
            prop_assert_eq!(&found, &expected, "Security Hub, {}", number);
            let item = outside.table[number].as_ref();
            let state: BTreeMap<_, _> = item
                .iter()
                .flat_map(|item| &item.controls)
                .filter_map(|(slug, state)| Some((slug.clone(), state.observed.as_ref()?.status)))
                .collect();
            let statuses =
                expected.iter().map(|(slug, (status, _))| (slug.clone(), *status)).collect();
            prop_assert_eq!(state, statuses, "the state, {}", number);
            prop_assert!(
                item.is_none_or(|item| item.published == item.version),
                "not published, {}",
                number
            );
        }
        Ok(())
    }

    /// Compares the reports with the settings in S3.
    fn check_reports(&self) -> Result<(), TestCaseError> {
        let outside = self.outside.borrow();
        for number in 0..BUCKETS {
            for (slug, (status, _)) in self.expected(number) {
                let id = About::Bucket(bucket_id(number)).id(&slug);
                let known = outside.known.get(&id).copied().unwrap_or_default();
                prop_assert_eq!(
                    known,
                    status != Compliance::Passed,
                    "people know of {} {}",
                    number,
                    slug
                );
            }
        }
        Ok(())
    }

    /// Returns the expected status and workflow of each control, given the settings in S3.
    fn expected(&self, number: usize) -> BTreeMap<String, (Compliance, Workflow)> {
        let (passed, failed) =
            ((Compliance::Passed, Workflow::Resolved), (Compliance::Failed, Workflow::New));
        let warning = (Compliance::Warning, Workflow::New);
        let truth = self.outside.borrow().truth;
        let shared = truth.iter().filter(|truth| **truth == Truth::SharedKey).count() > 1;
        let all = match truth[number] {
            Truth::Deleted => [None; 3],
            Truth::SseS3 => [Some(failed), Some(failed), None],
            Truth::Refused => [Some(warning); 3],
            Truth::SharedKey => {
                [Some(passed), Some(passed), Some(if shared { failed } else { passed })]
            }
        };
        let slugs = CONTROLS;
        slugs.iter().zip(all).filter_map(|(slug, said)| Some(((*slug).to_owned(), said?))).collect()
    }
}

fn truth() -> impl Strategy<Value = Truth> {
    prop_oneof![
        3 => Just(Truth::SharedKey),
        3 => Just(Truth::SseS3),
        1 => Just(Truth::Refused),
        1 => Just(Truth::Deleted),
    ]
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0..BUCKETS, truth()).prop_map(|(number, truth)| Happening::Change(number, truth)),
        8 => (0_usize..8).prop_map(Happening::Take),
        30 => (0_usize..8, 1_usize..4).prop_map(|(nth, steps)| Happening::Advance(nth, steps)),
        2 => (0_usize..8).prop_map(Happening::Die),
        3 => Just(Happening::EditTakesEffect),
        2 => Just(Happening::SecurityHubCatchesUp),
        2 => Just(Happening::IndexCatchesUp),
    ]
}

fn play(happenings: &[Happening]) -> Play {
    let mut play = Play::new();
    play.play(happenings);
    play
}

/// Returns a configuration with at least `default` cases; `PROPTEST_CASES` raises the number.
fn cases(default: u32) -> ProptestConfig {
    let mut config = ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() };
    config.cases = config.cases.max(default);
    config
}

proptest! {
    #![proptest_config(cases(2048))]

    /// Runs evaluations in random interleavings. They may die anywhere.
    #[test]
    fn security_hub_and_the_state_agree_with_s3_at_rest(happenings in proptest::collection::vec(happening(), 1..120)) {
        let play = play(&happenings);
        play.check()?;
        play.check_reports()?;
    }

    /// No evaluation dies and Security Hub answers at once, so no second look is needed. The look
    /// after the commit ensures that.
    #[test]
    fn security_hub_and_the_state_agree_with_s3_without_second_looks(happenings in proptest::collection::vec(happening(), 1..120)) {
        let mut play = Play::new();
        play.outside.borrow_mut().is_late = false;
        let happenings: Vec<_> = happenings.into_iter().filter(|it| !matches!(it, Happening::Die(_))).collect();
        play.play(&happenings);
        play.check()?;
        play.check_reports()?;
    }

    /// Loses the table at rest, because a later loss could make an old answer of Security Hub the
    /// new state.
    ///
    /// Findings, states and reports are as before, and stay right in all that follows.
    #[test]
    fn a_lost_table_is_rebuilt(
        before in proptest::collection::vec(happening(), 1..60),
        after in proptest::collection::vec(happening(), 1..60),
    ) {
        let mut play = play(&before);
        let (destination, table) = {
            let mut outside = play.outside.borrow_mut();
            let table = std::mem::replace(&mut outside.table, [const { None }; BUCKETS]);
            outside.queue.extend((0..BUCKETS).map(ModelMessage::Evaluate));
            (outside.destination.clone(), table)
        };
        play.run_until_idle();
        prop_assert_eq!(&play.outside.borrow().destination, &destination, "something was imported");
        for (rebuilt, known) in play.outside.borrow().table.iter().zip(&table) {
            let observed = |item: &Option<Item>| {
                let controls = item.iter().flat_map(|item| item.controls.clone());
                let applies = controls.filter(|(_, state)| state.observed.is_some());
                applies.map(|(slug, state)| (slug, state.observed, state.first_observed_at, state.updated_at)).collect::<Vec<_>>()
            };
            prop_assert_eq!(observed(rebuilt), observed(known));
        }
        play.play(&after);
        play.check()?;
        play.check_reports()?;
    }
}

/// Runs two and then eight evaluations of one bucket. Each makes some calls before and after the
/// bucket changes.
#[test]
fn concurrent_evaluations_end_with_the_last_state() {
    for evaluators in [2, 8] {
        for (first, last) in [(Truth::SharedKey, Truth::SseS3), (Truth::SseS3, Truth::SharedKey)] {
            for calls in 1..12 {
                let mut happenings = vec![Happening::Change(0, first)];
                // Each evaluation has a message of its own: an event may be delivered any number of
                // times.
                happenings.extend((1..evaluators).map(|_| Happening::Change(0, first)));
                happenings.extend((0..evaluators).map(|_| Happening::Take(0)));
                happenings.extend((0..evaluators).map(|nth| Happening::Advance(nth, calls)));
                happenings.push(Happening::Change(0, last));
                happenings.extend((0..evaluators).rev().map(|nth| Happening::Advance(nth, calls)));
                let play = play(&happenings);
                play.check().unwrap();
                play.check_reports().unwrap();
            }
        }
    }
}

#[test]
fn a_newer_deployment_is_not_overwritten_for_an_hour() {
    let (destination, nothing) = (stored_in(), BTreeMap::new());
    let run = |outside: &Rc<RefCell<Outside>>, generation| {
        let terms = Terms {
            settings: settings(),
            generation,
            security_hub: &destination,
            looking: Looking::Message,
            api_calls: &[],
            repair: &nothing,
        };
        let (model, mut context) = (Model::new(outside, 0), Context::from_waker(noop_waker_ref()));
        let mut running = Box::pin(protocol::evaluate(&model, &terms, None));
        loop {
            if let Poll::Ready(done) = running.as_mut().poll(&mut context) {
                return done;
            }
        }
    };
    let play = Play::new();
    run(&play.outside, 2).unwrap();
    play.outside.borrow_mut().truth[0] = Truth::SharedKey;
    let error = run(&play.outside, 1).unwrap_err();
    assert!(matches!(error, WatchError::Superseded(_)), "{error}");
    play.outside.borrow_mut().milliseconds += 61 * 60 * 1000;
    assert!(run(&play.outside, 1).unwrap().changed, "the newer deployment was rolled back");
}
