//! Evaluates the buckets that a batch of messages is about.
//!
//! An event only names the bucket to look at. The verdict comes from what S3 and KMS answer now. An
//! event of a key or an alias causes an evaluation of all buckets that use it, by messages of up to
//! 20 buckets each. Messages about the same bucket cause one evaluation. A second look follows each
//! evaluation that an event caused.
//!
//! A message fails alone if it cannot be understood, or if its only bucket could not be evaluated.
//! It is delivered again until the queue moves it to its dead-letter queue. If a message names
//! several buckets, those that could not be evaluated get a message each.

mod account_event;
mod batch;
mod bucket_event;
mod error;
mod evaluation;
mod key_event;
mod message;
mod record;
mod subjects;
mod time;

pub use account_event::ACCOUNT_CALLS;
pub use bucket_event::BUCKET_CALLS;
pub use error::ChangeError;
pub use key_event::{KEY_CALLS, KeyChange};
pub use message::{ChangeMessage, KINDS, parse};

use queue::Queue;
use watch::Watch;

/// The function with its clients and settings, created once.
#[derive(Debug)]
pub struct OnChange {
    pub(crate) watch: Watch,
    /// The queue of sweep-account.
    pub(crate) sweep: Queue,
}
