//! The event `Security Hub Findings - Imported`, as [Security Hub sends
//! it](https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-cwe-event-formats.html):
//! "Each event sends a single finding".
//!
//! Only what a message needs is read. A finding that is not from cmkwatch is an error. A principal
//! that may import findings in a member account may give them any id and any words. So a finding
//! counts only if its importer may report on the subject. The texts of a control are taken from the
//! control, not from the finding.
//!
//! This module does not decide if an event needs a message.

use crate::{
    finding_event::FindingEvent,
    silence::{Silence, Silent},
};
use controls::Severity;
use facts::AccountId;
use findings::{About, Compliance, ProductFields, Slug, Transition, Workflow, fields};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The reason why an event is not understood.
#[derive(Debug, thiserror::Error)]
pub enum FindingEventError {
    /// The text does not have the form of an event with one finding.
    #[error("not an event of Security Hub with a finding")]
    Form(#[source] serde_json::Error),
    /// The event holds no finding, or several.
    #[error("the event has {0} findings, expected one")]
    Number(usize),
    /// The finding is not one of cmkwatch.
    #[error("finding `{id}` is not of cmkwatch: {what}")]
    NotOurs {
        /// The id of the finding.
        id: String,
        /// The part that is missing or wrong.
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
    product_arn: String,
    aws_account_id: String,
    aws_account_name: Option<String>,
    updated_at: String,
    severity: Label,
    compliance: Status,
    workflow: Status,
    note: Option<Note>,
    remediation: Option<Remediation>,
    #[serde(default)]
    product_fields: BTreeMap<String, String>,
    #[serde(flatten)]
    customers: Customers,
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
}

/// The fields that only [the customer
/// writes](https://docs.aws.amazon.com/securityhub/latest/userguide/finding-update-batchupdatefindings.html),
/// besides note, severity and workflow. Also the severity and the types that cmkwatch gave, for
/// comparison.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Customers {
    confidence: Option<serde_json::Value>,
    criticality: Option<serde_json::Value>,
    related_findings: Option<Vec<serde_json::Value>>,
    user_defined_fields: Option<BTreeMap<String, serde_json::Value>>,
    verification_state: Option<String>,
    types: Option<Vec<String>>,
    finding_provider_fields: Option<Provider>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Provider {
    severity: Option<Label>,
    types: Option<Vec<String>>,
}

impl Customers {
    /// Returns true if one of the customer's fields is set, or differs from what cmkwatch gave.
    fn are_there(&self, severity: &Label) -> bool {
        let ours = self.finding_provider_fields.as_ref();
        let our_label =
            ours.and_then(|ours| ours.severity.as_ref()).map(|label| label.label.as_str());
        let our_types = ours.and_then(|ours| ours.types.as_ref());
        self.confidence.is_some()
            || self.criticality.is_some()
            || self.related_findings.as_ref().is_some_and(|list| !list.is_empty())
            || self.user_defined_fields.as_ref().is_some_and(|fields| !fields.is_empty())
            || self.verification_state.as_ref().is_some_and(|state| state != "UNKNOWN")
            || our_label.is_some_and(|label| label != severity.label)
            || (our_types.is_some() && self.types.is_some() && our_types != self.types.as_ref())
    }
}

/// An event about a finding of cmkwatch.
#[derive(Debug, Clone)]
pub enum Parsed {
    /// An event that may need a message.
    FindingEvent(Box<FindingEvent>),
    /// An event about an archived finding whose control this version does not have. Such an event
    /// needs no message.
    Silent(Silent),
}

/// Reads an event. `hub` is the hub account.
///
/// # Errors
/// Returns an error if the text is not such an event, or the finding is not one of cmkwatch.
pub fn parse(body: &str, hub: &AccountId) -> Result<Parsed, FindingEventError> {
    let imported: Event = serde_json::from_str(body).map_err(FindingEventError::Form)?;
    let [finding] = <[Asff; 1]>::try_from(imported.detail.findings)
        .map_err(|all| FindingEventError::Number(all.len()))?;
    let id = finding.id.clone();
    read(finding, &imported.time, hub)
        .map_err(|what| FindingEventError::NotOurs { id: findings::plain(&id, 512), what })
}

fn read(finding: Asff, sent_at: &str, hub: &AccountId) -> Result<Parsed, &'static str> {
    let about = About::of_id(&finding.id).ok_or("the id is of no bucket and of no account")?;
    let importer = importer(&finding, &about, hub)?;
    let fields = ProductFields::of_map(&finding.product_fields);
    let transition = fields.transition.ok_or("no transition")?;
    let control = match (Slug::of_id(&finding.id).control(), transition) {
        (None, Transition::Gone) => {
            return Ok(Parsed::Silent(Silent {
                finding: finding.id,
                transition,
                reason: Silence::ControlRemoved,
            }));
        }
        (control, _) => control.ok_or("the id names no control")?,
    };
    let is_owners = about.place().account == importer;
    let remedy = finding.remediation.unwrap_or_default().recommendation.text;
    let updated_at = moment(&finding.updated_at).ok_or("UpdatedAt is no time")?;
    let sent_at = moment(sent_at).ok_or("the event's time is none")?;
    let of_time = u64::try_from(updated_at.as_millisecond()).unwrap_or_default();
    let is_versioned = finding.product_fields.contains_key(fields::STATE_VERSION);
    let state_version = match fields.state_version {
        Some(version) => version,
        None if is_versioned => return Err("the state version is no number"),
        None => of_time,
    };
    // Otherwise every later change of the finding would count as known.
    if state_version > latest_version(sent_at) {
        return Err("the state version is later than the event");
    }
    Ok(Parsed::FindingEvent(Box::new(FindingEvent {
        state_version,
        control,
        transition,
        severity: Severity::of_label(&finding.severity.label).ok_or("an unknown severity")?,
        status: Compliance::of_word(&finding.compliance.status)
            .ok_or("an unknown compliance status")?,
        before: fields.status_before,
        severity_before: fields.severity_before,
        worst: fields.worst,
        workflow_before: fields.workflow_before,
        workflow: Workflow::of_word(&finding.workflow.status)
            .ok_or("an unknown workflow status")?,
        updated_at,
        noted_at: finding.note.and_then(|note| moment(&note.updated_at?)),
        has_customer_edits: finding.customers.are_there(&finding.severity),
        sent_at,
        account_name: finding.aws_account_name.filter(|_| is_owners),
        class: fields.class,
        evidence: fields.evidence,
        api_call: fields.api_call,
        exemption_ended: fields.exemption_ended,
        statement: controls::parts_of_remedy(&remedy).1.map(str::to_owned),
        id: finding.id,
        about,
    })))
}

/// Returns the account that imported the finding, with [its own
/// product](https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-custom-providers.html).
/// That is the owner of the subject, or the hub account. The hub stores the findings of owners
/// without a Security Hub.
fn importer(finding: &Asff, about: &About, hub: &AccountId) -> Result<AccountId, &'static str> {
    let importer: AccountId =
        finding.aws_account_id.parse().map_err(|_| "AwsAccountId is no account")?;
    if importer != about.place().account && importer != *hub {
        return Err("it is about another account than the one that imported it");
    }
    if !finding.product_arn.ends_with(&format!(":{importer}:product/{importer}/default")) {
        return Err("it is not of the account's own product");
    }
    Ok(importer)
}

