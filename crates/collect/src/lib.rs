//! Reads S3 and KMS into facts.
//!
//! What AWS answers becomes a [`facts::Fact`]; what it refuses becomes `Unreadable`; what did not get through at all is a
//! [`CollectError`], to be tried again. Nothing here says whether what was read is good.

mod accounts;
mod bucket;
mod bucket_policy;
mod encryption;
mod error;
mod governance;
mod key;
#[cfg(test)]
mod replay;
mod tags;

pub use accounts::Accounts;
pub use bucket::{Collected, bucket};
pub use error::CollectError;
