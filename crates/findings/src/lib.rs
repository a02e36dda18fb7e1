//! A verdict and the state before it in, the new state and the findings to import out.
//!
//! What was true before is an [`Item`], which cmkwatch keeps itself, as Security Hub answers late. [`plan()`] compares it with
//! what was [`Seen`]: that is the new item, to be committed, and whatever Security Hub must receive of it. [`repairs()`] compares
//! it with what Security Hub holds, once that is sure to be up to date. None talks to AWS: that is for `publish` and `state`.

mod about;
mod api_call;
mod compose;
mod evidence;
pub mod fields;
mod finding;
mod fingerprint;
mod item;
mod plan;
mod reading;
mod repair;
mod seen;
pub mod spread;
mod text;
mod transition;

pub use about::{About, place_prefix};
pub use api_call::ApiCall;
pub use evidence::EvidenceText;
pub use finding::{Compliance, Finding, Reason, RecordState, Resource, TYPE, Workflow};
pub use item::{
    BucketOfKey, Change, ControlState, Item, KeyUse, Neighbours, StoredIn, Summary, Unannounced,
};
pub use plan::{Looking, Plan, Terms, plan};
pub use reading::Reading;
pub use repair::{Held, Repairs, repairs, worth_comparing};
pub use seen::{Observation, Seen};
pub use text::plain;
pub use transition::Transition;
