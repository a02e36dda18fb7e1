//! Looks for witnesses: possible requests that show what an answer means.
//!
//! An answer is about sets of requests. Where the sets are too coarse, an answer may say "open"
//! although no request gets through. So a witness is looked for among concrete requests, for which
//! every condition holds or fails. Its callers, its resource and the values of its condition keys
//! are taken from the policy and the question.
//!
//! The policy lets a witness through for sure. Whether such a caller exists, only AWS knows. If no
//! witness is found, that proves nothing: the search tries the values that policies usually depend
//! on, and is limited.

mod people;
mod sample;
mod world;

use super::{
    Analysis, Grant, TooComplex,
    allowed::{dodges, later},
    budget::Budget,
    caller::{self, Caller},
    condition_keys::ConditionKeys,
    known,
    known_values::KnownValues,
    rule::StatementRule,
    shape::Shape,
    space::Space,
};
use crate::{Effect, Given, Pattern, Policy, Request, Version, Witness, truth::Truth};
use people::Example;
use sample::Place;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, hash_map::Entry},
};
use world::{Variable, World, values, worlds};

/// The greatest number of resources that are tried for one question.
const MOST_RESOURCES: usize = 30;
/// The greatest number of callers that are tried for a question about all callers.
const MOST_CALLERS: usize = 30;

/// Answers [`crate::Policy::witnesses`].
pub(super) fn of_grants(
    policy: &Policy,
    requests: &[Request],
    groups: &[Vec<&Grant>],
) -> Vec<Option<Witness>> {
    let known = caller::distinguished(policy);
    let place = Place::of(requests.first().map_or("", |request| &request.resource));
    let asked: BTreeSet<_> = groups.iter().flatten().map(|grant| &grant.caller).collect();
    let people: Vec<_> =
        asked.iter().flat_map(|of| people::examples(policy, of, &known, &place)).collect();
    let mut found: Vec<Option<Witness>> = vec![None; groups.len()];
    let requests: Vec<_> = requests.iter().collect();
    let requests = requests.as_slice();
    for world in worlds(policy, requests, people, &place) {
        let Ok(search) = Search::new(&world, None, requests, &place) else { continue };
        for (group, found) in groups.iter().zip(&mut found).filter(|(_, found)| found.is_none()) {
            *found = group.iter().find_map(|grant| search.granted(grant, requests).ok()?);
        }
    }
    found
}

/// Returns for each kind of requests one that the policy does not refuse, or `None` if none was
/// found. `rules` are the statements of the policy.
pub(super) fn of_gaps<'p>(
    policy: &'p Policy,
    rules: &[StatementRule<'p>],
    requests: &[&Request],
) -> Vec<Option<Witness>> {
    let known = caller::distinguished(policy);
    let Some(first) = requests.first() else { return Vec::new() };
    let place = Place::of(&first.resource);
    let own = first.account.clone().map(Caller::Account);
    // A caller of the owner's account comes first: its own policies are enough to allow the
    // request. Strangers come last.
    let named = known.iter().rev().filter(|caller| own.as_ref() != Some(*caller));
    let (strangers, named): (Vec<_>, Vec<_>) = named.partition(|it| **it == Caller::Stranger);
    let examples = |of: &Caller| people::examples(policy, of, &known, &place);
    let people: Vec<_> = own.iter().chain(named).flat_map(examples).take(MOST_CALLERS).collect();
    let strangers = strangers.into_iter().flat_map(examples).chain([Example::anonymous()]);
    let people: Vec<_> = people.into_iter().chain(strangers).collect();
    let mut found = vec![None; requests.len()];
    for world in worlds(policy, requests, people, &place) {
        let Ok(search) = Search::new(&world, Some(rules), requests, &place) else { continue };
        let mut targets: HashMap<(&str, &str), Targets<'_, '_>> = HashMap::new();
        // Kinds of requests for which nothing was found.
        let mut without = HashSet::new();
        for (request, found) in requests.iter().zip(&mut found).filter(|(_, it)| it.is_none()) {
            let about = (request.action.as_str(), request.resource.as_str());
            let targets = match targets.entry(about) {
                Entry::Occupied(targets) => targets.into_mut(),
                Entry::Vacant(entry) => match search.targets(request) {
                    Ok(targets) => entry.insert(targets),
                    Err(TooComplex) => continue,
                },
            };
            let kind = (about, search.analysis.known(request));
            if without.contains(&kind) {
                continue;
            }
            *found = search.unrefused(request, targets).ok().flatten();
            if found.is_none() {
                without.insert(kind);
            }
        }
    }
    found
}

