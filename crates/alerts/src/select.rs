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
            BatchOutcome::Alert(event) if is_severe(&event) => {
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
            BatchOutcome::Alert(_) | BatchOutcome::Cancelled(_) => Silence::BelowMinimum,
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
    Alert(Box<FindingEvent>),
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
        event
            .silence()
            .map_or_else(|| BatchOutcome::Alert(Box::new(event.clone())), BatchOutcome::Silent),
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
mod laws;
#[cfg(test)]
mod tests;
