//! The ways into a key: every policy, grant and setting that admits somebody to it.
//!
//! [`Admission`] lists them. The facts are private, so code that looks at access must go through
//! [`KeyAdmissions::all`] and match each of them. A new way in is a new variant, and nothing that
//! looks at access compiles until it handles that variant.

use crate::{Fact, KeyArn, KeyGrants, PolicyDocument};

/// A way into a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission<'a> {
    /// The [key policy](https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html),
    /// which KMS names `default`. It can leave the key to the IAM policies of its account.
    KeyPolicy(&'a Fact<PolicyDocument>),
    /// The [policy
    /// `AWS_RAM`](https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyPolicy.html) of a
    /// key that is shared through AWS Resource Access Manager; `None` if the key is not shared. It
    /// counts together with the key policy.
    SharedPolicy(&'a Fact<Option<PolicyDocument>>),
    /// The grants.
    Grants(&'a Fact<KeyGrants>),
    /// Another key with the same material: the primary or a replica of a [multi-Region
    /// key](https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html).
    /// It decrypts what the key encrypted, and has policies and grants of its own.
    RelatedKey(&'a RelatedKey),
}

/// The policies and the grants of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    key_policy: Fact<PolicyDocument>,
    shared_policy: Fact<Option<PolicyDocument>>,
    grants: Fact<KeyGrants>,
}

/// Another key with the same material.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelatedKey {
    /// The ARN of the other key.
    pub arn: KeyArn,
    /// The policies and the grants of the other key.
    pub permissions: Permissions,
}

/// All ways into a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAdmissions {
    own: Permissions,
    related: Vec<RelatedKey>,
}

impl Permissions {
    /// Creates the permissions of a key.
    #[must_use]
    pub fn new(
        key_policy: Fact<PolicyDocument>,
        shared_policy: Fact<Option<PolicyDocument>>,
        grants: Fact<KeyGrants>,
    ) -> Self {
        Self { key_policy, shared_policy, grants }
    }

    /// Creates the permissions of a key that is not shared and has no grants.
    #[must_use]
    pub fn of_key_policy(key_policy: Fact<PolicyDocument>) -> Self {
        Self::new(key_policy, Fact::Known(None), Fact::Known(KeyGrants::default()))
    }

    /// Returns each policy, and the grants.
    #[must_use]
    pub fn all(&self) -> [Admission<'_>; 3] {
        // Without `..`, so that a new field must become an admission.
        let Self { key_policy, shared_policy, grants } = self;
        [
            Admission::KeyPolicy(key_policy),
            Admission::SharedPolicy(shared_policy),
            Admission::Grants(grants),
        ]
    }
}

impl KeyAdmissions {
    /// Creates the admissions of a key with the given related keys.
    #[must_use]
    pub fn new(own: Permissions, related: Vec<RelatedKey>) -> Self {
        Self { own, related }
    }

    /// Returns every way into the key.
    pub fn all(&self) -> impl Iterator<Item = Admission<'_>> {
        let Self { own, related } = self;
        own.all().into_iter().chain(related.iter().map(Admission::RelatedKey))
    }
}

impl From<Permissions> for KeyAdmissions {
    fn from(own: Permissions) -> Self {
        Self::new(own, Vec::new())
    }
}
