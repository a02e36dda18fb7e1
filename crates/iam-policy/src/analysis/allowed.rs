//! Answers which requests a policy may allow to which callers, and which requests it allows for
//! sure.

use super::{
    Analysis, Grant, Person, TooComplex,
    caller::{self, Caller},
    known_values::KnownValues,
    rule::StatementRule,
    space::Space,
};
use crate::{Effect, Principal, Request, Selection, truth::Truth};
use fixedbitset::FixedBitSet;
use std::collections::{HashMap, hash_map::Entry};

/// Requests that the policy does not distinguish: the rules that are about them, by index, and the
/// known keys.
type Kind = (Vec<(usize, Truth)>, KnownValues);

/// The cost of trying one of several ways around a Deny, in checks.
const BRANCH: usize = 25;

/// The requests that the Deny statements leave to a caller.
enum Open<'r, 'p> {
    /// No request is left.
    Nothing,
    /// The known keys of the requests, and the Deny statements that refuse some of them by
    /// conditions.
    Unless(KnownValues, Vec<&'r StatementRule<'p>>),
}

/// The callers that an Allow may let through: the principal that names each, and the caller's index
/// in `people`.
type Candidates<'a> = Vec<(&'a Principal, usize)>;

/// Answers [`crate::Policy::allowed`].
pub(super) fn allowed(
    analysis: &Analysis<'_>,
    requests: &[Request],
) -> Result<Vec<Grant>, TooComplex> {
    let mut kinds: HashMap<Kind, Vec<usize>> = HashMap::new();
    let mut concerned = HashMap::new();
    for (number, request) in requests.iter().enumerate() {
        // A request with contradictory keys does not exist.
        let Some(known) = analysis.known(request) else { continue };
        let about = (&request.action, &request.resource);
        let concerned = match concerned.get(&about) {
            Some(concerned) => concerned,
            None => concerned.entry(about).or_insert(concern(analysis, request)?),
        };
        kinds.entry((concerned.clone(), known)).or_default().push(number);
    }
    let candidates = analysis
        .rules
        .iter()
        .map(|rule| candidates(analysis, rule))
        .collect::<Result<Vec<_>, _>>()?;
    let mut grants = Vec::new();
    for ((concerned, known), numbers) in kinds {
        for (statement, principal, caller) in admitted(analysis, &candidates, &concerned, &known)? {
            let grant = |request| Grant {
                statement,
                principal: principal.clone(),
                caller: caller.clone(),
                request,
            };
            grants.extend(numbers.iter().copied().map(grant));
        }
    }
    grants.sort_by_key(|grant| (grant.request, grant.statement));
    Ok(grants)
}

/// Answers [`crate::Policy::surely_allows`].
pub(super) fn surely(
    analysis: &Analysis<'_>,
    request: &Request,
    caller: &Caller,
) -> Result<bool, TooComplex> {
    let Some(person) = analysis.people.iter().find(|person| person.caller == *caller) else {
        return Ok(false);
    };
    let Some(known) = analysis.known(request).and_then(|known| known.and(&person.known)) else {
        return Ok(false);
    };
    let mut allowed = false;
    for (index, truth) in concern(analysis, request)? {
        let Some(rule) = analysis.rules.get(index) else { continue };
        let principals = &rule.statement.principals;
        let is_enough = || truth == Truth::Always && caller::is_enough(principals, caller);
        match rule.statement.effect {
            Effect::Deny
                if caller::named(principals, caller) != Truth::Never && rule.may_hold(&known) =>
            {
                return Ok(false);
            }
            Effect::Allow if is_enough() && rule.must_hold(&known) => allowed = true,
            Effect::Allow | Effect::Deny => {}
        }
    }
    Ok(allowed)
}

