//! The message about many findings: how many, how severe, where, by whose call, and the most severe
//! of them.

use crate::{
    AlertMessage, FindingEvent,
    line::Line,
    link,
    notification::Draft,
    single::{account, sign, subject, thread},
};
use controls::Severity;
use facts::Region;
use findings::Transition;
use std::collections::BTreeMap;

/// The highest number of entries of each kind that are named.
const NAMED: usize = 10;

/// Writes a digest of findings. The most severe findings come first, and the resolved ones last.
pub(crate) fn message(event: &[&FindingEvent], home: &Region) -> AlertMessage {
    let bad: Vec<_> =
        event.iter().filter(|event| event.transition != Transition::Resolved).collect();
    let by_transition = counted(event.iter().map(|event| event.transition.to_string()));
    let by_severity = Severity::ALL.iter().rev().filter_map(|severity| {
        let count = bad.iter().filter(|event| event.alert_severity() == *severity).count();
        (count > 0).then(|| (severity.to_string(), count))
    });
    let by_severity: Vec<_> = by_severity.collect();
    let by_control = counted(event.iter().map(|event| event.control.slug.to_owned()));
    let by_principal = counted(bad.iter().map(|event| principal(event)));
    let mut lines: Vec<Line> = [
        ("Severity", &by_severity, false),
        ("Controls", &by_control, false),
        ("Changed by", &by_principal, true),
    ]
    .into_iter()
    .filter_map(|(label, counts, from_outside)| counts_line(label, counts, from_outside))
    .collect();
    lines.push(Line::about("See").link(link::open_findings(home), "all open findings"));
    lines.push(accounts_line(event));
    if event.len() > NAMED {
        lines.push(Line::of(format!("The first {NAMED} of {}, the worst first:", event.len())));
    }
    lines.extend(event.iter().take(NAMED).map(|event| entry(event, home)));
    let worst = bad.iter().map(|event| event.alert_severity()).max();
    let draft = Draft {
        sign: event.first().map_or("", |event| sign(event)),
        headline: &headline(event, &by_transition),
        lines: &lines,
        advice: "",
        keywords: worst.iter().map(ToString::to_string).chain(["digest".to_owned()]).collect(),
        thread: common_thread(event),
        context: context(event, worst, &by_transition),
    };
    AlertMessage::new(draft)
}

fn headline(event: &[&FindingEvent], by_transition: &[(String, usize)]) -> String {
    let counts = by_transition.iter().map(|(transition, count)| format!("{count} {transition}"));
    let subjects = counted(event.iter().map(|event| thread(&event.about))).len();
    let about = match (subjects, event.first()) {
        (1, Some(event)) => subject(event),
        (subjects, _) => format!("{subjects} buckets or accounts"),
    };
    format!("{} findings about {about}: {}", event.len(), counts.collect::<Vec<_>>().join(", "))
}

fn principal(event: &FindingEvent) -> String {
    let by = event
        .api_call
        .as_ref()
        .map(|call| call.principal.as_deref().unwrap_or("a caller that CloudTrail does not name"));
    by.unwrap_or("not known: found by the sweep").to_owned()
}

fn counts_line(
    label: &'static str,
    counts: &[(String, usize)],
    from_outside: bool,
) -> Option<Line> {
    let mut line = Line::about(label);
    for (position, (name, count)) in counts.iter().take(NAMED).enumerate() {
        line = line.words(if position == 0 { "" } else { ", " });
        line = if from_outside { line.value(name.as_str()) } else { line.words(name.as_str()) };
        line = line.words(format!(" {count}"));
    }
    let more = counts.len().saturating_sub(NAMED);
    let line = if more > 0 { line.words(format!(", and {more} more")) } else { line };
    (!counts.is_empty()).then_some(line)
}

fn accounts_line(event: &[&FindingEvent]) -> Line {
    let names: BTreeMap<_, _> =
        event.iter().map(|event| (event.place().account, event.account_name.clone())).collect();
    let counts = counted(event.iter().map(|event| event.place().account.to_string()));
    let named = counts.into_iter().map(|(account, count)| {
        let name =
            names.iter().find(|(id, _)| id.as_str() == account).and_then(|(_, name)| name.clone());
        (name.map_or_else(|| account.clone(), |name| format!("{name} ({account})")), count)
    });
    let named: Vec<_> = named.collect();
    counts_line("Accounts", &named, true).unwrap_or_default()
}

fn entry(event: &FindingEvent, home: &Region) -> Line {
    let what = match event.transition {
        Transition::Resolved => "RESOLVED".to_owned(),
        Transition::Unreadable => format!("{}, undetermined", event.alert_severity()),
        _ => event.alert_severity().to_string(),
    };
    let line = Line::of(format!("- {what}: "));
    let line = match event.about.bucket() {
        Some(bucket) => line.words("bucket ").value(bucket.name().as_str()).words(" in "),
        None => line,
    };
    account(line, event).words(" ").link(link::finding(home, &event.id), event.control.slug)
}

/// Returns the thread of the bucket or account, if all findings are about the same one.
fn common_thread(event: &[&FindingEvent]) -> Option<String> {
    let threads = counted(event.iter().map(|event| thread(&event.about)));
    match threads.as_slice() {
        [(thread, _)] => Some(thread.clone()),
        _ => None,
    }
}

fn context(
    event: &[&FindingEvent],
    worst: Option<Severity>,
    by_transition: &[(String, usize)],
) -> BTreeMap<String, String> {
    let severity = worst.unwrap_or(Severity::Informational).to_string();
    let known =
        [("findings".to_owned(), event.len().to_string()), ("severity".to_owned(), severity)];
    let counts =
        by_transition.iter().map(|(transition, count)| (transition.clone(), count.to_string()));
    counts.chain(known).collect()
}

