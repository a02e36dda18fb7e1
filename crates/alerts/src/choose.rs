//! The events of a batch that need a message.
//!
//! This module looks at one batch only. [`decide`](crate::decide) compares its result with what
//! people already know.

use crate::{
    News, Told,
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
    pub news: News,
}

/// A finding that needs a message.
#[derive(Debug, Clone)]
pub struct Chosen<R> {
    /// The last state of the finding.
    pub news: News,
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
pub struct Choice<R> {
    /// The findings that need a message: the most severe first, and the resolved ones last.
    pub chosen: Vec<Chosen<R>>,
    /// The findings that are as they were before the batch. They need a message only if people know
    /// another state.
    pub cancelled: Vec<Chosen<R>>,
    /// The findings that were archived.
    pub gone: Vec<Gone<R>>,
    /// The findings whose change is minor, but whose state people must know. They need a message
    /// only if people know another state.
    pub minor: Vec<Chosen<R>>,
    /// The events that do not become a message, each with its reason. The last event about a
    /// finding of `chosen`, `cancelled` or `minor` is not among them, because it is not decided
    /// yet.
    pub silent: Vec<Silent>,
}

/// Selects the findings that need a message. Only the last state of each finding counts, and only
/// if it differs from the state before the batch. Edits and low severities need no message.
#[must_use]
pub fn choose<R>(received: Vec<Received<R>>, alerts: &Alerts) -> Choice<R> {
    let mut stories = BTreeMap::<String, Vec<Received<R>>>::new();
    let mut choice = Choice {
        chosen: Vec::new(),
        cancelled: Vec::new(),
        gone: Vec::new(),
        minor: Vec::new(),
        silent: Vec::new(),
    };
    for event in received {
        if event.news.is_edit() {
            choice.silent.push(silent(&event.news, Silence::Edit));
        } else {
            stories.entry(event.news.id.clone()).or_default().push(event);
        }
    }
    for mut story in stories.into_values() {
        // An import and the edit that follows it may be sent in the same second. The edit must come
        // last, because people are alerted about it.
        story.sort_by_key(|event| {
            (event.news.updated_at, event.news.concerns_people(), event.news.sent_at)
        });
        choice.add(story, alerts);
    }
    let order = |news: &News| (news.transition == Transition::Resolved, Reverse(news.weight()));
    choice.chosen.sort_by_key(|chosen| order(&chosen.news));
    choice
}

fn silent(news: &News, reason: Silence) -> Silent {
    Silent { finding: news.id.clone(), transition: news.transition, reason }
}

impl<R> Choice<R> {
    /// Adds the result of all events about one finding. The events are in order.
    fn add(&mut self, story: Vec<Received<R>>, alerts: &Alerts) {
        let Some(((last, earlier), end)) = story.split_last().zip(end_of(&story)) else { return };
        self.silent.extend(earlier.iter().map(|event| silent(&event.news, Silence::LaterEvent)));
        let is_severe = |news: &News| news.weight() >= alerts.minimum_severity;
        let reason = match end {
            End::Told(news) if is_severe(&news) => return self.chosen.push(chosen(*news, story)),
            End::Cancelled(news) if is_severe(&news) => {
                return self.cancelled.push(chosen(*news, story));
            }
            End::Minor(news) if Told::of(&news) == Told::Closed || is_severe(&news) => {
                return self.minor.push(chosen(*news, story));
            }
            End::Told(_) | End::Cancelled(_) => Silence::BelowMinimum,
            End::Minor(_) => Silence::Minor,
            End::Silent(reason) => reason,
        };
        self.silent.push(silent(&last.news, reason));
        if reason == Silence::Gone {
            let (finding, version) = (last.news.id.clone(), last.news.state_version);
            self.gone.push(Gone { finding, version, receipts: receipts(story) });
        }
    }
}

fn chosen<R>(news: News, story: Vec<Received<R>>) -> Chosen<R> {
    Chosen { news, receipts: receipts(story) }
}

fn receipts<R>(story: Vec<Received<R>>) -> Vec<R> {
    story.into_iter().map(|event| event.receipt).collect()
}

/// The result of all events about one finding.
enum End {
    /// People must be alerted.
    Told(Box<News>),
    /// The finding is as it was before the first event.
    Cancelled(Box<News>),
    /// The change is minor, and its finding shows a state that people must know.
    Minor(Box<News>),
    /// Nobody needs an alert, or not yet.
    Silent(Silence),
}

/// Returns the result of all events about one finding. The events are in order.
///
/// A resolution counts once the finding is RESOLVED. A finding that only eased or changed after it
/// opened is reported as opened.
fn end_of<R>(story: &[Received<R>]) -> Option<End> {
    let opened = story.iter().rfind(|event| event.news.concerns_people()).map(|event| &event.news);
    let first = story.first()?;
    let last = story.last()?.news.clone();
    let news = match (last.transition, opened) {
        (Transition::Gone, _) => return Some(End::Silent(Silence::Gone)),
        (_, None) if last.may_correct() => return Some(End::Minor(Box::new(last))),
        (_, None) => return Some(End::Silent(last.silence().unwrap_or(Silence::Unchanged))),
        (Transition::Resolved, _) => last,
        (_, Some(_)) if last.concerns_people() => last,
        (_, Some(opened)) => as_opened(last, opened),
    };
    // The first event was never received before and reports an import, so it has not been alerted.
    let is_new =
        first.is_first && first.news.is_fresh() && first.news.state_version != news.state_version;
    if is_new && is_as_before(&first.news, &news) {
        return Some(End::Cancelled(Box::new(news)));
    }
    Some(news.silence().map_or_else(|| End::Told(Box::new(news.clone())), End::Silent))
}

/// Returns the present state of a finding as the change that opened it earlier in the batch.
fn as_opened(now: News, opened: &News) -> News {
    let News { transition, before, severity_before, worst, .. } = opened.clone();
    News { transition, before, severity_before, worst: worst.max(now.worst), ..now }
}

/// Returns true if the last state equals the state before the first event.
fn is_as_before(first: &News, last: &News) -> bool {
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
    use crate::{Decision, Known, decide, example};
    use controls::Severity;
    use findings::Workflow;
    use jiff::{SignedDuration, Timestamp};
    use proptest::prelude::*;

    const ALERTS: Alerts = Alerts { minimum_severity: Severity::Medium, digest_over: 5 };

    /// Returns an import at a second. Its event was sent one second later.
    fn said(second: i64, transition: Transition, before: Option<Compliance>) -> News {
        let updated_at = Timestamp::from_second(1_764_000_000 + second).unwrap();
        let is_over = transition == Transition::Resolved;
        News {
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
            ..example::news()
        }
    }

    fn first_time(news: Vec<News>) -> Vec<Received<usize>> {
        let received = |(receipt, news)| Received { receipt, is_first: true, news };
        news.into_iter().enumerate().map(received).collect()
    }

    fn choice(news: Vec<News>) -> Choice<usize> {
        choose(first_time(news), &ALERTS)
    }

    /// Returns the transition of each chosen finding, with the number of receipts.
    fn told_of(choice: &Choice<usize>) -> Vec<(Transition, usize)> {
        choice.chosen.iter().map(|chosen| (chosen.news.transition, chosen.receipts.len())).collect()
    }

    #[test]
    fn a_batch_is_reported_by_its_last_state() {
        use Compliance::{Failed, Passed, Warning};
        use Severity::{High, Medium};
        use Transition::{Changed, Eased, Gone, Opened, Resolved, Unreadable, Worsened};
        let worse = |second, before| News {
            severity: Severity::Critical,
            severity_before: Some(before),
            ..said(second, Worsened, Some(Failed))
        };
        type Told<'a> = &'a [(Transition, usize)];
        let taken_up = News { workflow: Workflow::Notified, ..said(9, Changed, Some(Failed)) };
        let cases: [(&str, Vec<News>, Told<'_>); 20] = [
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
        for (name, news, expected) in cases {
            assert_eq!(told_of(&choice(news)), expected, "{name}");
        }
    }

    #[test]
    fn a_finding_that_eased_after_it_opened_is_alerted_with_its_present_severity() {
        let eased = News {
            severity: Severity::Medium,
            ..said(9, Transition::Eased, Some(Compliance::Failed))
        };
        let choice = choice(vec![said(0, Transition::Opened, None), eased]);
        assert_eq!(
            (choice.chosen[0].news.severity, choice.chosen[0].news.before),
            (Severity::Medium, None)
        );
    }

    #[test]
    fn a_resolved_finding_keeps_its_worst_severity_if_its_evidence_changes() {
        let resolved = said(0, Transition::Resolved, Some(Compliance::Failed));
        let resolved = News { worst: Some(Severity::Critical), ..resolved };
        let changed = said(9, Transition::Changed, Some(Compliance::Passed));
        let changed = News {
            severity: Severity::Informational,
            worst: None,
            workflow: Workflow::Resolved,
            ..changed
        };
        let choice = choice(vec![resolved, changed]);
        assert_eq!(told_of(&choice), [(Transition::Resolved, 2)]);
        assert_eq!(choice.chosen[0].news.weight(), Severity::Critical);
    }

    #[test]
    fn a_finding_that_passes_is_alerted_once_it_is_closed() {
        let pending = News {
            workflow: Workflow::New,
            ..said(0, Transition::Resolved, Some(Compliance::Failed))
        };
        let closed =
            News { workflow: Workflow::Resolved, sent_at: pending.sent_at, ..pending.clone() };
        let suppressed = |before| News {
            workflow: Workflow::Suppressed,
            workflow_before: before,
            ..pending.clone()
        };
        for (name, news, expected) in [
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
            let choice = choice(news);
            assert_eq!(choice.chosen.len(), expected, "{name}");
            assert!(
                choice.cancelled.is_empty(),
                "{name}: what closes it must not be taken for known"
            );
        }
        let opened = said(-9, Transition::Opened, None);
        let both = choice(vec![opened, pending]);
        assert_eq!(
            (both.chosen.len(), both.cancelled.len()),
            (0, 1),
            "nobody was told that it opened"
        );
    }

    #[test]
    fn an_edit_is_not_alerted() {
        let opened = said(0, Transition::Opened, None);
        let later = |by: i64| opened.sent_at + SignedDuration::from_secs(by);
        let noted = News { noted_at: Some(later(300)), sent_at: later(300), ..opened.clone() };
        let noted_at_once = News { noted_at: Some(later(0)), is_touched: true, ..opened.clone() };
        let seen_late = News { sent_at: later(3600), ..noted_at_once.clone() };
        let old_note = News { noted_at: Some(later(-60)), ..opened.clone() };
        let touched = News { is_touched: true, sent_at: later(3600), ..opened.clone() };
        let late = News { sent_at: later(3600), ..opened.clone() };
        let days_later = News { sent_at: later(3 * 86_400), ..opened.clone() };
        let notified = News { workflow: Workflow::Notified, ..opened.clone() };
        for (name, news, expected) in [
            ("a note", noted, (0, 1)),
            ("a note by an automation rule, which elevates it, too", noted_at_once, (1, 0)),
            ("such a finding, edited an hour later", seen_late, (0, 1)),
            ("a note that was there before", old_note, (1, 0)),
            ("an edit an hour later", touched, (0, 1)),
            ("an import that is an hour late", late, (1, 0)),
            ("set to NEW again, days later", days_later, (0, 1)),
            ("NOTIFIED by hand", notified, (0, 0)),
        ] {
            let choice = choice(vec![news]);
            let edits =
                choice.silent.iter().filter(|silent| silent.reason == Silence::Edit).count();
            assert_eq!((choice.chosen.len(), edits), expected, "{name}");
        }
    }

    #[test]
    fn each_event_that_does_not_become_a_message_has_a_reason() {
        use Compliance::{Failed, Passed};
        use Silence::{
            BelowMinimum, Gone, LaterEvent, Minor, Moved, NotClosed, TakenUp, Unchanged,
        };
        let low = News { severity: Severity::Low, ..said(0, Transition::Opened, None) };
        let notified = News { workflow: Workflow::Notified, ..said(0, Transition::Opened, None) };
        let pending =
            News { workflow: Workflow::New, ..said(0, Transition::Resolved, Some(Failed)) };
        let late = said(0, Transition::Opened, None);
        let edit = News { sent_at: late.sent_at + SignedDuration::from_hours(72), ..late };
        for (news, expected) in [
            (vec![low], vec![BelowMinimum]),
            (vec![notified], vec![TakenUp]),
            (vec![pending], vec![NotClosed]),
            (vec![edit], vec![Silence::Edit]),
            // The event is decided once it is known if people know another state.
            (vec![said(0, Transition::Changed, Some(Failed))], vec![]),
            (
                vec![News {
                    severity: Severity::Low,
                    ..said(0, Transition::Changed, Some(Failed))
                }],
                vec![Minor],
            ),
            (
                vec![News {
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
            let silent = choice(news.clone()).silent;
            assert_eq!(
                silent.iter().map(|silent| silent.reason).collect::<Vec<_>>(),
                expected,
                "{news:?}"
            );
        }
    }

    #[test]
    fn the_minimum_severity_applies_to_the_worst_severity_of_a_resolved_finding() {
        let opened = said(0, Transition::Opened, None);
        let resolved = said(0, Transition::Resolved, Some(Compliance::Failed));
        for (least, expected) in [(Severity::High, (1, 0)), (Severity::Critical, (0, 1))] {
            let alerts = Alerts { minimum_severity: least, ..ALERTS };
            for news in [&opened, &resolved] {
                let choice = choose(first_time(vec![news.clone()]), &alerts);
                assert_eq!((choice.chosen.len(), choice.silent.len()), expected, "{news:?}");
            }
        }
        let was_critical = News { worst: Some(Severity::Critical), ..resolved };
        let alerts = Alerts { minimum_severity: Severity::Critical, ..ALERTS };
        assert_eq!(choose(first_time(vec![was_critical]), &alerts).chosen.len(), 1);
    }

    #[test]
    fn the_most_severe_findings_come_first() {
        let other = |id: &str, news: News| News { id: id.to_owned(), ..news };
        let critical = News { severity: Severity::Critical, ..said(0, Transition::Opened, None) };
        let chosen = choice(vec![
            other("a", said(0, Transition::Resolved, Some(Compliance::Failed))),
            other("b", said(0, Transition::Opened, None)),
            other("c", critical),
        ])
        .chosen;
        assert_eq!(
            chosen.iter().map(|chosen| chosen.news.id.as_str()).collect::<Vec<_>>(),
            ["c", "b", "a"]
        );
    }

    /// Generates a status before, and the events of the statuses that follow.
    fn any_story() -> impl Strategy<Value = Vec<News>> {
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

    fn state(news: &News) -> Option<Compliance> {
        match news.transition {
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
        fn people_know_the_present_state_after_a_batch(story in any_story(), seed in any::<u64>()) {
            prop_assume!(!story.is_empty());
            let (before, after) = (known(story[0].before), state(&story[story.len() - 1]));
            let mut received = first_time(story);
            let length = received.len();
            received.rotate_left(usize::try_from(seed % length as u64).unwrap());
            let chosen = choose(received, &ALERTS).chosen;
            let learned = chosen.first().map_or(before, |chosen| state(&chosen.news));
            prop_assert_eq!(learned, after);
            prop_assert_eq!(chosen.len(), usize::from(before != after));
        }

        /// Events are cut into batches in any way, and some are received again. In the end people
        /// know the present state, and no message repeats a state that people know.
        #[test]
        fn batches_and_repeated_events_lose_nothing(
            story in any_story(),
            cuts in prop::collection::vec(any::<bool>(), 6),
            again in prop::collection::vec(any::<bool>(), 6),
        ) {
            prop_assume!(!story.is_empty());
            let (mut knows, after) = (known(story[0].before), state(&story[story.len() - 1]));
            let mut batches: Vec<Vec<Received<usize>>> = vec![Vec::new()];
            for (number, event) in first_time(story).into_iter().enumerate() {
                let repeated = batches.last().and_then(|batch| batch.last().cloned());
                if cuts[number] && !batches.last().unwrap().is_empty() {
                    batches.push(Vec::new());
                    // The event was alerted and is received again, as if its message had failed.
                    let repeated = repeated.filter(|_| again[number]);
                    let repeated = repeated.map(|event| Received { is_first: false, ..event });
                    batches.last_mut().unwrap().extend(repeated);
                }
                batches.last_mut().unwrap().push(event);
            }
            let mut row = None;
            for batch in batches {
                let choice = choose(batch, &ALERTS);
                for chosen in choice.chosen {
                    let news = chosen.news;
                    let decision = decide(row.as_ref(), &news, "", news.sent_at);
                    let is_repeated = row.is_some() && knows == state(&news);
                    prop_assert!(decision != Decision::Alert || !is_repeated, "{:?} again", news.transition);
                    if decision == Decision::Alert {
                        knows = state(&news);
                        row = Some(Known { version: news.state_version, told: Some(Told::of(&news)), claim: None });
                    }
                }
                for chosen in choice.cancelled {
                    let told = Told::of(&chosen.news);
                    let is_true = row.as_ref().map_or(told == Told::Closed, |row: &Known| {
                        row.told.is_some_and(|known| known.covers(told))
                    });
                    if !is_true {
                        knows = state(&chosen.news);
                    }
                    row = Some(Known { version: chosen.news.state_version, told: Some(told), claim: None });
                }
            }
            prop_assert_eq!(knows, after);
        }
    }
}
