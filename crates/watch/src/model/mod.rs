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

mod outside;
mod play;

use crate::{WatchError, protocol};
use controls::Settings;
use findings::{Item, Looking, Terms};
use futures_util::task::noop_waker_ref;
use jiff::SignedDuration;
use outside::{Model, ModelMessage, Outside, Truth, stored_in};
use play::{Happening, Play};
use proptest::prelude::*;
use std::{
    cell::RefCell,
    collections::BTreeMap,
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

/// An evaluation that another one overtook takes its RESOLVED back. A third one makes the finding
/// pass between its read and its edit.
#[test]
fn a_status_that_is_taken_back_is_right_by_the_latest_version() {
    use Happening::{Advance, Change, Take};
    use Truth::{SharedKey, SseS3};
    let happenings = [
        Take(2),
        Advance(0, 3),
        Advance(0, 3),
        Advance(0, 2),
        Take(0),
        Advance(0, 3),
        Change(0, SharedKey),
        Take(0),
        Change(1, SseS3),
        Change(0, SseS3),
        Advance(0, 2),
        Advance(1, 2),
        Advance(1, 1),
        Change(0, SharedKey),
        Advance(0, 1),
        Advance(0, 1),
        Change(1, SharedKey),
        Advance(5, 2),
        Take(0),
        Take(2),
        Take(0),
        Advance(2, 1),
        Change(0, SharedKey),
        Advance(6, 1),
        Advance(2, 1),
        Advance(6, 3),
        Advance(0, 3),
        Advance(1, 1),
        Advance(0, 1),
        Take(0),
        Take(0),
        Advance(6, 2),
        Change(0, SharedKey),
        Change(0, SharedKey),
        Take(0),
        Change(1, SseS3),
        Advance(1, 3),
        Advance(6, 2),
        Advance(1, 2),
        Change(1, SharedKey),
    ];
    let mut play = Play::new();
    play.outside.borrow_mut().is_late = false;
    play.play(&happenings);
    play.check().unwrap();
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
