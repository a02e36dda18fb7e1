//! Answers which requests a policy does not refuse.

use super::{
    Analysis, Gap, Remainder, TooComplex,
    rule::{Applies, StatementRule, Way},
    shape::Shape,
    space::Space,
};
use crate::{Effect, Pattern, Request};

/// Answers [`crate::Policy::gaps`] for one request.
pub(super) fn gap(analysis: &Analysis<'_>, request: &Request) -> Result<Option<Gap>, TooComplex> {
    let Some(known) = analysis.known(request) else { return Ok(None) };
    let space = Space::new(&request.action, &request.resource, known);
    let mut denies: Vec<_> =
        analysis.rules.iter().filter(|rule| rule.statement.effect == Effect::Deny).collect();
    // Deny statements with exceptions are first. The others are then checked against just these
    // exceptions.
    denies.sort_by_key(|rule| !rule.excepts());
    let mut because = Vec::new();
    let Some(left) = escape(analysis, space, &denies, &mut because)? else { return Ok(None) };
    let described =
        because.into_iter().map(|(statement, way)| (statement, described(analysis, way)));
    let action = left.actions.iter().skip(1).last().map(Pattern::as_str);
    let resource = left.resources.iter().skip(1).last().and_then(Shape::written);
    Ok(Some(Gap {
        action: action.unwrap_or(&request.action).to_owned(),
        resource: resource.unwrap_or(&request.resource).to_owned(),
        because: described.collect(),
    }))
}

/// Returns requests to which no Deny applies for sure, or `None` if there are no such requests.
/// Adds to `because` each Deny that leaves them, and the way around it.
fn escape<'r>(
    analysis: &Analysis<'_>,
    mut space: Space,
    denies: &[&'r StatementRule<'_>],
    because: &mut Vec<(usize, Way<'r>)>,
) -> Result<Option<Space>, TooComplex> {
    let mut rest = denies.iter();
    while let Some(deny) = rest.next() {
        analysis.budget.check(1)?;
        let ways = match deny.applies(&space) {
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
                && let Some(found) = escape(analysis, narrower, later, because)?
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
