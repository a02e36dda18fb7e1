//! Evaluations of one bucket that overlap.

use crate::example::{Hub, SETTINGS, at, bucket, bucket_id, cmk, sse_s3, unreadable, used};
use controls::{Settings, judge};
use facts::{DefaultEncryption, Fact, KeyState, ResolvedKey, Tags};
use findings::{Compliance, Finding, Observation, Plan, RecordState, Workflow, after, fields, latest, plan_again};
use proptest::prelude::*;

fn state() -> impl Strategy<Value = Fact<DefaultEncryption>> {
    prop_oneof![
        Just(sse_s3()),
        Just(unreadable()),
        Just(cmk(KeyState::Enabled)),
        Just(cmk(KeyState::Disabled)),
        Just(cmk(KeyState::PendingDeletion(Some(at(1000))))),
        Just(Fact::Known(used("", Fact::Known(ResolvedKey::AwsManagedDefault)))),
        Just(Fact::Known(used("alias/gone", Fact::Known(ResolvedKey::Missing)))),
    ]
}

/// One evaluation, a step at a time, beside others.
struct Evaluation {
    step: Step,
    observed: (Fact<DefaultEncryption>, i64),
    standing: Vec<Finding>,
    plan: Plan,
}

#[derive(Clone, Copy, PartialEq)]
enum Step {
    Read,
    FetchStanding,
    Reopen,
    Import,
    Resolve,
    ReadAgain,
    FetchAgain,
    Done,
}

impl Evaluation {
    fn new() -> Self {
        Self { step: Step::Read, observed: (sse_s3(), 0), standing: Vec::new(), plan: Plan::default() }
    }

    fn advance(&mut self, state: &Fact<DefaultEncryption>, minute: i64, hub: &mut Hub) {
        let only = |reopen: &[String], import: &[Finding], resolve: &[String]| Plan {
            reopen: reopen.to_vec(),
            import: import.to_vec(),
            resolve: resolve.to_vec(),
        };
        self.step = match self.step {
            Step::Read | Step::ReadAgain => {
                self.observed = (state.clone(), minute);
                match self.step {
                    Step::Read => Step::FetchStanding,
                    _ if self.plan.resolve.is_empty() => self.compare(),
                    _ => Step::FetchAgain,
                }
            }
            Step::FetchAgain => {
                self.standing = latest(std::mem::take(&mut self.standing), hub.findings.clone());
                self.compare()
            }
            Step::FetchStanding => {
                self.standing = hub.findings.clone();
                self.compare()
            }
            Step::Reopen => {
                hub.apply(&only(&self.plan.reopen, &[], &[]));
                Step::Import
            }
            Step::Import => {
                hub.apply(&only(&[], &self.plan.import, &[]));
                Step::Resolve
            }
            Step::Resolve => {
                hub.apply(&only(&[], &[], &self.plan.resolve));
                self.standing = after(std::mem::take(&mut self.standing), &self.plan);
                Step::ReadAgain
            }
            Step::Done => Step::Done,
        };
    }

    fn compare(&mut self) -> Step {
        let settings: Settings = SETTINGS.parse().unwrap();
        let (encryption, minute) = self.observed.clone();
        let bucket = bucket(encryption, Tags::new(), minute);
        let judgement = judge(&bucket, &settings);
        let observation = Observation {
            bucket: &bucket,
            judgement: &judgement,
            api_calls: &[],
            settings: &settings,
            hub: &bucket_id().place(),
        };
        self.plan = plan_again(&observation, &self.standing, &self.plan);
        if self.plan.is_empty() { Step::Done } else { Step::Reopen }
    }
}

/// What can happen: the bucket changes, which begins an evaluation, or one that is under way takes a step.
#[derive(Debug, Clone)]
enum Happening {
    Change(Box<Fact<DefaultEncryption>>),
    Advance(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![1 => state().prop_map(|state| Happening::Change(Box::new(state))), 6 => (0usize..4).prop_map(Happening::Advance)]
}

/// The findings that stand, but for their moments.
fn standing_state(hub: &Hub) -> Vec<String> {
    let active = hub.findings.iter().filter(|finding| finding.record_state == RecordState::Active);
    let mut state: Vec<_> = active
        .map(|f| {
            format!("{} {:?} {} {:?} {}", f.id, f.compliance, f.severity, f.workflow, f.product_fields[fields::DIGEST])
        })
        .collect();
    state.sort();
    state
}

proptest! {
    /// Whatever happened before, the findings that stand are those of the last state alone, and judging it once more
    /// asks for nothing.
    #[test]
    fn the_last_state_alone_decides(history in proptest::collection::vec(state(), 1..8)) {
        let mut hub = Hub::default();
        for (minute, encryption) in (0..).zip(&history) {
            hub.observe(encryption.clone(), minute);
        }
        let last = history.last().unwrap().clone();
        prop_assert_eq!(hub.observe(last.clone(), 100), Plan::default());

        let mut fresh = Hub::default();
        fresh.observe(last, 0);
        prop_assert_eq!(standing_state(&hub), standing_state(&fresh));
    }

    /// However evaluations of one bucket interleave, once all are done the last state alone stands, and no failure is
    /// hidden as RESOLVED. What passes may be left NEW, until the next evaluation.
    #[test]
    fn evaluations_may_overlap(happenings in proptest::collection::vec(happening(), 1..60)) {
        let (mut hub, mut state, mut minute) = (Hub::default(), sse_s3(), 0);
        let mut evaluations = vec![Evaluation::new()];
        for happening in happenings {
            minute += 1;
            match happening {
                Happening::Change(to) => {
                    state = *to;
                    evaluations.push(Evaluation::new());
                }
                Happening::Advance(which) => {
                    let mut under_way = evaluations.iter_mut().filter(|evaluation| evaluation.step != Step::Done);
                    if let Some(evaluation) = under_way.nth(which) {
                        evaluation.advance(&state, minute, &mut hub);
                    }
                }
            }
        }
        for evaluation in &mut evaluations {
            while evaluation.step != Step::Done {
                minute += 1;
                evaluation.advance(&state, minute, &mut hub);
            }
        }
        let mut fresh = Hub::default();
        fresh.observe(state.clone(), 0);
        let verdicts = |hub: &Hub| standing_state(hub).iter().map(|f| f.replace(" New ", " ").replace(" Resolved ", " ")).collect::<Vec<_>>();
        prop_assert_eq!(verdicts(&hub), verdicts(&fresh));
        let hidden = |f: &&Finding| {
            f.record_state == RecordState::Active && f.compliance != Compliance::Passed && f.workflow == Workflow::Resolved
        };
        prop_assert_eq!(hub.findings.iter().find(hidden), None);
        hub.observe(state, minute + 1);
        prop_assert_eq!(standing_state(&hub), standing_state(&fresh));
    }
}
