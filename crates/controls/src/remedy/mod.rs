//! The remedy of a failing control: what to do, and statements to paste.

pub(crate) mod through_s3;

use crate::{AllowedBy, Control, Evidence, KeyAccess, Subject};
use iam_policy::Policy;
use serde_json::Value;

/// The greatest length of a remedy in a finding in characters, from
/// [ASFF](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_Recommendation.html).
pub(crate) const LONGEST_REMEDY: usize = 512;

/// The separator between the words of a remedy and its statement.
const BEFORE_STATEMENT: &str = " Statement: ";

/// The remedy of a failing control.
#[derive(Debug, Clone, PartialEq)]
pub struct Remedy {
    /// The advice: what to do, and what that would break.
    pub words: String,
    /// The advice for the statement alone, where `words` is too long. `None` if the statement is
    /// not shown without all of the words.
    pub brief: Option<String>,
    /// A statement that makes the control hold, to add to the policy. `None` if none does.
    pub statement: Option<Value>,
    /// Statements that make the control hold in place of those of the policy.
    pub replacements: Vec<Replacement>,
}

/// Statements to put in place of a statement of a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Replacement {
    /// The statement that goes: its Sid, or its index from 0.
    pub statement: String,
    /// The statements that come.
    pub by: Vec<Value>,
}

impl Control {
    /// Returns the remedy of a failure with this evidence.
    #[must_use]
    pub fn remedy(&self, subject: &Subject, evidence: &[Evidence]) -> Remedy {
        let remedy = Remedy {
            words: self.remediation.to_owned(),
            brief: None,
            statement: self.statement.and_then(|statement| statement(subject)),
            replacements: Vec::new(),
        };
        let remedy = match self.adapt {
            Some(adapt) => adapt(remedy, subject, evidence),
            None => remedy,
        };
        let policies = [&subject.bucket_policy, &subject.key_policy];
        policies.into_iter().flatten().fold(remedy, with_free_sid)
    }
}

/// Returns what to do about the ways into a key, other than its key policy, by which the evidence
/// finds access. `None` if the key policy is the only one.
pub(crate) fn of_other_ways(evidence: &[Evidence]) -> Option<String> {
    let origins = || evidence.iter().filter_map(access_of).map(|access| &access.allowed_by);
    let mut words = Vec::new();
    if origins().any(|it| matches!(it, AllowedBy::Grant { .. })) {
        words.push("Revoke the named grants (kms:RevokeGrant).");
    }
    if origins().any(|it| *it == AllowedBy::SharedPolicy) {
        words.push("Change the resource share, which alone sets policy AWS_RAM (AWS RAM).");
    }
    if evidence.iter().any(is_failure_of_related_key) {
        words.push(
            "In the region of the named key, change its policy (kms:PutKeyPolicy) or revoke the \
             grants (kms:RevokeGrant).",
        );
    }
    (!words.is_empty()).then(|| words.join(" "))
}

/// Puts the advice on other ways into a key before the remedy of `key-policy-closed`, which is
/// about the key policy.
pub(crate) fn by_way_in(remedy: Remedy, _: &Subject, evidence: &[Evidence]) -> Remedy {
    const TRUST: &str = "Or add the account to trusted-accounts of cmkwatch.toml.";
    let Some(others) = of_other_ways(evidence) else { return remedy };
    let is_of_key_policy =
        |it: &Evidence| access_of(it).is_some_and(|it| it.allowed_by == AllowedBy::KeyPolicy);
    // A Deny of the key policy overrides grants and shares of this key, and no other key's.
    let is_elsewhere = evidence.iter().all(|it| access_of(it).is_none());
    let statement = remedy.statement.filter(|_| !is_elsewhere);
    let deny = statement.is_some().then_some("Or add a Deny (kms:PutKeyPolicy).");
    let words = match evidence.iter().any(is_of_key_policy) {
        true => format!("{others} {}", remedy.words),
        false => [Some(others.as_str()), Some(TRUST), deny]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" "),
    };
    let brief = deny.map(|deny| format!("{others} {deny}"));
    Remedy { words, brief, statement, ..remedy }
}

/// Returns the access to the key itself that the evidence is about.
fn access_of(evidence: &Evidence) -> Option<&KeyAccess> {
    match evidence {
        Evidence::DirectUse { access } | Evidence::OutsideAccess { access } => access.as_ref(),
        Evidence::UseThroughAnotherService { access } => Some(access),
        _ => None,
    }
}

fn is_failure_of_related_key(evidence: &Evidence) -> bool {
    matches!(evidence, Evidence::OfRelatedKey { evidence, .. } if !evidence.is_about_services())
}

/// Gives the statement of a remedy a Sid that no statement of the policy has. A Sid is unique in a
/// policy.
fn with_free_sid(mut remedy: Remedy, policy: &Policy) -> Remedy {
    if let Some(Value::String(sid)) = remedy.statement.as_mut().and_then(|it| it.get_mut("Sid")) {
        *sid = free_sid(policy, sid);
    }
    remedy
}

/// Returns a Sid, with a number behind it if the policy has a statement of that name.
pub(crate) fn free_sid(policy: &Policy, sid: &str) -> String {
    let numbered = (2..).map(|number| format!("{sid}{number}"));
    let is_free = |sid: &String| !policy.statements.iter().any(|it| it.sid.as_ref() == Some(sid));
    std::iter::once(sid.to_owned()).chain(numbered).find(is_free).unwrap_or_default()
}

impl Remedy {
    /// Returns the words, and the statement if both fit into 512 characters.
    #[must_use]
    pub fn in_short(&self) -> String {
        let Self { words, brief, statement, .. } = self;
        let whole = |words: &String| {
            let statement = statement.as_ref()?;
            Some(format!("{words}{BEFORE_STATEMENT}{statement}"))
        };
        let fits = |whole: &String| whole.chars().count() <= LONGEST_REMEDY;
        let with_statement = [Some(words), brief.as_ref()].into_iter().flatten().filter_map(whole);
        with_statement
            .into_iter()
            .find(fits)
            .unwrap_or_else(|| words.chars().take(LONGEST_REMEDY).collect())
    }
}

/// Splits a remedy that [`Remedy::in_short`] made into its words and its statement.
#[must_use]
pub fn parts_of_remedy(remedy: &str) -> (&str, Option<&str>) {
    remedy
        .split_once(BEFORE_STATEMENT)
        .map_or((remedy, None), |(words, statement)| (words, Some(statement)))
}
