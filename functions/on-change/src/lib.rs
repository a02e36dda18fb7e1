//! A batch of CloudTrail events in, the buckets that they name judged again.
//!
//! An event only says which bucket to look at; what is judged is what S3 and KMS answer now. Messages that name one bucket
//! are one evaluation. A message that cannot be understood, and each of a bucket that could not be told of, fails alone and
//! comes again until the queue moves it to its dead-letter queue.

mod batch;
mod cloudtrail;
mod evaluate;

pub use batch::OnChange;
pub use cloudtrail::{CALLS, Change, EventError, Message, parse};
