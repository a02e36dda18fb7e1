//! The [condition
//! operators](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html).

use std::{fmt, str::FromStr};

/// A condition operator with its prefix and suffix: `ForAnyValue:StringLikeIfExists`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Operator {
    /// The comparison, without its negation.
    pub comparison: Comparison,
    /// True for `StringNotEquals` and the other negated operators.
    pub negated: bool,
    /// The rule for several values of a key in the request.
    pub quantifier: Quantifier,
    /// True for
    /// [`...IfExists`](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_IfExists):
    /// the condition holds if the request does not have the key.
    pub if_exists: bool,
}

/// The comparison that an operator makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// [`StringEquals`](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_String):
    /// "Exact matching, case sensitive".
    String,
    /// `StringEqualsIgnoreCase`: "Exact matching, ignoring case".
    StringIgnoreCase,
    /// `StringLike`: "Case-sensitive matching. The values can include multi-character match
    /// wildcards (*) and single-character match wildcards (?)".
    StringLike,
    /// [`ArnEquals` and
    /// `ArnLike`](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_ARN),
    /// which "behave identically": "Each of the six colon-delimited components of the ARN is
    /// checked separately and each can include" wildcards.
    Arn,
    /// [`NumericEquals`](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_Numeric)
    /// and the related operators, with decimal numbers.
    Numeric(Order),
    /// [`DateEquals`](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_Date)
    /// and the related operators, with ISO 8601 dates or seconds of the Unix epoch.
    Date(Order),
    /// [`Bool`](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_Boolean).
    Bool,
    /// [`BinaryEquals`](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_BinaryEquals),
    /// "byte for byte" of base64.
    Binary,
    /// [`IpAddress`](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_IPAddress),
    /// an address or a range of them.
    IpAddress,
    /// [`Null`](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_Null):
    /// "true (the key doesn't exist) or false (the key exists and its value is not null)".
    Null,
}

/// The order that two numbers or dates must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// `...Equals`
    Equal,
    /// `...LessThan`
    Less,
    /// `...LessThanEquals`
    LessOrEqual,
    /// `...GreaterThan`
    Greater,
    /// `...GreaterThanEquals`
    GreaterOrEqual,
}

/// [Set
/// operators](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html)
/// for keys that have several values in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quantifier {
    /// An operator without such a prefix.
    Single,
    /// `ForAllValues:` "also returns true if there are no context keys in the request".
    ForAllValues,
    /// `ForAnyValue:` "For no matching keys in the request, the condition returns false".
    ForAnyValue,
}

/// A text that is not a condition operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a condition operator")]
pub struct UnknownOperator(String);

const NAMES: [(&str, Comparison, bool); 27] = {
    use Comparison::*;
    use Order::*;
    [
        ("StringEquals", String, false),
        ("StringNotEquals", String, true),
        ("StringEqualsIgnoreCase", StringIgnoreCase, false),
        ("StringNotEqualsIgnoreCase", StringIgnoreCase, true),
        ("StringLike", StringLike, false),
        ("StringNotLike", StringLike, true),
        ("ArnEquals", Arn, false),
        ("ArnNotEquals", Arn, true),
        ("ArnLike", Arn, false),
        ("ArnNotLike", Arn, true),
        ("NumericEquals", Numeric(Equal), false),
        ("NumericNotEquals", Numeric(Equal), true),
        ("NumericLessThan", Numeric(Less), false),
        ("NumericLessThanEquals", Numeric(LessOrEqual), false),
        ("NumericGreaterThan", Numeric(Greater), false),
        ("NumericGreaterThanEquals", Numeric(GreaterOrEqual), false),
        ("DateEquals", Date(Equal), false),
        ("DateNotEquals", Date(Equal), true),
        ("DateLessThan", Date(Less), false),
        ("DateLessThanEquals", Date(LessOrEqual), false),
        ("DateGreaterThan", Date(Greater), false),
        ("DateGreaterThanEquals", Date(GreaterOrEqual), false),
        ("Bool", Bool, false),
        ("BinaryEquals", Binary, false),
        ("IpAddress", IpAddress, false),
        ("NotIpAddress", IpAddress, true),
        ("Null", Null, false),
    ]
};

impl FromStr for Operator {
    type Err = UnknownOperator;

    /// Reads the name of an operator. Case does not matter.
    fn from_str(text: &str) -> Result<Self, UnknownOperator> {
        let unknown =
            || UnknownOperator(text.chars().filter(|c| !c.is_control()).take(80).collect());
        let (quantifier, rest) = match text.split_once(':') {
            None => (Quantifier::Single, text),
            Some((set, rest)) if set.eq_ignore_ascii_case("ForAllValues") => {
                (Quantifier::ForAllValues, rest)
            }
            Some((set, rest)) if set.eq_ignore_ascii_case("ForAnyValue") => {
                (Quantifier::ForAnyValue, rest)
            }
            Some(_) => return Err(unknown()),
        };
        let at = rest.len().saturating_sub("IfExists".len());
        let (name, if_exists) = match rest.split_at_checked(at) {
            Some((name, suffix)) if suffix.eq_ignore_ascii_case("IfExists") => (name, true),
            _ => (rest, false),
        };
        let known = NAMES.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name));
        let &(_, comparison, negated) = known.ok_or_else(unknown)?;
        if comparison == Comparison::Null && if_exists {
            return Err(unknown());
        }
        Ok(Self { comparison, negated, quantifier, if_exists })
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.quantifier {
            Quantifier::Single => "",
            Quantifier::ForAllValues => "ForAllValues:",
            Quantifier::ForAnyValue => "ForAnyValue:",
        })?;
        let name = NAMES.iter().find(|(_, comparison, negated)| {
            (*comparison, *negated) == (self.comparison, self.negated)
        });
        f.write_str(name.map_or("", |(name, ..)| name))?;
        f.write_str(if self.if_exists { "IfExists" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_is_read_with_its_prefix_and_suffix() {
        for (name, ..) in NAMES {
            let operator: Operator = name.parse().unwrap();
            assert_eq!(
                operator.to_string().replace("Like", "Equals"),
                name.replace("Like", "Equals")
            );
            let exists =
                format!("forallvalues:{}ifexists", name.to_lowercase()).parse::<Operator>();
            match exists {
                Ok(exists) => {
                    assert!(exists.if_exists && exists.quantifier == Quantifier::ForAllValues)
                }
                Err(_) => assert_eq!(name, "Null"),
            }
        }
        for text in
            ["", "StringEqualss", "IfExists", "ForSomeValues:StringEquals", "NullIfExists", "ü"]
        {
            assert!(text.parse::<Operator>().is_err(), "{text}");
        }
    }
}
