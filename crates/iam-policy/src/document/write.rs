//! Writes a statement as JSON, in the form in which AWS shows it.

use super::{Condition, Effect, Principal, Selection, Statement};
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::collections::BTreeMap;

impl Serialize for Statement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(sid) = &self.sid {
            map.serialize_entry("Sid", sid)?;
        }
        let effect = if self.effect == Effect::Allow { "Allow" } else { "Deny" };
        map.serialize_entry("Effect", effect)?;
        let element = |selection_is_only, name: &'static str, not: &'static str| {
            if selection_is_only { name } else { not }
        };
        let only = matches!(self.principals, Selection::Only(_));
        let principals = Principals(self.principals.named());
        map.serialize_entry(element(only, "Principal", "NotPrincipal"), &principals)?;
        let only = matches!(self.actions, Selection::Only(_));
        let actions = OneOrMany(self.actions.named());
        map.serialize_entry(element(only, "Action", "NotAction"), &actions)?;
        let only = matches!(self.resources, Selection::Only(_));
        let resources = OneOrMany(self.resources.named());
        map.serialize_entry(element(only, "Resource", "NotResource"), &resources)?;
        if !self.conditions.is_empty() {
            map.serialize_entry("Condition", &conditions(&self.conditions))?;
        }
        map.end()
    }
}

/// A list that is written as its only item if it has one.
struct OneOrMany<'a>(&'a [String]);

impl Serialize for OneOrMany<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

struct Principals<'a>(&'a [Principal]);

impl Serialize for Principals<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == [Principal::Anyone] {
            return serializer.serialize_str("*");
        }
        let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for principal in self.0 {
            let kind = match principal {
                Principal::Service(_) => "Service",
                Principal::Federated(_) => "Federated",
                Principal::CanonicalUser(name) if !name.starts_with("arn:") => "CanonicalUser",
                _ => "AWS",
            };
            kinds.entry(kind).or_default().push(principal.to_string());
        }
        serializer.collect_map(kinds.iter().map(|(kind, names)| (kind, OneOrMany(names))))
    }
}

/// Returns the conditions by operator and key. Two operators that mean the same, such as
/// `ArnEquals` and `ArnLike`, have one name.
fn conditions(conditions: &[Condition]) -> BTreeMap<String, BTreeMap<&str, OneOrMany<'_>>> {
    let mut block: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for condition in conditions {
        let keys = block.entry(condition.operator.to_string()).or_default();
        keys.insert(condition.written.as_str(), OneOrMany(&condition.values));
    }
    block
}
