//! A statement that is prepared for questions about many requests.

use super::{
    TooComplex,
    budget::Budget,
    caller,
    condition_keys::{ConditionKeys, JudgedCondition},
    known_values::KnownValues,
    shape::Shape,
    space::Space,
};
use crate::{Pattern, Policy, Selection, Statement, truth::Truth};

/// A statement with its patterns read and its conditions judged.
#[derive(Debug)]
pub(super) struct StatementRule<'p> {
    /// The index of the statement in the policy.
    pub(super) index: usize,
    pub(super) statement: &'p Statement,
    actions: Selection<Pattern>,
    resources: Selection<Shape>,
    pub(super) conditions: Vec<JudgedCondition>,
}

/// The requests of a space to which a statement applies.
#[derive(Debug)]
pub(super) enum Applies<'r> {
    /// The statement applies to no request.
    Never,
    /// The statement applies to every request.
    Always,
    /// The statement leaves some requests. Each way describes some of them.
    Leaves(Vec<Way<'r>>),
}

/// Requests to which a statement does not apply.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way<'r> {
    /// Requests of callers that the statement does not name.
    Callers,
    /// Requests for actions that the statement does not name.
    Actions,
    /// Requests on resources that the statement does not name.
    Resources,
    /// Requests for an action that the statement excepts.
    Action(&'r Pattern),
    /// Requests on a resource that the statement excepts.
    Resource(&'r Shape),
    /// Requests for which this condition fails.
    Condition(&'r JudgedCondition),
}

impl<'p> StatementRule<'p> {
    pub(super) fn new(
        index: usize,
        statement: &'p Statement,
        policy: &Policy,
        keys: &ConditionKeys<'p>,
        budget: &Budget,
    ) -> Result<Self, TooComplex> {
        let resource = |text: &String| Shape::arn(text, policy.version);
        let conditions =
            statement.conditions.iter().map(|condition| keys.judge(condition, policy, budget));
        Ok(Self {
            index,
            statement,
            actions: each(&statement.actions, |text| Pattern::wildcard(&text.to_lowercase())),
            resources: each(&statement.resources, resource),
            conditions: conditions.collect::<Result<_, _>>()?,
        })
    }

    /// Judges whether the statement is about these actions and resources, for any caller and any
    /// conditions.
    pub(super) fn covers(&self, space: &Space) -> Truth {
        let actions = selects(&self.actions, &space.actions, Pattern::holds_for);
        if actions == Truth::Never { actions } else { actions.and(self.selects_resources(space)) }
    }

    fn selects_resources(&self, space: &Space) -> Truth {
        selects(&self.resources, &space.resources, Shape::holds_for)
    }

    /// True if the statement is about all actions, or all resources, with exceptions.
    pub(super) fn excepts(&self) -> bool {
        matches!(self.actions, Selection::Except(_))
            || matches!(self.resources, Selection::Except(_))
    }

    /// True if each condition holds for some request. Each is judged alone.
    pub(super) fn may_hold(&self, known: &KnownValues) -> bool {
        self.conditions.iter().all(|condition| known.allows(condition.key, &condition.may_hold))
    }

    /// True if all conditions hold for every request.
    pub(super) fn must_hold(&self, known: &KnownValues) -> bool {
        !self.conditions.iter().any(|condition| known.allows(condition.key, &condition.may_fail))
    }

    /// Judges whether the statement applies to the requests of a space, for all callers.
    pub(super) fn applies<'r>(&'r self, space: &Space) -> Applies<'r> {
        let callers = caller::names_everyone(&self.statement.principals);
        if callers == Truth::Never || !self.may_hold(&space.known) {
            return Applies::Never;
        }
        let actions = selects(&self.actions, &space.actions, Pattern::holds_for);
        if actions == Truth::Never {
            return Applies::Never;
        }
        let resources = self.selects_resources(space);
        if resources == Truth::Never {
            return Applies::Never;
        }
        let mut ways = Vec::new();
        if callers == Truth::Maybe {
            ways.push(Way::Callers);
        }
        if actions == Truth::Maybe {
            ways.extend(left(
                &self.actions,
                &space.actions,
                Pattern::holds_for,
                Way::Actions,
                Way::Action,
            ));
        }
        if resources == Truth::Maybe {
            ways.extend(left(
                &self.resources,
                &space.resources,
                Shape::holds_for,
                Way::Resources,
                Way::Resource,
            ));
        }
        let fails =
            |condition: &&JudgedCondition| space.known.allows(condition.key, &condition.may_fail);
        ways.extend(self.conditions.iter().filter(fails).map(Way::Condition));
        if ways.is_empty() { Applies::Always } else { Applies::Leaves(ways) }
    }
}

fn each<T, U>(selection: &Selection<T>, read: impl Fn(&T) -> U) -> Selection<U> {
    let all = |named: &[T]| named.iter().map(&read).collect();
    match selection {
        Selection::Only(named) => Selection::Only(all(named)),
        Selection::Except(named) => Selection::Except(all(named)),
    }
}

/// Judges whether a selection includes the requests, which match every one of `sets`.
fn selects<T>(selection: &Selection<T>, sets: &[T], holds: fn(&T, &T) -> Truth) -> Truth {
    let one = |named: &T| within(named, sets, holds);
    let any = Truth::any(selection.named().iter().map(one));
    if matches!(selection, Selection::Only(_)) { any } else { !any }
}

fn within<T>(named: &T, sets: &[T], holds: fn(&T, &T) -> Truth) -> Truth {
    let truths = sets.iter().map(|set| holds(named, set));
    truths
        .reduce(|a, b| match (a, b) {
            (Truth::Never, _) | (_, Truth::Never) => Truth::Never,
            (a, b) => a.max(b),
        })
        .unwrap_or(Truth::Maybe)
}

/// Returns the ways that a selection leaves if it includes only some requests. For `Action`, that
/// is everything it does not name. For `NotAction`, that is each one that it names.
fn left<'r, T>(
    selection: &'r Selection<T>,
    sets: &[T],
    holds: fn(&T, &T) -> Truth,
    others: Way<'r>,
    excepted: fn(&'r T) -> Way<'r>,
) -> Vec<Way<'r>> {
    match selection {
        Selection::Only(_) => vec![others],
        Selection::Except(named) => named
            .iter()
            .filter(|&named| within(named, sets, holds) != Truth::Never)
            .map(excepted)
            .collect(),
    }
}
