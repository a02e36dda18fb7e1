//! The message about one finding.

use crate::{AlertMessage, FindingEvent, line::Line, link, notification::Draft};
use controls::Severity;
use facts::Region;
use findings::{About, ClassField, EvidenceText, Transition, plain};
use jiff::Unit;
use std::collections::BTreeMap;

/// The highest number of facts in a message. The finding has all facts.
const FACTS: usize = 5;

/// Writes what happened, where, by whose call, and what to do.
pub(crate) fn message(event: &FindingEvent, home: &Region) -> AlertMessage {
    let mut lines = vec![Line::of(event.control.title)];
    lines.extend(facts(event));
    lines.extend(bucket(event));
    lines.push(account(Line::about("Account"), event));
    lines.push(changed(event));
    lines.extend(
        event
            .exemption_ended
            .as_ref()
            .map(|until| Line::about("Exemption").words("ended on ").value(until.to_string())),
    );
    lines.push(
        Line::about("Seen")
            .words(event.updated_at.round(Unit::Second).unwrap_or(event.updated_at).to_string()),
    );
    lines.push(links(event, home));
    let statement = event.statement.as_ref().filter(|_| is_failure(event));
    lines.extend(statement.map(|statement| Line::about("Statement").json(statement)));
    let draft = Draft {
        sign: sign(event),
        headline: &headline(event),
        lines: &lines,
        advice: advice(event),
        keywords: vec![event.alert_severity().to_string(), event.control.slug.to_owned()],
        thread: Some(thread(&event.about)),
        context: context(event),
    };
    AlertMessage::new(draft)
}

/// Returns the thread of all messages about one bucket or account.
pub(crate) fn thread(about: &About) -> String {
    about.id_prefix().trim_end_matches('/').to_owned()
}

/// Returns a symbol that can be seen at a glance.
pub(crate) fn sign(event: &FindingEvent) -> &'static str {
    match (event.transition, event.alert_severity()) {
        (Transition::Resolved, _) => "\u{2705}",
        (Transition::Unreadable, _) => "\u{2754}",
        (_, Severity::Critical) => "\u{1f534}",
        (_, Severity::High) => "\u{1f7e0}",
        (_, Severity::Medium) => "\u{1f7e1}",
        (_, Severity::Low | Severity::Informational) => "\u{1f535}",
    }
}

fn headline(event: &FindingEvent) -> String {
    let (severity, control, what) = (event.severity, event.control.slug, subject(event));
    match (event.transition, event.severity_before) {
        (Transition::Resolved, _) => format!("RESOLVED: {what} passes {control} again"),
        (Transition::Unreadable, _) => {
            format!("{severity}: undetermined whether {what} passes {control}")
        }
        (Transition::Worsened, Some(before)) => {
            format!("{severity}, was {before}: {what} fails {control}")
        }
        _ => format!("{severity}: {what} fails {control}"),
    }
}

/// Returns the subject of a finding in a few words.
pub(crate) fn subject(event: &FindingEvent) -> String {
    match &event.about {
        About::Bucket(bucket) => format!("bucket {}", bucket.name()),
        About::Account(place) => format!("account {} in {}", place.account, place.region),
    }
}

fn facts(event: &FindingEvent) -> Vec<Line> {
    let said = |fact: &EvidenceText| {
        let line = Line::of("- ").value(fact.fact.as_str());
        match event.transition {
            Transition::Unreadable => line.words(" was answered with ").value(fact.value.as_str()),
            Transition::Resolved => line.words(" is ").value(fact.value.as_str()),
            _ => line
                .words(" is ")
                .value(fact.value.as_str())
                .words(", expected ")
                .value(fact.expected.as_str()),
        }
    };
    let mut lines: Vec<_> = event.evidence.iter().take(FACTS).map(said).collect();
    if let Some(more) = event.evidence.len().checked_sub(FACTS).filter(|more| *more > 0) {
        lines.push(Line::of(format!("- and {more} more, in the finding")));
    }
    lines
}

