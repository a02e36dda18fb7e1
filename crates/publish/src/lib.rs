//! Findings to Security Hub, and back.
//!
//! [`SecurityHub`] is the one of an account and region. `findings` decides what is imported there; here it takes the
//! form of the [AWS Security Finding Format](https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-findings-format.html)
//! and nothing is dropped: what Security Hub does not take is tried once more alone, and then is an error.

mod asff;
mod error;
#[cfg(test)]
mod example;
mod pace;
mod queries;
mod security_hub;

pub use error::{Closed, PublishError};
pub use security_hub::SecurityHub;
