//! A batch of messages in, the buckets that they are about judged again.
//!
//! An event only says which bucket to look at; what is judged is what S3 and KMS answer now. An event of a key or an alias asks
//! that the buckets which use it be judged anew, each by a message of its own, however many there are. Messages that name
//! one bucket are one evaluation. A message that cannot be understood, and each of a bucket that could not be told of, fails
//! alone and comes again until the queue moves it to its dead-letter queue.

mod batch;
mod bucket_event;
mod key_event;
mod message;

pub use batch::OnChange;
pub use bucket_event::BUCKET_CALLS;
pub use key_event::{KEY_CALLS, KeyChange};
pub use message::{Change, EventError, KINDS, Message, parse};
