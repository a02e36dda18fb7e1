//! The questions about a policy: which requests may it allow, and does it refuse every request of a
//! kind?
//!
//! [`Policy::allowed`] and [`Policy::gaps`] look for a request that gets through. A set of requests
//! goes from one Deny to the next. Each Deny leaves the requests to which it does not certainly
//! apply. The search ends when no request or no Deny is left.
//!
//! If something cannot be determined, the request is assumed to get through. So a request that is
//! reported as allowed may be refused after all. A request that is reported as refused is certainly
//! refused.
//!
//! [`Policy::surely_allows`] assumes the opposite: only an Allow that applies for sure counts, and
//! a Deny that may apply refuses.

mod allowed;
mod budget;
pub(crate) mod caller;
mod condition_keys;
mod gap;
mod key_facts;
mod known_values;
mod rule;
mod shape;
mod space;
mod values;
mod variables;
mod witness;

pub use caller::Caller;
pub(crate) use shape::Shape;

use crate::{Given, Policy, Principal, Request, Witness};
use budget::Budget;
use condition_keys::ConditionKeys;
use key_facts::OF_ACTIONS;
use known_values::KnownValues;
use rule::StatementRule;
use serde::Serialize;

/// The error for a question that the policy is too complex for. Its statements depend on each other
/// in too many ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the statements depend on each other in too many ways to be analysed")]
pub struct TooComplex;

/// A use that a policy may allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The index of the statement that allows the use.
    pub statement: usize,
    /// The principal that the statement names. `NotPrincipal` counts as [`Principal::Anyone`].
    pub principal: Principal,
    /// The caller that gets through: the principal itself, or a caller that the principal includes.
    pub caller: Caller,
    /// The index of the request in the question.
    pub request: usize,
}

/// Requests that the policy does not refuse for sure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The action. If it has wildcards, only some of its actions may be left.
    pub action: String,
    /// The resource. If it has wildcards, only some of its resources may be left.
    pub resource: String,
    /// The Deny statements that apply to a part of the requests, by index, and what each of them
    /// leaves.
    pub because: Vec<(usize, Remainder)>,
    /// A possible request of this kind, or `None` if none was found.
    pub witness: Option<Witness>,
}

/// The requests that a Deny leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remainder {
    /// Requests of callers that the Deny does not name.
    Callers,
    /// Requests for actions that the Deny does not name, or that it excepts.
    Actions,
    /// Requests on resources that the Deny does not name, or that it excepts.
    Resources,
    /// Requests for which the condition of the Deny on this key fails.
    Condition(String),
}

/// A policy that is prepared for questions.
#[derive(Debug)]
struct Analysis<'p> {
    keys: ConditionKeys<'p>,
    rules: Vec<StatementRule<'p>>,
    /// The callers. Those that represent others are first.
    people: Vec<Person>,
    budget: Budget,
}

/// A caller that the policy distinguishes, and the condition keys that follow from the caller.
#[derive(Debug)]
struct Person {
    caller: Caller,
    known: KnownValues,
}

impl Policy {
    /// Returns the requests that the policy may allow, with the callers and the statements.
    ///
    /// There is a grant for each principal of each Allow if some request of the principal gets
    /// through. A request gets through if no Deny refuses it for sure. AWS services, which act for
    /// themselves, and deleted identities are left out.
    ///
    /// If a statement names everyone, [`Caller::Stranger`] represents all callers. If strangers do
    /// not get through, the accounts and identities that do are returned.
    ///
    /// A condition on a key that the request leaves open counts as one that the caller may be able
    /// to meet.
    ///
    /// # Errors
    /// Returns [`TooComplex`] if the answer cannot be found in reasonable time.
    pub fn allowed(&self, requests: &[Request]) -> Result<Vec<Grant>, TooComplex> {
        let policy = variables::with_known(self, requests);
        allowed::allowed(&Analysis::new(&policy, requests)?, requests)
    }

    /// True if every such request by a caller is allowed: an Allow applies for sure, and no Deny
    /// may apply. False if the policy does not distinguish the caller from others, or if no such
    /// request exists.
    ///
    /// # Errors
    /// Returns [`TooComplex`] if the answer cannot be found in reasonable time.
    pub fn surely_allows(&self, request: &Request, caller: &Caller) -> Result<bool, TooComplex> {
        let requests = std::slice::from_ref(request);
        let policy = variables::with_known(self, requests);
        allowed::surely(&Analysis::new(&policy, requests)?, request, caller)
    }

