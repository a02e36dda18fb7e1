//! The values of a condition, and which of the possible values of its key match them.

use super::{key_facts::SMALL_LETTERS, shape::Shape};
use crate::{Comparison, Condition, Order, Quantifier, Version, truth::Truth};
use ipnet::IpNet;
use jiff::Timestamp;
use std::net::IpAddr;

/// A set of values that a request may have under a condition key. The values that a policy names
/// for the key divide all texts into such sets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Element {
    /// The request does not have the key.
    Absent,
    /// A text of `set` that is in no narrower set that the policy names.
    Of {
        set: Shape,
        /// Further sets that the text is known not to be in.
        without: Vec<Shape>,
        /// The cases in which exactly `without` is known, by their number in
        /// `ConditionKeys::unlike`.
        unlike: Vec<usize>,
    },
    /// A text in none of the sets that the policy names. No value of the policy matches it for
    /// sure.
    Other,
    /// Several values, for a key that may have several.
    Several,
    /// Known values: one, or several for a key that may have several.
    Sample(Vec<Shape>),
}

/// Returns the sets of texts that a condition distinguishes.
pub(super) fn shapes(condition: &Condition, version: Version) -> impl Iterator<Item = Shape> {
    let is_small = SMALL_LETTERS.contains(&condition.key.as_str());
    let small = |value: &str, version| Shape::exact(&value.to_lowercase(), version);
    let shape = match condition.operator.comparison {
        Comparison::StringIgnoreCase if is_small => small,
        comparison => shape_of(comparison),
    };
    condition.values.iter().map(move |value| shape(value, version))
}

fn shape_of(comparison: Comparison) -> fn(&str, Version) -> Shape {
    match comparison {
        Comparison::String => Shape::exact,
        Comparison::StringIgnoreCase | Comparison::Bool => Shape::any_case,
        Comparison::StringLike => Shape::like,
        Comparison::Arn => Shape::arn,
        // These comparisons take no variables.
        Comparison::Numeric(_)
        | Comparison::Date(_)
        | Comparison::Binary
        | Comparison::IpAddress
        | Comparison::Null => |text, _| Shape::literal(text),
    }
}

/// Judges whether a condition holds for requests that have this element under its key.
pub(super) fn holds(condition: &Condition, shapes: &[Shape], element: &Element) -> Truth {
    let operator = condition.operator;
    if operator.comparison == Comparison::Null {
        return null(condition, *element == Element::Absent);
    }
    // AWS says of an empty list that the condition holds, and also that it grants nothing
    // (https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html).
    if shapes.is_empty() {
        return Truth::Maybe;
    }
    // A variable may have no value either. Then "the entire statement" may be invalid
    // (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html).
    if *element == Element::Absent && operator.negated && !shapes.iter().all(Shape::is_known) {
        return Truth::Maybe;
    }
    match element {
        Element::Absent => Truth::from(match (operator.if_exists, operator.quantifier) {
            (true, _) | (_, Quantifier::ForAllValues) => true,
            (_, Quantifier::ForAnyValue) => false,
            (_, Quantifier::Single) => operator.negated,
        }),
        Element::Several => Truth::Maybe,
        Element::Sample(texts) => {
            let truth = |text: &Shape| {
                let one = |value: &Shape| matches(operator.comparison, value, text);
                negate(operator.negated, Truth::any(shapes.iter().map(one)))
            };
            let truths = texts.iter().map(truth);
            match operator.quantifier {
                Quantifier::ForAllValues => truths.fold(Truth::Always, Truth::and),
                Quantifier::Single | Quantifier::ForAnyValue => Truth::any(truths),
            }
        }
        Element::Of { set, without, .. } => {
            let truth = |value: &Shape| {
                if excludes(without, value) {
                    Truth::Never
                } else {
                    matches(operator.comparison, value, set)
                }
            };
            negate(operator.negated, Truth::any(shapes.iter().map(truth)))
        }
        Element::Other => negate(
            operator.negated,
            Truth::any(shapes.iter().map(|shape| other(operator.comparison, shape))),
        ),
    }
}

/// True if `without` excludes every text that matches a value.
fn excludes(without: &[Shape], value: &Shape) -> bool {
    without.iter().any(|shape| shape.holds_for(value) == Truth::Always)
}

fn negate(negated: bool, truth: Truth) -> Truth {
    if negated { !truth } else { truth }
}

