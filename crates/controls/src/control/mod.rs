//! The controls: one file each, named for what must hold.

mod encrypted_with_cmk;
mod encrypted_with_kms;
mod key_usable;

pub(crate) use encrypted_with_cmk::ENCRYPTED_WITH_CMK;
pub(crate) use encrypted_with_kms::ENCRYPTED_WITH_KMS;
pub(crate) use key_usable::KEY_USABLE;

use crate::{Evidence, Outcome};
use facts::{Bucket, DefaultEncryption, UsedKey};

/// The KMS key of the default encryption; none where it is SSE-S3. Undetermined where that cannot be told.
fn kms_key(bucket: &Bucket) -> Result<Option<&UsedKey>, Outcome> {
    let encryption = bucket.encryption.known().map_err(Outcome::unreadable)?;
    match encryption {
        DefaultEncryption::Kms(key) | DefaultEncryption::KmsDsse(key) => Ok(Some(key)),
        DefaultEncryption::SseS3 => Ok(None),
        DefaultEncryption::Unknown(_) | DefaultEncryption::Contradictory => {
            let evidence = Evidence::new("default encryption", encryption.algorithm(), "aws:kms or aws:kms:dsse");
            Err(Outcome::not_understood(evidence))
        }
    }
}
