//! Laws for any events and any batches: people know the present state, and no state is repeated.

use super::{
    Received, select_alerts,
    tests::{ALERTS, first_time, said},
};
use crate::{AlertedState, Decision, FindingEvent, LastDecision, decide};
use findings::{Compliance, Transition};
use proptest::prelude::*;

/// Generates a status before, and the events of the statuses that follow.
fn any_story() -> impl Strategy<Value = Vec<FindingEvent>> {
    use Compliance::{Failed, Passed, Warning};
    let states = prop::collection::vec(prop::sample::select(vec![Passed, Failed, Warning]), 1..6);
    (prop::option::of(prop::sample::select(vec![Passed, Failed, Warning])), states).prop_map(
        |(before, states)| {
            let befores = std::iter::once(before).chain(states.iter().copied().map(Some));
            let steps = befores.zip(states.clone()).enumerate();
            let said = steps.filter_map(|(step, (before, now))| {
                let transition = match (before, now) {
                    (before, now) if before == Some(now) => return None,
                    (None, Passed) => return None,
                    (_, Failed) => Transition::Opened,
                    (_, Warning) => Transition::Unreadable,
                    (_, Passed) => Transition::Resolved,
                };
                Some(said(i64::try_from(step).unwrap(), transition, before))
            });
            said.collect()
        },
    )
}

fn state(event: &FindingEvent) -> Option<Compliance> {
    match event.transition {
        Transition::Opened => Some(Compliance::Failed),
        Transition::Unreadable => Some(Compliance::Warning),
        _ => None,
    }
}

fn known(before: Option<Compliance>) -> Option<Compliance> {
    before.filter(|before| *before != Compliance::Passed)
}

proptest! {
    /// Events happen within one batch and arrive in any order. Afterwards people know the
    /// present state, and nobody is alerted about a state that was known before.
    #[test]
    fn people_know_the_present_state_after_a_batch(events in any_story(), seed in any::<u64>()) {
        prop_assume!(!events.is_empty());
        let (before, after) = (known(events[0].before), state(&events[events.len() - 1]));
        let mut received = first_time(events);
        let length = received.len();
        received.rotate_left(usize::try_from(seed % length as u64).unwrap());
        let selected = select_alerts(received, &ALERTS).selected;
        let learned = selected.first().map_or(before, |selected| state(&selected.event));
        prop_assert_eq!(learned, after);
        prop_assert_eq!(selected.len(), usize::from(before != after));
    }

    /// Events are cut into batches in any way, and some are received again. In the end people
    /// know the present state, and no message repeats a state that people know.
    #[test]
    fn batches_and_repeated_events_lose_nothing(
        events in any_story(),
        cuts in prop::collection::vec(any::<bool>(), 6),
        again in prop::collection::vec(any::<bool>(), 6),
    ) {
        prop_assume!(!events.is_empty());
        let (mut knows, after) = (known(events[0].before), state(&events[events.len() - 1]));
        let mut batches: Vec<Vec<Received<usize>>> = vec![Vec::new()];
        for (number, received) in first_time(events).into_iter().enumerate() {
            let repeated = batches.last().and_then(|batch| batch.last().cloned());
            if cuts[number] && !batches.last().unwrap().is_empty() {
                batches.push(Vec::new());
                // The event was alerted and is received again, as if its message had failed.
                let repeated = repeated.filter(|_| again[number]);
                let repeated = repeated.map(|received| Received { is_first: false, ..received });
                batches.last_mut().unwrap().extend(repeated);
            }
            batches.last_mut().unwrap().push(received);
        }
        let mut row = None;
        for batch in batches {
            let selection = select_alerts(batch, &ALERTS);
            for selected in selection.selected {
                let event = selected.event;
                let decision = decide(row.as_ref(), &event, "", event.sent_at);
                let is_repeated = row.is_some() && knows == state(&event);
                prop_assert!(decision != Decision::Alert || !is_repeated, "{:?} again", event.transition);
                if decision == Decision::Alert {
                    knows = state(&event);
                    row = Some(LastDecision { version: event.state_version, alerted: Some(AlertedState::of(&event)), claim: None });
                }
            }
            for selected in selection.cancelled {
                let alerted = AlertedState::of(&selected.event);
                let is_true = row.as_ref().map_or(alerted == AlertedState::Closed, |row: &LastDecision| {
                    row.alerted.is_some_and(|known| known.covers(alerted))
                });
                if !is_true {
                    knows = state(&selected.event);
                }
                row = Some(LastDecision { version: selected.event.state_version, alerted: Some(alerted), claim: None });
            }
        }
        prop_assert_eq!(knows, after);
    }
}
