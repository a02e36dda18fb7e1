//! The two questions: what may be allowed, and is everything refused.
//!
//! Both look for a request that gets through. A set of requests goes from one Deny to the next; each leaves what it does not
//! apply to for sure, until nothing is left or no Deny is. Where something cannot be told, the request is taken to get
//! through: what is reported as allowed may be refused after all, but what is reported as refused is.

mod caller;
mod keys;
mod rule;
mod shape;
mod space;
mod values;

pub use caller::Caller;

use crate::{Effect, Policy, Principal, Request, Selection, truth::Truth};
use keys::Keys;
use rule::{Applies, Rule, Way};
use shape::Shape;
use space::Space;
use std::{cell::Cell, collections::BTreeSet};

/// How many times a statement may be held against a set of requests before a question is given up; policies that people
/// write need some thousands.
const MOST_STEPS: usize = 400_000;

/// A question that the policy is too involved for: its statements depend on each other in too many ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the statements depend on each other in more ways than can be followed")]
pub struct TooComplex;

/// A use that a policy may allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The statement that allows it, by its index.
    pub statement: usize,
    /// Whom the statement names.
    pub principal: Principal,
    /// Who it is that gets through, where the statement names everyone.
    pub caller: Caller,
    /// The request, by its index in the question.
    pub request: usize,
}

/// Requests that are not refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Their action; with wildcards, some of them.
    pub action: String,
    /// Their resource; with wildcards, some of them.
    pub resource: String,
    /// The statements that come close, by their index, and what each of them leaves.
    pub because: Vec<(usize, Left)>,
}

/// What a Deny leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// Callers whom it does not name.
    Callers,
    /// Actions that it does not name, or excepts.
    Actions,
    /// Resources that it does not name, or excepts.
    Resources,
    /// Requests for which its condition on this key fails.
    Condition(String),
}

/// A policy made ready to be asked.
#[derive(Debug)]
struct Analysis<'p> {
    keys: Keys<'p>,
    rules: Vec<Rule<'p>>,
    accounts: BTreeSet<String>,
    callers: BTreeSet<Caller>,
    steps: Cell<usize>,
}

impl Policy {
    /// Which of the requests the policy may allow, to whom, and by which statement: for each principal of each Allow that
    /// some request gets through for, no Deny refusing it for sure. AWS services, which act for themselves, and identities
    /// that were deleted are left out. Of a statement that names everyone, strangers stand for all; where they do not get
    /// through, the accounts and identities that do are told.
    ///
    /// A condition on a key that the request leaves open is one that the caller may be able to meet.
    ///
    /// # Errors
    /// [`TooComplex`], where it cannot be told in reasonable time.
    pub fn allowed(&self, requests: &[Request]) -> Result<Vec<Grant>, TooComplex> {
        let analysis = Analysis::new(self, requests);
        let mut grants = Vec::new();
        for (number, request) in requests.iter().enumerate() {
            let Some(space) = analysis.space(request) else { continue };
            let concerned = |effect| {
                let of = analysis.rules.iter().filter(move |rule| rule.statement.effect == effect);
                of.filter(|rule| rule.concerns(&space)).collect::<Vec<_>>()
            };
            let denies = concerned(Effect::Deny);
            for rule in concerned(Effect::Allow) {
                for (principal, caller) in analysis.admitted(rule, &space, &denies)? {
                    grants.push(Grant { statement: rule.index, principal, caller, request: number });
                }
            }
        }
        Ok(grants)
    }

    /// Whether every such request is refused, whoever makes it; if not, one kind that is not.
    ///
    /// # Errors
    /// [`TooComplex`], where it cannot be told in reasonable time.
    pub fn gap(&self, request: &Request) -> Result<Option<Gap>, TooComplex> {
        let analysis = Analysis::new(self, std::slice::from_ref(request));
        let Some(space) = analysis.space(request) else { return Ok(None) };
        let denies: Vec<_> = analysis.rules.iter().filter(|rule| rule.statement.effect == Effect::Deny).collect();
        let mut because = Vec::new();
        let Some(left) = analysis.escape(space, None, &denies, &mut because)? else { return Ok(None) };
        let action = left.actions.last().map_or(request.action.as_str(), |action| action.as_str());
        Ok(Some(Gap {
            action: if left.actions.len() > 1 { action.to_owned() } else { request.action.clone() },
            resource: left
                .resources
                .iter()
                .skip(1)
                .last()
                .and_then(Shape::written)
                .unwrap_or(&request.resource)
                .to_owned(),
            because: because.into_iter().map(|(statement, way)| (statement, analysis.told(way))).collect(),
        }))
    }
}

impl<'p> Analysis<'p> {
    fn new(policy: &'p Policy, requests: &[Request]) -> Self {
        let (accounts, callers) = caller::told_apart(policy);
        let contexts: Vec<_> = callers.iter().flat_map(|caller| caller::context(caller, &accounts)).collect();
        let of_callers = contexts.iter().map(|(key, given)| (*key, given));
        let of_requests =
            requests.iter().flat_map(|request| &request.context).map(|(key, given)| (key.as_str(), given));
        let keys = Keys::of(policy, of_callers.chain(of_requests));
        let rules = policy.statements.iter().enumerate();
        let rules = rules.map(|(index, statement)| Rule::new(index, statement, policy, &keys)).collect();
        Self { keys, rules, accounts, callers, steps: Cell::new(0) }
    }

    /// The requests in question; none where what is known of them contradicts itself.
    fn space(&self, request: &Request) -> Option<Space> {
        let mut space = Space::new(&request.action, &request.resource);
        let known = request.context.iter().map(|(key, given)| (key.as_str(), given));
        self.narrowed(&mut space, known).then_some(space)
    }

