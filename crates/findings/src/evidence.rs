//! Evidence as a finding stores it: as text in JSON, in the field [`fields::EVIDENCE`].

use crate::{fields, plain};
use controls::{Evidence, Outcome, Shortfall};
use serde::{Deserialize, Serialize};

/// The longest value of a fact in a text, in characters. Longer values come from outside and are
/// cut.
pub(crate) const LONGEST_FACT: usize = 300;

/// A fact that decided a verdict, as text. If a fact could not be read: the missing permission and
/// the answer of AWS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceText {
    /// The name of the fact: `default encryption`.
    pub fact: String,
    /// The value: `AES256`.
    pub value: String,
    /// The expected value. Findings of version 0.1.0 name the field `wanted`.
    #[serde(alias = "wanted")]
    pub expected: String,
}

impl EvidenceText {
    /// Returns the evidence of an outcome.
    pub(crate) fn all(outcome: &Outcome) -> Vec<Self> {
        match outcome {
            Outcome::Passed(evidence) | Outcome::Failed { evidence, .. } => {
                evidence.iter().map(Self::of).collect()
            }
            Outcome::Undetermined(shortfalls) => {
                shortfalls.iter().map(Self::of_shortfall).collect()
            }
            Outcome::NotApplicable(_) => Vec::new(),
        }
    }

    /// Writes evidence as text that is safe to show.
    pub(crate) fn of(evidence: &Evidence) -> Self {
        Self {
            fact: evidence.fact().to_owned(),
            value: plain(&evidence.value(), LONGEST_FACT),
            expected: evidence.expected(),
        }
    }

    fn of_shortfall(shortfall: &Shortfall) -> Self {
        match shortfall {
            Shortfall::NotUnderstood(evidence) | Shortfall::NoWitness(evidence) => {
                Self::of(evidence)
            }
            Shortfall::Unreadable(why) => Self {
                fact: why.permission.to_owned(),
                value: plain(&format!("{} on {}", why.code, why.subject), LONGEST_FACT),
                expected: "an answer".to_owned(),
            },
        }
    }

    /// Writes a list as JSON. Entries that do not fit into a field are left out, from the end.
    #[must_use]
    pub fn write(mut list: Vec<Self>) -> String {
        loop {
            match serde_json::to_string(&list) {
                Ok(json) if json.len() <= fields::LONGEST_VALUE => return json,
                _ if list.pop().is_some() => {}
                _ => return "[]".to_owned(),
            }
        }
    }

    /// Reads a list that [`write`](Self::write) wrote. Returns an empty list if the text is not
    /// such a list: another program may have written it.
    #[must_use]
    pub fn read(json: &str) -> Vec<Self> {
        serde_json::from_str(json).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(text: &str) -> EvidenceText {
        EvidenceText { fact: "key".into(), value: text.into(), expected: "a key".into() }
    }

    proptest! {
        #[test]
        fn a_list_is_read_as_it_was_written(values in proptest::collection::vec("\\PC{0,20}", 0..5)) {
            let list: Vec<_> = values.iter().map(|value| entry(value)).collect();
            prop_assert_eq!(EvidenceText::read(&EvidenceText::write(list.clone())), list);
        }

        #[test]
        fn a_list_always_fits_into_a_field(values in proptest::collection::vec("\\PC{0,300}", 0..20)) {
            let list: Vec<_> = values.iter().map(|value| entry(value)).collect();
            let written = EvidenceText::write(list.clone());
            prop_assert!(written.len() <= fields::LONGEST_VALUE);
            prop_assert!(list.starts_with(&EvidenceText::read(&written)));
        }
    }

    #[test]
    fn a_finding_of_an_earlier_version_is_read() {
        let json = r#"[{"fact": "key", "value": "aws/s3", "wanted": "a key"}]"#;
        assert_eq!(EvidenceText::read(json), [entry("aws/s3")]);
        assert_eq!(EvidenceText::read("no JSON"), []);
    }
}
