//! An item as the attributes of a row.

use controls::{Level, Severity};
use facts::{Malformed, Place};
use findings::{
    ApiCall, Change, ClassAndKey, Compliance, ControlState, Item, Neighbours, Reading, StoredIn,
    Summary, Transition, Unannounced,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, str::FromStr};

/// The version of the row format. A program that does not know the format rebuilds the item.
const SCHEMA: u32 = 1;

/// The time for which the item of a deleted bucket is kept: 35 days.
///
/// Security Hub keeps [an archived
/// finding](https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-findings.html) for
/// less time, 30 days.
pub(crate) const KEPT_WHEN_GONE: SignedDuration = SignedDuration::from_hours(35 * 24);

/// The content of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// An item that this program understands.
    Item(Box<Item>),
    /// A row that this program does not understand: it has another schema, or it is damaged.
    Unreadable {
        /// The version, by which the row can still be replaced; 0 if the row has none.
        version: u64,
        /// The reason why the row is not understood.
        why: String,
    },
}

/// The attributes of a row besides its keys.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Written {
    schema: u32,
    pub(crate) version: u64,
    published: u64,
    generation: u64,
    read_at: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    stored_in: Option<WrittenStoredIn>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    moving_to: Option<WrittenStoredIn>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    level: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    alias: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    api_calls: Vec<WrittenCall>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    neighbours: Vec<WrittenNeighbours>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    reading: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    unannounced: Option<WrittenUnannounced>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    controls: BTreeMap<String, WrittenControl>,
    /// The [time to
    /// live](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html), in seconds
    /// since 1970.
    ///
    /// Only the item of a deleted bucket has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    expires_at: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenStoredIn {
    account: String,
    region: String,
    since: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenCall {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    via: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenNeighbours {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    class: Option<String>,
}

/// The attributes of a control. Their names are short, because each bucket has a `WrittenControl`
/// for each control.
#[derive(Debug, Serialize, Deserialize)]
struct WrittenControl {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    observed: Option<WrittenSummary>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    published: Option<WrittenSummary>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    doubts: Vec<Option<WrittenSummary>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    created: Option<String>,
    first: String,
    updated: String,
    planned: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    worst: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    resolved: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    change: Option<WrittenChange>,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    repair: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenChange {
    version: u64,
    transition: String,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    before: Option<(String, String)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenSummary {
    status: String,
    severity: String,
    print: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenUnannounced {
    transitions: u32,
    since: String,
}

impl Written {
    pub(crate) fn of(item: &Item) -> Self {
        let Item {
            version,
            published,
            generation,
            read_at,
            stored_in,
            moving_to,
            gone,
            class_and_key,
            ..
        } = item;
        let ClassAndKey { class, level, key, alias } = class_and_key.clone();
        let expires_at = read_at.checked_add(KEPT_WHEN_GONE).unwrap_or(Timestamp::MAX).as_second();
        Self {
            schema: SCHEMA,
            version: *version,
            published: *published,
            generation: *generation,
            read_at: read_at.to_string(),
            stored_in: stored_in.as_ref().map(WrittenStoredIn::of),
            moving_to: moving_to.as_ref().map(WrittenStoredIn::of),
            class,
            level: level.map(|level| level.as_str().to_owned()),
            key: key.map(|key| key.to_string()),
            alias: alias.map(|alias| alias.to_string()),
            api_calls: item.api_calls.iter().map(WrittenCall::of).collect(),
            neighbours: item.neighbours.iter().map(WrittenNeighbours::of).collect(),
            reading: item.reading.fingerprints().clone(),
            unannounced: item.unannounced.as_ref().map(WrittenUnannounced::of),
            controls: item
                .controls
                .iter()
                .map(|(slug, state)| (slug.to_string(), WrittenControl::of(state)))
                .collect(),
            expires_at: gone.then_some(expires_at),
        }
    }

    pub(crate) fn read(self) -> Result<Item, String> {
        if self.schema != SCHEMA {
            return Err(format!(
                "its schema is {}, and this program knows {SCHEMA} only",
                self.schema
            ));
        }
        let control =
            |(slug, control): (String, WrittenControl)| Ok((slug.into(), control.read()?));
        let controls = self.controls.into_iter().map(control);
        Ok(Item {
            version: self.version,
            published: self.published,
            generation: self.generation,
            read_at: moment(&self.read_at)?,
            stored_in: self.stored_in.map(WrittenStoredIn::read).transpose()?,
            moving_to: self.moving_to.map(WrittenStoredIn::read).transpose()?,
            gone: self.expires_at.is_some(),
            class_and_key: ClassAndKey {
                class: self.class,
                level: self.level.as_deref().map(level).transpose()?,
                key: self.key.as_deref().map(arn).transpose()?,
                alias: self.alias.as_deref().map(arn).transpose()?,
            },
            api_calls: self.api_calls.into_iter().map(WrittenCall::read).collect(),
            neighbours: self
                .neighbours
                .iter()
                .map(WrittenNeighbours::read)
                .collect::<Result<_, _>>()?,
            reading: Reading::stored(self.reading),
            unannounced: self.unannounced.map(WrittenUnannounced::read).transpose()?,
            controls: controls.collect::<Result<_, String>>()?,
        })
    }
}

impl WrittenUnannounced {
    fn of(Unannounced { transitions, since }: &Unannounced) -> Self {
        Self { transitions: *transitions, since: since.to_string() }
    }

    fn read(self) -> Result<Unannounced, String> {
        Ok(Unannounced { transitions: self.transitions, since: moment(&self.since)? })
    }
}

impl WrittenStoredIn {
    fn of(StoredIn { place, since }: &StoredIn) -> Self {
        Self {
            account: place.account.to_string(),
            region: place.region.to_string(),
            since: since.clone(),
        }
    }

    fn read(self) -> Result<StoredIn, String> {
        let account = self.account.parse().map_err(|error| format!("{error}"))?;
        let region = self.region.parse().map_err(|error| format!("{error}"))?;
        Ok(StoredIn { place: Place { account, region }, since: self.since })
    }
}

impl WrittenCall {
    fn of(ApiCall { event_name, event_id, event_time, principal, invoked_by }: &ApiCall) -> Self {
        let (name, id, via) = (event_name.clone(), event_id.clone(), invoked_by.clone());
        Self { name, id, time: event_time.clone(), principal: principal.clone(), via }
    }

    fn read(self) -> ApiCall {
        let Self { name, id, time, principal, via } = self;
        ApiCall { event_name: name, event_id: id, event_time: time, principal, invoked_by: via }
    }
}

impl WrittenNeighbours {
    fn of(Neighbours { key, class }: &Neighbours) -> Self {
        Self { key: key.to_string(), class: class.clone() }
    }

    fn read(&self) -> Result<Neighbours, String> {
        Ok(Neighbours { key: arn(&self.key)?, class: self.class.clone() })
    }
}

impl WrittenControl {
    fn of(state: &ControlState) -> Self {
        Self {
            observed: state.observed.as_ref().map(WrittenSummary::of),
            published: state.published.as_ref().map(WrittenSummary::of),
            doubts: state
                .doubts
                .iter()
                .map(|doubt| doubt.as_ref().map(WrittenSummary::of))
                .collect(),
            created: state.created_at.map(|moment| moment.to_string()),
            first: state.first_observed_at.to_string(),
            updated: state.updated_at.to_string(),
            planned: state.planned,
            worst: state.worst.map(|worst| worst.to_string()),
            resolved: state.resolved_at.map(|moment| moment.to_string()),
            change: state.change.as_ref().map(WrittenChange::of),
            repair: state.is_repair,
        }
    }

    fn read(self) -> Result<ControlState, String> {
        Ok(ControlState {
            observed: self.observed.map(WrittenSummary::read).transpose()?,
            published: self.published.map(WrittenSummary::read).transpose()?,
            doubts: self
                .doubts
                .into_iter()
                .map(|doubt| doubt.map(WrittenSummary::read).transpose())
                .collect::<Result<_, _>>()?,
            created_at: self.created.as_deref().map(moment).transpose()?,
            first_observed_at: moment(&self.first)?,
            updated_at: moment(&self.updated)?,
            planned: self.planned,
            worst: self.worst.as_deref().map(severity).transpose()?,
            resolved_at: self.resolved.as_deref().map(moment).transpose()?,
            change: self.change.map(WrittenChange::read).transpose()?,
            is_repair: self.repair,
        })
    }
}

impl WrittenChange {
    fn of(Change { version, transition, at, before }: &Change) -> Self {
        let before =
            before.map(|(status, severity)| (status.as_str().to_owned(), severity.to_string()));
        Self { version: *version, transition: transition.to_string(), at: at.to_string(), before }
    }

    fn read(self) -> Result<Change, String> {
        let transition = Transition::of_word(&self.transition);
        let transition =
            transition.ok_or_else(|| format!("`{}` is no transition", self.transition))?;
        let before = |(status, label): (String, String)| {
            Ok::<_, String>((self::status(&status)?, severity(&label)?))
        };
        let before = self.before.map(before).transpose()?;
        Ok(Change { version: self.version, transition, at: moment(&self.at)?, before })
    }
}

impl WrittenSummary {
    fn of(Summary { status, severity, fingerprint }: &Summary) -> Self {
        Self {
            status: status.as_str().to_owned(),
            severity: severity.to_string(),
            print: fingerprint.clone(),
        }
    }

    fn read(self) -> Result<Summary, String> {
        Ok(Summary {
            status: status(&self.status)?,
            severity: severity(&self.severity)?,
            fingerprint: self.print,
        })
    }
}

fn moment(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|error| format!("`{text}` is no time: {error}"))
}

fn status(text: &str) -> Result<Compliance, String> {
    Compliance::of_word(text).ok_or_else(|| format!("`{text}` is no status"))
}

fn severity(text: &str) -> Result<Severity, String> {
    Severity::of_label(text).ok_or_else(|| format!("`{text}` is no severity"))
}

fn arn<T: FromStr<Err = Malformed>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: Malformed| error.to_string())
}

pub(crate) fn level(text: &str) -> Result<Level, String> {
    Level::of_word(text).ok_or_else(|| format!("`{text}` is no level"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use findings::Slug;
    use proptest::prelude::*;

    fn time() -> impl Strategy<Value = Timestamp> {
        (0_i64..4_000_000_000_000).prop_map(|ms| Timestamp::from_millisecond(ms).unwrap())
    }

    fn summary() -> impl Strategy<Value = Option<Summary>> {
        let status = prop_oneof![
            Just(Compliance::Passed),
            Just(Compliance::Failed),
            Just(Compliance::Warning)
        ];
        let severity = prop_oneof![Just(Severity::Low), Just(Severity::Critical)];
        let made = (status, severity, "[0-9a-f]{32}")
            .prop_map(|(status, severity, fingerprint)| Summary { status, severity, fingerprint });
        proptest::option::of(made)
    }

    fn control() -> impl Strategy<Value = ControlState> {
        let optional = || proptest::option::of(time());
        (summary(), summary(), optional(), time(), time(), 0_u64..1 << 50, optional()).prop_map(
            |(
                observed,
                published,
                created_at,
                first_observed_at,
                updated_at,
                planned,
                resolved_at,
            )| ControlState {
                change: published.as_ref().map(|published| Change {
                    version: planned,
                    transition: Transition::Worsened,
                    at: updated_at,
                    before: observed.as_ref().map(|_| (published.status, published.severity)),
                }),
                is_repair: published.is_some(),
                worst: observed.as_ref().map(|observed| observed.severity),
                doubts: if published.is_some() { Vec::new() } else { vec![observed.clone(), None] },
                observed,
                published,
                created_at,
                first_observed_at,
                updated_at,
                planned,
                resolved_at,
            },
        )
    }

    pub(crate) fn item() -> impl Strategy<Value = Item> {
        let arn = |kind: &str| {
            let prefix = format!("arn:aws:kms:us-east-1:123456789012:{kind}/");
            proptest::option::of("[a-z]{1,9}".prop_map(move |name| format!("{prefix}{name}")))
        };
        let (key, alias) = (arn("key"), arn("alias"));
        let class = proptest::option::of("[a-z]{1,9}");
        let controls =
            proptest::collection::btree_map("[a-z-]{1,20}".prop_map(Slug::from), control(), 0..11);
        (1_u64..1 << 50, 0_u64..1 << 50, time(), any::<bool>(), class, key, alias, controls)
            .prop_map(|(version, published, read_at, gone, class, key, alias, controls)| Item {
                version,
                published,
                generation: published,
                read_at,
                stored_in: key.as_ref().map(|_| StoredIn {
                    place: Place {
                        account: "123456789012".parse().unwrap(),
                        region: "us-east-1".parse().unwrap(),
                    },
                    since: read_at.to_string(),
                }),
                moving_to: None,
                gone,
                neighbours: key
                    .iter()
                    .map(|key| Neighbours { key: key.parse().unwrap(), class: class.clone() })
                    .collect(),
                class_and_key: ClassAndKey {
                    level: class.as_ref().map(|_| Level::Enforced),
                    class,
                    key: key.map(|key| key.parse().unwrap()),
                    alias: alias.as_ref().map(|alias| alias.parse().unwrap()),
                },
                api_calls: alias
                    .into_iter()
                    .map(|event_name| ApiCall {
                        event_name,
                        event_id: None,
                        event_time: Some("2026-11-01T00:00:00Z".into()),
                        principal: None,
                        invoked_by: Some("cloudformation.amazonaws.com".into()),
                    })
                    .collect(),
                reading: Reading::stored([("policy".to_owned(), format!("1{published:x}"))].into()),
                unannounced: gone.then_some(Unannounced { transitions: 3, since: read_at }),
                controls,
            })
    }

    proptest! {
        #[test]
        fn a_written_item_is_read_back(item in item()) {
            prop_assert_eq!(Written::of(&item).read(), Ok(item));
        }
    }

    #[test]
    fn an_unknown_schema_time_or_level_is_not_read() {
        let written = || Written::of(&Item { version: 1, ..Item::unknown() });
        assert!(Written { schema: 2, ..written() }.read().unwrap_err().contains("schema is 2"));
        assert!(
            Written { read_at: "yesterday".into(), ..written() }
                .read()
                .unwrap_err()
                .contains("`yesterday`")
        );
        assert!(
            Written { level: Some("top".into()), ..written() }
                .read()
                .unwrap_err()
                .contains("`top`")
        );
    }

    #[test]
    fn only_the_item_of_a_deleted_bucket_expires() {
        let read_at = "2026-11-01T00:00:00Z".parse().unwrap();
        let item = Item { version: 1, read_at, ..Item::unknown() };
        assert_eq!(Written::of(&item).expires_at, None);
        let gone = Written::of(&Item { gone: true, ..item }).expires_at.unwrap();
        assert_eq!(Timestamp::from_second(gone).unwrap().to_string(), "2026-12-06T00:00:00Z");
    }
}
