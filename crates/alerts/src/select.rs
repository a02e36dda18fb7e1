//! The events of a batch that need a message.
//!
//! This module looks at one batch only. [`decide`](crate::decide) compares its result with what
//! people already know.

use crate::{
    AlertedState, FindingEvent,
    silence::{Silence, Silent},
};
use controls::Alerts;
use findings::{Compliance, Transition};
use std::{cmp::Reverse, collections::BTreeMap};

/// An event that was received from the queue.
#[derive(Debug, Clone)]
pub struct Received<R> {
    /// The receipt of the queue message.
    pub receipt: R,
    /// True if the event is received for the first time. Then nobody can have been alerted about
    /// it.
    pub is_first: bool,
    /// The content of the event.
    pub event: FindingEvent,
}

/// A finding that needs a message.
#[derive(Debug, Clone)]
pub struct Selected<R> {
    /// The last state of the finding.
    pub event: FindingEvent,
    /// The receipts of all events about the finding. If the message fails, all of them must be
    /// received again.
    pub receipts: Vec<R>,
}

/// A finding that was archived, because its bucket or its control does not concern anybody any
/// more. If people were alerted about the finding, this must be recorded: it may open again.
#[derive(Debug, Clone)]
pub struct Gone<R> {
    /// The id of the finding.
    pub finding: String,
    /// The version of the state that archived the finding.
    pub version: u64,
    /// The receipts of all events about the finding. If the archiving cannot be recorded, all of
    /// them must be received again.
    pub receipts: Vec<R>,
}

/// The result of a batch.
#[derive(Debug)]
pub struct SelectedAlerts<R> {
    /// The findings that need a message: the most severe first, and the resolved ones last.
    pub selected: Vec<Selected<R>>,
    /// The findings that are as they were before the batch. They need a message only if people know
    /// another state.
    pub cancelled: Vec<Selected<R>>,
    /// The findings that were archived.
    pub gone: Vec<Gone<R>>,
    /// The findings whose change is minor, but whose state people must know. They need a message
    /// only if people know another state.
    pub minor: Vec<Selected<R>>,
    /// The events that do not become a message, each with its reason. The last event about a
    /// finding of `selected`, `cancelled` or `minor` is not among them, because it is not decided
    /// yet.
    pub silent: Vec<Silent>,
}

/// Selects the findings that need a message. Only the last state of each finding counts, and only
/// if it differs from the state before the batch. Edits and low severities need no message.
#[must_use]
pub fn select_alerts<R>(received: Vec<Received<R>>, alerts: &Alerts) -> SelectedAlerts<R> {
    let mut by_finding = BTreeMap::<String, Vec<Received<R>>>::new();
    let mut selection = SelectedAlerts {
        selected: Vec::new(),
        cancelled: Vec::new(),
        gone: Vec::new(),
        minor: Vec::new(),
        silent: Vec::new(),
    };
    for received in received {
        if received.event.is_edit() {
            selection.silent.push(silent(&received.event, Silence::Edit));
        } else {
            by_finding.entry(received.event.id.clone()).or_default().push(received);
        }
    }
    for mut events in by_finding.into_values() {
        // An import and the edit that follows it may be sent in the same second. The edit must come
        // last, because people are alerted about it.
        events.sort_by_key(|received| {
            (received.event.updated_at, received.event.is_alertable(), received.event.sent_at)
        });
        selection.add(events, alerts);
    }
    let order = |event: &FindingEvent| {
        (event.transition == Transition::Resolved, Reverse(event.alert_severity()))
    };
    selection.selected.sort_by_key(|selected| order(&selected.event));
    selection
}

fn silent(event: &FindingEvent, reason: Silence) -> Silent {
    Silent { finding: event.id.clone(), transition: event.transition, reason }
}

impl<R> SelectedAlerts<R> {
    /// Adds the result of all events about one finding. The events are in order.
    fn add(&mut self, events: Vec<Received<R>>, alerts: &Alerts) {
        let Some(((last, earlier), end)) = events.split_last().zip(end_of(&events)) else { return };
        self.silent
            .extend(earlier.iter().map(|received| silent(&received.event, Silence::LaterEvent)));
        let is_severe = |event: &FindingEvent| event.alert_severity() >= alerts.minimum_severity;
        let reason = match end {
            BatchOutcome::AlertedState(event) if is_severe(&event) => {
                return self.selected.push(selected(*event, events));
            }
            BatchOutcome::Cancelled(event) if is_severe(&event) => {
                return self.cancelled.push(selected(*event, events));
            }
            BatchOutcome::Minor(event)
                if AlertedState::of(&event) == AlertedState::Closed || is_severe(&event) =>
            {
                return self.minor.push(selected(*event, events));
            }
            BatchOutcome::AlertedState(_) | BatchOutcome::Cancelled(_) => Silence::BelowMinimum,
            BatchOutcome::Minor(_) => Silence::Minor,
            BatchOutcome::Silent(reason) => reason,
        };
        self.silent.push(silent(&last.event, reason));
        if reason == Silence::Gone {
            let (finding, version) = (last.event.id.clone(), last.event.state_version);
            self.gone.push(Gone { finding, version, receipts: receipts(events) });
        }
    }
}

