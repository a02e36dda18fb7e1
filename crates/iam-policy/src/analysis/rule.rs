//! A statement that is prepared for questions about many requests.

use super::{
    TooComplex,
    budget::Budget,
    condition_keys::{ConditionKeys, JudgedCondition},
    known_values::KnownValues,
    shape::Shape,
    space::{Scope, Space},
};
use crate::{Pattern, Policy, Selection, Statement, truth::Truth};
use std::rc::Rc;

/// A statement with its patterns read and its conditions judged.
#[derive(Debug)]
pub(super) struct StatementRule<'p> {
    /// The index of the statement in the policy.
    pub(super) index: usize,
    pub(super) statement: &'p Statement,
    actions: Rc<Selection<Pattern>>,
    resources: Rc<Selection<Shape>>,
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
        let action = |text: &String| Pattern::wildcard(&text.to_lowercase());
        let resource = |text: &String| Shape::arn(text, policy.version);
        let judge = |condition| keys.judge(condition, statement.effect, policy, budget);
        let conditions = statement.conditions.iter().map(judge);
        Ok(Self {
            index,
            statement,
            actions: Rc::new(each(&statement.actions, action)),
            resources: Rc::new(each(&statement.resources, resource)),
            conditions: conditions.collect::<Result<_, _>>()?,
        })
    }

    /// Returns the rule of the same statement with its conditions judged for other values.
    pub(super) fn with_values(
        &self,
        policy: &Policy,
        keys: &ConditionKeys<'p>,
        budget: &Budget,
    ) -> Result<Self, TooComplex> {
        let judge = |condition| keys.judge(condition, self.statement.effect, policy, budget);
        let conditions = self.statement.conditions.iter().map(judge).collect::<Result<_, _>>()?;
        let (actions, resources) = (Rc::clone(&self.actions), Rc::clone(&self.resources));
        Ok(Self { index: self.index, statement: self.statement, actions, resources, conditions })
    }

    /// Judges whether the statement is about these actions and resources, for any caller and any
    /// conditions.
    pub(super) fn covers(&self, space: &Space) -> Truth {
        let Scope { actions, resources } = self.scope(space);
        actions.and(resources)
    }

    /// Judges the actions and the resources of a space. The resources are not looked at if the
    /// statement is about none of the actions.
    pub(super) fn scope(&self, space: &Space) -> Scope {
        let actions = selects(&self.actions, &space.actions, Pattern::holds_for);
        let resources = match actions {
            Truth::Never => Truth::Never,
            _ => selects(&self.resources, &space.resources, Shape::holds_for),
        };
        Scope { actions, resources }
    }

    /// True if the statement may be about an action.
    pub(super) fn may_name_action(&self, action: &Pattern) -> bool {
        selects(&self.actions, std::slice::from_ref(action), Pattern::holds_for) != Truth::Never
    }

    /// True if the statement may be about a resource.
    pub(super) fn may_name_resource(
        &self,
        resource: &Shape,
        budget: &Budget,
    ) -> Result<bool, TooComplex> {
        budget.compare(self.resources.named().iter().map(|it| it.effort(resource)).sum())?;
        let resource = std::slice::from_ref(resource);
        Ok(selects(&self.resources, resource, Shape::holds_for) != Truth::Never)
    }

    /// True if the statement is about all actions, or all resources, with exceptions.
    pub(super) fn excepts(&self) -> bool {
        matches!(*self.actions, Selection::Except(_))
            || matches!(*self.resources, Selection::Except(_))
    }

    /// True if each condition holds for some request. Each is judged alone.
    pub(super) fn may_hold(&self, known: &KnownValues) -> bool {
        self.conditions.iter().all(|condition| known.allows(condition.key, &condition.may_hold))
    }

    /// True if all conditions hold for every request.
    pub(super) fn must_hold(&self, known: &KnownValues) -> bool {
        !self.conditions.iter().any(|condition| known.allows(condition.key, &condition.may_fail))
    }

    /// Judges whether the statement applies to the requests of a space. `callers` is the truth of
    /// "the statement names the callers".
    pub(super) fn applies<'r>(&'r self, space: &Space, callers: Truth) -> Applies<'r> {
        if callers == Truth::Never || !self.may_hold(&space.known) {
            return Applies::Never;
        }
        let whole = space.scope(self.index);
        let (mut by_action, mut by_resource) = (Vec::new(), Vec::new());
        let actions = left(
            &self.actions,
            &space.actions,
            Pattern::holds_for,
            (Way::Actions, Way::Action),
            whole.map(|scope| scope.actions),
            &mut by_action,
        );
        if actions == Truth::Never {
            return Applies::Never;
        }
        let resources = left(
            &self.resources,
            &space.resources,
            Shape::holds_for,
            (Way::Resources, Way::Resource),
            whole.map(|scope| scope.resources),
            &mut by_resource,
        );
        if resources == Truth::Never {
            return Applies::Never;
        }
        let by_caller = (callers == Truth::Maybe).then_some(Way::Callers);
        let mut ways: Vec<_> = by_caller.into_iter().chain(by_action).chain(by_resource).collect();
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
    let mut best = Truth::Maybe;
    // The set that was added last is the narrowest, and parts from others at once.
    for set in sets.iter().rev() {
        match holds(named, set) {
            Truth::Never => return Truth::Never,
            truth => best = best.max(truth),
        }
    }
    best
}

/// Judges whether a selection includes the requests, and adds the ways that it leaves if it
/// includes only some. For `Action`, that is everything it does not name. For `NotAction`, that is
/// each one that it names. `judged` is the truth if it is known.
fn left<'r, T>(
    selection: &'r Selection<T>,
    sets: &[T],
    holds: fn(&T, &T) -> Truth,
    (others, excepted): (Way<'r>, fn(&'r T) -> Way<'r>),
    judged: Option<Truth>,
    ways: &mut Vec<Way<'r>>,
) -> Truth {
    if let Some(sure @ (Truth::Never | Truth::Always)) = judged {
        return sure;
    }
    let Selection::Except(named) = selection else {
        let truth = judged.unwrap_or_else(|| selects(selection, sets, holds));
        ways.extend((truth == Truth::Maybe).then_some(others));
        return truth;
    };
    for one in named {
        match within(one, sets, holds) {
            Truth::Never => {}
            Truth::Maybe => ways.push(excepted(one)),
            Truth::Always => return Truth::Never,
        }
    }
    if ways.is_empty() { Truth::Always } else { Truth::Maybe }
}
