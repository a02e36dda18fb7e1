//! What of a batch is worth a message.

use crate::News;
use controls::Alerts;
use findings::{Compliance, Transition};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// A finding that is worth a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen<R> {
    /// The last that was said of it.
    pub news: News,
    /// By what it was received: if the message fails, all of them must come again.
    pub receipts: Vec<R>,
}

/// Chooses what of a batch is worth a message: of each finding what the batch ends with, unless it began with the same. What
/// is an edit, not bad enough, or `told` already, is not. The worst come first, and what is resolved last.
pub fn choose<R>(received: Vec<(R, News)>, alerts: &Alerts, told: impl Fn(&str, Timestamp) -> bool) -> Vec<Chosen<R>> {
    let mut stories: BTreeMap<String, Vec<(R, News)>> = BTreeMap::new();
    for (receipt, news) in received {
        if news.concerns_people() && !news.is_edit() && !told(&news.id, news.updated_at) {
            stories.entry(news.id.clone()).or_default().push((receipt, news));
        }
    }
    let mut chosen: Vec<_> = stories.into_values().filter_map(end_of).collect();
    chosen.retain(|chosen| chosen.news.weight() >= alerts.minimum_severity);
    let order = |news: &News| (news.transition == Transition::Resolved, std::cmp::Reverse(news.weight()));
    chosen.sort_by_key(|chosen| order(&chosen.news));
    chosen
}

/// What all that was said of one finding comes to; none where it is as it was.
fn end_of<R>(mut story: Vec<(R, News)>) -> Option<Chosen<R>> {
    story.sort_by_key(|(_, news)| (news.updated_at, news.sent_at));
    let first = story.first().map(|(_, news)| news.clone())?;
    let (receipts, mut said): (Vec<_>, Vec<_>) = story.into_iter().unzip();
    let news = said.pop()?;
    let moved = news.updated_at != first.updated_at;
    (!moved || !is_as_before(&first, &news)).then_some(Chosen { news, receipts })
}

