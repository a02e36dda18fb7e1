//! The messages between the functions, and their queues.
//!
//! - [`Revisit`] asks on-change to evaluate buckets.
//! - [`ReevaluateKeyUsers`] asks on-change to evaluate the buckets that use a key.
//! - [`MembershipChange`] asks on-change to queue the sweep of an account.
//! - [`Task`] asks sweep-account to sweep an account, or some of its buckets.
//!
//! Names in a message are checked like those of any other text from outside.

mod error;
mod key_users;
mod membership;
mod revisit;
mod sender;
mod task;

pub use error::QueueError;
pub use key_users::{OtherUser, ReevaluateKeyUsers};
pub use membership::MembershipChange;
pub use revisit::{Purpose, Revisit, Visit};
pub use sender::{Queue, QueueMessage};
pub use task::{SweepPart, Task};
