//! Writes findings to Security Hub, and reads them.
//!
//! [`SecurityHub`] is the Security Hub of one account and region. Findings have the form of the
//! [AWS Security Finding
//! Format](https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-findings-format.html).
//! No finding is dropped: a refused one is sent once more, alone, and if refused again is an error.
//! This crate does not decide which findings are imported. The crate `findings` does.

mod asff;
mod error;
#[cfg(test)]
mod example;
mod pace;
mod queries;
mod security_hub;

pub use error::{Closed, PublishError};
pub use security_hub::SecurityHub;