    fn narrowed<'a>(&self, space: &mut Space, known: impl IntoIterator<Item = (&'a str, &'a crate::Given)>) -> bool {
        known.into_iter().all(|(key, given)| match self.keys.named(key) {
            Some(number) => space.narrow(number, &self.keys.allowed(number, given)),
            None => true,
        })
    }

    /// Whom an Allow lets through, by the principal that names them.
    fn admitted(
        &self,
        rule: &Rule<'p>,
        space: &Space,
        denies: &[&Rule<'p>],
    ) -> Result<Vec<(Principal, Caller)>, TooComplex> {
        let mut admitted = Vec::new();
        for principal in everyone_or(&rule.statement.principals) {
            let known = admitted.len();
            for caller in self.callers_of(principal) {
                let told = admitted.iter().skip(known).any(|(_, other)| stands_for(other, caller));
                if !told && self.gets_through(rule, caller, space, denies)? {
                    admitted.push((principal.clone(), caller.clone()));
                }
            }
        }
        Ok(admitted)
    }

    /// Who may call in the name of a principal, those first who stand for others.
    fn callers_of<'a>(&'a self, principal: &'a Principal) -> impl Iterator<Item = &'a Caller> {
        let named = caller::as_caller(principal);
        let of_account = move |caller: &Caller| match (principal, caller) {
            (Principal::Anyone, _) => true,
            (Principal::Account(account), Caller::Account(_) | Caller::Identity { .. }) => {
                caller.account() == Some(account)
            }
            _ => named.as_ref() == Some(caller),
        };
        self.callers.iter().filter(move |caller| of_account(caller))
    }

    /// Whether some request of a caller is allowed by a rule and refused by none for sure.
    fn gets_through(
        &self,
        rule: &Rule<'p>,
        caller: &Caller,
        space: &Space,
        denies: &[&Rule<'p>],
    ) -> Result<bool, TooComplex> {
        self.step()?;
        if caller::named(&rule.statement.principals, Some(caller)) == Truth::Never {
            return Ok(false);
        }
        let mut space = space.clone();
        let known = caller::context(caller, &self.accounts);
        let is_possible = self.narrowed(&mut space, known.iter().map(|(key, given)| (*key, given)))
            && rule.conditions.iter().all(|condition| space.narrow(condition.key, &condition.may_hold));
        if !is_possible {
            return Ok(false);
        }
        Ok(self.escape(space, Some(caller), denies, &mut Vec::new())?.is_some())
    }

    /// Requests that none of the denies applies to for sure; none where there are no such.
    fn escape<'r>(
        &self,
        mut space: Space,
        caller: Option<&Caller>,
        denies: &[&'r Rule<'p>],
        because: &mut Vec<(usize, Way<'r>)>,
    ) -> Result<Option<Space>, TooComplex> {
        let mut rest = denies.iter();
        while let Some(deny) = rest.next() {
            self.step()?;
            let ways = match deny.applies(&space, caller) {
                Applies::Never => continue,
                Applies::Always => return Ok(None),
                Applies::Leaves(ways) => ways,
            };
            // What narrows nothing that a later Deny looks at is as good as any other way.
            let later = rest.as_slice();
            if let Some(way) = ways.iter().find(|way| is_free(way, later)) {
                because.push((deny.index, *way));
                let _ = enter(&mut space, *way);
                continue;
            }
            for way in ways {
                let mut narrower = space.clone();
                let told = because.len();
                because.push((deny.index, way));
                if enter(&mut narrower, way)
                    && let Some(found) = self.escape(narrower, caller, later, because)?
                {
                    return Ok(Some(found));
                }
                because.truncate(told);
            }
            return Ok(None);
        }
        Ok(Some(space))
    }

    fn step(&self) -> Result<(), TooComplex> {
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > MOST_STEPS { Err(TooComplex) } else { Ok(()) }
    }

    fn told(&self, way: Way<'_>) -> Left {
        match way {
            Way::Callers => Left::Callers,
            Way::Actions | Way::Action(_) => Left::Actions,
            Way::Resources | Way::Resource(_) => Left::Resources,
            Way::Condition(condition) => Left::Condition(self.keys.name(condition.key).to_owned()),
        }
    }
}

/// The principals of a statement; `NotPrincipal` names everyone, so far.
fn everyone_or(principals: &Selection<Principal>) -> &[Principal] {
    match principals {
        Selection::Only(named) if named.contains(&Principal::Anyone) => &[Principal::Anyone],
        Selection::Only(named) => named,
        Selection::Except(_) => &[Principal::Anyone],
    }
}

/// Whether who gets through says of another that he does.
fn stands_for(through: &Caller, other: &Caller) -> bool {
    match through {
        Caller::Stranger => true,
        Caller::Account(account) => other.account() == Some(account),
        _ => through == other,
    }
}

/// Whether what goes this way loses nothing that a later Deny could leave.
fn is_free(way: &Way<'_>, later: &[&Rule<'_>]) -> bool {
    match way {
        Way::Callers | Way::Actions | Way::Resources => true,
        Way::Action(_) | Way::Resource(_) => later.is_empty(),
        Way::Condition(condition) => {
            !later.iter().any(|rule| rule.conditions.iter().any(|other| other.key == condition.key))
        }
    }
}

/// Keeps the requests that go this way; false where there are none.
fn enter(space: &mut Space, way: Way<'_>) -> bool {
    match way {
        Way::Callers | Way::Actions | Way::Resources => {}
        Way::Action(action) => space.actions.push(action.clone()),
        Way::Resource(resource) => space.resources.push(resource.clone()),
        Way::Condition(condition) => return space.narrow(condition.key, &condition.may_fail),
    }
    true
}
