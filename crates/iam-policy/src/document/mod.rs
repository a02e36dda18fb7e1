//! The policy language as types, after the
//! [grammar](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html).
//!
//! The types read a policy. They do not decide what it allows.

mod condition;
mod one_or_many;
mod operator;
mod principal;
mod repeats;
mod statement;
mod write;

pub use condition::Condition;
pub use operator::{Comparison, Operator, Order, Quantifier, UnknownOperator};
pub use principal::Principal;
pub use statement::{Effect, Selection, Statement};

use crate::Pattern;
use one_or_many::{Object, OneOrMany};
use repeats::repeats;
use serde::Deserialize;
use std::str::FromStr;

/// The longest text that is read, in bytes. AWS accepts 20 KB for a bucket and 32 KB for a key. The
/// rest is room for indentation.
pub const LONGEST: usize = 128 * 1024;

/// A policy that is attached to a resource.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// The version of the language in which the policy is written.
    pub version: Version,
    /// The statements in the order of the document, which does not matter.
    pub statements: Vec<Statement>,
}

/// [The version of the
/// language](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_version.html).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Version {
    /// The older version, and the default of a policy that names no version. A policy variable is a
    /// text like any other.
    #[default]
    #[serde(rename = "2008-10-17")]
    V2008,
    /// The current version.
    #[serde(rename = "2012-10-17")]
    V2012,
}

/// The reason why a text is not a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct NotAPolicy {
    /// The place of the error as a path, such as `Statement[2].Condition`. `the policy` is the
    /// whole.
    pub place: String,
    /// The error at that place.
    pub reason: String,
    /// True if a member of a JSON object occurs twice. AWS accepts such policies and does not say
    /// which of the two members counts.
    pub repeats: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Document {
    #[serde(default)]
    version: Version,
    #[serde(rename = "Id")]
    _id: Option<String>,
    statement: OneOrMany<statement::Raw>,
}

impl FromStr for Policy {
    type Err = NotAPolicy;

    fn from_str(text: &str) -> Result<Self, NotAPolicy> {
        let at = |place: String, reason: String| NotAPolicy { place, reason, repeats: false };
        let whole = |reason: String| at("the policy".into(), reason);
        if text.len() > LONGEST {
            return Err(whole(format!(
                "{} bytes are more than AWS takes in any policy",
                text.len()
            )));
        }
        let mut json = serde_json::Deserializer::from_str(text);
        let Object(document): Object<Document> = serde_path_to_error::deserialize(&mut json)
            .map_err(|error| {
                let path = error.path().to_string();
                let reason = error.into_inner().to_string();
                let error = if path == "." { whole(reason) } else { at(path, reason) };
                NotAPolicy { repeats: repeats(text), ..error }
            })?;
        json.end().map_err(|error| whole(error.to_string()))?;
        let OneOrMany(raw) = document.statement;
        let statement = |(index, raw): (usize, statement::Raw)| {
            Statement::try_from(raw).map_err(|reason| at(format!("Statement[{index}]"), reason))
        };
        let statements = raw.into_iter().enumerate().map(statement).collect::<Result<_, _>>()?;
        Ok(Self { version: document.version, statements })
    }
}

impl Policy {
    /// Returns the name of a statement for people: its Sid, or its index from 0.
    #[must_use]
    pub fn name(&self, statement: usize) -> String {
        let sid = self.statements.get(statement).and_then(|statement| statement.sid.clone());
        sid.unwrap_or_else(|| statement.to_string())
    }

    /// Returns one policy with the statements of this policy and, after them, those of another. For
    /// a resource with both policies it decides as they do: each of them can allow, and a Deny of
    /// either refuses.
    #[must_use]
    pub fn joined_with(&self, other: &Self) -> Self {
        let parts = [self, other];
        let version = match parts.iter().any(|it| it.version == Version::V2012) {
            true => Version::V2012,
            false => Version::V2008,
        };
        let written = parts.into_iter().flat_map(|part| {
            let is_older = part.version != version;
            part.statements
                .iter()
                .map(move |it| if is_older { it.without_variables() } else { it.clone() })
        });
        Self { version, statements: written.collect() }
    }

