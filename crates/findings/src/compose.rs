//! The words of a finding: what was judged, said to a person.

use crate::{
    Compliance, Finding, Observation, Reason, RecordState, Resource, Workflow, digest, fields, id, plain, text,
};
use controls::{Evidence, Exemption, Outcome, Severity, Shortfall, Subject, Verdict};
use facts::{Bucket, Fact, KeyReference, ResolvedKey, UsedKey};
use serde::Serialize;
use std::collections::BTreeMap;

/// The longest value of a single fact in a text, in characters; longer ones come from outside and are cut.
const LONGEST_FACT: usize = 300;

/// The finding for a verdict, as if there had been none before; none for a control that does not apply.
pub(crate) fn compose(observation: &Observation<'_>, verdict: &Verdict) -> Option<Finding> {
    let (compliance, severity) = match &verdict.outcome {
        Outcome::Passed(_) => (Compliance::Passed, Severity::Informational),
        Outcome::Failed { severity, .. } => (Compliance::Failed, *severity),
        Outcome::Undetermined(_) => (Compliance::Warning, verdict.control.severity),
        Outcome::NotApplicable(_) => return None,
    };
    let (control, bucket) = (verdict.control, observation.bucket);
    let mut finding = Finding {
        id: id(&bucket.id, control.slug),
        bucket: bucket.id.clone(),
        generator_id: format!("cmkwatch/{}", control.slug),
        title: text::cut(control.title, 256),
        description: description(observation, verdict),
        severity,
        compliance,
        reasons: reasons(&verdict.outcome),
        requirements: control.requirements.iter().map(|&requirement| requirement.to_owned()).collect(),
        remediation: text::cut(&control.remedy(&subject(observation)), 512),
        reference: control.reference.to_owned(),
        resources: resources(bucket),
        product_fields: product_fields(observation, &verdict.outcome),
        record_state: RecordState::Active,
        created_at: bucket.read_at,
        first_observed_at: bucket.read_at,
        updated_at: bucket.read_at,
        workflow: if compliance == Compliance::Passed { Workflow::Resolved } else { Workflow::New },
    };
    let digest = digest::digest(&finding);
    finding.product_fields.insert(fields::DIGEST.to_owned(), digest);
    Some(finding)
}

/// What a remedy is made out to.
fn subject(observation: &Observation<'_>) -> Subject {
    let subject = Subject::of(observation.bucket);
    match &observation.judgement.class {
        Fact::Known(class) => subject.trusting(class),
        Fact::Unreadable(_) => subject,
    }
}

fn description(observation: &Observation<'_>, verdict: &Verdict) -> String {
    let name = observation.bucket.id.name();
    let subject = match &observation.judgement.class {
        Fact::Known(class) => format!("Bucket {name} (class {}, which requires level {})", class.name, class.level),
        Fact::Unreadable(_) => format!("Bucket {name} (its class could not be read)"),
    };
    let said = match &verdict.outcome {
        Outcome::Passed(evidence) => join(evidence, |e| format!("{} is {}, as required.", e.fact, value(e))),
        Outcome::Failed { evidence, .. } => format!("{}. {}", join(evidence, sentence), verdict.control.why),
        Outcome::Undetermined(shortfalls) => format!(
            "it cannot be told whether the control `{}` holds: {}.",
            verdict.control.slug,
            join(shortfalls, |shortfall| reason(shortfall).description)
        ),
        Outcome::NotApplicable(why) => why.clone(),
    };
    let lapsed = verdict.lapsed.as_ref().filter(|_| !matches!(verdict.outcome, Outcome::Passed(_))).map(lapsed);
    text::cut(&format!("{subject}: {}{said}", lapsed.unwrap_or_default()), 1024)
}

/// That an exemption is over, for the reader who relied on it.
fn lapsed(Exemption { buckets, reason, until, .. }: &Exemption) -> String {
    let (buckets, reason) = (plain(buckets.as_str(), LONGEST_FACT), plain(reason, LONGEST_FACT));
    format!("the exemption of `{buckets}` ({reason}) ended on {until}. ")
}

fn join<T>(parts: &[T], say: impl Fn(&T) -> String) -> String {
    parts.iter().map(say).collect::<Vec<_>>().join("; ")
}

