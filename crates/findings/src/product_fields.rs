//! The values that a finding carries besides the attributes of Security Hub's format.
//!
//! Within cmkwatch they are types. They are text only in a finding of Security Hub, under the names
//! of [`crate::fields`].

use crate::{ApiCall, Compliance, EvidenceText, Transition, Workflow, fields, text};
use controls::{Level, Severity};
use facts::AliasArn;
use jiff::{Timestamp, civil::Date};
use std::collections::BTreeMap;

/// The values that a finding carries in its
/// [ProductFields](https://docs.aws.amazon.com/securityhub/latest/userguide/asff-top-level-attributes.html).
///
/// A field is `None` if the finding does not have it, or has another value than cmkwatch writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProductFields {
    /// The class of the bucket and the level that it requires.
    pub class: Option<ClassField>,
    /// The highest level that the bucket reaches.
    pub level_reached: Option<LevelReached>,
    /// The alias by which the bucket names its key.
    pub key_alias: Option<AliasArn>,
    /// The change since the import before.
    pub transition: Option<Transition>,
    /// The version of the state that last changed the finding.
    pub state_version: Option<u64>,
    /// The time of the transition.
    pub transition_at: Option<Timestamp>,
    /// The status before the transition; `None` if there was no active finding.
    pub status_before: Option<Compliance>,
    /// The severity before the transition; `None` if there was no active finding.
    pub severity_before: Option<Severity>,
    /// The worst severity since the control last passed.
    pub worst: Option<Severity>,
    /// The workflow status before the import.
    pub workflow_before: Option<Workflow>,
    /// The last day of an exemption that ended.
    pub exemption_ended: Option<Date>,
    /// The reason why the finding was archived.
    pub gone_because: Option<String>,
    /// The API call behind the last change.
    pub api_call: Option<ApiCall>,
    /// The facts that decided the verdict.
    pub evidence: Vec<EvidenceText>,
    /// The version of cmkwatch that wrote the finding.
    pub version: Option<String>,
}

/// The class of a bucket as its findings name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClassField {
    /// A class of the settings.
    Known {
        /// The name of the class.
        name: String,
        /// The level that the class requires; `None` if this version does not know it.
        level: Option<Level>,
    },
    /// The tags of the bucket could not be read.
    Unreadable,
}

/// The highest level that a bucket reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LevelReached {
    /// All controls of the level hold.
    Level(Level),
    /// A control is undetermined.
    Undetermined,
}

/// The value of [`fields::LEVEL_REACHED`] for [`LevelReached::Undetermined`].
const UNDETERMINED: &str = "undetermined";