    /// Returns the first value with a [policy
    /// variable](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html)
    /// that a statement compares with a condition key. `None` if there is none. Only the request
    /// knows what such a value is.
    #[must_use]
    pub fn variable(&self, statement: usize, key: &str) -> Option<&str> {
        let conditions = &self.statements.get(statement)?.conditions;
        let values = conditions
            .iter()
            .filter(|condition| condition.key.eq_ignore_ascii_case(key))
            .flat_map(|condition| &condition.values);
        let has_variable = |value: &&String| {
            let pattern = Pattern::with_variables(value, false);
            self.version == Version::V2012 && pattern.widened() != pattern
        };
        values.into_iter().find(has_variable).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{
        "Version": "2012-10-17", "Id": "x",
        "Statement": {
            "Sid": "One", "Effect": "Deny",
            "Principal": {"AWS": ["111122223333", "arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:role/a/b", "*",
                "AROAEXAMPLEEXAMPLE"], "Service": "s3.amazonaws.com"},
            "NotAction": "kms:Decrypt", "Resource": ["*"],
            "Condition": {"bool": {"AWS:SecureTransport": false}, "NumericLessThan": {"s3:TlsVersion": [1.2, "1"]}}
        }
    }"#;

    #[test]
    fn a_policy_that_aws_accepts_is_read() {
        let policy: Policy = GOOD.parse().unwrap();
        let [statement] = &policy.statements[..] else { panic!("{policy:?}") };
        let root = Principal::Account("111122223333".into());
        let role = "arn:aws:iam::111122223333:role/a/b";
        assert_eq!(
            statement.principals,
            Selection::Only(vec![
                root.clone(),
                root,
                Principal::Identity { arn: role.into(), account: "111122223333".into() },
                Principal::Anyone,
                Principal::Deleted("AROAEXAMPLEEXAMPLE".into()),
                Principal::Service("s3.amazonaws.com".into()),
            ])
        );
        assert_eq!(statement.actions, Selection::Except(vec!["kms:Decrypt".into()]));
        let keys: Vec<_> =
            statement.conditions.iter().map(|c| (c.key.as_str(), c.values.join(" "))).collect();
        assert_eq!(
            keys,
            [("aws:securetransport", "false".to_owned()), ("s3:tlsversion", "1.2 1".to_owned())]
        );
        assert_eq!(policy.name(0), "One");
    }

    #[test]
    fn a_statement_is_written_as_it_was_read() {
        let policy: Policy = GOOD.parse().unwrap();
        let text = serde_json::to_string(&policy.statements[0]).unwrap();
        let again: Policy =
            format!(r#"{{"Version": "2012-10-17", "Statement": {text}}}"#).parse().unwrap();
        let sorted = |policy: &Policy| {
            let mut statement = policy.statements[0].clone();
            statement.conditions.sort_by(|one, two| one.key.cmp(&two.key));
            if let Selection::Only(principals) = &mut statement.principals {
                principals.sort_by_key(ToString::to_string);
            }
            statement
        };
        assert_eq!(sorted(&policy), sorted(&again));
    }

    /// Version 2008-10-17 has no variables, and in version 2012-10-17 `${$}` is the character `$`.
    #[test]
    fn joined_policies_keep_their_meaning() {
        let statement = r#"{"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "arn:${a}",
            "Condition": {"StringEquals": {"aws:PrincipalTag/a": "${aws:username}"}}}"#;
        let policy = |version: &str| -> Policy {
            format!(r#"{{"Version": "{version}", "Statement": {statement}}}"#).parse().unwrap()
        };
        let (old, new) = (policy("2008-10-17"), policy("2012-10-17"));
        let values = |policy: &Policy| -> Vec<_> {
            let of = |it: &Statement| {
                [it.conditions[0].values[0].clone(), it.resources.named()[0].clone()]
            };
            policy.statements.iter().flat_map(of).collect()
        };
        let (as_is, escaped) =
            (["${aws:username}", "arn:${a}"], ["${$}{aws:username}", "arn:${$}{a}"]);
        assert_eq!(values(&old.joined_with(&new)), [escaped, as_is].concat());
        assert_eq!(values(&new.joined_with(&old)), [as_is, escaped].concat());
        assert_eq!(values(&old.joined_with(&old)), [as_is, as_is].concat());
        assert_eq!(old.joined_with(&new).variable(0, "aws:PrincipalTag/a"), None);
        assert_eq!(old.joined_with(&Policy::default()), old);
    }

    #[test]
    fn an_invalid_policy_is_reported_with_place_and_reason() {
        for (from, to, place, reason) in [
            (GOOD, "", "the policy", "EOF"),
            (GOOD, "[]", "the policy", "invalid type: sequence, expected an object"),
            (
                GOOD,
                "{\"Statement\": [[null, \"Allow\"]]}",
                "Statement[0]",
                "invalid type: sequence, expected an object",
            ),
            (GOOD, "{}", "the policy", "missing field `Statement`"),
            ("\"Deny\"", "\"Refuse\"", "Statement.Effect", "unknown variant `Refuse`"),
            ("\"NotAction\"", "\"NoAction\"", "Statement.NoAction", "unknown field `NoAction`"),
            (
                "\"NotAction\": \"kms:Decrypt\",",
                "",
                "Statement[0]",
                "neither `Action` nor `NotAction`",
            ),
            (
                "\"Resource\"",
                "\"Action\": \"*\", \"Resource\"",
                "Statement[0]",
                "both `Action` and `NotAction`",
            ),
            ("\"bool\"", "\"boole\"", "Statement.Condition", "`boole` is not a condition operator"),
            (
                "\"111122223333\", ",
                "\"11112222333\", ",
                "Statement.Principal",
                "`11112222333` is neither",
            ),
            (
                "\"Service\"",
                "\"Server\"",
                "Statement.Principal",
                "`Server` is no kind of principal",
            ),
            ("\"Service\": \"s", "\"AWS\": \"s", "Statement.Principal", "`AWS` occurs twice"),
            (
                "\"Sid\": \"One\"",
                "\"Sid\": \"One\", \"Sid\": \"Two\"",
                "Statement",
                "duplicate field `Sid`",
            ),
            ("\"2012-10-17\"", "\"2012-10-18\"", "Version", "unknown variant"),
            ("[\"*\"]", "[[\"*\"]]", "Statement.Resource", "expected a string"),
            (
                "\"NumericLessThan\": {",
                "\"NumericLessThan\": {\"a\": \"1\", \"a\": \"2\", ",
                "Statement.Condition",
                "`a` occurs twice",
            ),
        ] {
            let error = GOOD.replacen(from, to, 1).parse::<Policy>().unwrap_err();
            assert!(
                error.place.starts_with(place) && error.reason.contains(reason),
                "{to}: {error}"
            );
        }
        let long = " ".repeat(LONGEST + 1);
        assert!(long.parse::<Policy>().unwrap_err().reason.contains("more than AWS takes"));
        assert!("[".repeat(LONGEST).parse::<Policy>().is_err());
    }
}