fn sentence(evidence: &Evidence) -> String {
    format!("{} is {}, wanted is {}", evidence.fact, value(evidence), evidence.wanted)
}

fn value(evidence: &Evidence) -> String {
    plain(&evidence.value, LONGEST_FACT)
}

fn reasons(outcome: &Outcome) -> Vec<Reason> {
    match outcome {
        Outcome::Failed { evidence, .. } => evidence
            .iter()
            .map(|evidence| Reason {
                code: evidence.fact.to_ascii_uppercase().replace(' ', "_"),
                description: sentence(evidence),
            })
            .collect(),
        Outcome::Undetermined(shortfalls) => shortfalls.iter().map(reason).collect(),
        Outcome::Passed(_) | Outcome::NotApplicable(_) => Vec::new(),
    }
}

fn reason(shortfall: &Shortfall) -> Reason {
    let (code, description) = match shortfall {
        Shortfall::Unreadable(why) => {
            let subject = plain(&why.subject, LONGEST_FACT);
            let answer = plain(&why.code, LONGEST_FACT);
            ("UNREADABLE", format!("{} on {subject} was answered with {answer}", why.permission))
        }
        Shortfall::NotUnderstood(evidence) => (
            "NOT_UNDERSTOOD",
            format!("{} is {}, which this version of cmkwatch does not understand", evidence.fact, value(evidence)),
        ),
    };
    Reason { code: code.to_owned(), description }
}

fn resources(bucket: &Bucket) -> Vec<Resource> {
    let key = bucket.encryption.known().ok().and_then(|encryption| encryption.default.key()).and_then(key_arn);
    std::iter::once(Resource::Bucket(bucket.id.arn())).chain(key.map(Resource::Key)).collect()
}

/// The ARN of a key that was found, or of one that was named by its ARN and could not be: an event of that key must lead
/// to this bucket too.
fn key_arn(key: &UsedKey) -> Option<String> {
    match (&key.resolved, &key.reference) {
        (Fact::Known(ResolvedKey::Found(found)), _) => Some(found.arn.to_string()),
        (_, KeyReference::Arn(arn)) => Some(arn.to_string()),
        _ => None,
    }
}

fn product_fields(observation: &Observation<'_>, outcome: &Outcome) -> BTreeMap<String, String> {
    let (class, required) = match &observation.judgement.class {
        Fact::Known(class) => (class.name.as_str(), class.level.as_str()),
        Fact::Unreadable(_) => ("unreadable", "unreadable"),
    };
    let reached = observation.judgement.reached.map_or("undetermined", |level| level.as_str());
    [
        (fields::CLASS, class.to_owned()),
        (fields::LEVEL_REQUIRED, required.to_owned()),
        (fields::LEVEL_REACHED, reached.to_owned()),
        (fields::EVIDENCE, evidence_json(outcome)),
        (fields::VERSION, env!("CARGO_PKG_VERSION").to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// The evidence as JSON; what does not fit into a field is left out from the end, whole entries at a time.
fn evidence_json(outcome: &Outcome) -> String {
    #[derive(Serialize)]
    struct Entry {
        fact: &'static str,
        value: String,
        wanted: String,
    }
    let known = |e: &Evidence| Entry { fact: e.fact, value: value(e), wanted: e.wanted.clone() };
    let short = |shortfall: &Shortfall| match shortfall {
        Shortfall::NotUnderstood(evidence) => known(evidence),
        Shortfall::Unreadable(why) => {
            let told = plain(&format!("{} on {}", why.code, why.subject), LONGEST_FACT);
            Entry { fact: why.permission, value: told, wanted: "an answer".to_owned() }
        }
    };
    let mut entries: Vec<_> = match outcome {
        Outcome::Passed(evidence) | Outcome::Failed { evidence, .. } => evidence.iter().map(known).collect(),
        Outcome::Undetermined(shortfalls) => shortfalls.iter().map(short).collect(),
        Outcome::NotApplicable(_) => Vec::new(),
    };
    loop {
        match serde_json::to_string(&entries) {
            Ok(json) if json.len() <= fields::LONGEST_VALUE => return json,
            _ if entries.pop().is_some() => {}
            _ => return "[]".to_owned(),
        }
    }
}
