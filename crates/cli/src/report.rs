//! Writes verdicts to the screen or as JSON.

use crate::stdout;
use clap::ValueEnum;
use controls::{Control, Evidence, Outcome, Remedy, Replacement, Severity, Shortfall, Subject};
use iam_policy::Witness;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The format of the verdicts.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// A verdict, with the details that only its command knows.
pub(crate) struct VerdictLine {
    pub(crate) control: &'static Control,
    pub(crate) outcome: Outcome,
    /// The details: further members of the JSON object.
    pub(crate) more: Value,
}

/// Writes verdicts to standard output.
pub(crate) fn print(
    lines: &[VerdictLine],
    subject: &Subject,
    output: Output,
) -> anyhow::Result<()> {
    let text = match output {
        Output::Json => {
            let verdicts: Vec<_> = lines.iter().map(|line| as_json(line, subject)).collect();
            serde_json::to_string_pretty(&json!({ "verdicts": verdicts }))? + "\n"
        }
        Output::Text => lines.iter().map(|line| as_text(line, subject)).collect(),
    };
    Ok(stdout::print(&text)?)
}

#[derive(Serialize)]
struct VerdictJson {
    control: &'static str,
    outcome: &'static str,
    severity: &'static str,
    #[serde(flatten)]
    more: Value,
    /// The facts that show why the control passes or fails, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<String>,
    /// A request that shows why the control fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    witness: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    undetermined: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remediation: Option<Value>,
}

fn as_json(VerdictLine { control, outcome, more }: &VerdictLine, subject: &Subject) -> VerdictJson {
    VerdictJson {
        control: control.slug,
        outcome: word(outcome),
        severity: severity(control, outcome).as_str(),
        more: more.clone(),
        evidence: in_words(outcome),
        witness: shown(outcome),
        undetermined: shortfalls(outcome),
        remediation: remedy(control, outcome, subject).map(remedy_as_json),
    }
}

/// Returns the remedy of a failure, `None` if the control does not fail.
fn remedy(control: &Control, outcome: &Outcome, subject: &Subject) -> Option<Remedy> {
    let Outcome::Failed { evidence, .. } = outcome else { return None };
    Some(control.remedy(subject, evidence))
}

fn remedy_as_json(Remedy { words, statement, replacements, .. }: Remedy) -> Value {
    let replacements = replacements
        .iter()
        .map(|Replacement { statement, by }| json!({ "in_place_of": statement, "statements": by }));
    json!({
        "text": words, "statement": statement, "replacements": replacements.collect::<Vec<_>>(),
    })
}

fn in_words(outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Passed(evidence) => evidence.iter().map(holds).collect(),
        Outcome::Failed { evidence, .. } => evidence.iter().map(found).collect(),
        Outcome::Undetermined(_) | Outcome::NotApplicable(_) => Vec::new(),
    }
}

/// Returns the request that shows best why a control fails.
fn shown(outcome: &Outcome) -> Option<Value> {
    let Outcome::Failed { evidence, .. } = outcome else { return None };
    evidence.iter().find_map(|one| Some(witness(one.witness()?, one.is_refused())))
}

/// Writes a request as JSON. A condition key with several values has a list. `is_refused` is true
/// if the policy refuses the request although it should not.
fn witness(witness: &Witness, is_refused: bool) -> Value {
    let Witness { principal, action, resource, condition_keys, absent_keys } = witness;
    let one_or_many = |values: &Vec<String>| match &values[..] {
        [one] => json!(one),
        many => json!(many),
    };
    let keys: BTreeMap<_, _> =
        condition_keys.iter().map(|(key, values)| (key, one_or_many(values))).collect();
    json!({
        "principal": principal, "action": action, "resource": resource,
        "condition_keys": keys, "absent_keys": absent_keys, "refused": is_refused,
    })
}

fn as_text(VerdictLine { control, outcome, .. }: &VerdictLine, subject: &Subject) -> String {
    let severity = if matches!(outcome, Outcome::Passed(_)) {
        String::new()
    } else {
        format!(" {}", severity(control, outcome))
    };
    let mut text = format!("{} {}{severity}\n", control.slug, word(outcome).to_uppercase());
    let mut say = |line: &str| text.push_str(&format!("  {}\n", printable(line)));
    match outcome {
        Outcome::Passed(_) => in_words(outcome).iter().for_each(|words| say(words)),
        Outcome::Failed { evidence, .. } => {
            for evidence in evidence {
                say(&found(evidence));
                if let Some(witness) = evidence.witness() {
                    let refused = if evidence.is_refused() { ", and is refused" } else { "" };
                    say(&format!("for example: {witness}{refused}"));
                }
            }
            say(control.why);
            let Remedy { words, statement, replacements, .. } = control.remedy(subject, evidence);
            say(&words);
            let pretty = |json: &Value| serde_json::to_string_pretty(json).unwrap_or_default();
            statement.iter().for_each(|it| pretty(it).lines().for_each(&mut say));
            for Replacement { statement, by } in &replacements {
                if by.is_empty() {
                    say(&format!("or remove statement {statement}"));
                    continue;
                }
                say(&format!("in place of statement {statement}:"));
                pretty(&json!(by)).lines().for_each(&mut say);
            }
        }
        Outcome::Undetermined(_) => shortfalls(outcome).iter().for_each(|why| say(why)),
        Outcome::NotApplicable(why) => say(why),
    }
    text
}

fn holds(evidence: &Evidence) -> String {
    format!("{} is {}", evidence.fact(), evidence.value())
}

fn found(evidence: &Evidence) -> String {
    format!("{} is {}, expected {}", evidence.fact(), evidence.value(), evidence.expected())
}

/// Returns text from outside without control characters, which a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed(_) => "passed",
        Outcome::Failed { .. } => "failed",
        Outcome::Undetermined(_) => "undetermined",
        Outcome::NotApplicable(_) => "not-applicable",
    }
}

fn severity(control: &Control, outcome: &Outcome) -> Severity {
    match outcome {
        Outcome::Failed { severity, .. } => *severity,
        Outcome::Undetermined(_) => control.severity,
        Outcome::Passed(_) | Outcome::NotApplicable(_) => Severity::Informational,
    }
}

fn shortfalls(outcome: &Outcome) -> Vec<String> {
    let Outcome::Undetermined(shortfalls) = outcome else { return Vec::new() };
    let told = |shortfall: &Shortfall| match shortfall {
        Shortfall::Unreadable(why) => why.to_string(),
        Shortfall::NotUnderstood(evidence) => found(evidence),
        Shortfall::NoWitness(evidence) => format!(
            "{} may be {}, but no request was found that gets through",
            evidence.fact(),
            evidence.value()
        ),
    };
    shortfalls.iter().map(told).collect()
}
