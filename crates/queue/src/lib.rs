//! What the functions ask of one another, and the queues it goes through.
//!
//! [`Revisit`] asks on-change to judge a bucket anew, and [`UsersOf`] to ask so for every bucket that uses a key; [`Task`] asks sweep-account to sweep an account, or some buckets of one.
//! Names in a message are checked like those of any other text from outside.

mod error;
mod revisit;
mod sender;
mod task;
mod users_of;

pub use error::QueueError;
pub use revisit::Revisit;
pub use sender::{Message, Queue};
pub use task::{Cell, Span, Task};
pub use users_of::UsersOf;
