//! What a policy document grants and refuses, to whom, under which conditions.
//!
//! [`Policy`] reads the language as AWS writes it. A policy that is attached to a resource is then asked two questions:
//! [`Policy::allowed`] finds what it may allow, and to whom; [`Policy::gaps`] finds whether it refuses every request of a
//! kind. Both are about sets of requests ([`Request`]) of which some things are known and the rest is open, so each
//! statement applies to all of them, to none, or perhaps. Nothing is ever decided by looking for a text in a policy.
//!
//! The order is that of the
//! [evaluation logic](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html): an explicit
//! Deny overrides every Allow, and what nothing allows is refused. Only the one policy is looked at; what identity-based
//! policies, service control policies and endpoints say besides is not known here.
//!
//! This crate knows no bucket and no key: which requests matter is for `controls` to say.

mod analysis;
mod document;
mod pattern;
mod request;
mod truth;

pub use analysis::{Caller, Gap, Grant, Left, TooComplex};
pub use document::{
    Comparison, Condition, Effect, LONGEST, NotAPolicy, Operator, Order, Policy, Principal,
    Quantifier, Selection, Statement, UnknownOperator, Version,
};
pub use pattern::Pattern;
pub use request::{Given, Request};