/// Answers [`crate::Policy::allows_alike`].
pub(super) fn alike(
    analysis: &Analysis<'_>,
    statement: usize,
    granted: &Request,
    other: &Request,
    caller: &Caller,
) -> Result<bool, TooComplex> {
    let about_granted: HashMap<_, _> = concern(analysis, granted)?.into_iter().collect();
    let is_same = |rule: &StatementRule<'_>| {
        let is_shared = |key: &str| {
            key.starts_with("aws:") || ["kms:calleraccount", "kms:viaservice"].contains(&key)
        };
        about_granted.get(&rule.index) == Some(&Truth::Always)
            && rule.statement.conditions.iter().all(|condition| is_shared(&condition.key))
    };
    let mut allowed = false;
    for (index, truth) in concern(analysis, other)? {
        let Some(rule) = analysis.rules.get(index) else { continue };
        let principals = &rule.statement.principals;
        match rule.statement.effect {
            Effect::Deny if caller::named(principals, caller) != Truth::Never && !is_same(rule) => {
                return Ok(false);
            }
            Effect::Allow => {
                allowed |= index == statement
                    && truth == Truth::Always
                    && is_same(rule)
                    && caller::is_enough(principals, caller);
            }
            Effect::Deny => {}
        }
    }
    Ok(allowed)
}

/// Returns the callers that an Allow names and for which its conditions may hold. A Deny has no
/// candidates.
fn candidates<'a>(
    analysis: &'a Analysis<'_>,
    rule: &StatementRule<'a>,
) -> Result<Candidates<'a>, TooComplex> {
    let mut candidates = Vec::new();
    if rule.statement.effect == Effect::Allow {
        for principal in everyone_or(&rule.statement.principals) {
            for (number, person) in analysis.people_of(principal) {
                analysis.budget.check(1)?;
                let named =
                    caller::named(&rule.statement.principals, &person.caller) != Truth::Never;
                if named && rule.may_hold(&person.known) {
                    candidates.push((principal, number));
                }
            }
        }
    }
    Ok(candidates)
}

/// Returns the rules that are about the action and resource of a request, for any caller.
fn concern(analysis: &Analysis<'_>, request: &Request) -> Result<Vec<(usize, Truth)>, TooComplex> {
    analysis.budget.check(analysis.rules.len())?;
    let space = Space::new(&request.action, &request.resource, KnownValues::default());
    let rules = analysis.rules.iter().map(|rule| (rule.index, rule.covers(&space)));
    Ok(rules.filter(|(_, truth)| *truth != Truth::Never).collect())
}