fn selected<R>(event: FindingEvent, events: Vec<Received<R>>) -> Selected<R> {
    Selected { event, receipts: receipts(events) }
}

fn receipts<R>(events: Vec<Received<R>>) -> Vec<R> {
    events.into_iter().map(|received| received.receipt).collect()
}

/// The result of all events about one finding.
enum BatchOutcome {
    /// People must be alerted.
    AlertedState(Box<FindingEvent>),
    /// The finding is as it was before the first event.
    Cancelled(Box<FindingEvent>),
    /// The change is minor, and its finding shows a state that people must know.
    Minor(Box<FindingEvent>),
    /// Nobody needs an alert, or not yet.
    Silent(Silence),
}

/// Returns the result of all events about one finding. The events are in order.
///
/// A resolution counts once the finding is RESOLVED. A finding that only eased or changed after it
/// opened is reported as opened.
fn end_of<R>(events: &[Received<R>]) -> Option<BatchOutcome> {
    let opened = events
        .iter()
        .rfind(|received| received.event.is_alertable())
        .map(|received| &received.event);
    let first = events.first()?;
    let last = events.last()?.event.clone();
    let event = match (last.transition, opened) {
        (Transition::Gone, _) => return Some(BatchOutcome::Silent(Silence::Gone)),
        (_, None) if last.may_correct() => return Some(BatchOutcome::Minor(Box::new(last))),
        (_, None) => {
            return Some(BatchOutcome::Silent(last.silence().unwrap_or(Silence::Unchanged)));
        }
        (Transition::Resolved, _) => last,
        (_, Some(_)) if last.is_alertable() => last,
        (_, Some(opened)) => as_opened(last, opened),
    };
    // The first event was never received before and reports an import, so it has not been alerted.
    let is_new = first.is_first
        && first.event.is_fresh()
        && first.event.state_version != event.state_version;
    if is_new && is_as_before(&first.event, &event) {
        return Some(BatchOutcome::Cancelled(Box::new(event)));
    }
    Some(
        event.silence().map_or_else(
            || BatchOutcome::AlertedState(Box::new(event.clone())),
            BatchOutcome::Silent,
        ),
    )
}

/// Returns the present state of a finding as the change that opened it earlier in the batch.
fn as_opened(now: FindingEvent, opened: &FindingEvent) -> FindingEvent {
    let FindingEvent { transition, before, severity_before, worst, .. } = opened.clone();
    FindingEvent { transition, before, severity_before, worst: worst.max(now.worst), ..now }
}

