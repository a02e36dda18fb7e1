//! The analysis of policy documents: which requests they grant and refuse, to which callers, under
//! which conditions.
//!
//! [`Policy`] reads the policy language as AWS writes it. It answers three questions about a policy
//! that is attached to a resource:
//!
//! - [`Policy::allowed`] returns the requests that the policy may allow, with their callers.
//! - [`Policy::surely_allows`] checks that the policy allows every request of a kind by one caller.
//! - [`Policy::gaps`] checks that the policy refuses every request of a kind.
//!
//! A question is about a set of requests ([`Request`]). Some properties of the set are known, and
//! the rest is open. So a statement applies to every request of a set, to no request, or perhaps to
//! some. No answer comes from searching for a text in a policy.
//!
//! The order of evaluation is that of the [evaluation
//! logic](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html).
//! An explicit Deny overrides every Allow, and a request that no statement allows is refused. The
//! crate looks at one policy only. It does not know what identity-based policies, service control
//! policies and the policies of endpoints add.
//!
//! The crate knows no bucket and no key. The crate `controls` decides which requests matter.

mod analysis;
mod document;
mod pattern;
mod request;
mod truth;
mod witness;

pub use analysis::{Caller, Gap, Grant, Remainder, TooComplex};
pub use document::{
    Comparison, Condition, Effect, LONGEST, NotAPolicy, Operator, Order, Policy, Principal,
    Quantifier, Selection, Statement, UnknownOperator, Version,
};
pub use pattern::Pattern;
pub use request::{Given, Request};
pub use witness::Witness;
