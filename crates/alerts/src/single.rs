//! The message about one finding.

use crate::{Message, News, line::Line, link, notification::Draft};
use controls::Severity;
use facts::Region;
use findings::{About, EvidenceText, Transition, plain};
use jiff::Unit;
use std::collections::BTreeMap;

/// The highest number of facts in a message. The finding has all facts.
const FACTS: usize = 5;

/// Writes what happened, where, by whose call, and what to do.
pub(crate) fn message(news: &News, home: &Region) -> Message {
    let mut lines = vec![Line::of(news.control.title)];
    lines.extend(facts(news));
    lines.extend(bucket(news));
    lines.push(account(Line::about("Account"), news));
    lines.push(changed(news));
    lines.extend(
        news.exemption_ended
            .as_ref()
            .map(|until| Line::about("Exemption").words("ended on ").value(until)),
    );
    lines.push(
        Line::about("Seen")
            .words(news.updated_at.round(Unit::Second).unwrap_or(news.updated_at).to_string()),
    );
    lines.push(links(news, home));
    let statement = news.statement.as_ref().filter(|_| is_failure(news));
    lines.extend(statement.map(|statement| Line::about("Statement").json(statement)));
    let draft = Draft {
        sign: sign(news),
        headline: &headline(news),
        lines: &lines,
        advice: advice(news),
        keywords: vec![news.weight().to_string(), news.control.slug.to_owned()],
        thread: Some(thread(&news.about)),
        context: context(news),
    };
    Message::new(draft)
}

/// Returns the thread of all messages about one bucket or account.
pub(crate) fn thread(about: &About) -> String {
    about.id_prefix().trim_end_matches('/').to_owned()
}

/// Returns a symbol that can be seen at a glance.
pub(crate) fn sign(news: &News) -> &'static str {
    match (news.transition, news.weight()) {
        (Transition::Resolved, _) => "\u{2705}",
        (Transition::Unreadable, _) => "\u{2754}",
        (_, Severity::Critical) => "\u{1f534}",
        (_, Severity::High) => "\u{1f7e0}",
        (_, Severity::Medium) => "\u{1f7e1}",
        (_, Severity::Low | Severity::Informational) => "\u{1f535}",
    }
}