/// An action on a resource, and the Deny statements that may be about it.
struct Target<'s, 'w> {
    action: String,
    resource: String,
    denies: Vec<&'s StatementRule<'w>>,
}

/// The targets of a question. Those that the policy does not distinguish are one.
struct Targets<'s, 'w> {
    actions: Vec<String>,
    /// The resources that were not tried yet, the next one last.
    resources: Vec<String>,
    has_all_resources: bool,
    /// The Deny statements, and for each action whether the statement may be about it.
    denies: Vec<(&'s StatementRule<'w>, Vec<bool>)>,
    /// The Deny statements of the targets, by index.
    seen: HashSet<Vec<usize>>,
    found: Vec<Target<'s, 'w>>,
}

/// A policy that is prepared for the search. Each element of its condition keys is one value.
struct Search<'w> {
    world: &'w World<'w>,
    analysis: Analysis<'w>,
    /// The possible callers, each with what is known of its requests.
    people: Vec<(&'w Example, KnownValues)>,
    /// The possible organizations of the caller.
    organizations: Vec<KnownValues>,
    place: &'w Place,
}

impl<'w> Search<'w> {
    fn new(
        world: &'w World<'w>,
        rules: Option<&[StatementRule<'w>]>,
        requests: &[&Request],
        place: &'w Place,
    ) -> Result<Self, TooComplex> {
        let policy: &Policy = &world.policy;
        let budget = Budget::for_witnesses();
        let keys = ConditionKeys::of_samples(policy, |key| values(world, requests, place, key));
        let rules = match (&world.policy, rules) {
            (Cow::Borrowed(_), Some(rules)) => {
                rules.iter().map(|rule| rule.with_values(policy, &keys, &budget)).collect()
            }
            _ => {
                let rule = |(index, it)| StatementRule::new(index, it, policy, &keys, &budget);
                policy.statements.iter().enumerate().map(rule).collect::<Result<_, _>>()
            }
        }?;
        let variables = world.variables.iter();
        let variables = variables.map(|(key, it)| (&**key, Given::text(&it.value)));
        let variables: Vec<_> = variables.collect();
        let person = |example: &'w Example| {
            // Only calls of KMS have the keys of KMS.
            let is_of_s3 = requests.iter().all(|it| it.action.to_lowercase().starts_with("s3:"));
            let own = example.givens().filter(|(key, _)| !(is_of_s3 && key.starts_with("kms:")));
            let givens: Vec<_> = own.chain(variables.iter().cloned()).collect();
            let known = known(&keys, givens.iter().map(|(key, given)| (*key, given)))?;
            Some((example, known))
        };
        let people = world.people.iter().filter_map(person).collect();
        let organizations = keys.organizations();
        let analysis = Analysis { keys, rules, people: Vec::new(), budget };
        Ok(Self { world, analysis, people, organizations, place })
    }

    /// Returns a request that the statement of a grant allows and that no Deny refuses.
    fn granted(&self, grant: &Grant, requests: &[&Request]) -> Result<Option<Witness>, TooComplex> {
        let Some(request) = requests.get(grant.request) else { return Ok(None) };
        let Some(known) = self.analysis.known(request) else { return Ok(None) };
        let Some(allow) = self.analysis.rules.get(grant.statement) else { return Ok(None) };
        let (action, resource) = (&request.action, &request.resource);
        self.analysis.budget.check(self.analysis.rules.len())?;
        let space = Space::new(action, resource, KnownValues::default());
        if allow.covers(&space) != Truth::Always {
            return Ok(None);
        }
        let may_concern = |rule: &&StatementRule<'_>| rule.covers(&space) != Truth::Never;
        let concerned: Vec<_> = self.denies().filter(may_concern).collect();
        for (example, of_caller) in self.people.iter().filter(|(it, _)| it.of == grant.caller) {
            let named = caller::named(&allow.statement.principals, &example.caller);
            let Some(mut known) = known.and(of_caller) else { continue };
            let may_allow = named == Truth::Always
                && allow.conditions.iter().all(|it| known.narrow(it.key, &it.may_hold));
            if may_allow && let Some(found) = self.dodged(&concerned, example, known)? {
                let rules: Vec<_> = concerned.iter().copied().chain([allow]).collect();
                return Ok(Some(self.witness(
                    request,
                    (action, resource),
                    example,
                    &rules,
                    &found,
                )));
            }
        }
        Ok(None)
    }

