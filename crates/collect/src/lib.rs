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
mod keys;
mod listing;
mod multi_region;
mod organization;
#[cfg(test)]
mod replay;
mod tags;

pub use accounts::Accounts;
pub use bucket::{Beforehand, Collected, bucket};
pub use error::CollectError;
pub use keys::Keys;
pub use listing::{Listed, Listing};
pub use multi_region::related_keys;
pub use organization::{Membership, active_accounts};
pub use tags::of_many as tags_of_many;
