//! The scheduler of the model: which evaluation makes its next call, and what must hold at rest.

use super::{
    BUCKETS, CONTROLS, DELAY, KEY,
    outside::{Model, ModelMessage, Outside, Step, Truth, bucket_id, stored_in},
    settings,
};
use crate::{WatchError, protocol};
use findings::{About, Compliance, Looking, RecordState, Terms, Workflow};
use futures_util::task::noop_waker_ref;
use proptest::prelude::*;
use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

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
                    if used.key.as_ref().is_some_and(|key| key.as_str() == KEY)
                        && used.class != class
                    {
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
pub(super) enum Happening {
    Change(usize, Truth),
    Take(usize),
    Advance(usize, usize),
    Die(usize),
    EditTakesEffect,
    SecurityHubCatchesUp,
    IndexCatchesUp,
}

/// The scheduler: runs evaluations step by step.
pub(super) struct Play {
    pub(super) outside: Rc<RefCell<Outside>>,
    running: Vec<(ModelMessage, Running)>,
}

impl Play {
    pub(super) fn new() -> Self {
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

    pub(super) fn play(&mut self, happenings: &[Happening]) {
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
    pub(super) fn run_until_idle(&mut self) {
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
    pub(super) fn check(&self) -> Result<(), TestCaseError> {
        let outside = self.outside.borrow();
        for number in 0..BUCKETS {
            let expected = self.expected(number);
            let about = About::Bucket(bucket_id(number));
            let held = outside.destination.values().filter(|finding| finding.about == about);
            let active = held.filter(|finding| finding.record_state == RecordState::Active);
            let found: BTreeMap<_, _> = active
                .map(|finding| (finding.slug.to_string(), (finding.compliance, finding.workflow)))
                .collect();
            prop_assert_eq!(&found, &expected, "Security Hub, {}", number);
            let item = outside.table[number].as_ref();
            let state: BTreeMap<_, _> = item
                .iter()
                .flat_map(|item| &item.controls)
                .filter_map(|(slug, state)| {
                    Some((slug.to_string(), state.observed.as_ref()?.status))
                })
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
    pub(super) fn check_reports(&self) -> Result<(), TestCaseError> {
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
