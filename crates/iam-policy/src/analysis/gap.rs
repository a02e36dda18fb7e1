//! Answers which requests a policy does not refuse.

use super::{
    Analysis, Caller, Gap, Remainder, TooComplex, caller, known,
    known_values::KnownValues,
    rule::{Applies, StatementRule, Way},
    shape::Shape,
    space::Space,
    witness,
};
use crate::{Effect, Given, Pattern, Policy, Request, truth::Truth};
use std::collections::{HashMap, hash_map::Entry};

/// Answers [`crate::Policy::gaps`].
pub(super) fn gaps<'p>(
    policy: &'p Policy,
    analysis: &Analysis<'p>,
    requests: &[Request],
) -> Result<Vec<Option<Gap>>, TooComplex> {
    // Requests that the policy does not distinguish have the same answer.
    let mut spaces: HashMap<_, Space> = HashMap::new();
    let mut kinds: HashMap<_, Option<Gap>> = HashMap::new();
    let mut gaps = Vec::new();
    for request in requests {
        let Some(known) = analysis.known(request) else {
            gaps.push(None);
            continue;
        };
        let about = (request.action.as_str(), request.resource.as_str());
        let whole = spaces.entry(about).or_insert_with(|| {
            Space::new(about.0, about.1, KnownValues::default()).scoped(&analysis.rules)
        });
        gaps.push(match kinds.entry((about, known.clone())) {
            Entry::Occupied(gap) => gap.get().clone(),
            Entry::Vacant(entry) => {
                entry.insert(gap(analysis, request, Space { known, ..whole.clone() })?).clone()
            }
        });
    }
    let open: Vec<_> = requests.iter().zip(&mut gaps).filter(|(_, gap)| gap.is_some()).collect();
    let asked: Vec<_> = open.iter().map(|(request, _)| *request).collect();
    let witnesses = witness::of_gaps(policy, &analysis.rules, &asked);
    let mut doubtful = HashMap::new();
    for ((request, gap), witness) in open.into_iter().zip(witnesses) {
        let Some(found) = gap else { continue };
        found.witness = witness;
        if found.witness.is_some() {
            continue;
        }
        let kind = (&request.action, &request.resource, analysis.known(request));
        let is_left = match doubtful.entry(kind) {
            Entry::Occupied(is_left) => *is_left.get(),
            Entry::Vacant(entry) => *entry.insert(is_left_to_somebody(analysis, request)?),
        };
        if !is_left {
            *gap = None;
        }
    }
    Ok(gaps)
}

/// Returns requests that no Deny refuses for sure to all callers. Their witness is not filled in.
fn gap(
    analysis: &Analysis<'_>,
    request: &Request,
    space: Space,
) -> Result<Option<Gap>, TooComplex> {
    let denies = denies(analysis);
    let mut because = Vec::new();
    let everyone = |rule: &StatementRule<'_>| caller::names_everyone(&rule.statement.principals);
    let Some(left) = escape(analysis, &everyone, space, &denies, &mut because)? else {
        return Ok(None);
    };
    let described =
        because.into_iter().map(|(statement, way)| (statement, described(analysis, way)));
    let action = left.actions.iter().skip(1).last().map(Pattern::as_str);
    let resource = left.resources.iter().skip(1).last().and_then(Shape::written);
    Ok(Some(Gap {
        action: action.unwrap_or(&request.action).to_owned(),
        resource: resource.unwrap_or(&request.resource).to_owned(),
        because: described.collect(),
        witness: None,
    }))
}

/// Returns the Deny statements, those with exceptions first. The others are then checked against
/// just these exceptions.
fn denies<'r, 'p>(analysis: &'r Analysis<'p>) -> Vec<&'r StatementRule<'p>> {
    let is_deny = |rule: &&StatementRule<'_>| rule.statement.effect == Effect::Deny;
    let mut denies: Vec<_> = analysis.rules.iter().filter(is_deny).collect();
    denies.sort_by_key(|rule| !rule.excepts());
    denies
}

