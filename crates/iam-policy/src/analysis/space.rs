//! The set of requests that a question still has to decide.

use super::{known_values::KnownValues, rule::StatementRule, shape::Shape};
use crate::{Pattern, Version, truth::Truth};
use std::rc::Rc;

/// A set of requests, described by what they all have in common.
#[derive(Debug, Clone)]
pub(super) struct Space {
    /// Patterns in small letters, all of which the action matches.
    pub(super) actions: Vec<Pattern>,
    /// Sets that all contain the resource.
    pub(super) resources: Vec<Shape>,
    /// The possible values of the condition keys.
    pub(super) known: KnownValues,
    /// The scopes of the statements, by index. They hold as long as `actions` and `resources` are
    /// those of the question.
    pub(super) scopes: Rc<[Scope]>,
}

/// The truth of "the statement is about the actions", and of "it is about the resources".
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    pub(super) actions: Truth,
    pub(super) resources: Truth,
}

impl Space {
    /// Creates the set of all requests for an action on a resource.
    pub(super) fn new(action: &str, resource: &str, known: KnownValues) -> Self {
        Self {
            actions: vec![Pattern::wildcard(&action.to_lowercase())],
            resources: vec![Shape::arn(resource, Version::V2008)],
            known,
            scopes: Rc::new([]),
        }
    }

    /// Judges once what each statement is about.
    pub(super) fn scoped(mut self, rules: &[StatementRule<'_>]) -> Self {
        self.scopes = rules.iter().map(|rule| rule.scope(&self)).collect();
        self
    }

    /// Returns what a statement is about, if it was judged.
    pub(super) fn scope(&self, rule: usize) -> Option<Scope> {
        let is_whole = self.actions.len() == 1 && self.resources.len() == 1;
        self.scopes.get(rule).filter(|_| is_whole).copied()
    }
}
