//! The values that a request may have: of the policy variables and of the condition keys.

use super::{
    people::Example,
    sample::{self, Place},
};
use crate::{
    Comparison, Given, Policy, Request,
    analysis::{
        key_facts::{ORGANIZATION, ORGANIZATION_PATHS},
        variables,
    },
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
};

/// The value of a policy variable, and its name as the policy writes it.
pub(super) struct Variable {
    pub(super) written: String,
    pub(super) value: String,
}

/// A policy in which the policy variables have values, and the callers for which they have these
/// values.
pub(super) struct World<'p> {
    pub(super) policy: Cow<'p, Policy>,
    pub(super) variables: BTreeMap<String, Variable>,
    pub(super) people: Vec<Example>,
}

/// Returns the value of a policy variable that follows neither from the caller nor from the
/// question.
fn unknown_value(name: &str, place: &Place) -> String {
    let usual = sample::usual(name, &[Comparison::String], place);
    usual.unwrap_or_else(|| "example".to_owned())
}

/// Returns the policy with its callers. If the policy has variables, there is one world for each
/// caller.
pub(super) fn worlds<'p>(
    policy: &'p Policy,
    requests: &[&Request],
    people: Vec<Example>,
    place: &Place,
) -> Vec<World<'p>> {
    let names = variables::names(policy);
    if names.is_empty() {
        return vec![World { policy: Cow::Borrowed(policy), variables: BTreeMap::new(), people }];
    }
    let asked = |name: &str| {
        let mut contexts = requests.iter().flat_map(|request| &request.context);
        contexts
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .and_then(|(_, given)| given.only().map(str::to_owned))
    };
    // A text that the question names for a key which the policy compares with the variable.
    let compared = |name: &str| {
        let conditions = policy.statements.iter().flat_map(|statement| &statement.conditions);
        let variable = format!("${{{name}}}");
        let is_compared = |value: &String| value.eq_ignore_ascii_case(&variable);
        let keys = conditions.filter(|it| it.values.iter().any(is_compared)).map(|it| &it.key);
        let contexts = || requests.iter().flat_map(|request| &request.context);
        let mut givens =
            keys.flat_map(|key| contexts().filter(move |(name, _)| name.eq_ignore_ascii_case(key)));
        givens.find_map(|(_, given)| given.example().map(str::to_owned))
    };
    let world = |example: Example| {
        let value = |name: &str| match example.keys.iter().find(|(key, _)| *key == name) {
            Some((_, value)) => value.clone(),
            None => {
                asked(name).or_else(|| compared(name)).or_else(|| Some(unknown_value(name, place)))
            }
        };
        let variable = |(name, written): (&String, &String)| {
            let (written, value) = (written.clone(), value(name)?);
            Some((name.clone(), Variable { written, value }))
        };
        let variables = names.iter().filter_map(variable).collect();
        let policy = Cow::Owned(variables::resolved(policy, value));
        World { policy, variables, people: vec![example] }
    };
    people.into_iter().map(world).collect()
}

/// Returns paths in the organizations that the policy names, and organizations of the paths that it
/// names.
fn of_organizations(policy: &Policy, key: &str, place: &Place) -> Vec<String> {
    let conditions = |other: &'static str| {
        let all = policy.statements.iter().flat_map(|statement| &statement.conditions);
        all.filter(move |condition| condition.key == other)
    };
    let texts =
        |other| conditions(other).flat_map(|condition| sample::of_condition(condition, place));
    match key {
        ORGANIZATION => texts(ORGANIZATION_PATHS)
            .filter_map(|path| Some(path.split('/').next()?.to_owned()))
            .filter(|id| id.starts_with("o-"))
            .collect(),
        ORGANIZATION_PATHS => {
            let patterns = conditions(ORGANIZATION_PATHS).flat_map(|condition| &condition.values);
            let units: Vec<_> = patterns.filter_map(|path| Some(path.split_once('/')?.1)).collect();
            let within = |id: String| {
                let units = units.iter().copied().chain(["r-ab12/ou-ab12-11111111/"]);
                units.map(move |unit| format!("{id}/{unit}")).collect::<Vec<_>>()
            };
            let paths = texts(ORGANIZATION).flat_map(within);
            paths
                .flat_map(|path| sample::of_pattern(&path, place, sample::UNKNOWN_ACCOUNT))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Returns the values that a request may have under a key of the policy.
pub(super) fn values(
    world: &World<'_>,
    requests: &[&Request],
    place: &Place,
    key: &str,
) -> Vec<String> {
    let of_people = world.people.iter().flat_map(|example| &example.keys);
    let of_people = of_people.filter(|(name, _)| *name == key);
    let mut all: Vec<_> = of_people.clone().filter_map(|(_, value)| value.clone()).collect();
    all.extend(world.variables.get(key).map(|variable| variable.value.clone()));
    let is_of_callers = of_people.clone().next().is_some()
        && world.people.iter().all(|example| example.keys.iter().any(|(name, _)| *name == key));
    if !is_of_callers {
        let statements = &world.policy.statements;
        let conditions = statements
            .iter()
            .flat_map(|it| &it.conditions)
            .filter(|condition| condition.key == key);
        let mut givens: Vec<&Given> = Vec::new();
        for (name, given) in requests.iter().flat_map(|request| &request.context) {
            if name.eq_ignore_ascii_case(key) && !givens.contains(&given) {
                givens.push(given);
            }
        }
        all.extend(givens.iter().flat_map(|given| sample::of_given(given, place)));
        all.extend(conditions.clone().flat_map(|condition| sample::of_condition(condition, place)));
        all.extend(of_organizations(&world.policy, key, place));
        let comparisons: Vec<_> =
            conditions.map(|condition| condition.operator.comparison).collect();
        all.extend(sample::usual(key, &comparisons, place));
    }
    let mut seen = HashSet::new();
    all.retain(|text| seen.insert(text.clone()));
    all
}