/// True if some caller has a request to which no Deny applies for sure. Several Deny statements may
/// together refuse a request to all callers, although each of them names only some.
fn is_left_to_somebody(analysis: &Analysis<'_>, request: &Request) -> Result<bool, TooComplex> {
    let Some(asked) = analysis.known(request) else { return Ok(false) };
    let denies = denies(analysis);
    let names_some = |rule: &&StatementRule<'_>| {
        caller::names_everyone(&rule.statement.principals) == Truth::Maybe
    };
    let is_about_callers =
        caller::OF_ANONYMOUS.iter().any(|(key, _)| analysis.keys.named(key).is_some());
    if !is_about_callers && !denies.iter().any(names_some) {
        return Ok(true);
    }
    let anonymous = caller::OF_ANONYMOUS
        .map(|(key, value)| (key, value.map_or_else(Given::absent, Given::text)));
    let anonymous = known(&analysis.keys, anonymous.iter().map(|(key, given)| (*key, given)));
    let anonymous = anonymous.map(|known| (&Caller::Stranger, known));
    let people = analysis.people.iter().map(|person| (&person.caller, person.known.clone()));
    for (caller, known) in people.chain(anonymous) {
        let Some(known) = asked.and(&known) else { continue };
        let names = |rule: &StatementRule<'_>| caller::named(&rule.statement.principals, caller);
        let space = Space::new(&request.action, &request.resource, known);
        if escape(analysis, &names, space, &denies, &mut Vec::new())?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns requests to which no Deny applies for sure, or `None` if there are no such requests.
/// Adds to `because` each Deny that leaves them, and the way around it. `names` judges whether a
/// statement names the callers.
fn escape<'r>(
    analysis: &Analysis<'_>,
    names: &dyn Fn(&StatementRule<'_>) -> Truth,
    mut space: Space,
    denies: &[&'r StatementRule<'_>],
    because: &mut Vec<(usize, Way<'r>)>,
) -> Result<Option<Space>, TooComplex> {
    let mut rest = denies.iter();
    while let Some(deny) = rest.next() {
        analysis.budget.check(1)?;
        let ways = match deny.applies(&space, names(deny)) {
            Applies::Never => continue,
            Applies::Always => return Ok(None),
            Applies::Leaves(ways) => ways,
        };
        // A way that narrows no key of a later Deny is as good as any other way.
        let later = rest.as_slice();
        if let Some(way) = ways.iter().find(|way| is_free(way, later)) {
            because.push((deny.index, *way));
            let _ = enter(&mut space, *way);
            continue;
        }
        for way in ways {
            let mut narrower = space.clone();
            let described = because.len();
            because.push((deny.index, way));
            if enter(&mut narrower, way)
                && let Some(found) = escape(analysis, names, narrower, later, because)?
            {
                return Ok(Some(found));
            }
            because.truncate(described);
        }
        return Ok(None);
    }
    Ok(Some(space))
}

/// True if going this way loses no request that a later Deny could leave.
fn is_free(way: &Way<'_>, later: &[&StatementRule<'_>]) -> bool {
    match way {
        Way::Callers | Way::Actions | Way::Resources => true,
        Way::Action(_) | Way::Resource(_) => later.is_empty(),
        Way::Condition(condition) => {
            !later.iter().any(|rule| rule.conditions.iter().any(|other| other.key == condition.key))
        }
    }
}

/// Keeps the requests that go this way. Returns false if there are none.
fn enter(space: &mut Space, way: Way<'_>) -> bool {
    match way {
        Way::Callers | Way::Actions | Way::Resources => {}
        Way::Action(action) => space.actions.push(action.clone()),
        Way::Resource(resource) => space.resources.push(resource.clone()),
        Way::Condition(condition) => return space.known.narrow(condition.key, &condition.may_fail),
    }
    true
}

fn described(analysis: &Analysis<'_>, way: Way<'_>) -> Remainder {
    match way {
        Way::Callers => Remainder::Callers,
        Way::Actions | Way::Action(_) => Remainder::Actions,
        Way::Resources | Way::Resource(_) => Remainder::Resources,
        Way::Condition(condition) => {
            Remainder::Condition(analysis.keys.name(condition.key).to_owned())
        }
    }
}