fn headline(news: &News) -> String {
    let (severity, control, what) = (news.severity, news.control.slug, subject(news));
    match (news.transition, news.severity_before) {
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
pub(crate) fn subject(news: &News) -> String {
    match &news.about {
        About::Bucket(bucket) => format!("bucket {}", bucket.name()),
        About::Account(place) => format!("account {} in {}", place.account, place.region),
    }
}

fn facts(news: &News) -> Vec<Line> {
    let said = |fact: &EvidenceText| {
        let line = Line::of("- ").value(fact.fact.as_str());
        match news.transition {
            Transition::Unreadable => line.words(" was answered with ").value(fact.value.as_str()),
            Transition::Resolved => line.words(" is ").value(fact.value.as_str()),
            _ => line
                .words(" is ")
                .value(fact.value.as_str())
                .words(", expected ")
                .value(fact.expected.as_str()),
        }
    };
    let mut lines: Vec<_> = news.evidence.iter().take(FACTS).map(said).collect();
    if let Some(more) = news.evidence.len().checked_sub(FACTS).filter(|more| *more > 0) {
        lines.push(Line::of(format!("- and {more} more, in the finding")));
    }
    lines
}

fn bucket(news: &News) -> Option<Line> {
    let bucket = news.about.bucket()?;
    let line = Line::about("Bucket").value(bucket.name().as_str());
    Some(match &news.class {
        Some((class, _)) if class == findings::fields::UNREADABLE => {
            line.words(", its class could not be read")
        }
        Some((class, level)) => {
            line.words(", class ").value(class.as_str()).words(" requires ").value(level.as_str())
        }
        None => line,
    })
}

/// Adds the account by name and id, and the region.
pub(crate) fn account(line: Line, news: &News) -> Line {
    let place = news.place();
    let line = match &news.account_name {
        Some(name) => line.value(name.as_str()).words(format!(" ({})", place.account)),
        None => line.words(place.account.to_string()),
    };
    line.words(format!(", region {}", place.region))
}

/// Writes the last change that is known. It need not be the cause, because cmkwatch judges the
/// present state and not the event.
fn changed(news: &News) -> Line {
    let line = Line::about("Last change");
    let Some(call) = &news.api_call else {
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

fn links(news: &News, home: &Region) -> Line {
    let line = Line::about("See").link(link::finding(home, &news.id), "finding");
    let line = match news.about.bucket() {
        Some(bucket) => line.words(" ").link(link::bucket(bucket), "bucket"),
        None => line,
    };
    line.words(" ").link(news.control.reference.to_owned(), "documentation")
}

fn is_failure(news: &News) -> bool {
    !matches!(news.transition, Transition::Resolved | Transition::Unreadable)
}

/// Returns the advice in sentences; empty if the finding is resolved.
fn advice(news: &News) -> &'static str {
    match (news.transition, &news.about) {
        (Transition::Resolved, _) => "",
        (Transition::Unreadable, About::Bucket(_)) => {
            "Give cmkwatch the permission that is named above. If it has the permission, look for a Deny in the policy of \
             the bucket or the key, or in a service control policy."
        }
        (Transition::Unreadable, About::Account(_)) => {
            "Give cmkwatch the permission that is named above. If it has the permission, look for a Deny in a service \
             control policy, or for a change of the role cmkwatch-member."
        }
        _ => news.control.remediation,
    }
}

/// Returns the values for programs and for the filters of subscriptions.
fn context(news: &News) -> BTreeMap<String, String> {
    let place = news.place();
    let known = [
        ("finding", Some(plain(&news.id, 512))),
        ("severity", Some(news.weight().to_string())),
        ("transition", Some(news.transition.to_string())),
        ("state-version", Some(news.state_version.to_string())),
        ("control", Some(news.control.slug.to_owned())),
        ("account", Some(place.account.to_string())),
        ("region", Some(place.region.to_string())),
        ("bucket", news.about.bucket().map(|bucket| bucket.name().to_string())),
        ("class", news.class.as_ref().map(|(class, _)| plain(class, 64))),
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

    fn notification(news: &News) -> Value {
        serde_json::to_value(message(news, &home()).notification).unwrap()
    }

    #[test]
    fn an_opened_finding_is_described_in_full() {
        let notification = notification(&example::news());
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
        let message = message(&example::news(), &home());
        assert_eq!(message.subject, "cmkwatch HIGH: bucket acme-invoices fails encrypted-with-cmk");
        for line in [
            "HIGH: bucket acme-invoices fails encrypted-with-cmk",
            "- key is aws/s3 (AWS-managed), expected a customer-managed key",
            "Account     payments (200000000002), region eu-west-1",
            &format!("To do       {}", control("encrypted-with-cmk").remediation),
        ] {
            assert!(message.text.lines().any(|told| told == line), "{line}: {}", message.text);
        }
        let json: Value = serde_json::from_str(&message.json()).unwrap();
        assert_eq!(json["email"], message.text);
        assert!(
            json["default"].as_str().unwrap().starts_with(r#"{"version":"1.0","source":"custom""#)
        );
    }

    #[test]
    fn each_transition_has_its_own_headline() {
        let news = example::news();
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
            let news =
                News { transition, before: before.0, severity_before: before.1, ..news.clone() };
            assert_eq!(headline(&news), expected);
            let steps = notification(&news)["content"]["nextSteps"].is_array();
            assert_eq!(steps, transition != Transition::Resolved, "{transition}");
        }
        let about = About::Account(news.place());
        let account = News {
            about,
            control: control("account-readable"),
            api_call: None,
            class: None,
            ..news
        };
        assert_eq!(
            headline(&account),
            "HIGH: account 200000000002 in eu-west-1 fails account-readable"
        );
        let told = notification(&account)["content"]["description"].as_str().unwrap().to_owned();
        assert!(told.contains("*Last change* not known") && !told.contains("*Bucket*"), "{told}");
        let unread = News { transition: Transition::Unreadable, ..account };
        let steps = notification(&unread)["content"]["nextSteps"][0].as_str().unwrap().to_owned();
        assert!(!steps.contains("policy of the bucket"), "{steps}");
    }

    #[test]
    fn nothing_from_outside_is_markup_or_a_link() {
        let bad = "`<!channel> *x* <https://evil.example|y>";
        let mut news = example::news();
        news.statement = Some(bad.into());
        news.exemption_ended = Some(bad.into());
        news.account_name = Some(bad.into());
        news.class = Some((bad.into(), bad.into()));
        news.evidence =
            vec![EvidenceText { fact: bad.into(), value: bad.into(), expected: bad.into() }];
        news.api_call = Some(ApiCall {
            principal: Some(bad.into()),
            event_name: bad.into(),
            event_time: Some(bad.into()),
            invoked_by: Some(bad.into()),
            event_id: None,
        });
        news.id = bad.into();
        let message = message(&news, &home());
        let content = serde_json::to_string(&message.notification).unwrap();
        assert!(!content.contains("<!") && !content.contains("<https://evil"), "{content}");
        // Slack makes links of plain URLs, too, but not within code.
        let told = serde_json::to_value(&message.notification).unwrap()["content"].clone();
        let told = format!("{}\n{}\n{}", told["title"], told["description"], told["nextSteps"])
            .replace("```", "`");
        let not_code: String = told.split('`').step_by(2).collect();
        assert!(
            !not_code.contains("https://evil") && not_code.contains("https[:]//evil"),
            "{told}"
        );
        assert!(message.subject.is_ascii() && message.subject.len() < 100);
    }

    #[test]
    fn an_exemption_that_ended_is_named() {
        let news =
            News { exemption_ended: Some("2026-11-24".into()), api_call: None, ..example::news() };
        let told = notification(&news)["content"]["description"].as_str().unwrap().to_owned();
        assert!(told.contains("*Exemption* ended on `2026-11-24`"), "{told}");
    }

    #[test]
    fn a_statement_to_paste_is_a_block_of_its_own() {
        let mut event = example::event();
        let finding = &mut event["detail"]["findings"][0];
        finding["Id"] = "cmkwatch/aws/200000000002/eu-west-1/acme-invoices/tls-only".into();
        let bucket = Some("arn:aws:s3:::acme-invoices".into());
        let remedy = control("tls-only")
            .remedy(&controls::Subject { bucket, ..controls::Subject::default() });
        finding["Remediation"]["Recommendation"]["Text"] = remedy.into();
        let notification = notification(&example::read(&event));
        let description = notification["content"]["description"].as_str().unwrap();
        let (_, statement) = description.split_once("*Statement* \n```").unwrap();
        let statement: Value = serde_json::from_str(statement.trim_end_matches("```")).unwrap();
        assert_eq!(statement["Effect"], "Deny");
        let steps = notification["content"]["nextSteps"][0].as_str().unwrap();
        assert_eq!(steps, "Add a Deny to the bucket policy (s3:PutBucketPolicy).");
    }
}