/// Returns the callers that the rules let through, by statement and by the principal that names
/// them.
fn admitted(
    analysis: &Analysis<'_>,
    candidates: &[Candidates<'_>],
    concerned: &[(usize, Truth)],
    known: &KnownValues,
) -> Result<Vec<(usize, Principal, Caller)>, TooComplex> {
    let rules =
        concerned.iter().filter_map(|(index, truth)| Some((analysis.rules.get(*index)?, *truth)));
    // A Deny that may not be about all of the requests leaves the others.
    let denies = rules
        .clone()
        .filter(|(rule, truth)| rule.statement.effect == Effect::Deny && *truth == Truth::Always);
    let denies: Vec<_> = denies.map(|(rule, _)| rule).collect();
    let mut left: HashMap<usize, Open<'_, '_>> = HashMap::new();
    let mut admitted: Vec<(usize, Principal, Caller)> = Vec::new();
    for (allow, _) in rules.filter(|(rule, _)| rule.statement.effect == Effect::Allow) {
        for &(principal, number) in candidates.get(allow.index).into_iter().flatten() {
            let Some(person) = analysis.people.get(number) else { continue };
            analysis.budget.check(1)?;
            let same =
                admitted.iter().rev().take_while(|(statement, ..)| *statement == allow.index);
            if same
                .filter(|(_, other, _)| other == principal)
                .any(|(_, _, other)| includes_caller(other, &person.caller))
            {
                continue;
            }
            let left = match left.entry(number) {
                Entry::Occupied(left) => left.into_mut(),
                Entry::Vacant(left) => left.insert(left_to(analysis, person, known, &denies)?),
            };
            if let Open::Unless(known, denies) = left
                && gets_through(analysis, allow, known, denies)?
            {
                admitted.push((allow.index, principal.clone(), person.caller.clone()));
            }
        }
    }
    Ok(admitted)
}

/// Returns the principals of a statement. `NotPrincipal` counts as everyone: [`candidates`] checks
/// the exceptions.
fn everyone_or(principals: &Selection<Principal>) -> &[Principal] {
    match principals {
        Selection::Only(named) if named.contains(&Principal::Anyone) => &[Principal::Anyone],
        Selection::Only(named) => named,
        Selection::Except(_) => &[Principal::Anyone],
    }
}

/// True if a caller that gets through represents the other caller as well.
fn includes_caller(through: &Caller, other: &Caller) -> bool {
    match through {
        Caller::Stranger => true,
        Caller::Account(account) => other.account() == Some(account),
        _ => through == other,
    }
}

fn left_to<'r, 'p>(
    analysis: &Analysis<'p>,
    person: &Person,
    known: &KnownValues,
    denies: &[&'r StatementRule<'p>],
) -> Result<Open<'r, 'p>, TooComplex> {
    let Some(known) = known.and(&person.known) else { return Ok(Open::Nothing) };
    let mut open = Vec::new();
    for deny in denies {
        analysis.budget.check(1 + deny.statement.principals.named().len() / 4)?;
        let names = caller::named(&deny.statement.principals, &person.caller);
        if names != Truth::Always || !deny.may_hold(&known) {
            continue;
        }
        if deny.must_hold(&known) {
            return Ok(Open::Nothing);
        }
        open.push(*deny);
    }
    Ok(Open::Unless(known, open))
}

/// True if an Allow may apply to some request that no Deny refuses for sure.
fn gets_through(
    analysis: &Analysis<'_>,
    allow: &StatementRule<'_>,
    known: &KnownValues,
    denies: &[&StatementRule<'_>],
) -> Result<bool, TooComplex> {
    if !allow.may_hold(known) {
        return Ok(false);
    }
    let mut known = known.clone();
    let possible =
        allow.conditions.iter().all(|condition| known.narrow(condition.key, &condition.may_hold));
    Ok(possible && dodges(analysis, known, denies, &later(denies))?.is_some())
}

/// Returns for each Deny the keys in the conditions of later Deny statements.
pub(super) fn later(denies: &[&StatementRule<'_>]) -> Vec<FixedBitSet> {
    let mut seen = FixedBitSet::new();
    let mut all: Vec<_> = denies
        .iter()
        .rev()
        .map(|deny| {
            let before = seen.clone();
            for condition in &deny.conditions {
                seen.grow_and_insert(condition.key);
            }
            before
        })
        .collect();
    all.reverse();
    all
}

/// Returns requests that make a condition of each Deny fail, or `None` if there are none.
pub(super) fn dodges(
    analysis: &Analysis<'_>,
    mut known: KnownValues,
    denies: &[&StatementRule<'_>],
    later: &[FixedBitSet],
) -> Result<Option<KnownValues>, TooComplex> {
    for (at, deny) in denies.iter().enumerate() {
        analysis.budget.check(1)?;
        if !deny.may_hold(&known) {
            continue;
        }
        let fails = deny
            .conditions
            .iter()
            .filter(|condition| known.allows(condition.key, &condition.may_fail));
        let ways: Vec<_> = fails.collect();
        // A way that narrows no key of a later Deny is as good as any other way.
        let is_looked_at = |key: usize| later.get(at).is_some_and(|later| later.contains(key));
        if let Some(way) = ways.iter().find(|way| !is_looked_at(way.key)) {
            let _ = known.narrow(way.key, &way.may_fail);
            continue;
        }
        let (denies, later) =
            (denies.get(at + 1..).unwrap_or_default(), later.get(at + 1..).unwrap_or_default());
        for way in ways {
            analysis.budget.check(BRANCH)?;
            let mut narrower = known.clone();
            if narrower.narrow(way.key, &way.may_fail)
                && let Some(left) = dodges(analysis, narrower, denies, later)?
            {
                return Ok(Some(left));
            }
        }
        return Ok(None);
    }
    Ok(Some(known))
}
