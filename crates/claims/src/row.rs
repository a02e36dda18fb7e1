//! Writes a decision as the attributes of a DynamoDB row, and reads it back.

use alerts::{AlertedState, Claim, LastDecision};
use aws_sdk_dynamodb::types::AttributeValue;
use controls::Severity;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;

/// The time that a row is kept after its last decision. Changes are alerted for 30 days, which is
/// less.
const KEPT: SignedDuration = SignedDuration::from_hours(35 * 24);

/// The attribute with the state that people know.
pub(crate) const STATE: &str = "told";

/// The attributes of a row, by name.
pub(crate) type Attributes = HashMap<String, AttributeValue>;

/// Writes the row of a finding. The row expires `KEPT` after `now`.
pub(crate) fn write(finding: &str, known: &LastDecision, now: Timestamp) -> Attributes {
    let expires_at = now.checked_add(KEPT).unwrap_or(Timestamp::MAX).as_second();
    let mut row = Attributes::from([
        ("finding".to_owned(), AttributeValue::S(finding.to_owned())),
        ("version".to_owned(), AttributeValue::N(known.version.to_string())),
        ("expires_at".to_owned(), AttributeValue::N(expires_at.to_string())),
    ]);
    let alerted = known.alerted.map(|alerted| (STATE.to_owned(), AttributeValue::S(word(alerted))));
    row.extend(alerted);
    if let Some(Claim { owner, lapses_at }) = &known.claim {
        row.insert("owner".to_owned(), AttributeValue::S(owner.clone()));
        row.insert("lapses_at".to_owned(), AttributeValue::S(lapses_at.to_string()));
    }
    row
}

/// Reads a row. A damaged attribute counts as unknown: a message that is sent twice is better than
/// a lost one.
pub(crate) fn read(row: &Attributes) -> LastDecision {
    let text = |name: &str| row.get(name).and_then(|value| value.as_s().ok());
    let version = row.get("version").and_then(|value| value.as_n().ok()?.parse().ok());
    let claim = text("owner").map(|owner| {
        let lapses_at = text("lapses_at").and_then(|moment| moment.parse().ok());
        Claim { owner: owner.clone(), lapses_at: lapses_at.unwrap_or(Timestamp::UNIX_EPOCH) }
    });
    LastDecision {
        version: version.unwrap_or_default(),
        alerted: text(STATE).and_then(|word| alerted(word)),
        claim,
    }
}

/// Returns the stored words of all states that cover `now`. People who know such a state need no
/// message about `now`.
pub(crate) fn words_that_cover(now: Option<AlertedState>) -> Vec<String> {
    let open = Severity::ALL.into_iter().map(AlertedState::Open);
    let all = open.chain([AlertedState::Closed, AlertedState::Undetermined]);
    all.filter(|alerted| now.is_some_and(|now| alerted.covers(now))).map(word).collect()
}

fn word(alerted: AlertedState) -> String {
    match alerted {
        AlertedState::Closed => "closed".to_owned(),
        AlertedState::Open(severity) => format!("open {severity}"),
        AlertedState::Undetermined => "undetermined".to_owned(),
    }
}

fn alerted(word: &str) -> Option<AlertedState> {
    match word {
        "closed" => Some(AlertedState::Closed),
        "undetermined" => Some(AlertedState::Undetermined),
        word => Severity::of_label(word.strip_prefix("open ")?).map(AlertedState::Open),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let now: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        for alerted in [
            Some(AlertedState::Closed),
            Some(AlertedState::Open(Severity::Critical)),
            Some(AlertedState::Undetermined),
            None,
        ] {
            for claim in [None, Some(Claim { owner: "run".into(), lapses_at: now })] {
                let known = LastDecision { version: 7, alerted, claim };
                let row = write("cmkwatch/x", &known, now);
                assert_eq!(read(&row), known);
                assert_eq!(
                    row["expires_at"],
                    AttributeValue::N("1796515200".into()),
                    "35 days later"
                );
            }
        }
    }

    #[test]
    fn a_damaged_attribute_counts_as_unknown() {
        let text = |name: &str, value: &str| (name.to_owned(), AttributeValue::S(value.to_owned()));
        let row = Attributes::from([
            text("version", "x"),
            text(STATE, "open WIDE"),
            text("owner", "run"),
        ]);
        let claim = Some(Claim { owner: "run".into(), lapses_at: Timestamp::UNIX_EPOCH });
        assert_eq!(read(&row), LastDecision { version: 0, alerted: None, claim });
    }
}
