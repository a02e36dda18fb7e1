//! A KMS key, as far as the controls ask about it.

use crate::{Fact, KeyArn, KeyReference, PolicyDocument};
use jiff::Timestamp;

/// The key of a bucket's default encryption: what the bucket calls it, and what that turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedKey {
    /// The key as the bucket spells it.
    pub reference: KeyReference,
    /// What KMS tells of it.
    pub resolved: Fact<ResolvedKey>,
}

/// What the key that a bucket names turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolvedKey {
    /// The AWS-managed key `aws/s3`, named by leaving the key out or by an alias whose key was not created yet.
    AwsManagedDefault,
    /// KMS says that there is no such key, or the text can name none.
    Missing,
    /// The key.
    Found(Box<Key>),
}

/// A key, as [DescribeKey](https://docs.aws.amazon.com/kms/latest/APIReference/API_KeyMetadata.html) tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key's ARN, with its account and region.
    pub arn: KeyArn,
    /// Who manages the key.
    pub manager: KeyManager,
    /// The state that the key is in.
    pub state: KeyState,
    /// `SYMMETRIC_DEFAULT`, or another key spec of KMS.
    pub spec: String,
    /// `ENCRYPT_DECRYPT`, or another key usage of KMS.
    pub usage: String,
    /// `AWS_KMS`, or another origin of the key's material.
    pub origin: String,
    /// What its owner made of it; none for a key that AWS manages.
    pub governance: Option<Governance>,
}

/// What the owner of a customer-managed key made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Governance {
    /// The key policy, which can be read within the key's own account only.
    pub policy: Fact<PolicyDocument>,
    /// Whether its material is rotated.
    pub rotation: Fact<Rotation>,
}

/// [Automatic rotation](https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html) of a key's material.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// KMS cannot rotate such a key by itself: its material was imported, or lies in a custom key store.
    Unsupported,
    /// It is off.
    Off,
    /// It is on, with this period in days; 365 where KMS names none.
    Every(u32),
}

/// [Who manages a key](https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-mgmt), by the key's own
/// `KeyManager`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyManager {
    /// `AWS`: nobody of the account can scope or revoke the key.
    Aws,
    /// `CUSTOMER`: a customer-managed key (CMK).
    Customer,
    /// A value that this version does not know.
    Other(String),
}

/// [The state of a key](https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// The key can be used.
    Enabled,
    /// A multi-Region key whose primary region is being changed; it can be used meanwhile.
    Updating,
    /// Somebody disabled the key.
    Disabled,
    /// The key will be deleted at the given moment, after which what it encrypted cannot be read by anyone.
    PendingDeletion(Option<Timestamp>),
    /// A multi-Region primary that will be deleted when its last replica is gone.
    PendingReplicaDeletion,
    /// Any other state, by the name that KMS gives it; in none of them can the key be relied on.
    Other(String),
}
