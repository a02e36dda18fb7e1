//! A batch of messages in, the buckets that they are about evaluated.
//!
//! An event only names the bucket to look at; the verdict comes from what S3 and KMS answer now. An event of a key or an alias
//! has the buckets evaluated that use it, however many there are, by messages of 20 buckets each. Messages that name one bucket
//! are one evaluation, and a second look follows each that an event caused. A message that cannot be understood, or whose only
//! bucket could not be evaluated, fails alone and comes again until the queue moves it to its dead-letter queue. If a message
//! names several buckets, those that could not be evaluated get a message each.

mod account_event;
mod batch;
mod bucket_event;
mod evaluation;
mod key_event;
mod message;
mod record;

pub use account_event::ACCOUNT_CALLS;
pub use batch::OnChange;
pub use bucket_event::BUCKET_CALLS;
pub use key_event::{KEY_CALLS, KeyChange};
pub use message::{EventError, KINDS, Message, parse};