    /// True if a caller that gets `granted` through an Allow may make the other request under the
    /// same conditions. The Allow names the caller and is about both. Each Deny that may refuse the
    /// other request refuses `granted` as well. Only conditions on keys that every request has
    /// (`aws:...`, `kms:CallerAccount`, `kms:ViaService`) count as the same.
    ///
    /// # Errors
    /// Returns [`TooComplex`] if the answer cannot be found in reasonable time.
    pub fn allows_alike(
        &self,
        statement: usize,
        granted: &Request,
        other: &Request,
        caller: &Caller,
    ) -> Result<bool, TooComplex> {
        let requests = [granted.clone(), other.clone()];
        let policy = variables::with_known(self, &requests);
        let analysis = Analysis::new(&policy, &requests)?;
        allowed::alike(&analysis, statement, granted, other, caller)
    }

    /// Returns for each group of grants a request that gets through by one of them, or `None` if
    /// none was found. The grants are those that [`Policy::allowed`] returned for `requests`.
    #[must_use]
    pub fn witnesses(&self, requests: &[Request], groups: &[Vec<&Grant>]) -> Vec<Option<Witness>> {
        witness::of_grants(&variables::with_known(self, requests), requests, groups)
    }

    /// Returns for each request `None` if it is refused for all callers, or else a kind of such
    /// requests that is not refused.
    ///
    /// # Errors
    /// Returns [`TooComplex`] if the answer cannot be found in reasonable time.
    pub fn gaps(&self, requests: &[Request]) -> Result<Vec<Option<Gap>>, TooComplex> {
        let policy = variables::with_known(self, requests);
        let analysis = Analysis::new(&policy, requests)?;
        gap::gaps(&policy, &analysis, requests)
    }
}

impl<'p> Analysis<'p> {
    fn new(policy: &'p Policy, requests: &[Request]) -> Result<Self, TooComplex> {
        let budget = Budget::new();
        let callers = caller::distinguished(policy);
        // Only calls of KMS have the keys of KMS.
        let is_of_kms = requests.iter().any(|it| !it.action.to_lowercase().starts_with("s3:"));
        let spoken_of = |key: &str| {
            let mut conditions = policy.statements.iter().flat_map(|it| &it.conditions);
            (is_of_kms || !key.starts_with("kms:")) && conditions.any(|it| it.key == key)
        };
        let contexts = caller::contexts(&callers, spoken_of);
        let of_callers = contexts.iter().flatten().map(|(key, given)| (*key, given));
        let of_requests = requests.iter().flat_map(|request| &request.context);
        let of_requests: Vec<_> =
            of_requests.map(|(key, given)| (key.to_lowercase(), given)).collect();
        let of_requests = of_requests.iter().map(|(key, given)| (key.as_str(), *given));
        let keys = ConditionKeys::of(policy, of_callers.chain(of_requests));
        let rules = policy.statements.iter().enumerate();
        let rules = rules
            .map(|(index, statement)| StatementRule::new(index, statement, policy, &keys, &budget));
        let rules = rules.collect::<Result<_, _>>()?;
        // A caller for which a key can have no value does not exist.
        let person = |(caller, context): (Caller, Vec<(&str, Given)>)| {
            known(&keys, context.iter().map(|(key, given)| (*key, given)))
                .map(|known| Person { caller, known })
        };
        let people = callers.into_iter().zip(contexts).filter_map(person).collect();
        Ok(Self { keys, rules, people, budget })
    }

    /// Returns what is known of a request's keys, or `None` if it contradicts itself.
    fn known(&self, request: &Request) -> Option<KnownValues> {
        let context = request.context.iter().map(|(key, given)| (key.to_lowercase(), given));
        let context: Vec<_> = context.collect();
        let (action, absent) = (request.action.to_lowercase(), Given::absent());
        let lacks = |(_, actions): &&(&str, &[&str])| {
            !action.contains(['*', '?']) && !actions.contains(&action.as_str())
        };
        let lacking = OF_ACTIONS.iter().filter(lacks).map(|(key, _)| (*key, &absent));
        let context = context.iter().map(|(key, given)| (key.as_str(), *given));
        known(&self.keys, context.chain(lacking))
    }

    /// Returns the callers that a principal includes, with their index in `people`.
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

/// Returns what is known of the keys in the policy's conditions, or `None` if it contradicts
/// itself.
fn known<'a>(
    keys: &ConditionKeys<'_>,
    context: impl IntoIterator<Item = (&'a str, &'a Given)>,
) -> Option<KnownValues> {
    let mut known = KnownValues::default();
    let spoken_of = context.into_iter().filter_map(|(key, given)| Some((keys.named(key)?, given)));
    for (key, given) in spoken_of {
        if !known.narrow(key, &keys.allowed(key, given)) {
            return None;
        }
    }
    Some(known)
}
