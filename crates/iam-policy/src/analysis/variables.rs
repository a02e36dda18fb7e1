//! [Policy
//! variables](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html)
//! with the values of one request in their place.

use crate::{Policy, Request, Selection, Version};
use std::{borrow::Cow, collections::BTreeMap};

/// Returns the names of the condition keys in the variables of a policy: in small letters, and as
/// the policy writes them.
pub(super) fn names(policy: &Policy) -> BTreeMap<String, String> {
    if policy.version == Version::V2008 {
        return BTreeMap::new();
    }
    let values = policy.statements.iter().flat_map(|statement| {
        let conditions = statement.conditions.iter().flat_map(|condition| &condition.values);
        conditions.chain(statement.resources.named())
    });
    values
        .flat_map(|value| parts(value))
        .filter_map(name)
        .map(|name| (name.to_lowercase(), name.to_owned()))
        .collect()
}

/// Returns the policy with the values in place of those variables that have one value in all
/// requests, such as the account of the resource.
pub(super) fn with_known<'p>(policy: &'p Policy, requests: &[Request]) -> Cow<'p, Policy> {
    let value = |name: &str| {
        let of = |request: &Request| {
            let mut assumed = request.variables.iter();
            if let Some((_, value)) = assumed.find(|(key, _)| key.eq_ignore_ascii_case(name)) {
                return Some(value.clone());
            }
            let mut context = request.context.iter();
            let given =
                context.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, it)| it)?;
            given.only().map(str::to_owned)
        };
        let first = requests.first().and_then(of)?;
        requests.iter().all(|it| of(it).as_ref() == Some(&first)).then_some(first)
    };
    if names(policy).keys().any(|name| value(name).is_some()) {
        Cow::Owned(resolved(policy, value))
    } else {
        Cow::Borrowed(policy)
    }
}

/// Returns the policy with a value in place of each variable. `value` returns the value of a key,
/// or `None` to keep the variable.
pub(super) fn resolved(policy: &Policy, value: impl Fn(&str) -> Option<String>) -> Policy {
    let mut policy = policy.clone();
    let replace = |text: &mut String| {
        let parts = parts(text).map(|part| {
            let known = name(part).and_then(|name| value(&name.to_lowercase()));
            known.unwrap_or_else(|| part.to_owned())
        });
        *text = parts.collect();
    };
    for statement in &mut policy.statements {
        statement.conditions.iter_mut().flat_map(|it| &mut it.values).for_each(replace);
        let (Selection::Only(resources) | Selection::Except(resources)) = &mut statement.resources;
        resources.iter_mut().for_each(replace);
    }
    policy
}

/// Splits a text into variables (`${...}`) and what is between them.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find("${").filter(|at| rest.get(*at..).is_some_and(|it| it.contains('}')));
        let end = match start {
            Some(0) => rest.find('}')? + 1,
            Some(at) => at,
            None => rest.len(),
        };
        let (part, after) = rest.split_at_checked(end)?;
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}

/// Returns the key of a variable, without its default value. `None` for other texts, and for the
/// characters `${*}`, `${?}` and `${$}`.
fn name(part: &str) -> Option<&str> {
    let inner = part.strip_prefix("${")?.strip_suffix('}')?;
    let name = inner.split(',').next().unwrap_or(inner).trim();
    (!["*", "?", "$"].contains(&name)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_replaced_in_conditions_and_resources() {
        let text = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Principal": "*", "Action": "s3:*",
            "Resource": "arn:aws:s3:::acme/${aws:username}/${*}", "Condition": {"StringNotLike": {"aws:PrincipalTag/a":
            ["x${AWS:ResourceTag/a, 'none'}-*", "$${", "${aws:userid}"]}}}}"#;
        let policy: Policy = text.parse().unwrap();
        let all = names(&policy);
        assert_eq!(
            all.iter().map(|(key, written)| (key.as_str(), written.as_str())).collect::<Vec<_>>(),
            [
                ("aws:resourcetag/a", "AWS:ResourceTag/a"),
                ("aws:userid", "aws:userid"),
                ("aws:username", "aws:username"),
            ]
        );
        let resolved = resolved(&policy, |name| match name {
            "aws:username" => Some("ann".to_owned()),
            "aws:resourcetag/a" => Some("red".to_owned()),
            _ => None,
        });
        let statement = &resolved.statements[0];
        assert_eq!(statement.resources.named(), ["arn:aws:s3:::acme/ann/${*}"]);
        assert_eq!(statement.conditions[0].values, ["xred-*", "$${", "${aws:userid}"]);
        let old: Policy = text.replace("2012", "2008").parse().unwrap();
        assert_eq!(names(&old), BTreeMap::new());
    }
}
