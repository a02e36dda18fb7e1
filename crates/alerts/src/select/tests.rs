//! Tests of a batch by example: which events become a message, and why the others do not.

use super::*;
use crate::example;
use controls::Severity;
use findings::Workflow;
use jiff::{SignedDuration, Timestamp};

pub(super) const ALERTS: Alerts = Alerts { minimum_severity: Severity::Medium, digest_over: 5 };

/// Returns an import at a second. Its event was sent one second later.
pub(super) fn said(
    second: i64,
    transition: Transition,
    before: Option<Compliance>,
) -> FindingEvent {
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

pub(super) fn first_time(event: Vec<FindingEvent>) -> Vec<Received<usize>> {
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
    let taken_up = FindingEvent { workflow: Workflow::Notified, ..said(9, Changed, Some(Failed)) };
    let cases: [(&str, Vec<FindingEvent>, AlertedState<'_>); 20] = [
        ("opened", vec![said(0, Opened, None)], &[(Opened, 1)]),
        (
            "the same event twice",
            vec![said(0, Opened, None), said(0, Opened, None)],
            &[(Opened, 2)],
        ),
        ("resolved", vec![said(0, Resolved, Some(Failed))], &[(Resolved, 1)]),
        ("new, and fixed", vec![said(0, Opened, None), said(9, Resolved, Some(Failed))], &[]),
        ("in no order", vec![said(9, Resolved, Some(Failed)), said(0, Opened, Some(Passed))], &[]),
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
        ("worse, and as bad as before", vec![worse(0, High), said(9, Eased, Some(Failed))], &[]),
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
    let closed =
        FindingEvent { workflow: Workflow::Resolved, sent_at: pending.sent_at, ..pending.clone() };
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
    let noted = FindingEvent { noted_at: Some(later(300)), sent_at: later(300), ..opened.clone() };
    let noted_at_once =
        FindingEvent { noted_at: Some(later(0)), has_customer_edits: true, ..opened.clone() };
    let seen_late = FindingEvent { sent_at: later(3600), ..noted_at_once.clone() };
    let old_note = FindingEvent { noted_at: Some(later(-60)), ..opened.clone() };
    let touched = FindingEvent { has_customer_edits: true, sent_at: later(3600), ..opened.clone() };
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
        let edits = selection.silent.iter().filter(|silent| silent.reason == Silence::Edit).count();
        assert_eq!((selection.selected.len(), edits), expected, "{name}");
    }
}

#[test]
fn each_event_that_does_not_become_a_message_has_a_reason() {
    use Compliance::{Failed, Passed};
    use Silence::{BelowMinimum, Gone, LaterEvent, Minor, Moved, NotClosed, TakenUp, Unchanged};
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
            assert_eq!((selection.selected.len(), selection.silent.len()), expected, "{event:?}");
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
