//! Verdicts and the state before in, the new state and the findings to import out.
//!
//! The state before is an [`Item`]. cmkwatch stores it itself, because Security Hub answers late.
//! [`plan()`] compares the item with what was [`Seen`]. It returns the new item, which is to be
//! committed, and the findings that Security Hub must receive. [`repairs()`] compares the item with
//! what Security Hub holds, at a time when that is surely up to date.
//!
//! Nothing in this crate talks to AWS. The crates `publish` and `state` do that.

mod about;
mod api_call;
mod compose;
mod evidence;
pub mod fields;
mod finding;
mod fingerprint;
mod item;
mod observation;
mod plan;
mod product_fields;
mod reading;
mod repair;
mod seen;
mod slug;
pub mod spread;
mod status;
mod summary;
mod text;
mod transition;

pub use about::{About, place_prefix};
pub use api_call::ApiCall;
pub use evidence::EvidenceText;
pub use finding::{Finding, Reason, Resource, TYPE};
pub use item::{
    BucketOfKey, Change, ClassAndKey, ControlState, Item, Neighbours, StoredIn, Unannounced,
};
pub use observation::Observation;
pub use plan::{Looking, Plan, Terms, plan};
pub use product_fields::{ClassField, LevelReached, ProductFields};
pub use reading::Reading;
pub use repair::{Held, Repairs, repairs, worth_comparing};
pub use seen::Seen;
pub use slug::Slug;
pub use status::{Compliance, RecordState, Workflow};
pub use summary::Summary;
pub use text::plain;
pub use transition::{ControlTransition, Transition, transitions_in_words};
