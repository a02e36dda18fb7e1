//! The element
//! [`Condition`](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition.html).

use super::{one_or_many::Texts, operator::Operator};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use std::{fmt, marker::PhantomData};

/// A key of an operator in a `Condition`. All conditions of a statement must hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Condition {
    /// The operator that compares the values.
    pub operator: Operator,
    /// The condition key in small letters, as "[condition key names are not
    /// case-sensitive](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition.html)".
    pub key: String,
    /// The condition key as the policy writes it.
    pub written: String,
    /// The values: [one must match, or none if the operator is
    /// negated](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-logic-multiple-context-keys-or-values.html).
    pub values: Vec<String>,
}

/// The value of `Condition`.
#[derive(Debug, Default)]
pub(super) struct Conditions(pub(super) Vec<Condition>);

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Pairs(operators) = Pairs::<Pairs<Texts>>::deserialize(deserializer)?;
        let mut conditions = Vec::new();
        for (name, Pairs(keys)) in operators {
            let operator: Operator = name.parse().map_err(de::Error::custom)?;
            for (key, Texts(values)) in keys {
                let lower = key.to_lowercase();
                conditions.push(Condition { operator, key: lower, written: key, values });
            }
        }
        Ok(Self(conditions))
    }
}

/// The members of a JSON object. A name that occurs twice is an error.
struct Pairs<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<T>, A::Error> {
                let mut pairs = Vec::new();
                let mut seen = std::collections::HashSet::new();
                while let Some((name, value)) = map.next_entry::<String, T>()? {
                    if !seen.insert(name.clone()) {
                        return Err(de::Error::custom(format_args!("`{name}` occurs twice")));
                    }
                    pairs.push((name, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}