/// Counts each name. The most frequent name comes first.
fn counted(names: impl Iterator<Item = String>) -> Vec<(String, usize)> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_insert(0_usize) += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use findings::{About, ApiCall};
    use serde_json::Value;

    /// Returns findings about buckets 0, 1, 2 and so on. The first finding is CRITICAL, and the
    /// last one is resolved.
    fn many(number: usize) -> Vec<FindingEvent> {
        let event = |n: usize| {
            let id =
                format!("cmkwatch/aws/{}00000000002/eu-west-1/bucket-{n}/key-usable", 2 + n % 2);
            let (transition, severity) = match n {
                0 => (Transition::Opened, Severity::Critical),
                n if n == number - 1 => (Transition::Resolved, Severity::Informational),
                _ => (Transition::Opened, Severity::High),
            };
            let control =
                controls::ALL.into_iter().find(|control| control.slug == "key-usable").unwrap();
            let about = About::of_id(&id).unwrap();
            FindingEvent {
                about,
                id,
                control,
                transition,
                severity,
                severity_before: Some(Severity::High),
                ..example::event()
            }
        };
        (0..number).map(event).collect()
    }

    fn digest(event: &[FindingEvent]) -> (AlertMessage, Value) {
        let event: Vec<_> = event.iter().collect();
        let message = message(&event, &"us-east-1".parse().unwrap());
        let notification = serde_json::to_value(&message.notification).unwrap();
        (message, notification)
    }

    #[test]
    fn many_findings_are_counted_and_the_most_severe_are_named() {
        let (_, notification) = digest(&many(231));
        let content = &notification["content"];
        assert_eq!(
            content["title"],
            "\u{1f534} 231 findings about 231 buckets or accounts: 230 opened, 1 resolved"
        );
        let description = content["description"].as_str().unwrap();
        for words in [
            "*Severity* CRITICAL 1, HIGH 229",
            "*Controls* key-usable 231",
            "*Accounts* `payments (200000000002)` 116, `payments (300000000002)` 115",
            "- CRITICAL: bucket `bucket-0` in `payments` (200000000002), region eu-west-1 <https://",
            "The first 10 of 231, the worst first:",
        ] {
            assert!(description.contains(words), "{words}: {description}");
        }
        assert!(description.chars().count() < 8000);
        assert_eq!(notification["metadata"].get("threadId"), None);
        assert_eq!(notification["metadata"]["additionalContext"]["findings"], "231");
        assert_eq!(notification["metadata"]["additionalContext"]["severity"], "CRITICAL");
    }

    #[test]
    fn a_resolved_finding_does_not_hide_open_findings_of_its_severity() {
        let (_, notification) = digest(&many(7)[1..]);
        let title = notification["content"]["title"].as_str().unwrap();
        assert_eq!(title, "\u{1f7e0} 6 findings about 6 buckets or accounts: 5 opened, 1 resolved");
        let (_, notification) = digest(&many(7)[6..]);
        assert!(notification["content"]["title"].as_str().unwrap().starts_with('\u{2705}'));
    }

    #[test]
    fn the_caller_of_a_fix_is_not_counted_among_the_callers_of_failures() {
        let mut all = many(3);
        let by = Some("arn:aws:iam::200000000002:user/mender".to_owned());
        all[2].api_call = Some(ApiCall {
            principal: by,
            event_name: "PutBucketEncryption".into(),
            event_time: None,
            event_id: None,
            invoked_by: None,
        });
        let (_, notification) = digest(&all);
        let description = notification["content"]["description"].as_str().unwrap();
        assert!(
            description.contains("*Changed by* `arn:") && !description.contains("mender"),
            "{description}"
        );
    }

    #[test]
    fn an_undetermined_finding_is_named_as_undetermined() {
        let mut all = many(2);
        all[0].transition = Transition::Unreadable;
        let (_, notification) = digest(&all);
        let description = notification["content"]["description"].as_str().unwrap();
        assert!(
            description.contains("- CRITICAL, undetermined: bucket `bucket-0`"),
            "{description}"
        );
    }

    #[test]
    fn a_digest_about_one_bucket_stays_in_its_thread() {
        let one: Vec<_> = many(6)
            .into_iter()
            .map(|event| FindingEvent { about: example::event().about, ..event })
            .collect();
        let (_, notification) = digest(&one);
        assert_eq!(
            notification["metadata"]["threadId"],
            "cmkwatch/aws/200000000002/eu-west-1/acme-invoices"
        );
        let title = notification["content"]["title"].as_str().unwrap();
        assert!(
            title.ends_with("6 findings about bucket acme-invoices: 5 opened, 1 resolved"),
            "{title}"
        );
    }

    #[test]
    fn many_accounts_and_principals_stay_within_the_limits() {
        let mut all = many(500);
        for (n, event) in all.iter_mut().enumerate() {
            event.account_name = Some("<".repeat(128));
            let by =
                Some(format!("arn:aws:sts::200000000002:assumed-role/{}/{n}", "<".repeat(400)));
            event.api_call = Some(ApiCall {
                principal: by,
                event_name: "PutBucketPolicy".into(),
                event_time: None,
                event_id: None,
                invoked_by: None,
            });
        }
        let (message, notification) = digest(&all);
        assert!(notification["content"]["description"].as_str().unwrap().chars().count() <= 8000);
        assert!(message.json().len() < 256 * 1024);
    }
}
