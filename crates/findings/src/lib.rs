//! A verdict and the finding before it in, the finding to import out.
//!
//! Security Hub is the only state: what was true before is the finding that stands, read back by its deterministic id.
//! [`plan()`] compares it with what was judged now and says what must be imported and which workflow
//! statuses must be set; [`plan_gone`] does so for a bucket that is no more, and [`plan_again`] once a plan was carried out. None talks to AWS: that is for `publish`.

mod about;
mod api_call;
mod compose;
mod digest;
pub mod fields;
mod finding;
mod history;
mod key_use;
mod plan;
mod text;
mod transition;

pub use about::{About, place_prefix};
pub use api_call::ApiCall;
pub use finding::{Compliance, Finding, Reason, RecordState, Resource, TYPE, Workflow};
pub use key_use::{KeyUse, key_uses};
pub use plan::{Observation, Plan, after, latest, plan, plan_account, plan_again, plan_gone};
pub use text::plain;
pub use transition::Transition;
