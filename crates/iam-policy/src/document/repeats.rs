//! Finds members that occur twice in a JSON object.

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use std::{collections::HashSet, fmt};

/// True if the text is JSON and a member of some object occurs twice.
pub(super) fn repeats(text: &str) -> bool {
    serde_json::from_str::<WithoutRepeats>(text).is_err_and(|error| error.is_data())
}

/// A JSON value of any kind in which no member occurs twice.
struct WithoutRepeats;

impl<'de> Deserialize<'de> for WithoutRepeats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Values)
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = WithoutRepeats;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without repeated members")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<WithoutRepeats, E> {
        Ok(WithoutRepeats)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<WithoutRepeats, E> {
        Ok(WithoutRepeats)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<WithoutRepeats, E> {
        Ok(WithoutRepeats)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<WithoutRepeats, E> {
        Ok(WithoutRepeats)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<WithoutRepeats, E> {
        Ok(WithoutRepeats)
    }

    fn visit_unit<E: de::Error>(self) -> Result<WithoutRepeats, E> {
        Ok(WithoutRepeats)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<WithoutRepeats, A::Error> {
        while list.next_element::<WithoutRepeats>()?.is_some() {}
        Ok(WithoutRepeats)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WithoutRepeats, A::Error> {
        let mut seen = HashSet::new();
        while let Some((name, _)) = map.next_entry::<String, WithoutRepeats>()? {
            if !seen.insert(name) {
                return Err(de::Error::custom("a member occurs twice"));
            }
        }
        Ok(WithoutRepeats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_occurs_twice_is_found_at_any_depth() {
        for (text, expected) in [
            (r#"{"a": 1, "b": [{"c": null, "c": 1.5}]}"#, true),
            (r#"{"a": {"x": true}, "b": {"x": -1}}"#, false),
            (r#"{"a": 1, "a": "#, false),
            ("[", false),
        ] {
            assert_eq!(repeats(text), expected, "{text}");
        }
    }
}
