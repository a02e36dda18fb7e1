//! The controls: one file each, named for what must hold.

mod encrypted_with_cmk;
mod encrypted_with_kms;
#[cfg(test)]
pub(crate) mod example;
mod key_usable;

pub(crate) use encrypted_with_cmk::ENCRYPTED_WITH_CMK;
pub(crate) use encrypted_with_kms::ENCRYPTED_WITH_KMS;
pub(crate) use key_usable::KEY_USABLE;