fn bucket(event: &FindingEvent) -> Option<Line> {
    let bucket = event.about.bucket()?;
    let line = Line::about("Bucket").value(bucket.name().as_str());
    Some(match &event.class {
        Some(ClassField::Unreadable) => line.words(", its class could not be read"),
        Some(ClassField::Known { name, level }) => {
            let line = line.words(", class ").value(name.as_str());
            level.iter().fold(line, |line, level| line.words(" requires ").value(level.as_str()))
        }
        None => line,
    })
}

/// Adds the account by name and id, and the region.
pub(crate) fn account(line: Line, event: &FindingEvent) -> Line {
    let place = event.place();
    let line = match &event.account_name {
        Some(name) => line.value(name.as_str()).words(format!(" ({})", place.account)),
        None => line.words(place.account.to_string()),
    };
    line.words(format!(", region {}", place.region))
}

/// Writes the last change that is known. It need not be the cause, because cmkwatch judges the
/// present state and not the event.
fn changed(event: &FindingEvent) -> Line {
    let line = Line::about("Last change");
    let Some(call) = &event.api_call else {
        return line.words(
            "not known: found by the sweep. Either no event reported it, or the settings changed",
        );
    };
    let line = line.value(call.event_name.as_str()).words(" by ");
    let line = match &call.principal {
        Some(by) => line.value(by.as_str()),
        None => line.words("a caller that CloudTrail does not name"),
    };
    let line = match &call.invoked_by {
        Some(through) => line.words(" through ").value(through.as_str()),
        None => line,
    };
    match &call.event_time {
        Some(at) => line.words(format!(" at {}", plain(at, 40))),
        None => line,
    }
}

fn links(event: &FindingEvent, home: &Region) -> Line {
    let line = Line::about("See").link(link::finding(home, &event.id), "finding");
    let line = match event.about.bucket() {
        Some(bucket) => line.words(" ").link(link::bucket(bucket), "bucket"),
        None => line,
    };
    line.words(" ").link(event.control.reference.to_owned(), "documentation")
}

fn is_failure(event: &FindingEvent) -> bool {
    !matches!(event.transition, Transition::Resolved | Transition::Unreadable)
}

/// Returns the advice in sentences; empty if the finding is resolved.
fn advice(event: &FindingEvent) -> &'static str {
    match (event.transition, &event.about) {
        (Transition::Resolved, _) => "",
        (Transition::Unreadable, About::Bucket(_)) => {
            "Give cmkwatch the permission that is named above. If it has the permission, look for a Deny in the policy of \
             the bucket or the key, or in a service control policy."
        }
        (Transition::Unreadable, About::Account(_)) => {
            "Give cmkwatch the permission that is named above. If it has the permission, look for a Deny in a service \
             control policy, or for a change of the role cmkwatch-member."
        }
        _ => event.control.remediation,
    }
}

