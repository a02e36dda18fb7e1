//! The facts of a KMS key that the controls need.

use crate::{Fact, KeyAdmissions, KeyArn, KeyReference};
use jiff::Timestamp;

/// The key of a bucket's default encryption: the name that the bucket gives it, and the key that
/// was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedKey {
    /// The key as the bucket spells it.
    pub reference: KeyReference,
    /// The key that KMS returned for the reference.
    pub resolved: Fact<KeyLookup>,
}

/// The result of looking up the key that a bucket names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyLookup {
    /// The AWS-managed key `aws/s3`. The bucket names no key, or an alias whose key was not created
    /// yet.
    AwsManagedDefault,
    /// KMS says that there is no such key, or the text cannot name a key.
    Missing,
    /// A key that exists.
    Found(Box<Key>),
}

/// A key, as
/// [DescribeKey](https://docs.aws.amazon.com/kms/latest/APIReference/API_KeyMetadata.html) returns
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key's ARN, with its account and region.
    pub arn: KeyArn,
    /// The manager of the key: AWS or the customer.
    pub manager: KeyManager,
    /// The state of the key.
    pub state: KeyState,
    /// `SYMMETRIC_DEFAULT`, or another key spec of KMS.
    pub spec: String,
    /// `ENCRYPT_DECRYPT`, or another key usage of KMS.
    pub usage: String,
    /// `AWS_KMS`, or another origin of the key's material.
    pub origin: String,
    /// The time at which the key was created.
    pub created: Timestamp,
    /// The time at which [imported
    /// material](https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys.html) expires.
    /// `None` if it does not expire, or was not imported.
    pub material_expires: Option<Timestamp>,
    /// The other keys with the same material: the primary and the replicas of a multi-Region key.
    pub related: Vec<KeyArn>,
    /// The access and the rotation that the owner set. `None` unless the key is customer-managed.
    pub administration: Option<KeyAdministration>,
}

/// The settings of a customer-managed key that its owner controls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAdministration {
    /// Every way into the key. Policies can be read only within the key's own account.
    pub admissions: KeyAdmissions,
    /// The automatic rotation of the key's material.
    pub rotation: Fact<Rotation>,
    /// The times of all [rotations that took
    /// place](https://docs.aws.amazon.com/kms/latest/APIReference/API_ListKeyRotations.html), latest
    /// first: automatic ones and those on demand. Empty for a key that cannot be rotated.
    pub rotated: Fact<Vec<Timestamp>>,
}

/// [Automatic rotation](https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html) of
/// a key's material.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// KMS cannot rotate such a key by itself: its material was imported, or lies in a custom key
    /// store.
    Unsupported,
    /// Rotation is off.
    Off,
    /// Rotation is on, with this period in days. 365 if KMS names no period.
    Every(u32),
}

/// The [manager of a
/// key](https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-mgmt), as
/// `KeyManager` of DescribeKey names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyManager {
    /// `AWS`: nobody in the account can restrict or revoke the key.
    Aws,
    /// `CUSTOMER`: a customer-managed key (CMK).
    Customer,
    /// A value that this version of cmkwatch does not know.
    Other(String),
}

/// The [state of a key](https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// The key can be used.
    Enabled,
    /// A multi-Region key whose primary region is being changed. The key can be used meanwhile.
    Updating,
    /// Somebody disabled the key.
    Disabled,
    /// The key will be deleted at the given moment. After that, nobody can read what it encrypted.
    PendingDeletion(Option<Timestamp>),
    /// A multi-Region primary key that will be deleted when its last replica is gone.
    PendingReplicaDeletion,
    /// Another state, by the name that KMS gives it. No such state lets the key be relied on.
    Other(String),
}