/// Judges `Null`. With a set operator, it "will always return a true or false respectively"
/// ([policy
/// checks](https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html)).
fn null(condition: &Condition, is_absent: bool) -> Truth {
    match condition.operator.quantifier {
        Quantifier::ForAllValues => return Truth::Always,
        Quantifier::ForAnyValue => return Truth::Never,
        Quantifier::Single => {}
    }
    let wanted = condition.values.iter().map(|value| match value.to_ascii_lowercase().as_str() {
        "true" => Truth::from(is_absent),
        "false" => Truth::from(!is_absent),
        _ => Truth::Maybe,
    });
    Truth::any(wanted)
}

fn matches(comparison: Comparison, value: &Shape, set: &Shape) -> Truth {
    match comparison {
        Comparison::String
        | Comparison::StringIgnoreCase
        | Comparison::StringLike
        | Comparison::Arn
        | Comparison::Bool
        | Comparison::Binary => match value.holds_for(set) {
            // A value that is narrower than the set is an element of its own, and the set is
            // without it.
            Truth::Maybe if value.is_known() && set.holds_for(value) == Truth::Always => {
                Truth::Never
            }
            truth => truth,
        },
        Comparison::Numeric(order) => ordered(order, number, value, set),
        Comparison::Date(order) => ordered(order, date, value, set),
        Comparison::IpAddress => match (value.text(), set.text()) {
            (Some(range), Some(address)) => within(range, address),
            _ => Truth::Maybe,
        },
        Comparison::Null => Truth::Maybe,
    }
}

/// Judges whether a text in none of the sets that the policy names matches a value.
fn other(comparison: Comparison, value: &Shape) -> Truth {
    let distinguished = match comparison {
        Comparison::Numeric(_) | Comparison::Date(_) | Comparison::IpAddress | Comparison::Null => {
            false
        }
        Comparison::String
        | Comparison::StringIgnoreCase
        | Comparison::StringLike
        | Comparison::Arn
        | Comparison::Bool
        | Comparison::Binary => value.is_known(),
    };
    if distinguished { Truth::Never } else { Truth::Maybe }
}

