//! Reads S3, KMS and tags into facts.
//!
//! An answer of AWS becomes a [`facts::Fact`]. A refusal becomes `Unreadable`. Any other failure is
//! a [`CollectError`], and the caller tries again. This crate does not judge the facts. The crate
//! `controls` does.

mod accounts;
mod bucket;
mod bucket_policy;
mod encryption;
mod error;
mod key;
mod key_administration;
mod key_cache;
mod key_grants;
mod listing;
mod multi_region;
#[cfg(test)]
mod replay;
mod tags;

pub use accounts::Accounts;
pub use bucket::{Beforehand, Collected, bucket};
pub use error::CollectError;
pub use key_cache::KeyCache;
pub use listing::{Listed, Listing};
pub use multi_region::related_keys;
pub use tags::of_many as tags_of_many;
