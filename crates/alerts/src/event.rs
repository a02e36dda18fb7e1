//! The event `Security Hub Findings - Imported`, as
//! [Security Hub sends it](https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-cwe-event-formats.html): "Each event
//! sends a single finding".
//!
//! Only what a message needs is read, and what is not ours is an error: the rule lets nothing else through.

use crate::news::{Changed, Evidence, News};
use controls::Severity;
use findings::{About, Compliance, Transition, Workflow, fields};
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Why an event is not understood.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// It has not the form of an event with one finding.
    #[error("not an event of Security Hub with a finding")]
    Form(#[source] serde_json::Error),
    /// It holds no finding, or several.
    #[error("an event with {0} findings, and not one")]
    Number(usize),
    /// The finding is none of ours.
    #[error("finding `{id}` is none of ours: {what}")]
    NotOurs {
        /// The id that it has.
        id: String,
        /// What is missing or wrong.
        what: &'static str,
    },
}

#[derive(Deserialize)]
struct Event {
    time: String,
    detail: Detail,
}

#[derive(Deserialize)]
struct Detail {
    findings: Vec<Asff>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Asff {
    id: String,
    title: String,
    aws_account_id: String,
    aws_account_name: Option<String>,
    updated_at: String,
    severity: Label,
    workflow: Status,
    note: Option<Note>,
    remediation: Option<Remediation>,
    #[serde(default)]
    product_fields: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Label {
    label: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    status: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Note {
    updated_at: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Remediation {
    recommendation: Recommendation,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Recommendation {
    text: String,
    url: Option<String>,
}

/// Reads an event.
///
/// # Errors
/// What is no such event, and a finding that is none of ours.
pub fn parse(body: &str) -> Result<News, EventError> {
    let event: Event = serde_json::from_str(body).map_err(EventError::Form)?;
    let [finding] = <[Asff; 1]>::try_from(event.detail.findings).map_err(|all| EventError::Number(all.len()))?;
    let id = finding.id.clone();
    read(finding, &event.time).map_err(|what| EventError::NotOurs { id: findings::plain(&id, 512), what })
}

fn read(finding: Asff, sent_at: &str) -> Result<News, &'static str> {
    let about = About::of_id(&finding.id).ok_or("the id is of no bucket and of no account")?;
    let field = |name: &str| finding.product_fields.get(name);
    let Recommendation { text: remediation, url: reference } = finding.remediation.unwrap_or_default().recommendation;
    let is_owners = about.place().account.as_str() == finding.aws_account_id;
    Ok(News {
        control: finding.id.rsplit('/').next().unwrap_or_default().to_owned(),
        title: finding.title,
        transition: field(fields::TRANSITION).and_then(|word| Transition::of_word(word)).ok_or("no transition")?,
        severity: Severity::of_label(&finding.severity.label).ok_or("an unknown severity")?,
        before: field(fields::STATUS_BEFORE).and_then(|word| Compliance::of_word(word)),
        severity_before: field(fields::SEVERITY_BEFORE).and_then(|label| Severity::of_label(label)),
        workflow_before: field(fields::WORKFLOW_BEFORE).and_then(|word| Workflow::of_word(word)),
        workflow: Workflow::of_word(&finding.workflow.status).ok_or("an unknown workflow status")?,
        updated_at: moment(&finding.updated_at).ok_or("UpdatedAt is no time")?,
        noted_at: finding.note.and_then(|note| moment(&note.updated_at?)),
        sent_at: moment(sent_at).ok_or("the event's time is none")?,
        account_name: finding.aws_account_name.filter(|_| is_owners),
        class: field(fields::CLASS).cloned().zip(field(fields::LEVEL_REQUIRED).cloned()),
        evidence: field(fields::EVIDENCE).map(|json| evidence(json)).unwrap_or_default(),
        changed: field(fields::EVENT_NAME).map(|call| Changed {
            by: field(fields::CHANGED_BY).cloned(),
            call: call.clone(),
            at: field(fields::EVENT_TIME).cloned(),
        }),
        remediation,
        reference,
        id: finding.id,
        about,
    })
}

fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// What cannot be read of it is left to the finding.
fn evidence(json: &str) -> Vec<Evidence> {
    serde_json::from_str(json).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn a_finding_of_ours_is_read() {
        let news = parse(&example::event().to_string()).unwrap();
        assert_eq!(news.id, "cmkwatch/aws/200000000002/eu-west-1/acme-invoices/encrypted-with-cmk");
        assert_eq!((news.control.as_str(), news.transition), ("encrypted-with-cmk", Transition::Opened));
        assert_eq!(news.account_name.as_deref(), Some("payments"));
        assert_eq!(news.class, Some(("confidential".into(), "cmk".into())));
        assert_eq!(news.evidence[0].value, "aws/s3 (AWS-managed)");
        assert_eq!(news.changed.unwrap().call, "PutBucketEncryption");
        assert_eq!((news.before, news.noted_at), (None, None));
    }

    #[test]
    fn the_name_of_the_hub_is_not_that_of_the_owner() {
        let mut event = example::event();
        event["detail"]["findings"][0]["AwsAccountId"] = "100000000001".into();
        assert_eq!(parse(&event.to_string()).unwrap().account_name, None);
    }

    #[test]
    fn what_is_not_ours_is_an_error_in_words() {
        let (mut none, mut other, mut strange) = (example::event(), example::event(), example::event());
        none["detail"]["findings"] = serde_json::json!([]);
        other["detail"]["findings"][0]["Id"] = "arn:aws:securityhub:<b>".into();
        strange["detail"]["findings"][0]["ProductFields"]["cmkwatch/transition"] = "exploded".into();
        for (body, words) in [
            ("{}".to_owned(), "not an event"),
            ("no JSON".to_owned(), "not an event"),
            (none.to_string(), "an event with 0 findings"),
            (other.to_string(), "`arn:aws:securityhub:?b?` is none of ours: the id is of no bucket"),
            (strange.to_string(), "no transition"),
        ] {
            let error = parse(&body).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