impl ProductFields {
    /// Writes the values as text, by the name of the field. No value is blank, because Security Hub
    /// refuses a finding with a blank value.
    #[must_use]
    pub fn to_map(&self) -> BTreeMap<String, String> {
        let class = self.class.as_ref();
        let call = self.api_call.as_ref();
        let said =
            |text: Option<&String>| text.map(|text| crate::plain(text, fields::LONGEST_VALUE));
        let cut = |text: &String| text::cut(text, fields::LONGEST_VALUE);
        let evidence = Some(&self.evidence).filter(|evidence| !evidence.is_empty());
        let all = [
            (fields::CLASS, class.map(|class| class.as_str().to_owned())),
            (fields::LEVEL_REQUIRED, class.and_then(ClassField::level).map(str::to_owned)),
            (fields::LEVEL_REACHED, self.level_reached.map(|level| level.as_str().to_owned())),
            (fields::KEY_ALIAS, self.key_alias.as_ref().map(ToString::to_string)),
            (fields::TRANSITION, self.transition.map(|transition| transition.to_string())),
            (fields::STATE_VERSION, self.state_version.map(|version| version.to_string())),
            (fields::TRANSITION_AT, self.transition_at.map(|at| at.to_string())),
            (fields::STATUS_BEFORE, self.status_before.map(|status| status.as_str().to_owned())),
            (fields::SEVERITY_BEFORE, self.severity_before.map(|severity| severity.to_string())),
            (fields::WORST_SEVERITY, self.worst.map(|worst| worst.to_string())),
            (fields::WORKFLOW_BEFORE, self.workflow_before.map(|it| it.as_str().to_owned())),
            (fields::EXEMPTION_ENDED, self.exemption_ended.map(|day| day.to_string())),
            (fields::GONE_BECAUSE, self.gone_because.as_ref().map(cut)),
            (fields::EVENT_NAME, said(call.map(|call| &call.event_name))),
            (fields::EVENT_ID, said(call.and_then(|call| call.event_id.as_ref()))),
            (fields::EVENT_TIME, said(call.and_then(|call| call.event_time.as_ref()))),
            (fields::CHANGED_BY, said(call.and_then(|call| call.principal.as_ref()))),
            (fields::INVOKED_BY, said(call.and_then(|call| call.invoked_by.as_ref()))),
            (fields::EVIDENCE, evidence.map(|evidence| EvidenceText::write(evidence.clone()))),
            (fields::VERSION, self.version.clone()),
        ];
        let full = |value: &String| !value.trim().is_empty();
        all.into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value.filter(full)?)))
            .collect()
    }

    /// Reads the values from the text of each field. Anybody who may import findings can have
    /// written the text.
    #[must_use]
    pub fn of_map(map: &BTreeMap<String, String>) -> Self {
        let word = |name: &str| map.get(name).map(String::as_str);
        let text = |name: &str| map.get(name).cloned();
        Self {
            class: word(fields::CLASS)
                .map(|name| ClassField::of_words(name, word(fields::LEVEL_REQUIRED))),
            level_reached: word(fields::LEVEL_REACHED).and_then(LevelReached::of_word),
            key_alias: word(fields::KEY_ALIAS).and_then(|arn| arn.parse().ok()),
            transition: word(fields::TRANSITION).and_then(Transition::of_word),
            state_version: word(fields::STATE_VERSION).and_then(|version| version.parse().ok()),
            transition_at: word(fields::TRANSITION_AT).and_then(|at| at.parse().ok()),
            status_before: word(fields::STATUS_BEFORE).and_then(Compliance::of_word),
            severity_before: word(fields::SEVERITY_BEFORE).and_then(Severity::of_label),
            worst: word(fields::WORST_SEVERITY).and_then(Severity::of_label),
            workflow_before: word(fields::WORKFLOW_BEFORE).and_then(Workflow::of_word),
            exemption_ended: word(fields::EXEMPTION_ENDED).and_then(|day| day.parse().ok()),
            gone_because: text(fields::GONE_BECAUSE),
            api_call: text(fields::EVENT_NAME).map(|event_name| ApiCall {
                event_name,
                event_id: text(fields::EVENT_ID),
                event_time: text(fields::EVENT_TIME),
                principal: text(fields::CHANGED_BY),
                invoked_by: text(fields::INVOKED_BY),
            }),
            evidence: word(fields::EVIDENCE).map(EvidenceText::read).unwrap_or_default(),
            version: text(fields::VERSION),
        }
    }
}

impl ClassField {
    /// Returns the name of the class, or [`fields::UNREADABLE`].
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known { name, .. } => name,
            Self::Unreadable => fields::UNREADABLE,
        }
    }

    fn level(&self) -> Option<&'static str> {
        match self {
            Self::Known { level, .. } => level.map(Level::as_str),
            Self::Unreadable => Some(fields::UNREADABLE),
        }
    }

    fn of_words(name: &str, level: Option<&str>) -> Self {
        match level {
            Some(fields::UNREADABLE) => Self::Unreadable,
            level => Self::Known { name: name.to_owned(), level: level.and_then(Level::of_word) },
        }
    }
}

