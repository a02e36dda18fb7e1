//! Texts that a request may have under a condition key, taken from the values that a policy
//! compares with it.

use crate::{
    Comparison, Condition, Given, Pattern,
    analysis::shape::{Shape, split},
};
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use std::net::IpAddr;

/// The account of callers that a policy does not name.
pub(super) const UNKNOWN_ACCOUNT: &str = "999999999999";
/// The text in place of a wildcard.
const EXAMPLE: &str = "example";
/// Addresses that are [reserved for
/// documentation](https://www.rfc-editor.org/rfc/rfc5737), outside of most ranges that policies
/// name.
const ADDRESSES: [&str; 3] = ["203.0.113.10", "198.51.100.10", "2001:db8::10"];
/// The number of wildcards up to which a pattern is filled with more than nothing.
const MOST_WILDCARDS: usize = 8;
/// A day, to get from a date in a condition to one before it and one after it.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The place of a resource, for the parts of an ARN that a pattern leaves open.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) partition: String,
    pub(super) region: String,
}

impl Place {
    /// Returns the place in an ARN. A part that the ARN leaves open has the most common value.
    pub(super) fn of(arn: &str) -> Self {
        let parts = split(arn);
        let part = |at: usize, usual: &str| match parts.get(at) {
            Some(part) if !part.is_empty() && !part.contains(['*', '?']) => (*part).to_owned(),
            _ => usual.to_owned(),
        };
        Self { partition: part(1, "aws"), region: part(3, "us-east-1") }
    }
}

/// Returns texts for the key of a condition: those that meet a value of the condition, and some
/// next to it.
pub(super) fn of_condition(condition: &Condition, place: &Place) -> Vec<String> {
    let values = condition.values.iter().filter(|value| !value.contains("${"));
    match condition.operator.comparison {
        Comparison::String | Comparison::Binary => {
            let text =
                |value: &String| Pattern::with_variables(value, false).text().map(str::to_owned);
            condition.values.iter().filter_map(text).collect()
        }
        Comparison::StringIgnoreCase => {
            values.flat_map(|value| [value.clone(), value.to_lowercase()]).collect()
        }
        Comparison::StringLike | Comparison::Arn => {
            values.flat_map(|value| of_pattern(value, place, UNKNOWN_ACCOUNT)).collect()
        }
        Comparison::Numeric(_) => values.flat_map(|value| numbers(value)).collect(),
        Comparison::Date(_) => values.flat_map(|value| dates(value)).collect(),
        Comparison::Bool => vec!["true".to_owned(), "false".to_owned()],
        Comparison::IpAddress => {
            values.filter_map(|value| address(value)).chain(ADDRESSES.map(str::to_owned)).collect()
        }
        Comparison::Null => Vec::new(),
    }
}

/// Returns texts that match a pattern as a policy writes it.
pub(super) fn of_pattern(text: &str, place: &Place, account: &str) -> Vec<String> {
    let mut texts = Vec::new();
    if let Some(arn) = of_arn(text, place, account) {
        texts.push(arn);
    }
    let pattern = Pattern::wildcard(text);
    let fills = if text.matches('*').count() > MOST_WILDCARDS { &[""][..] } else { &[EXAMPLE, ""] };
    texts.extend(fills.iter().filter_map(|fill| pattern.example(fill)));
    texts.dedup();
    texts
}

/// Returns an ARN that matches a pattern with six parts.
pub(super) fn of_arn(text: &str, place: &Place, account: &str) -> Option<String> {
    let parts = split(text);
    let is_arn = parts.len() == 6 && parts.first() == Some(&"arn");
    if !is_arn || text.matches('*').count() > MOST_WILDCARDS {
        return None;
    }
    let fill = |at: usize| match at {
        1 => &place.partition,
        3 => &place.region,
        4 => account,
        _ => EXAMPLE,
    };
    let filled =
        parts.iter().enumerate().map(|(at, part)| Pattern::wildcard(part).example(fill(at)));
    Some(filled.collect::<Option<Vec<_>>>()?.join(":"))
}

/// Returns the texts that a question names for a key.
pub(super) fn of_given(given: &Given, place: &Place) -> Vec<String> {
    let like = given.like.as_ref().and_then(Shape::written).into_iter();
    given
        .such_as
        .iter()
        .cloned()
        .chain(like.flat_map(|text| of_pattern(text, place, UNKNOWN_ACCOUNT)))
        .collect()
}

/// Returns a text that requests usually have under a key.
pub(super) fn usual(key: &str, comparisons: &[Comparison], place: &Place) -> Option<String> {
    let is_text = |comparison: &Comparison| {
        matches!(
            comparison,
            Comparison::String | Comparison::StringLike | Comparison::StringIgnoreCase
        )
    };
    let text = match key {
        "aws:principalorgid" | "aws:resourceorgid" | "aws:vpceorgid" => "o-exampleorgid1",
        "aws:principalorgpaths" | "aws:resourceorgpaths" | "aws:vpceorgpaths" => {
            "o-exampleorgid1/r-ab12/ou-ab12-11111111/"
        }
        "aws:sourcevpce" => "vpce-0123456789abcdef0",
        "aws:sourcevpc" => "vpc-0123456789abcdef0",
        "aws:vpceaccount" => UNKNOWN_ACCOUNT,
        "aws:userid" => "AROAEXAMPLEEXAMPLEEXA:example",
        "aws:currenttime" => "2026-01-01T00:00:00Z",
        "aws:epochtime" => "1767225600",
        "aws:requestedregion" => &place.region,
        "aws:sourceip" => ADDRESSES[0],
        "aws:multifactorauthpresent" | "aws:securetransport" | "aws:viaawsservice" => "false",
        "s3:tlsversion" => "1.2",
        _ if comparisons.iter().any(is_text) => EXAMPLE,
        _ if comparisons.contains(&Comparison::Arn) => "arn:aws:iam::999999999999:role/example",
        _ if comparisons == [Comparison::Null] => EXAMPLE,
        _ => return None,
    };
    Some(text.to_owned())
}

fn numbers(value: &str) -> Vec<String> {
    let Ok(number) = value.trim().parse::<f64>() else { return Vec::new() };
    [number, number - 1.0, number + 1.0].map(|number| number.to_string()).to_vec()
}

/// Returns the date, the day before and the day after, in the form of the value.
fn dates(value: &str) -> Vec<String> {
    let value = value.trim();
    let around = |date: Timestamp| {
        [Some(date), date.checked_sub(DAY).ok(), date.checked_add(DAY).ok()].into_iter().flatten()
    };
    if let Ok(date) = value.parse::<Timestamp>() {
        return around(date).map(|date| date.to_string()).collect();
    }
    let seconds = value.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    match seconds {
        Some(date) => around(date).map(|date| date.as_second().to_string()).collect(),
        None => vec![value.to_owned()],
    }
}

fn address(range: &str) -> Option<String> {
    let range =
        range.parse::<IpNet>().ok().or_else(|| range.parse::<IpAddr>().ok().map(IpNet::from))?;
    Some(range.addr().to_string())
}