/// Returns the values for programs and for the filters of subscriptions.
fn context(event: &FindingEvent) -> BTreeMap<String, String> {
    let place = event.place();
    let known = [
        ("finding", Some(plain(&event.id, 512))),
        ("severity", Some(event.alert_severity().to_string())),
        ("transition", Some(event.transition.to_string())),
        ("state-version", Some(event.state_version.to_string())),
        ("control", Some(event.control.slug.to_owned())),
        ("account", Some(place.account.to_string())),
        ("region", Some(place.region.to_string())),
        ("bucket", event.about.bucket().map(|bucket| bucket.name().to_string())),
        ("class", event.class.as_ref().map(|class| plain(class.as_str(), 64))),
    ];
    known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use findings::{ApiCall, Compliance};
    use serde_json::Value;

    fn home() -> Region {
        "us-east-1".parse().unwrap()
    }

    fn control(slug: &str) -> &'static controls::Control {
        controls::ALL.into_iter().find(|control| control.slug == slug).unwrap()
    }

    fn notification(event: &FindingEvent) -> Value {
        serde_json::to_value(message(event, &home()).notification).unwrap()
    }

    #[test]
    fn an_opened_finding_is_described_in_full() {
        let notification = notification(&example::event());
        let content = &notification["content"];
        assert_eq!(
            content["title"],
            "\u{1f7e0} HIGH: bucket acme-invoices fails encrypted-with-cmk"
        );
        assert_eq!(
            content["description"].as_str().unwrap(),
            "S3 bucket default encryption should use a customer-managed KMS key\n\
             - `key` is `aws/s3 (AWS-managed)`, expected `a customer-managed key`\n\
             *Bucket* `acme-invoices`, class `confidential` requires `cmk`\n\
             *Account* `payments` (200000000002), region eu-west-1\n\
             *Last change* `PutBucketEncryption` by `arn:aws:sts::200000000002:assumed-role/Deploy/jane@acme.example` \
             at 2026-11-25T03:59:41Z\n\
             *Seen* 2026-11-25T04:00:17Z\n\
             *See* <https://us-east-1.console.aws.amazon.com/securityhub/home?region=us-east-1#/findings?search=\
             Id%3D%255Coperator%255C%253AEQUALS%255C%253Acmkwatch%252Faws%252F200000000002%252Feu-west-1%252Facme-invoices\
             %252Fencrypted-with-cmk|finding> \
             <https://eu-west-1.console.aws.amazon.com/s3/buckets/acme-invoices?region=eu-west-1&tab=properties|bucket> \
             <https://docs.aws.amazon.com/wellarchitected/latest/security-pillar/sec_protect_data_rest_key_mgmt.html\
             |documentation>"
        );
        assert_eq!(
            content["nextSteps"],
            serde_json::json!([control("encrypted-with-cmk").remediation])
        );
        let metadata = &notification["metadata"];
        assert_eq!(metadata["threadId"], "cmkwatch/aws/200000000002/eu-west-1/acme-invoices");
        assert_eq!(metadata["additionalContext"]["transition"], "opened");
    }

    #[test]
    fn an_email_says_the_same_without_markup() {
        let message = message(&example::event(), &home());
        assert_eq!(message.subject, "cmkwatch HIGH: bucket acme-invoices fails encrypted-with-cmk");
        for line in [
            "HIGH: bucket acme-invoices fails encrypted-with-cmk",
            "- key is aws/s3 (AWS-managed), expected a customer-managed key",
            "Account     payments (200000000002), region eu-west-1",
            &format!("To do       {}", control("encrypted-with-cmk").remediation),
        ] {
            assert!(
                message.text.lines().any(|alerted| alerted == line),
                "{line}: {}",
                message.text
            );
        }
        let json: Value = serde_json::from_str(&message.json()).unwrap();
        assert_eq!(json["email"], message.text);
        assert!(
            json["default"].as_str().unwrap().starts_with(r#"{"version":"1.0","source":"custom""#)
        );
    }

    #[test]
    fn each_transition_has_its_own_headline() {
        let event = example::event();
        let before = (Some(Compliance::Failed), Some(Severity::Medium));
        for (transition, expected) in [
            (
                Transition::Worsened,
                "HIGH, was MEDIUM: bucket acme-invoices fails encrypted-with-cmk",
            ),
            (
                Transition::Unreadable,
                "HIGH: undetermined whether bucket acme-invoices passes encrypted-with-cmk",
            ),
            (
                Transition::Resolved,
                "RESOLVED: bucket acme-invoices passes encrypted-with-cmk again",
            ),
        ] {
            let event = FindingEvent {
                transition,
                before: before.0,
                severity_before: before.1,
                ..event.clone()
            };
            assert_eq!(headline(&event), expected);
            let steps = notification(&event)["content"]["nextSteps"].is_array();
            assert_eq!(steps, transition != Transition::Resolved, "{transition}");
        }
        let about = About::Account(event.place());
        let account = FindingEvent {
            about,
            control: control("account-readable"),
            api_call: None,
            class: None,
            ..event
        };
        assert_eq!(
            headline(&account),
            "HIGH: account 200000000002 in eu-west-1 fails account-readable"
        );
        let alerted = notification(&account)["content"]["description"].as_str().unwrap().to_owned();
        assert!(
            alerted.contains("*Last change* not known") && !alerted.contains("*Bucket*"),
            "{alerted}"
        );
        let unread = FindingEvent { transition: Transition::Unreadable, ..account };
        let steps = notification(&unread)["content"]["nextSteps"][0].as_str().unwrap().to_owned();
        assert!(!steps.contains("policy of the bucket"), "{steps}");
    }

    #[test]
    fn nothing_from_outside_is_markup_or_a_link() {
        let bad = "`<!channel> *x* <https://evil.example|y>";
        let mut event = example::event();
        event.statement = Some(bad.into());
        event.account_name = Some(bad.into());
        event.class =
            Some(ClassField::Known { name: bad.into(), level: Some(controls::Level::Cmk) });
        event.evidence =
            vec![EvidenceText { fact: bad.into(), value: bad.into(), expected: bad.into() }];
        event.api_call = Some(ApiCall {
            principal: Some(bad.into()),
            event_name: bad.into(),
            event_time: Some(bad.into()),
            invoked_by: Some(bad.into()),
            event_id: None,
        });
        event.id = bad.into();
        let message = message(&event, &home());
        let content = serde_json::to_string(&message.notification).unwrap();
        assert!(!content.contains("<!") && !content.contains("<https://evil"), "{content}");
        // Slack makes links of plain URLs, too, but not within code.
        let alerted = serde_json::to_value(&message.notification).unwrap()["content"].clone();
        let alerted =
            format!("{}\n{}\n{}", alerted["title"], alerted["description"], alerted["nextSteps"])
                .replace("```", "`");
        let not_code: String = alerted.split('`').step_by(2).collect();
        assert!(
            !not_code.contains("https://evil") && not_code.contains("https[:]//evil"),
            "{alerted}"
        );
        assert!(message.subject.is_ascii() && message.subject.len() < 100);
    }

    #[test]
    fn an_exemption_that_ended_is_named() {
        let event = FindingEvent {
            exemption_ended: Some("2026-11-24".parse().unwrap()),
            api_call: None,
            ..example::event()
        };
        let alerted = notification(&event)["content"]["description"].as_str().unwrap().to_owned();
        assert!(alerted.contains("*Exemption* ended on `2026-11-24`"), "{alerted}");
    }

    #[test]
    fn a_statement_to_paste_is_a_block_of_its_own() {
        let mut imported = example::imported();
        let finding = &mut imported["detail"]["findings"][0];
        finding["Id"] = "cmkwatch/aws/200000000002/eu-west-1/acme-invoices/tls-only".into();
        let bucket = Some("arn:aws:s3:::acme-invoices".into());
        let remedy = control("tls-only")
            .remedy(&controls::Subject { bucket, ..controls::Subject::default() }, &[])
            .in_short();
        finding["Remediation"]["Recommendation"]["Text"] = remedy.into();
        let notification = notification(&example::read(&imported));
        let description = notification["content"]["description"].as_str().unwrap();
        let (_, statement) = description.split_once("*Statement* \n```").unwrap();
        let statement: Value = serde_json::from_str(statement.trim_end_matches("```")).unwrap();
        assert_eq!(statement["Effect"], "Deny");
        let steps = notification["content"]["nextSteps"][0].as_str().unwrap();
        assert_eq!(steps, "Add a Deny to the bucket policy (s3:PutBucketPolicy).");
    }
}