impl LevelReached {
    fn as_str(self) -> &'static str {
        match self {
            Self::Level(level) => level.as_str(),
            Self::Undetermined => UNDETERMINED,
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        match word {
            UNDETERMINED => Some(Self::Undetermined),
            word => Level::of_word(word).map(Self::Level),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{option::of, prelude::*, sample::select};

    fn severity() -> impl Strategy<Value = Severity> {
        select(vec![Severity::Informational, Severity::Low, Severity::Medium, Severity::Critical])
    }

    fn status() -> impl Strategy<Value = Compliance> {
        select(vec![Compliance::Passed, Compliance::Failed, Compliance::Warning])
    }

    fn time() -> impl Strategy<Value = Timestamp> {
        (0_i64..4_000_000_000_000).prop_map(|ms| Timestamp::from_millisecond(ms).unwrap())
    }

    fn class() -> impl Strategy<Value = ClassField> {
        prop_oneof![
            Just(ClassField::Unreadable),
            ("[a-z]{1,9}|unreadable", of(select(Level::ALL.to_vec())))
                .prop_map(|(name, level)| ClassField::Known { name, level }),
        ]
    }

    fn reached() -> impl Strategy<Value = LevelReached> {
        prop_oneof![
            Just(LevelReached::Undetermined),
            select(Level::ALL.to_vec()).prop_map(LevelReached::Level),
        ]
    }

    fn evidence() -> impl Strategy<Value = EvidenceText> {
        ("[a-z ]{1,20}", "\\PC{0,20}", "[a-z ]{0,20}")
            .prop_map(|(fact, value, expected)| EvidenceText { fact, value, expected })
    }

    fn api_call() -> impl Strategy<Value = ApiCall> {
        let text = || of("[A-Za-z0-9:/@.-]{1,40}");
        ("[A-Z][a-zA-Z]{1,20}", text(), text(), text(), text()).prop_map(
            |(event_name, event_id, event_time, principal, invoked_by)| ApiCall {
                event_name,
                event_id,
                event_time,
                principal,
                invoked_by,
            },
        )
    }

    fn history() -> impl Strategy<Value = ProductFields> {
        let transition = select(Transition::ALL.to_vec());
        let before = (of(status()), of(severity()));
        (of(transition), of(any::<u64>()), of(time()), before, of(severity())).prop_map(
            |(transition, state_version, transition_at, before, worst)| ProductFields {
                transition,
                state_version,
                transition_at,
                status_before: before.0,
                severity_before: before.1,
                worst,
                ..ProductFields::default()
            },
        )
    }

    fn product_fields() -> impl Strategy<Value = ProductFields> {
        let alias = "[a-z]{1,9}".prop_map(|name| {
            format!("arn:aws:kms:us-east-1:123456789012:alias/{name}").parse().unwrap()
        });
        let workflow = select(vec![Workflow::New, Workflow::Notified, Workflow::Suppressed]);
        let day = (2020_i16..2100, 1_i8..13, 1_i8..29)
            .prop_map(|(year, month, day)| Date::new(year, month, day).unwrap());
        let texts = (of("[a-z][a-z ]{0,20}"), of("[0-9.]{1,9}"));
        let evidence = proptest::collection::vec(evidence(), 0..4);
        (
            history(),
            of(class()),
            of(reached()),
            of(alias),
            of(workflow),
            of(day),
            texts,
            of(api_call()),
            evidence,
        )
            .prop_map(
                |(
                    history,
                    class,
                    level_reached,
                    key_alias,
                    workflow_before,
                    exemption_ended,
                    texts,
                    api_call,
                    evidence,
                )| {
                    ProductFields {
                        class,
                        level_reached,
                        key_alias,
                        workflow_before,
                        exemption_ended,
                        gone_because: texts.0,
                        api_call,
                        evidence,
                        version: texts.1,
                        ..history
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(fields in product_fields()) {
            prop_assert_eq!(ProductFields::of_map(&fields.to_map()), fields);
        }

        #[test]
        fn no_text_makes_a_blank_or_long_value(event_name in "\\PC*", principal in of("\\s*|\\PC*")) {
            let api_call = ApiCall { event_name, principal, event_id: None, event_time: None, invoked_by: None };
            let fields = ProductFields { api_call: Some(api_call), ..ProductFields::default() };
            for value in fields.to_map().values() {
                prop_assert!(!value.trim().is_empty() && value.len() <= fields::LONGEST_VALUE);
            }
        }
    }

    #[test]
    fn what_cmkwatch_does_not_write_is_not_read() {
        let map = [
            (fields::TRANSITION, "exploded"),
            (fields::LEVEL_REQUIRED, "highest"),
            (fields::STATE_VERSION, "-1"),
            (fields::KEY_ALIAS, "alias/acme"),
            (fields::SEVERITY_BEFORE, "high"),
            (fields::EVIDENCE, "{"),
        ];
        let map = map.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(ProductFields::of_map(&map), ProductFields::default());
    }

    /// A later version may have written the finding.
    #[test]
    fn a_class_of_an_unknown_level_keeps_its_name() {
        let map = [(fields::CLASS, "secret"), (fields::LEVEL_REQUIRED, "highest")];
        let map = map.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let class = Some(ClassField::Known { name: "secret".into(), level: None });
        assert_eq!(ProductFields::of_map(&map).class, class);
    }
}