    /// Returns the actions and resources of a question, before any of them is tried.
    fn targets(&self, request: &Request) -> Result<Targets<'_, 'w>, TooComplex> {
        let actions = actions(request);
        let read = |text: &String| Pattern::wildcard(&text.to_lowercase());
        let patterns: Vec<_> = actions.iter().map(read).collect();
        let of_deny = |rule| {
            self.analysis.budget.check(1 + patterns.len() / 4)?;
            Ok((rule, patterns.iter().map(|it| StatementRule::may_name_action(rule, it)).collect()))
        };
        let denies = self.denies().map(of_deny).collect::<Result<_, TooComplex>>()?;
        let resources = self.resources_like(&[&request.resource], request);
        Ok(Targets {
            actions,
            resources,
            has_all_resources: false,
            denies,
            seen: HashSet::new(),
            found: Vec::new(),
        })
    }

    /// Returns the target with this number, or `None` if there are no more.
    fn target<'t, 's>(
        &'s self,
        request: &Request,
        targets: &'t mut Targets<'s, 'w>,
        number: usize,
    ) -> Result<Option<&'t Target<'s, 'w>>, TooComplex> {
        while targets.found.len() <= number {
            // The resources that the policy names are tried only if they are needed.
            if targets.resources.is_empty() && !targets.has_all_resources {
                targets.has_all_resources = true;
                let named = self.denies().flat_map(|rule| rule.statement.resources.named());
                targets.resources = self.resources_like(&named.collect::<Vec<_>>(), request);
            }
            let Some(resource) = targets.resources.pop() else { return Ok(None) };
            let shape = Shape::literal(&resource);
            let budget = &self.analysis.budget;
            let about =
                |(rule, _): &(&StatementRule<'_>, _)| rule.may_name_resource(&shape, budget);
            let about = targets.denies.iter().map(about).collect::<Result<Vec<_>, _>>()?;
            let concerned = || targets.denies.iter().zip(&about).filter(|(_, about)| **about);
            for (at, action) in targets.actions.iter().enumerate() {
                budget.check(1)?;
                let names = |actions: &[bool]| actions.get(at) == Some(&true);
                let denies = concerned().filter(|((_, actions), _)| names(actions));
                let denies: Vec<_> = denies.map(|((rule, _), _)| *rule).collect();
                if targets.seen.insert(denies.iter().map(|rule| rule.index).collect()) {
                    let (action, resource) = (action.clone(), resource.clone());
                    targets.found.push(Target { action, resource, denies });
                }
            }
        }
        Ok(targets.found.get(number))
    }

