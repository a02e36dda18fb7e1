//! What the functions ask of one another, and the queues it goes through.
//!
//! [`Revisit`] asks on-change to evaluate buckets, and [`ReevaluateKeyUsers`] to evaluate the buckets that use a key. [`Task`]
//! asks sweep-account to sweep an account, or some buckets of one, and [`MembershipChange`] asks on-change to ask for that. Names in a message are checked like those of any other
//! text from outside.

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
pub use sender::{Message, Queue};
pub use task::{SweepPart, Task};
