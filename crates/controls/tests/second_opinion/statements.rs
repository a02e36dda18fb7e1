//! Statements as people write them, and worse. They have few values, so that they affect each
//! other.

use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

/// A condition: its operator, key and values.
pub(crate) type Condition = (&'static str, &'static str, Value);

pub(crate) const ROLE: &str = "arn:aws:iam::111111111111:role/app";
pub(crate) const ADMIN: &str = "arn:aws:iam::111111111111:role/admin";
pub(crate) const OTHER_ROLE: &str = "arn:aws:iam::222222222222:role/app";

/// Generates one value, or a list of two.
pub(crate) fn one_of(values: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let one = select(values).prop_map(|value| json!(value));
    let many = proptest::sample::subsequence(values, 1..=values.len().min(2))
        .prop_map(|values| json!(values));
    prop_oneof![3 => one, 1 => many]
}

/// Generates a condition on a key that is compared as text.
pub(crate) fn text(
    key: &'static str,
    exact: &'static [&'static str],
    like: &'static [&'static str],
) -> impl Strategy<Value = Condition> {
    const EXACT: [&str; 8] = [
        "StringEquals",
        "StringNotEquals",
        "StringEqualsIfExists",
        "StringNotEqualsIfExists",
        "StringEqualsIgnoreCase",
        "StringNotEqualsIgnoreCase",
        "ForAnyValue:StringEquals",
        "ForAllValues:StringEquals",
    ];
    const LIKE: [&str; 6] = [
        "StringLike",
        "StringNotLike",
        "StringLikeIfExists",
        "StringNotLikeIfExists",
        "ForAnyValue:StringLike",
        "ForAllValues:StringNotLike",
    ];
    let exact = (select(&EXACT[..]), one_of(exact));
    let like = (select(&LIKE[..]), one_of(like));
    prop_oneof![exact, like].prop_map(move |(operator, values)| (operator, key, values))
}

/// Generates a condition on an ARN. With `ArnEquals`, iam-rs does not know wildcards.
pub(crate) fn arn(
    key: &'static str,
    values: &'static [&'static str],
) -> impl Strategy<Value = Condition> {
    let operators =
        &["ArnLike", "ArnNotLike", "ArnLikeIfExists", "ArnNotLikeIfExists", "StringLike"][..];
    (select(operators), one_of(values)).prop_map(move |(operator, values)| (operator, key, values))
}

/// Generates a condition on a key that is true or false.
pub(crate) fn boolean(key: &'static str) -> impl Strategy<Value = Condition> {
    (select(&["Bool", "BoolIfExists"][..]), select(&["true", "false"][..]))
        .prop_map(move |(operator, value)| (operator, key, json!(value)))
}

/// Generates a condition on the presence of one of these keys.
pub(crate) fn null(keys: &'static [&'static str]) -> impl Strategy<Value = Condition> {
    (select(keys), select(&["true", "false"][..]))
        .prop_map(|(key, value)| ("Null", key, json!(value)))
}

/// Generates a condition on the address or the time of the request.
pub(crate) fn place_and_time() -> impl Strategy<Value = Condition> {
    let address = (
        select(&["IpAddress", "NotIpAddress", "IpAddressIfExists"][..]),
        one_of(&["10.0.0.0/8", "203.0.113.10", "2001:db8::/32"]),
    );
    let time = (
        select(&["DateLessThan", "DateGreaterThan"][..]),
        one_of(&["2026-01-01T00:00:00Z", "2030-01-01T00:00:00Z"]),
    );
    prop_oneof![
        address.prop_map(|(operator, values)| (operator, "aws:SourceIp", values)),
        time.prop_map(|(operator, values)| (operator, "aws:CurrentTime", values)),
    ]
}

/// Generates a statement. `elements` are the principal, the action and the resource, each with the
/// name of its element.
pub(crate) fn statement(
    effect: &'static str,
    elements: [BoxedStrategy<(&'static str, Value)>; 3],
    conditions: BoxedStrategy<Condition>,
) -> impl Strategy<Value = Value> {
    (elements, proptest::collection::vec(conditions, 0..3)).prop_map(
        move |(elements, conditions)| {
            let mut block = json!({});
            for (operator, key, values) in conditions {
                block[operator][key] = values;
            }
            let mut statement = json!({ "Effect": effect, "Condition": block });
            for (name, value) in elements {
                statement[name] = value;
            }
            statement
        },
    )
}

/// Generates a principal: everyone, accounts, roles, or all but some roles. `NotPrincipal` has no
/// accounts, because an account there means its root user.
pub(crate) fn principal() -> BoxedStrategy<(&'static str, Value)> {
    let aws = one_of(&["*", "arn:aws:iam::111111111111:root", "222222222222", ROLE, OTHER_ROLE]);
    let except = one_of(&[ROLE, ADMIN, OTHER_ROLE]);
    prop_oneof![
        6 => aws.prop_map(|aws| ("Principal", json!({ "AWS": aws }))),
        2 => Just(("Principal", json!("*"))),
        1 => except.prop_map(|aws| ("NotPrincipal", json!({ "AWS": aws }))),
    ]
    .boxed()
}
