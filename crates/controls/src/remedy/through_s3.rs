//! The remedy of `key-used-only-via-s3`: a Deny that is as narrow as the evidence allows, and
//! statements in place of those that admit direct use.

use super::{Remedy, Replacement, access_of, free_sid, of_other_ways};
use crate::{
    AllowedBy, Evidence, How, KeyAccess, Subject,
    control::{GRANT, MOST_LISTED, OPERATIONS},
    key_access::{GRANT_IS_FOR_SERVICE, VIA_SERVICE},
    kms_actions,
};
use facts::KeyArn;
use iam_policy::{
    Comparison, Condition, Effect, Operator, Pattern, Policy, Principal, Selection, Statement,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Narrows the Deny to the callers and operations of the evidence, and builds statements to put in
/// place of the named ones.
pub(crate) fn adapt(mut remedy: Remedy, subject: &Subject, evidence: &[Evidence]) -> Remedy {
    let uses: Vec<_> = evidence.iter().filter_map(access_of).collect();
    let others = of_other_ways(evidence);
    if uses.is_empty() {
        let corrected = evidence.iter().find_map(corrected);
        return match corrected.into_iter().chain(others).collect::<Vec<_>>().join(" ") {
            words if words.is_empty() => remedy,
            words => Remedy { words, statement: None, ..remedy },
        };
    }
    // The evidence is cut after so many uses, so that it does not show all callers.
    let is_whole = uses.len() < MOST_LISTED;
    let identities: Option<BTreeSet<_>> =
        uses.iter().map(|one| identity(one)).collect::<Option<_>>().filter(|_| is_whole);
    let limited = Limited {
        data: uses.iter().any(|one| one.operations.iter().any(|it| *it != GRANT)),
        grants: uses.iter().any(|one| one.operations.contains(&GRANT)),
    };
    if let Some(statement) = &mut remedy.statement {
        let actions = statement.get_mut("Action").and_then(Value::as_array_mut);
        if let Some(actions) = actions.filter(|_| is_whole) {
            actions.retain(|it| if it == GRANT { limited.grants } else { limited.data });
        }
        let conditions = statement.get_mut("Condition").and_then(Value::as_object_mut);
        if let Some(conditions) = conditions.filter(|_| is_whole) {
            if !limited.grants {
                conditions.remove("BoolIfExists");
            }
            if let Some(identities) = &identities {
                let arns = json!({ "aws:PrincipalArn": identities });
                conditions.insert("ArnEquals".to_owned(), arns);
            }
        }
    }
    // The replacements are for the key policy only.
    let is_of_key_policy = uses.iter().all(|one| one.allowed_by == AllowedBy::KeyPolicy);
    let may_replace = is_whole && is_of_key_policy && others.is_none();
    if let (Some(policy), Some(key), true) = (&subject.key_policy, &subject.key, may_replace) {
        let statements: BTreeSet<_> = uses.iter().map(|one| one.index).collect();
        let replaced = |at: usize| {
            let mut of_statement = uses.iter().filter(|one| one.index == at);
            let grants = of_statement.any(|one| one.operations.contains(&GRANT));
            replacement(policy, at, key, grants)
        };
        remedy.replacements = statements.into_iter().filter_map(replaced).collect();
    }
    let by_services = evidence.iter().any(Evidence::is_about_services);
    let for_services = subject.key_policy.as_ref().map(for_other_services).unwrap_or_default();
    let is_narrow = identities.is_some();
    remedy.brief = match (is_narrow, &for_services[..]) {
        // The words say which grants and keys need a change beside the Deny.
        _ if others.is_some() => None,
        (true, _) if limited.data => Some(format!("Add a Deny (kms:PutKeyPolicy). {NARROW}")),
        (true, _) => Some("Add a Deny (kms:PutKeyPolicy).".to_owned()),
        (false, []) if !by_services => Some(remedy.words),
        (false, _) => None,
    };
    let of_policy: Vec<_> =
        uses.iter().filter(|one| one.allowed_by == AllowedBy::KeyPolicy).collect();
    let is_direct = of_policy.iter().any(|one| one.how == How::Direct);
    let of_statements = match of_policy.is_empty() {
        true => String::new(),
        false => of_statements(subject, limited, is_direct),
    };
    let deny = deny(limited, is_narrow, &for_services, by_services);
    let parts = [others.unwrap_or_default(), of_statements, deny];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    remedy.words = parts.join(" ");
    remedy
}

/// The effect of a Deny for named identities.
const NARROW: &str = "The named identities can then no longer use the key through other services \
     (EBS).";

/// The operations that the evidence is about.
#[derive(Debug, Clone, Copy)]
struct Limited {
    data: bool,
    grants: bool,
}

fn corrected(evidence: &Evidence) -> Option<String> {
    let Evidence::ServiceWithoutRegion { statement, value, expected, .. } = evidence else {
        return None;
    };
    Some(format!(
        "Write {expected} in place of {value} in statement {statement} of the key policy \
         (kms:PutKeyPolicy)."
    ))
}

/// Returns the ARN of the user or role that the statement names. `None` for others: what one of
/// their callers can do, another may be able to do as well.
fn identity(access: &KeyAccess) -> Option<&str> {
    let is_identity = |name: &&str| name.starts_with("arn:") && name.contains(":iam::");
    Some(access.principal.as_str()).filter(is_identity)
}

/// Returns what to do about the statements that the evidence names. `is_direct` is true if it has
/// direct use.
fn of_statements(subject: &Subject, limited: Limited, is_direct: bool) -> String {
    if !is_direct {
        return "Take the other service out of the named statement (kms:PutKeyPolicy). If it needs \
                a key, give it one of its own."
            .to_owned();
    }
    let region = subject.key.as_ref().map_or("REGION", |key| key.region().as_str());
    let data =
        format!("encryption and decryption only if kms:ViaService is s3.{region}.amazonaws.com");
    let grants = "kms:CreateGrant only if kms:GrantIsForAWSResource is true";
    let limit = match (limited.data, limited.grants) {
        (true, true) => format!("{data}, and {grants}"),
        (false, true) => grants.to_owned(),
        _ => data,
    };
    format!("Let the named statement allow {limit} (kms:PutKeyPolicy).")
}

/// Returns the advice to add a Deny, and which other uses of the key that would end. `is_narrow` is
/// true if the Deny is only for named identities. `statements` are the statements for other
/// services, and `by_grants` is true if services have grants.
fn deny(limited: Limited, is_narrow: bool, statements: &[String], by_grants: bool) -> String {
    // A Deny of CreateGrant spares grants for AWS services.
    if !limited.data {
        return "Or add a Deny.".to_owned();
    }
    if is_narrow {
        return format!("Or add a Deny. {NARROW}");
    }
    let mut words = "Or add a Deny for all callers. It overrides grants, so that services such as \
                     EBS can no longer use the key."
        .to_owned();
    match statements {
        [] => {}
        [one] => words.push_str(&format!(" Statement {one} admits such use.")),
        many => words.push_str(&format!(" Statements {} admit such use.", many.join(" and "))),
    }
    if by_grants {
        words.push_str(" Services have such grants now.");
    }
    words
}

/// Returns the Allow statements that let other services use the key: by grants, or by calls that
/// they pass on.
fn for_other_services(policy: &Policy) -> Vec<String> {
    let is_of_others = |condition: &Condition| {
        let names_service = condition.key.eq_ignore_ascii_case(VIA_SERVICE)
            && !condition.operator.negated
            && condition.values.iter().any(|value| !value.to_lowercase().starts_with("s3."));
        names_service || condition.key.eq_ignore_ascii_case(GRANT_IS_FOR_SERVICE)
    };
    let allows_grants = |statement: &Statement| {
        let is_grant =
            |action: &String| Pattern::wildcard(&action.to_lowercase()).matches("kms:creategrant");
        matches!(&statement.actions, Selection::Only(actions) if actions.iter().any(is_grant))
    };
    let statements = policy.statements.iter().enumerate();
    statements
        .filter(|(_, statement)| statement.effect == Effect::Allow)
        .filter(|(_, it)| allows_grants(it) || it.conditions.iter().any(is_of_others))
        .map(|(at, _)| policy.name(at))
        .collect()
}

/// Builds the statements in place of an Allow. They have its other actions as they are, and allow
/// the use of data keys through S3 only. If `grants` is true, they allow grants for AWS services
/// only.
fn replacement(policy: &Policy, at: usize, key: &KeyArn, grants: bool) -> Option<Replacement> {
    let statement = policy.statements.get(at)?;
    let patterns = statement.actions.named().iter().map(|it| Pattern::wildcard(&it.to_lowercase()));
    let patterns: Vec<_> = patterns.collect();
    let is_allowed = |action: &str| {
        let is_named = patterns.iter().any(|it| it.matches(&action.to_lowercase()));
        is_named == matches!(statement.actions, Selection::Only(_))
    };
    let is_limited = |action: &str| OPERATIONS.contains(&action) || (grants && action == GRANT);
    let service = format!("s3.{}.amazonaws.com", key.region());
    let data = OPERATIONS.into_iter().filter(|action| is_allowed(action));
    let data: Vec<_> = data.map(str::to_owned).collect();
    let sid = |suffix: &str| {
        let name = policy.name(at);
        let name = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
        Some(free_sid(policy, &format!("{name}{suffix}{at}")))
    };
    // Services act for themselves, and never through S3.
    let (services, principals) = by_kind(&statement.principals);
    // The new statements allow nothing that the old one refused.
    let admits = |key: &str, value: &str| {
        let mut about = statement.conditions.iter().filter(|it| it.key.eq_ignore_ascii_case(key));
        about.all(|condition| holds(condition, value))
    };
    // A condition on the same key with the same operator would overwrite the new one.
    let limited = |sid, actions, operator, key, value| {
        let mut conditions = statement.conditions.clone();
        conditions.retain(|it| !it.key.eq_ignore_ascii_case(key));
        conditions.push(condition(operator, key, value)?);
        let (actions, principals) = (Selection::Only(actions), principals.clone());
        Some(Statement { sid, actions, conditions, principals, ..statement.clone() })
    };
    let mut by = Vec::new();
    let rest = rest(&statement.actions, is_allowed, is_limited);
    if let Some(principals) = services {
        by.push(Statement { sid: sid("Services"), principals, ..statement.clone() });
    }
    if rest != Selection::Only(Vec::new()) {
        let principals = principals.clone();
        by.push(Statement { actions: rest, principals, ..statement.clone() });
    }
    if !data.is_empty() && admits(VIA_SERVICE, &service) {
        by.push(limited(sid("ThroughS3"), data, "StringEquals", VIA_SERVICE, &service)?);
    }
    if grants && is_allowed(GRANT) && admits(GRANT_IS_FOR_SERVICE, "true") {
        let actions = vec![GRANT.to_owned()];
        let name = sid("GrantsForServices");
        by.push(limited(name, actions, "Bool", GRANT_IS_FOR_SERVICE, "true")?);
    }
    let by = by.iter().filter_map(|statement| serde_json::to_value(statement).ok()).collect();
    Some(Replacement { statement: policy.name(at), by })
}

/// True if a condition holds for a request with one value under its key. False if that is not
/// certain.
fn holds(condition: &Condition, value: &str) -> bool {
    let Operator { comparison, negated, .. } = condition.operator;
    let value = value.to_lowercase();
    let matches = |named: &String| {
        let named = named.to_lowercase();
        match comparison {
            Comparison::StringLike => Pattern::wildcard(&named).matches(&value),
            _ => named == value,
        }
    };
    match comparison {
        Comparison::Null => condition.values.iter().any(|is_absent| is_absent == "false"),
        Comparison::String
        | Comparison::StringIgnoreCase
        | Comparison::StringLike
        | Comparison::Bool => condition.values.iter().any(matches) != negated,
        _ => false,
    }
}

/// Returns the services among the principals, if there are any beside others, and the others.
fn by_kind(
    principals: &Selection<Principal>,
) -> (Option<Selection<Principal>>, Selection<Principal>) {
    let Selection::Only(named) = principals else { return (None, principals.clone()) };
    let is_service = |principal: &Principal| matches!(principal, Principal::Service(_));
    let (services, others): (Vec<_>, Vec<_>) = named.iter().cloned().partition(is_service);
    if services.is_empty() || others.is_empty() {
        return (None, principals.clone());
    }
    (Some(Selection::Only(services)), Selection::Only(others))
}

/// Returns the actions of a statement without the limited ones.
fn rest(
    actions: &Selection<String>,
    is_allowed: impl Fn(&str) -> bool,
    is_limited: impl Fn(&str) -> bool,
) -> Selection<String> {
    let limited = kms_actions::ON_KEYS.into_iter().filter(|action| is_limited(action));
    let limited = limited.map(str::to_owned);
    match actions {
        Selection::Except(named) => {
            Selection::Except(named.iter().cloned().chain(limited).collect())
        }
        Selection::Only(named) if named.iter().any(|it| it == "*" || it == "kms:*") => {
            Selection::Except(limited.collect())
        }
        Selection::Only(_) => {
            let others = kms_actions::ON_KEYS
                .into_iter()
                .filter(|action| is_allowed(action) && !is_limited(action));
            Selection::Only(others.map(str::to_owned).collect())
        }
    }
}

fn condition(operator: &str, key: &str, value: &str) -> Option<Condition> {
    Some(Condition {
        operator: operator.parse().ok()?,
        key: key.to_lowercase(),
        written: key.to_owned(),
        values: vec![value.to_owned()],
    })
}
