//! A batch of messages in, the buckets that they are about evaluated.
//!
//! An event only names the bucket to look at; the verdict comes from what S3 and KMS answer now. An event of a key or an alias
//! has the buckets evaluated that use it, each by a message of its own, however many there are. Messages that name one bucket
//! are one evaluation, and a second look follows each that an event caused. A message that cannot be understood, and each of
//! a bucket that could not be evaluated, fails alone and comes again until the queue moves it to its dead-letter queue.

mod batch;
mod bucket_event;
mod key_event;
mod message;

pub use batch::OnChange;
pub use bucket_event::BUCKET_CALLS;
pub use key_event::{KEY_CALLS, KeyChange};
pub use message::{Change, EventError, KINDS, Message, parse};
