//! The two questions: what may be allowed, and is everything refused.
//!
//! Both look for a request that gets through. A set of requests goes from one Deny to the next; each leaves what it does not
//! apply to for sure, until nothing is left or no Deny is. Where something cannot be told, the request is taken to get
//! through: what is reported as allowed may be refused after all, but what is reported as refused is.

mod allowed;
mod budget;
mod caller;
mod gap;
mod keys;
mod known;
mod rule;
mod shape;
mod space;
mod values;

pub use caller::Caller;
pub(crate) use shape::Shape;

use crate::{Given, Policy, Principal, Request};
use budget::Budget;
use keys::Keys;
use known::Known;
use rule::Rule;
use serde::Serialize;

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
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
    /// Those first who stand for others.
    people: Vec<Person>,
    budget: Budget,
}

/// Somebody whom the policy tells apart, with what follows from who they are.
#[derive(Debug)]
struct Person {
    caller: Caller,
    known: Known,
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
        allowed::allowed(&Analysis::new(self, requests)?, requests)
    }

    /// Whether every such request by a caller is allowed: by an Allow that applies for sure, and with no Deny that may.
    ///
    /// # Errors
    /// [`TooComplex`], where it cannot be told in reasonable time.
    pub fn surely_allows(&self, request: &Request, caller: &Caller) -> Result<bool, TooComplex> {
        allowed::surely(&Analysis::new(self, std::slice::from_ref(request))?, request, caller)
    }

    /// For each request whether it is refused, whoever makes it; if not, a kind of such requests that is not.
    ///
    /// # Errors
    /// [`TooComplex`], where it cannot be told in reasonable time.
    pub fn gaps(&self, requests: &[Request]) -> Result<Vec<Option<Gap>>, TooComplex> {
        let analysis = Analysis::new(self, requests)?;
        requests.iter().map(|request| gap::gap(&analysis, request)).collect()
    }
}

impl<'p> Analysis<'p> {
    fn new(policy: &'p Policy, requests: &[Request]) -> Result<Self, TooComplex> {
        let budget = Budget::new();
        let callers = caller::told_apart(policy);
        let spoken_of =
            |key: &str| policy.statements.iter().any(|s| s.conditions.iter().any(|c| c.key == key));
        let contexts = caller::contexts(&callers, spoken_of);
        let of_callers = contexts.iter().flatten().map(|(key, given)| (*key, given));
        let of_requests = requests.iter().flat_map(|request| &request.context);
        let keys = Keys::of(
            policy,
            of_callers.chain(of_requests.map(|(key, given)| (key.as_str(), given))),
        );
        let rules = policy.statements.iter().enumerate();
        let rules =
            rules.map(|(index, statement)| Rule::new(index, statement, policy, &keys, &budget));
        let rules = rules.collect::<Result<_, _>>()?;
        // Whoever can have none of the values of a key is nobody.
        let person = |(caller, context): (Caller, Vec<(&str, Given)>)| {
            known(&keys, context.iter().map(|(key, given)| (*key, given)))
                .map(|known| Person { caller, known })
        };
        let people = callers.into_iter().zip(contexts).filter_map(person).collect();
        Ok(Self { keys, rules, people, budget })
    }

    /// What is known of a request; none where that contradicts itself.
    fn known(&self, request: &Request) -> Option<Known> {
        known(&self.keys, request.context.iter().map(|(key, given)| (key.as_str(), given)))
    }

    /// Who may call in the name of a principal, by their number.
    fn people_of<'a>(
        &'a self,
        principal: &'a Principal,
    ) -> impl Iterator<Item = (usize, &'a Person)> {
        let named = caller::as_caller(principal);
        let is_of = move |caller: &Caller| match (principal, caller) {
            (Principal::Anyone, _) => true,
            (Principal::Account(account), Caller::Account(_) | Caller::Identity { .. }) => {
                caller.account() == Some(account)
            }
            _ => named.as_ref() == Some(caller),
        };
        self.people.iter().enumerate().filter(move |(_, person)| is_of(&person.caller))
    }
}

/// What is known of the keys that a policy speaks of; none where that contradicts itself.
fn known<'a>(
    keys: &Keys<'_>,
    context: impl IntoIterator<Item = (&'a str, &'a Given)>,
) -> Option<Known> {
    let mut known = Known::default();
    let spoken_of = context.into_iter().filter_map(|(key, given)| Some((keys.named(key)?, given)));
    for (key, given) in spoken_of {
        if !known.narrow(key, &keys.allowed(key, given)) {
            return None;
        }
    }
    Some(known)
}