/// Returns the latest version that a finding can have when its event is sent. A version is the time
/// of its commit in milliseconds, or a little later.
fn latest_version(sent_at: Timestamp) -> u64 {
    let latest = sent_at.checked_add(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MAX);
    u64::try_from(latest.as_millisecond()).unwrap_or_default()
}

fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use serde_json::{Value, json};

    fn parse(imported: &Value) -> Result<FindingEvent, FindingEventError> {
        super::parse(&imported.to_string(), &example::hub()).map(|parsed| match parsed {
            Parsed::FindingEvent(event) => *event,
            Parsed::Silent(silent) => panic!("{silent:?}"),
        })
    }

    #[test]
    fn a_finding_of_cmkwatch_is_read() {
        let event = parse(&example::imported()).unwrap();
        assert_eq!(
            event.id,
            "cmkwatch/aws/200000000002/eu-west-1/acme-invoices/encrypted-with-cmk"
        );
        assert_eq!(
            (event.control.slug, event.transition),
            ("encrypted-with-cmk", Transition::Opened)
        );
        assert_eq!(event.account_name.as_deref(), Some("payments"));
        assert_eq!(
            event.class,
            Some(findings::ClassField::Known {
                name: "confidential".into(),
                level: Some(controls::Level::Cmk)
            })
        );
        assert_eq!(event.evidence[0].value, "aws/s3 (AWS-managed)");
        assert_eq!(event.api_call.unwrap().event_name, "PutBucketEncryption");
        assert_eq!((event.before, event.noted_at, event.has_customer_edits), (None, None, false));
        assert_eq!(event.state_version, 1_795_579_217_123);
    }

    #[test]
    fn an_import_without_a_state_version_gets_its_time_as_version() {
        let mut imported = example::imported();
        let fields = imported["detail"]["findings"][0]["ProductFields"].as_object_mut().unwrap();
        fields.remove("cmkwatch/state-version").unwrap();
        assert_eq!(parse(&imported).unwrap().state_version, 1_795_579_217_123);
    }

    #[test]
    fn the_account_name_of_the_hub_is_not_taken_for_that_of_the_owner() {
        let mut imported = example::imported();
        let finding = &mut imported["detail"]["findings"][0];
        finding["AwsAccountId"] = "100000000001".into();
        finding["ProductArn"] =
            "arn:aws:securityhub:us-east-1:100000000001:product/100000000001/default".into();
        assert_eq!(parse(&imported).unwrap().account_name, None);
    }

    #[test]
    fn fields_that_only_the_customer_writes_are_noticed() {
        for (name, value) in [
            ("Severity", json!({"Label": "CRITICAL"})),
            ("UserDefinedFields", json!({"ticket": "SEC-1"})),
            ("VerificationState", json!("TRUE_POSITIVE")),
            ("Confidence", json!(42)),
            ("Criticality", json!(99)),
            ("RelatedFindings", json!([{"Id": "x", "ProductArn": "y"}])),
            ("Types", json!(["Effects/Data Exposure"])),
        ] {
            let mut imported = example::imported();
            imported["detail"]["findings"][0][name] = value;
            assert!(parse(&imported).unwrap().has_customer_edits, "{name}");
        }
        for (name, value) in [
            ("UserDefinedFields", json!({})),
            ("VerificationState", json!("UNKNOWN")),
            ("RelatedFindings", json!(null)),
        ] {
            let mut imported = example::imported();
            imported["detail"]["findings"][0][name] = value;
            assert!(!parse(&imported).unwrap().has_customer_edits, "{name}");
        }
    }

    #[test]
    fn a_finding_of_another_origin_is_an_error_that_names_the_fault() {
        for (name, value, words) in [
            (
                "Id",
                json!("arn:aws:securityhub:<b>"),
                "`arn:aws:securityhub:?b?` is not of cmkwatch: the id is of no bucket",
            ),
            ("Id", json!("cmkwatch/aws/200000000002/eu-west-1/acme/"), "the id names no control"),
            (
                "Id",
                json!("cmkwatch/aws/200000000002/eu-west-1/acme/nice-words"),
                "the id names no control",
            ),
            (
                "AwsAccountId",
                json!("300000000003"),
                "about another account than the one that imported it",
            ),
            ("AwsAccountId", json!("me"), "AwsAccountId is no account"),
            (
                "ProductArn",
                json!("arn:aws:securityhub:eu-west-1::product/acme/acme"),
                "not of the account's own product",
            ),
            ("ProductFields", json!({"cmkwatch/transition": "exploded"}), "no transition"),
            (
                "ProductFields",
                json!({"cmkwatch/transition": "opened", "cmkwatch/state-version": "latest"}),
                "the state version is no number",
            ),
            (
                "ProductFields",
                json!({"cmkwatch/transition": "opened", "cmkwatch/state-version": "18446744073709551615"}),
                "the state version is later than the event",
            ),
        ] {
            let mut imported = example::imported();
            imported["detail"]["findings"][0][name] = value;
            let error = parse(&imported).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn an_archived_finding_of_a_removed_control_is_silent() {
        let mut imported = example::imported();
        let finding = &mut imported["detail"]["findings"][0];
        finding["Id"] = "cmkwatch/aws/200000000002/eu-west-1/acme/of-old".into();
        finding["ProductFields"]["cmkwatch/transition"] = "gone".into();
        let Parsed::Silent(silent) = super::parse(&imported.to_string(), &example::hub()).unwrap()
        else {
            panic!()
        };
        assert_eq!((silent.reason, silent.transition), (Silence::ControlRemoved, Transition::Gone));
    }

    #[test]
    fn a_text_that_is_not_an_event_is_an_error_that_names_the_fault() {
        let mut none = example::imported();
        none["detail"]["findings"] = json!([]);
        for (body, words) in [
            ("{}", "not an event"),
            ("no JSON", "not an event"),
            (&none.to_string(), "has 0 findings"),
        ] {
            let error = super::parse(body, &example::hub()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