/// Returns true if the last state equals the state before the first event.
fn is_as_before(first: &FindingEvent, last: &FindingEvent) -> bool {
    match last.transition {
        Transition::Resolved => matches!(first.before, None | Some(Compliance::Passed)),
        Transition::Unreadable => first.before == Some(Compliance::Warning),
        _ => {
            first.before == Some(Compliance::Failed) && first.severity_before >= Some(last.severity)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decision, LastDecision, decide, example};
    use controls::Severity;
    use findings::Workflow;
    use jiff::{SignedDuration, Timestamp};
    use proptest::prelude::*;

    const ALERTS: Alerts = Alerts { minimum_severity: Severity::Medium, digest_over: 5 };

    /// Returns an import at a second. Its event was sent one second later.
    fn said(second: i64, transition: Transition, before: Option<Compliance>) -> FindingEvent {
        let updated_at = Timestamp::from_second(1_764_000_000 + second).unwrap();
        let is_over = transition == Transition::Resolved;
        FindingEvent {
            transition,
            status: match transition {
                Transition::Resolved | Transition::FirstSeen => Compliance::Passed,
                Transition::Unreadable => Compliance::Warning,
                _ => Compliance::Failed,
            },
            before,
            severity_before: before.map(|_| Severity::High),
            severity: if is_over { Severity::Informational } else { Severity::High },
            worst: (is_over || transition == Transition::Opened).then_some(Severity::High),
            workflow_before: before.map(|_| Workflow::New),
            workflow: if is_over { Workflow::Resolved } else { Workflow::New },
            updated_at,
            state_version: u64::try_from(updated_at.as_millisecond()).unwrap(),
            sent_at: updated_at + SignedDuration::from_secs(1),
            ..example::event()
        }
    }

    fn first_time(event: Vec<FindingEvent>) -> Vec<Received<usize>> {
        let received = |(receipt, event)| Received { receipt, is_first: true, event };
        event.into_iter().enumerate().map(received).collect()
    }

    fn selection(event: Vec<FindingEvent>) -> SelectedAlerts<usize> {
        select_alerts(first_time(event), &ALERTS)
    }

    /// Returns the transition of each chosen finding, with the number of receipts.
    fn selected_of(selection: &SelectedAlerts<usize>) -> Vec<(Transition, usize)> {
        selection
            .selected
            .iter()
            .map(|selected| (selected.event.transition, selected.receipts.len()))
            .collect()
    }

    #[test]
    fn a_batch_is_reported_by_its_last_state() {
        use Compliance::{Failed, Passed, Warning};
        use Severity::{High, Medium};
        use Transition::{Changed, Eased, Gone, Opened, Resolved, Unreadable, Worsened};
        let worse = |second, before| FindingEvent {
            severity: Severity::Critical,
            severity_before: Some(before),
            ..said(second, Worsened, Some(Failed))
        };
        type AlertedState<'a> = &'a [(Transition, usize)];
        let taken_up =
            FindingEvent { workflow: Workflow::Notified, ..said(9, Changed, Some(Failed)) };
        let cases: [(&str, Vec<FindingEvent>, AlertedState<'_>); 20] = [
            ("opened", vec![said(0, Opened, None)], &[(Opened, 1)]),
            (
                "the same event twice",
                vec![said(0, Opened, None), said(0, Opened, None)],
                &[(Opened, 2)],
            ),
            ("resolved", vec![said(0, Resolved, Some(Failed))], &[(Resolved, 1)]),
            ("new, and fixed", vec![said(0, Opened, None), said(9, Resolved, Some(Failed))], &[]),
            (
                "in no order",
                vec![said(9, Resolved, Some(Failed)), said(0, Opened, Some(Passed))],
                &[],
            ),
            (
                "unread for a moment",
                vec![said(0, Unreadable, Some(Passed)), said(9, Resolved, Some(Warning))],
                &[],
            ),
            (
                "had failed, could not be read, and passes",
                vec![said(0, Unreadable, Some(Failed)), said(9, Resolved, Some(Warning))],
                &[(Resolved, 2)],
            ),
            (
                "fixed, and broken again",
                vec![said(0, Resolved, Some(Failed)), said(9, Opened, Some(Passed))],
                &[],
            ),
            (
                "new, and worse",
                vec![said(0, Opened, None), said(9, Worsened, Some(Failed))],
                &[(Worsened, 2)],
            ),
            (
                "unread again",
                vec![said(0, Resolved, Some(Warning)), said(9, Unreadable, Some(Passed))],
                &[],
            ),
            (
                "new, and other",
                vec![said(0, Opened, None), said(9, Changed, Some(Failed))],
                &[(Opened, 2)],
            ),
            (
                "new, and less bad",
                vec![said(0, Opened, None), said(9, Eased, Some(Failed))],
                &[(Opened, 2)],
            ),
            (
                "worse, and as bad as before",
                vec![worse(0, High), said(9, Eased, Some(Failed))],
                &[],
            ),
            (
                "worse, and other",
                vec![worse(0, Medium), said(9, Changed, Some(Failed))],
                &[(Worsened, 2)],
            ),
            ("new, other, and taken up", vec![said(0, Opened, None), taken_up], &[]),
            ("other", vec![said(0, Changed, Some(Failed))], &[]),
            ("less bad", vec![said(0, Eased, Some(Failed))], &[]),
            (
                "less bad, and as bad again",
                vec![said(0, Eased, Some(Failed)), said(9, Worsened, Some(Failed))],
                &[],
            ),
            ("new, and deleted", vec![said(0, Opened, None), said(9, Gone, Some(Failed))], &[]),
            ("deleted", vec![said(0, Gone, Some(Failed))], &[]),
        ];
        for (name, event, expected) in cases {
            assert_eq!(selected_of(&selection(event)), expected, "{name}");
        }
    }

    #[test]
    fn a_finding_that_eased_after_it_opened_is_alerted_with_its_present_severity() {
        let eased = FindingEvent {
            severity: Severity::Medium,
            ..said(9, Transition::Eased, Some(Compliance::Failed))
        };
        let selection = selection(vec![said(0, Transition::Opened, None), eased]);
        assert_eq!(
            (selection.selected[0].event.severity, selection.selected[0].event.before),
            (Severity::Medium, None)
        );
    }

    #[test]
    fn a_resolved_finding_keeps_its_worst_severity_if_its_evidence_changes() {
        let resolved = said(0, Transition::Resolved, Some(Compliance::Failed));
        let resolved = FindingEvent { worst: Some(Severity::Critical), ..resolved };
        let changed = said(9, Transition::Changed, Some(Compliance::Passed));
        let changed = FindingEvent {
            severity: Severity::Informational,
            worst: None,
            workflow: Workflow::Resolved,
            ..changed
        };
        let selection = selection(vec![resolved, changed]);
        assert_eq!(selected_of(&selection), [(Transition::Resolved, 2)]);
        assert_eq!(selection.selected[0].event.alert_severity(), Severity::Critical);
    }

    #[test]
    fn a_finding_that_passes_is_alerted_once_it_is_closed() {
        let pending = FindingEvent {
            workflow: Workflow::New,
            ..said(0, Transition::Resolved, Some(Compliance::Failed))
        };
        let closed = FindingEvent {
            workflow: Workflow::Resolved,
            sent_at: pending.sent_at,
            ..pending.clone()
        };
        let suppressed = |before| FindingEvent {
            workflow: Workflow::Suppressed,
            workflow_before: before,
            ..pending.clone()
        };
        for (name, event, expected) in [
            ("not yet RESOLVED", vec![pending.clone()], 0),
            ("imported, then set RESOLVED", vec![pending.clone(), closed.clone()], 1),
            ("the same within a second, in no order", vec![closed.clone(), pending.clone()], 1),
            (
                "set RESOLVED, in a batch of its own, or by an automation rule when it was imported",
                vec![closed],
                1,
            ),
            ("SUPPRESSED before", vec![suppressed(Some(Workflow::Suppressed))], 1),
            ("SUPPRESSED later", vec![suppressed(Some(Workflow::New))], 0),
        ] {
            let selection = selection(event);
            assert_eq!(selection.selected.len(), expected, "{name}");
            assert!(
                selection.cancelled.is_empty(),
                "{name}: what closes it must not be taken for known"
            );
        }
        let opened = said(-9, Transition::Opened, None);
        let both = selection(vec![opened, pending]);
        assert_eq!(
            (both.selected.len(), both.cancelled.len()),
            (0, 1),
            "nobody was alerted that it opened"
        );
    }

    #[test]
    fn an_edit_is_not_alerted() {
        let opened = said(0, Transition::Opened, None);
        let later = |by: i64| opened.sent_at + SignedDuration::from_secs(by);
        let noted =
            FindingEvent { noted_at: Some(later(300)), sent_at: later(300), ..opened.clone() };
        let noted_at_once =
            FindingEvent { noted_at: Some(later(0)), has_customer_edits: true, ..opened.clone() };
        let seen_late = FindingEvent { sent_at: later(3600), ..noted_at_once.clone() };
        let old_note = FindingEvent { noted_at: Some(later(-60)), ..opened.clone() };
        let touched =
            FindingEvent { has_customer_edits: true, sent_at: later(3600), ..opened.clone() };
        let late = FindingEvent { sent_at: later(3600), ..opened.clone() };
        let days_later = FindingEvent { sent_at: later(3 * 86_400), ..opened.clone() };
        let notified = FindingEvent { workflow: Workflow::Notified, ..opened.clone() };
        for (name, event, expected) in [
            ("a note", noted, (0, 1)),
            ("a note by an automation rule, which elevates it, too", noted_at_once, (1, 0)),
            ("such a finding, edited an hour later", seen_late, (0, 1)),
            ("a note that was there before", old_note, (1, 0)),
            ("an edit an hour later", touched, (0, 1)),
            ("an import that is an hour late", late, (1, 0)),
            ("set to NEW again, days later", days_later, (0, 1)),
            ("NOTIFIED by hand", notified, (0, 0)),
        ] {
            let selection = selection(vec![event]);
            let edits =
                selection.silent.iter().filter(|silent| silent.reason == Silence::Edit).count();
            assert_eq!((selection.selected.len(), edits), expected, "{name}");
        }
    }

    #[test]
    fn each_event_that_does_not_become_a_message_has_a_reason() {
        use Compliance::{Failed, Passed};
        use Silence::{
            BelowMinimum, Gone, LaterEvent, Minor, Moved, NotClosed, TakenUp, Unchanged,
        };
        let low = FindingEvent { severity: Severity::Low, ..said(0, Transition::Opened, None) };
        let notified =
            FindingEvent { workflow: Workflow::Notified, ..said(0, Transition::Opened, None) };
        let pending =
            FindingEvent { workflow: Workflow::New, ..said(0, Transition::Resolved, Some(Failed)) };
        let late = said(0, Transition::Opened, None);
        let edit = FindingEvent { sent_at: late.sent_at + SignedDuration::from_hours(72), ..late };
        for (event, expected) in [
            (vec![low], vec![BelowMinimum]),
            (vec![notified], vec![TakenUp]),
            (vec![pending], vec![NotClosed]),
            (vec![edit], vec![Silence::Edit]),
            // The event is decided once it is known if people know another state.
            (vec![said(0, Transition::Changed, Some(Failed))], vec![]),
            (
                vec![FindingEvent {
                    severity: Severity::Low,
                    ..said(0, Transition::Changed, Some(Failed))
                }],
                vec![Minor],
            ),
            (
                vec![FindingEvent {
                    workflow: Workflow::Notified,
                    ..said(0, Transition::Changed, Some(Failed))
                }],
                vec![Minor],
            ),
            (vec![said(0, Transition::FirstSeen, None)], vec![Minor]),
            (vec![said(0, Transition::Moved, Some(Failed))], vec![Moved]),
            (vec![said(0, Transition::Unchanged, Some(Failed))], vec![Unchanged]),
            (
                vec![said(0, Transition::Opened, None), said(9, Transition::Gone, Some(Failed))],
                vec![LaterEvent, Gone],
            ),
            // The last event is decided once it is known what people know.
            (
                vec![
                    said(0, Transition::Opened, Some(Passed)),
                    said(9, Transition::Resolved, Some(Failed)),
                ],
                vec![LaterEvent],
            ),
            (
                vec![said(0, Transition::Opened, None), said(9, Transition::Changed, Some(Failed))],
                vec![LaterEvent],
            ),
        ] {
            let silent = selection(event.clone()).silent;
            assert_eq!(
                silent.iter().map(|silent| silent.reason).collect::<Vec<_>>(),
                expected,
                "{event:?}"
            );
        }
    }

    #[test]
    fn the_minimum_severity_applies_to_the_worst_severity_of_a_resolved_finding() {
        let opened = said(0, Transition::Opened, None);
        let resolved = said(0, Transition::Resolved, Some(Compliance::Failed));
        for (least, expected) in [(Severity::High, (1, 0)), (Severity::Critical, (0, 1))] {
            let alerts = Alerts { minimum_severity: least, ..ALERTS };
            for event in [&opened, &resolved] {
                let selection = select_alerts(first_time(vec![event.clone()]), &alerts);
                assert_eq!(
                    (selection.selected.len(), selection.silent.len()),
                    expected,
                    "{event:?}"
                );
            }
        }
        let was_critical = FindingEvent { worst: Some(Severity::Critical), ..resolved };
        let alerts = Alerts { minimum_severity: Severity::Critical, ..ALERTS };
        assert_eq!(select_alerts(first_time(vec![was_critical]), &alerts).selected.len(), 1);
    }

    #[test]
    fn the_most_severe_findings_come_first() {
        let other = |id: &str, event: FindingEvent| FindingEvent { id: id.to_owned(), ..event };
        let critical =
            FindingEvent { severity: Severity::Critical, ..said(0, Transition::Opened, None) };
        let selected = selection(vec![
            other("a", said(0, Transition::Resolved, Some(Compliance::Failed))),
            other("b", said(0, Transition::Opened, None)),
            other("c", critical),
        ])
        .selected;
        assert_eq!(
            selected.iter().map(|selected| selected.event.id.as_str()).collect::<Vec<_>>(),
            ["c", "b", "a"]
        );
    }

    /// Generates a status before, and the events of the statuses that follow.
    fn any_story() -> impl Strategy<Value = Vec<FindingEvent>> {
        use Compliance::{Failed, Passed, Warning};
        let states =
            prop::collection::vec(prop::sample::select(vec![Passed, Failed, Warning]), 1..6);
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
}