    /// Returns a request of this kind that no Deny refuses.
    fn unrefused<'s>(
        &'s self,
        request: &Request,
        targets: &mut Targets<'s, 'w>,
    ) -> Result<Option<Witness>, TooComplex> {
        let Some(known) = self.analysis.known(request) else { return Ok(None) };
        let mut number = 0;
        while let Some(Target { action, resource, denies }) =
            self.target(request, targets, number)?
        {
            for (example, of_caller) in &self.people {
                let Some(known) = known.and(of_caller) else { continue };
                self.analysis.budget.check(1)?;
                if let Some(found) = self.dodged(denies, example, known)? {
                    let about = (action.as_str(), resource.as_str());
                    return Ok(Some(self.witness(request, about, example, denies, &found)));
                }
            }
            number += 1;
        }
        Ok(None)
    }

    fn denies(&self) -> impl Iterator<Item = &StatementRule<'w>> {
        self.analysis.rules.iter().filter(|rule| rule.statement.effect == Effect::Deny)
    }

    /// Returns values of the condition keys with which none of these Deny statements refuses the
    /// caller.
    fn dodged(
        &self,
        denies: &[&StatementRule<'_>],
        example: &Example,
        known: KnownValues,
    ) -> Result<Option<KnownValues>, TooComplex> {
        let names = |rule: &&StatementRule<'_>| {
            caller::named(&rule.statement.principals, &example.caller) != Truth::Never
        };
        let denies: Vec<_> = denies.iter().copied().filter(names).collect();
        let later = later(&denies);
        for organization in &self.organizations {
            let Some(known) = known.and(organization) else { continue };
            if let Some(found) = dodges(&self.analysis, known, &denies, &later)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Returns resources of the question that match these patterns, the preferred one last.
    fn resources_like(&self, patterns: &[&String], request: &Request) -> Vec<String> {
        let asked = Shape::arn(&request.resource, Version::V2008);
        let account = request.account.as_deref().unwrap_or(sample::UNKNOWN_ACCOUNT);
        let mut seen = HashSet::new();
        let mut resources: Vec<_> = patterns
            .iter()
            .flat_map(|text| sample::of_pattern(text, self.place, account))
            .filter(|text| asked.holds_for(&Shape::literal(text)) == Truth::Always)
            .filter(|text| seen.insert(text.clone()))
            .take(MOST_RESOURCES)
            .collect();
        resources.reverse();
        resources
    }

    /// Makes the witness. `rules` are the statements that the request depends on.
    fn witness(
        &self,
        request: &Request,
        (action, resource): (&str, &str),
        example: &Example,
        rules: &[&StatementRule<'_>],
        known: &KnownValues,
    ) -> Witness {
        let mut condition_keys = BTreeMap::new();
        let mut absent_keys = BTreeSet::new();
        let spelling = |key: &str| spelling(&self.world.policy, request, key);
        let matter: HashSet<_> =
            rules.iter().flat_map(|rule| &rule.conditions).map(|it| it.key).collect();
        for (key, values) in self.analysis.keys.chosen(known, |key| matter.contains(&key)) {
            match values {
                Some(values) => drop(condition_keys.insert(spelling(key), values)),
                None => drop(absent_keys.insert(spelling(key))),
            }
        }
        for Variable { written, value } in self.world.variables.values() {
            let is_listed =
                condition_keys.keys().any(|key: &String| key.eq_ignore_ascii_case(written));
            if !is_listed {
                condition_keys.insert(written.clone(), vec![value.clone()]);
            }
        }
        // Keys of the question that no condition is about.
        let listed = condition_keys.keys().chain(&absent_keys);
        let listed: HashSet<_> = listed.map(|key: &String| key.to_lowercase()).collect();
        let others = request.context.iter().filter(|(key, _)| {
            let key = key.to_lowercase();
            let is_shown = key == "aws:securetransport"
                || !(key.starts_with("aws:") || key.ends_with(":resourceaccount"));
            is_shown && !listed.contains(&key)
        });
        for (key, given) in others.collect::<Vec<_>>() {
            match given.example() {
                Some(value) if given.present => {
                    condition_keys.insert(key.clone(), vec![value.to_owned()]);
                }
                _ if given.absent && !given.present => drop(absent_keys.insert(key.clone())),
                _ => {}
            }
        }
        let (action, resource) = (action.to_owned(), resource.to_owned());
        let principal = example.principal.clone();
        Witness { principal, action, resource, condition_keys, absent_keys }
    }
}

/// Returns the name of a key as the policy or the question writes it.
fn spelling(policy: &Policy, request: &Request, key: &str) -> String {
    let conditions = policy.statements.iter().flat_map(|statement| &statement.conditions);
    let asked = request.context.iter().map(|(name, _)| name);
    let mut names = conditions.map(|condition| &condition.written).chain(asked);
    names.find(|name| name.eq_ignore_ascii_case(key)).map_or_else(|| key.to_owned(), Clone::clone)
}

/// Returns the actions of the question: those it names as examples, or the one it is about.
fn actions(request: &Request) -> Vec<String> {
    let asked = Pattern::wildcard(&request.action.to_lowercase());
    let is_asked = |action: &String| asked.matches(&action.to_lowercase());
    let own = (!request.action.contains(['*', '?'])).then(|| request.action.clone());
    let such_as = request.actions.iter().map(|action| (*action).to_owned());
    such_as.filter(is_asked).chain(own).collect()
}