fn ordered<T: PartialOrd>(
    order: Order,
    read: fn(&str) -> Option<T>,
    value: &Shape,
    set: &Shape,
) -> Truth {
    let (Some(value), Some(text)) = (value.text(), set.text()) else { return Truth::Maybe };
    let (Some(wanted), Some(found)) = (read(value), read(text)) else { return Truth::Never };
    Truth::from(match order {
        Order::Equal => found == wanted,
        Order::Less => found < wanted,
        Order::LessOrEqual => found <= wanted,
        Order::Greater => found > wanted,
        Order::GreaterOrEqual => found >= wanted,
    })
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

fn date(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let seconds = text.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let day = || {
        text.parse::<jiff::civil::Date>()
            .ok()?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
            .map(|day| day.timestamp())
    };
    seconds.or_else(|| text.parse().ok()).or_else(day)
}

fn within(range: &str, address: &str) -> Truth {
    let range =
        range.parse::<IpNet>().ok().or_else(|| range.parse::<IpAddr>().ok().map(IpNet::from));
    match (
        range,
        address.parse::<IpNet>().ok().or_else(|| address.parse::<IpAddr>().ok().map(IpNet::from)),
    ) {
        (Some(range), Some(address)) => Truth::from(range.contains(&address)),
        _ => Truth::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(operator: &str, values: &[&str]) -> Condition {
        let values = values.iter().map(|&value| value.to_owned()).collect();
        Condition {
            operator: operator.parse().unwrap(),
            key: "k".into(),
            written: "k".into(),
            values,
        }
    }

    /// Rows: an operator, its values, a value in the request, the result without the key, and the
    /// result with that value.
    #[test]
    fn operators_hold_as_documented() {
        use Truth::{Always, Maybe, Never};
        for (operator, values, found, absent, present) in [
            ("StringEquals", &["a", "b"][..], "b", Never, Always),
            ("StringEquals", &["a*"], "ab", Never, Never),
            ("StringEquals", &["A"], "a", Never, Never),
            ("StringNotEquals", &["a", "b"], "b", Always, Never),
            ("StringNotEquals", &["a", "b"], "c", Always, Always),
            ("StringEqualsIgnoreCase", &["A"], "a", Never, Always),
            ("StringNotEqualsIgnoreCase", &["A"], "a", Always, Never),
            ("StringLike", &["a*"], "ab", Never, Always),
            ("StringNotLike", &["a*"], "ab", Always, Never),
            ("StringEqualsIfExists", &["a"], "b", Always, Never),
            ("StringNotEqualsIfExists", &["a"], "b", Always, Always),
            ("ArnLike", &["arn:aws:iam::1:role/*"], "arn:aws:iam::1:role/x", Never, Always),
            ("ArnEquals", &["arn:aws:iam::1:role/*"], "arn:aws:iam::1:role/x", Never, Always),
            ("ArnNotEquals", &["arn:aws:iam::1:role/*"], "arn:aws:iam::2:role/x", Always, Always),
            ("NumericEquals", &["1.0"], "1", Never, Always),
            ("NumericNotEquals", &["1"], "2", Always, Always),
            ("NumericLessThan", &["1.2"], "1.1", Never, Always),
            ("NumericLessThanEquals", &["1.2"], "1.2", Never, Always),
            ("NumericGreaterThan", &["1.2"], "1.2", Never, Never),
            ("NumericGreaterThanEquals", &["1.2"], "1.2", Never, Always),
            ("NumericLessThan", &["x"], "1", Never, Never),
            ("DateGreaterThan", &["2026-01-01T00:00:00Z"], "2026-06-01T00:00:00Z", Never, Always),
            ("DateLessThan", &["2026-01-01"], "0", Never, Always),
            ("DateEquals", &["1767225600"], "2026-01-01T00:00:00Z", Never, Always),
            ("DateNotEquals", &["2026-01-01"], "2026-01-01", Always, Never),
            ("DateLessThanEquals", &["2026-01-01"], "2026-01-02", Never, Never),
            ("DateGreaterThanEquals", &["2026-01-01"], "2026-01-02", Never, Always),
            ("Bool", &["true"], "True", Never, Always),
            ("BoolIfExists", &["false"], "true", Always, Never),
            ("BinaryEquals", &["QmluYXJ5"], "QmluYXJ5", Never, Always),
            ("IpAddress", &["10.0.0.0/8"], "10.1.2.3", Never, Always),
            ("IpAddress", &["10.1.2.3"], "10.1.2.4", Never, Never),
            ("NotIpAddress", &["2001:db8::/32"], "2001:db9::1", Always, Always),
            ("Null", &["true"], "a", Always, Never),
            ("Null", &["false"], "a", Never, Always),
            ("ForAllValues:StringEquals", &["a"], "b", Always, Never),
            ("ForAnyValue:StringEquals", &["a"], "a", Never, Always),
            ("ForAnyValue:StringNotEquals", &["a"], "b", Never, Always),
            ("StringEquals", &[], "a", Maybe, Maybe),
            ("StringNotEquals", &[], "a", Maybe, Maybe),
            ("StringNotEquals", &["${aws:username}"], "a", Maybe, Maybe),
            ("ForAllValues:Null", &["true"], "a", Always, Always),
            ("ForAnyValue:Null", &["false"], "a", Never, Never),
        ] {
            let condition = condition(operator, values);
            let shapes: Vec<_> = shapes(&condition, Version::V2012).collect();
            assert_eq!(
                holds(&condition, &shapes, &Element::Absent),
                absent,
                "{operator} {values:?} absent"
            );
            let element =
                Element::Of { set: Shape::literal(found), without: Vec::new(), unlike: Vec::new() };
            assert_eq!(
                holds(&condition, &shapes, &element),
                present,
                "{operator} {values:?} {found}"
            );
        }
    }

    #[test]
    fn a_condition_is_undecided_for_a_set_whose_texts_may_differ() {
        for (operator, value, set, truth) in [
            ("StringLike", "s3.*", "s3.*.amazonaws.com", Truth::Always),
            ("StringLike", "s3.*.amazonaws.com", "s3.eu-*", Truth::Maybe),
            ("StringNotLike", "s3.*", "s3.*.amazonaws.com", Truth::Never),
            ("StringEquals", "${aws:username}", "ann", Truth::Maybe),
            ("StringNotEquals", "${aws:username}", "ann", Truth::Maybe),
            ("StringEquals", "${aws:username}", "*", Truth::Maybe),
            ("NumericLessThan", "1", "*", Truth::Maybe),
            ("IpAddress", "10.0.0.0/8", "10.*", Truth::Maybe),
        ] {
            let condition = condition(operator, &[value]);
            let shapes: Vec<_> = shapes(&condition, Version::V2012).collect();
            let set = Element::Of {
                set: Shape::like(set, Version::V2008),
                without: Vec::new(),
                unlike: Vec::new(),
            };
            assert_eq!(holds(&condition, &shapes, &set), truth, "{operator} {value}");
        }
    }
}