/// True where nobody would have noticed, had the first not been seen before the last came.
fn is_as_before(first: &News, last: &News) -> bool {
    match last.transition {
        Transition::Resolved => matches!(first.before, None | Some(Compliance::Passed)),
        Transition::Unreadable => first.before == Some(Compliance::Warning),
        _ => first.before == Some(Compliance::Failed) && first.severity_before == Some(last.severity),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use controls::Severity;
    use findings::Workflow;
    use jiff::SignedDuration;
    use proptest::prelude::*;

    const ALERTS: Alerts = Alerts { minimum_severity: Severity::Medium, digest_over: 5 };

    /// Said at a second, and sent one second later.
    fn said(second: i64, transition: Transition, before: Option<Compliance>) -> News {
        let updated_at = Timestamp::from_second(1_764_000_000 + second).unwrap();
        let severity = if transition == Transition::Resolved { Severity::Informational } else { Severity::High };
        News {
            transition,
            severity,
            before,
            severity_before: before.map(|before| match before {
                Compliance::Passed => Severity::Informational,
                Compliance::Failed | Compliance::Warning => Severity::High,
            }),
            workflow_before: before.map(|_| Workflow::New),
            updated_at,
            sent_at: updated_at + SignedDuration::from_secs(1),
            ..example::news()
        }
    }

    fn told_of(received: Vec<News>) -> Vec<(Transition, usize)> {
        let received = received.into_iter().enumerate().collect();
        choose(received, &ALERTS, |_, _| false).iter().map(|c| (c.news.transition, c.receipts.len())).collect()
    }

    #[test]
    fn a_batch_is_told_by_its_end() {
        use Compliance::{Failed, Passed, Warning};
        use Transition::{Opened, Resolved, Unreadable, Worsened};
        type Told<'a> = &'a [(Transition, usize)];
        let cases: [(&str, Vec<News>, Told<'_>); 10] = [
            ("opened", vec![said(0, Opened, None)], &[(Opened, 1)]),
            ("the same event twice", vec![said(0, Opened, None), said(0, Opened, None)], &[(Opened, 2)]),
            ("resolved", vec![said(0, Resolved, Some(Failed))], &[(Resolved, 1)]),
            ("new, and fixed", vec![said(0, Opened, None), said(9, Resolved, Some(Failed))], &[]),
            ("in no order", vec![said(9, Resolved, Some(Failed)), said(0, Opened, Some(Passed))], &[]),
            ("unread for a moment", vec![said(0, Unreadable, Some(Passed)), said(9, Resolved, Some(Warning))], &[]),
            (
                "had failed, could not be read, and passes",
                vec![said(0, Unreadable, Some(Failed)), said(9, Resolved, Some(Warning))],
                &[(Resolved, 2)],
            ),
            ("fixed, and broken again", vec![said(0, Resolved, Some(Failed)), said(9, Opened, Some(Passed))], &[]),
            ("new, and worse", vec![said(0, Opened, None), said(9, Worsened, Some(Failed))], &[(Worsened, 2)]),
            ("unread again", vec![said(0, Resolved, Some(Warning)), said(9, Unreadable, Some(Passed))], &[]),
        ];
        for (name, received, expected) in cases {
            assert_eq!(told_of(received), expected, "{name}");
        }
    }

    #[test]
    fn an_edit_is_no_news() {
        let opened = said(0, Transition::Opened, None);
        let resolved = said(0, Transition::Resolved, Some(Compliance::Failed));
        let later = |by: i64| opened.sent_at + SignedDuration::from_secs(by);
        let noted = News { noted_at: Some(later(5)), sent_at: later(5), ..opened.clone() };
        let old_note = News { noted_at: Some(later(-60)), ..opened.clone() };
        let long_after = News { sent_at: later(3600), ..opened.clone() };
        let set_resolved = News { workflow: Workflow::Resolved, ..resolved.clone() };
        let was_resolved = News { workflow_before: Some(Workflow::Resolved), ..set_resolved.clone() };
        let notified = News { workflow: Workflow::Notified, ..opened.clone() };
        let was_notified = News { workflow: Workflow::Notified, ..resolved.clone() };
        let suppressed = News { workflow: Workflow::Suppressed, ..resolved.clone() };
        for (name, news, expected) in [
            ("a note", noted, 0),
            ("a note that was there before", old_note, 1),
            ("an edit an hour later", long_after, 0),
            ("RESOLVED, which we set ourselves", set_resolved, 0),
            ("RESOLVED by hand before it was fixed", was_resolved, 1),
            ("NOTIFIED by hand", notified, 0),
            ("NOTIFIED, and fixed", was_notified, 1),
            ("SUPPRESSED, and fixed", suppressed, 1),
        ] {
            assert_eq!(told_of(vec![news]).len(), expected, "{name}");
        }
    }

    #[test]
    fn what_was_told_or_is_not_bad_is_not_chosen() {
        let news = said(0, Transition::Opened, None);
        assert!(
            choose(vec![((), news.clone())], &ALERTS, |id, at| (id, at) == (news.id.as_str(), news.updated_at))
                .is_empty()
        );
        let resolved = said(0, Transition::Resolved, Some(Compliance::Failed));
        for (least, expected) in [(Severity::High, 1), (Severity::Critical, 0)] {
            let alerts = Alerts { minimum_severity: least, ..ALERTS };
            for news in [&news, &resolved] {
                assert_eq!(choose(vec![((), news.clone())], &alerts, |_, _| false).len(), expected, "{news:?}");
            }
        }
    }

    #[test]
    fn the_worst_come_first() {
        let other = |id: &str, news: News| News { id: id.to_owned(), ..news };
        let critical = News { severity: Severity::Critical, ..said(0, Transition::Opened, None) };
        let received = vec![
            other("a", said(0, Transition::Resolved, Some(Compliance::Failed))),
            other("b", said(0, Transition::Opened, None)),
            other("c", critical),
        ];
        let chosen = choose(received.into_iter().map(|news| ((), news)).collect(), &ALERTS, |_, _| false);
        assert_eq!(chosen.iter().map(|chosen| chosen.news.id.as_str()).collect::<Vec<_>>(), ["c", "b", "a"]);
    }

    fn any_story() -> impl Strategy<Value = Vec<News>> {
        use Compliance::{Failed, Passed, Warning};
        let states = prop::collection::vec(prop::sample::select(vec![Passed, Failed, Warning]), 1..6);
        (prop::option::of(prop::sample::select(vec![Passed, Failed, Warning])), states).prop_map(|(before, states)| {
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
        })
    }

    proptest! {
        /// Whatever happens within a batch, in whatever order it arrives: what people know afterwards is what is so.
        #[test]
        fn what_people_know_is_what_is_so(story in any_story(), seed in any::<u64>()) {
            let state = |news: &News| match news.transition {
                Transition::Opened => Some(Compliance::Failed),
                Transition::Unreadable => Some(Compliance::Warning),
                _ => None,
            };
            let known = |before: Option<Compliance>| before.filter(|before| *before != Compliance::Passed);
            prop_assume!(!story.is_empty());
            let (before, after) = (known(story[0].before), state(&story[story.len() - 1]));
            let mut received: Vec<_> = story.into_iter().enumerate().collect();
            let length = received.len();
            received.rotate_left(usize::try_from(seed % length as u64).unwrap());
            let chosen = choose(received, &ALERTS, |_, _| false);
            let learned = chosen.first().map_or(before, |chosen| state(&chosen.news));
            prop_assert_eq!(learned, after);
            prop_assert_eq!(chosen.len(), usize::from(before != after));
        }
    }
}
