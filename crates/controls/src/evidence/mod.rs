//! The facts that decide an outcome, each with its value and the expected value.
//!
//! Evidence is data until a person reads it. The module `words` turns it into text. The fingerprint
//! of a finding is made from the serialized form. So words can be improved without importing a
//! finding again.

mod words;

use crate::{ClassName, KeyAccess};
use facts::{AccountId, DefaultEncryption, KeyArn, KeyUser, Region, Unreadable};
use iam_policy::{Remainder, Witness};
use jiff::{Timestamp, civil::Date};
use serde::{Serialize, Serializer};
use std::{collections::BTreeSet, fmt::Display};

/// A fact that decided an outcome, with its value and the expected value.
///
/// The serialized form is part of the fingerprint of findings. If the name of a variant or a field
/// changes, every finding with such evidence is imported once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "fact")]
pub enum Evidence {
    /// The algorithm of the bucket's default encryption.
    DefaultEncryption {
        /// `SSEAlgorithm` as S3 returns it; `None` if the bucket has several rules that differ.
        algorithm: Option<String>,
        /// The encryption that the control expects.
        expected: ExpectedEncryption,
    },
    /// The key of the bucket's default encryption.
    Key {
        /// The key.
        key: KeyIdentity,
        /// The kind of key that the control expects.
        expected: ExpectedKey,
    },
    /// A state in which the key cannot be used.
    KeyState {
        /// The state, as KMS names it.
        state: String,
        /// The time of a scheduled deletion.
        #[serde(serialize_with = "optional_text")]
        deletion: Option<Timestamp>,
    },
    /// A key that S3 cannot use because of its spec or its usage.
    KeySpec {
        /// `KeySpec` of KMS.
        spec: String,
        /// `KeyUsage` of KMS.
        usage: String,
    },
    /// A key in another region than the bucket.
    KeyRegion {
        /// The region of the key.
        #[serde(serialize_with = "text")]
        region: Region,
        /// The region of the bucket.
        #[serde(serialize_with = "text")]
        expected: Region,
    },
    /// An AWS-managed key of another account than the bucket.
    KeyManager {
        /// The account of the key.
        #[serde(serialize_with = "text")]
        account: AccountId,
    },
    /// Imported material that expires.
    MaterialExpires {
        /// The time at which the material expires.
        #[serde(serialize_with = "text")]
        at: Timestamp,
    },
    /// The automatic rotation of the key.
    KeyRotation {
        /// The period in days; `None` if the key is not rotated.
        every_days: Option<u32>,
        /// The longest period that the class allows, in days.
        at_most_days: u32,
        /// The days of the rotations that took place, latest first. `None` if they could not be
        /// read.
        #[serde(skip_serializing_if = "is_no_day", serialize_with = "days")]
        rotated: Option<Vec<Date>>,
    },
    /// The last rotation of a key that is rotated on demand only.
    LastRotation {
        /// The days of the rotations that took place, latest first.
        #[serde(serialize_with = "days")]
        rotated: Option<Vec<Date>>,
        /// The day on which the key was created.
        #[serde(serialize_with = "text")]
        created: Date,
        /// The greatest number of days since the last rotation that the class allows.
        at_most_days: u32,
    },
    /// AWS services that may use the key by grants. It is not part of a fingerprint.
    GrantsToServices {
        /// The services.
        services: BTreeSet<String>,
    },
    /// A grant to a principal of a kind, or of an operation, that this version does not know.
    UnknownGrant {
        /// The principal, as KMS returns it.
        grantee: String,
    },
    /// More grants than are looked at.
    ManyGrants,
    /// Evidence about another key with the same material: the primary or a replica of a
    /// multi-Region key.
    OfRelatedKey {
        /// The other key.
        #[serde(serialize_with = "text")]
        key: KeyArn,
        /// The evidence about it.
        evidence: Box<Evidence>,
    },
    /// Access by a caller that is neither of the key's account nor trusted.
    OutsideAccess {
        /// The access; `None` if there is none.
        access: Option<KeyAccess>,
    },
    /// A use of the key by a direct call of KMS.
    DirectUse {
        /// The access; `None` if there is none.
        access: Option<KeyAccess>,
    },
    /// A use of the key through another service than S3.
    UseThroughAnotherService {
        /// The access.
        access: KeyAccess,
    },
    /// A use of the key that its policy leaves to the IAM policies of the key's own account.
    UseLeftToIam {
        /// The access.
        access: KeyAccess,
    },
    /// Administration of the key by a principal that its policy names.
    Administration {
        /// The access.
        access: KeyAccess,
    },
    /// A request without TLS.
    RequestWithoutTls {
        /// The request that the bucket policy does not refuse; `None` if it refuses all.
        unrefused: Option<Unrefused>,
    },
    /// An upload that chooses its own encryption.
    Upload {
        /// The upload that the bucket policy does not refuse; `None` if it refuses all.
        unrefused: Option<Unrefused>,
    },
    /// SSE-C is blocked by the encryption of the bucket.
    SseCBlocked,
    /// The setting of the S3 Bucket Key.
    BucketKey {
        /// True if the bucket has a bucket key.
        enabled: bool,
    },
    /// Buckets of other classes that use the key, or a bucket whose class could not be read.
    KeyOfOtherClasses {
        /// The class of the judged bucket.
        #[serde(serialize_with = "text")]
        class: ClassName,
        /// The first few of the other buckets.
        #[serde(serialize_with = "users")]
        buckets: Vec<KeyUser>,
        /// True if there are more than these.
        more: bool,
    },
    /// The key serves buckets of one class only.
    KeyOfOneClass {
        /// The class.
        #[serde(serialize_with = "text")]
        class: ClassName,
    },
    /// A call that showed that the account cannot be read.
    AccountAccess {
        /// The answer.
        #[serde(serialize_with = "unreadable")]
        answer: Unreadable,
    },
    /// The state of Security Hub in the account and region.
    SecurityHub {
        /// True if Security Hub is enabled.
        enabled: bool,
    },
    /// A policy that cannot be analysed.
    Policy {
        /// The kind of policy.
        of: PolicyOf,
        /// The reason.
        problem: PolicyProblem,
    },
    /// A condition whose value only the request knows.
    PolicyVariable {
        /// The statement's Sid, or its index from 0.
        statement: String,
        /// The condition key.
        key: String,
        /// The value with the variable: `${aws:ResourceTag/key}`.
        value: String,
    },
    /// A condition on the key of uploads that no ARN of a key can meet. The statement refuses the
    /// bucket's own key, too.
    NoKeyArn {
        /// The statement's Sid, or its index from 0.
        statement: String,
        /// The value: a bare key id, or an alias.
        value: String,
        /// The bucket's own key.
        #[serde(serialize_with = "text")]
        expected: KeyArn,
        /// An upload with this key, which the policy refuses.
        #[serde(skip)]
        witness: Box<Witness>,
    },
    /// A value of `kms:ViaService` that no call of S3 has, because it names no region.
    ServiceWithoutRegion {
        /// The statement's Sid, or its index from 0.
        statement: String,
        /// The value: `s3.amazonaws.com`.
        value: String,
        /// The value in calls of S3: `s3.us-east-1.amazonaws.com`.
        expected: String,
        /// A call of S3, which the statement does not admit.
        #[serde(skip)]
        witness: Box<Witness>,
    },
    /// A principal that a policy names by its unique id.
    UniqueId {
        /// The id, such as `AIDACKCEVSQ6C2EXAMPLE`.
        id: String,
    },
}

impl Evidence {
    /// Returns a possible request that shows the evidence. `None` if the evidence is about no
    /// request.
    #[must_use]
    pub fn witness(&self) -> Option<&Witness> {
        match self {
            Self::OutsideAccess { access } | Self::DirectUse { access } => {
                access.as_ref()?.witness.as_ref()
            }
            Self::UseThroughAnotherService { access } => access.witness.as_ref(),
            Self::RequestWithoutTls { unrefused } | Self::Upload { unrefused } => {
                unrefused.as_ref()?.witness.as_ref()
            }
            Self::NoKeyArn { witness, .. } | Self::ServiceWithoutRegion { witness, .. } => {
                Some(witness)
            }
            Self::OfRelatedKey { evidence, .. } => evidence.witness(),
            _ => None,
        }
    }

    /// True if the witness is a request that is refused although it should not be.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        match self {
            Self::OfRelatedKey { evidence, .. } => evidence.is_refused(),
            _ => matches!(self, Self::NoKeyArn { .. } | Self::ServiceWithoutRegion { .. }),
        }
    }

    /// True if the evidence shows grants to AWS services, which decide no verdict.
    #[must_use]
    pub fn is_about_services(&self) -> bool {
        match self {
            Self::OfRelatedKey { evidence, .. } => evidence.is_about_services(),
            _ => matches!(self, Self::GrantsToServices { .. }),
        }
    }

    /// Returns the default encryption of a bucket as evidence for a control that expects SSE-KMS.
    pub(crate) fn default_encryption(encryption: &DefaultEncryption) -> Self {
        let algorithm = match encryption {
            DefaultEncryption::Contradictory => None,
            known => Some(known.algorithm().to_owned()),
        };
        Self::DefaultEncryption { algorithm, expected: ExpectedEncryption::Kms }
    }
}

/// The default encryption that a control expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpectedEncryption {
    /// `aws:kms` or `aws:kms:dsse`.
    Kms,
    /// Encryption with a customer-managed key.
    CustomerManagedKey,
}

/// The kind of key that a control expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpectedKey {
    /// A customer-managed key.
    CustomerManaged,
    /// A key that S3 can use for the bucket.
    Usable,
}

/// A key, as far as it could be identified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyIdentity {
    /// A key by its ARN, or by the name that the bucket uses for it.
    Named(String),
    /// The AWS-managed key `aws/s3`; its ARN is not known.
    AwsS3,
    /// A key that AWS manages.
    #[serde(serialize_with = "text")]
    AwsManaged(KeyArn),
    /// A name of a key that does not exist.
    Missing(String),
    /// A key whose manager this version does not know.
    ManagedBy {
        /// The key.
        #[serde(serialize_with = "text")]
        key: KeyArn,
        /// `KeyManager` of KMS. `None` if the control does not name the manager.
        manager: Option<String>,
    },
}

/// A request that a bucket policy does not refuse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unrefused {
    /// The request.
    pub request: ProbedRequest,
    /// The reason.
    pub because: NotRefused,
    /// A possible request of this kind; `None` if none was found.
    #[serde(skip)]
    pub witness: Option<Witness>,
}

/// A request that a bucket policy should refuse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbedRequest {
    /// A request for any S3 action on the bucket with this ARN.
    AnyOnBucket(String),
    /// A request for any S3 action on objects of the bucket with this ARN.
    AnyOnObjects(String),
    /// `s3:PutObject` with a header that asks for an encryption.
    Upload {
        /// The value of `x-amz-server-side-encryption`.
        algorithm: &'static str,
        /// The key that the upload names.
        key: UploadKey,
    },
    /// `s3:PutObject` with a key of the caller's own (SSE-C).
    UploadWithSseC,
}

/// The key that an upload names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UploadKey {
    /// The algorithm has no KMS key.
    NotApplicable,
    /// No key.
    Absent,
    /// Another key than the bucket's.
    Another,
}

/// The reason why a bucket policy does not refuse a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotRefused {
    /// The bucket has no policy.
    NoPolicy,
    /// No statement refuses the request. The statements that come closest are listed.
    Close(Vec<CloseStatement>),
}

/// A Deny statement that refuses a part of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CloseStatement {
    /// The statement's Sid, or its index from 0.
    pub statement: String,
    /// The part that the statement does not refuse.
    pub leaves: Remainder,
}

/// The kind of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyOf {
    /// A bucket policy.
    Bucket,
    /// A key policy.
    Key,
    /// The policy `AWS_RAM` of a shared key.
    SharedKey,
}

/// The reason why a policy cannot be analysed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyProblem {
    /// The text is not a policy that this version understands.
    NotAPolicy {
        /// The path to the element: `Statement[2].Condition`.
        place: String,
        /// The error, in words; not part of a fingerprint.
        #[serde(skip)]
        reason: String,
    },
    /// The analysis would take too long.
    TooComplex {
        /// The error, in words; not part of a fingerprint.
        #[serde(skip)]
        reason: String,
    },
}

fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn optional_text<T: Display, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.as_ref().map(ToString::to_string).serialize(serializer)
}

fn is_no_day(days: &Option<Vec<Date>>) -> bool {
    days.as_ref().is_some_and(Vec::is_empty)
}

fn days<S: Serializer>(days: &Option<Vec<Date>>, serializer: S) -> Result<S::Ok, S::Error> {
    let days = days.as_ref().map(|days| days.iter().map(ToString::to_string).collect::<Vec<_>>());
    days.serialize(serializer)
}

fn users<S: Serializer>(users: &[KeyUser], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(users.iter().map(|user| (user.bucket.to_string(), &user.class)))
}

/// Serializes an answer without its subject, which is text for people.
pub(crate) fn unreadable<S: Serializer>(
    answer: &Unreadable,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    (answer.permission, &answer.code).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AllowedBy, How};
    use iam_policy::Caller;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn access() -> KeyAccess {
        KeyAccess {
            index: 0,
            statement: "App".into(),
            allowed_by: AllowedBy::KeyPolicy,
            principal: "*".into(),
            operations: vec!["kms:Decrypt"],
            how: How::Direct,
            caller: Caller::Stranger,
            delegated: false,
            by_root_user: false,
            grants: Vec::new(),
            witness: None,
            by_anyone: false,
        }
    }

    /// If the serialized form changes, findings are imported again. If that is intended, say so in
    /// CHANGELOG.md.
    #[test]
    fn the_serialized_form_does_not_change() {
        let class = crate::example::class().name;
        let key: KeyArn = "arn:aws:kms:us-east-1:111111111111:key/1234".parse().unwrap();
        let close = CloseStatement { statement: "Tls".into(), leaves: Remainder::Callers };
        let unrefused = Unrefused {
            request: ProbedRequest::Upload { algorithm: "aws:kms", key: UploadKey::Absent },
            because: NotRefused::Close(vec![close]),
            witness: None,
        };
        let answer = Unreadable {
            permission: "sts:AssumeRole",
            subject: "role".into(),
            code: "AccessDenied".into(),
        };
        let problem = PolicyProblem::NotAPolicy { place: "Statement".into(), reason: "?".into() };
        for (evidence, expected) in [
            (
                Evidence::default_encryption(&DefaultEncryption::SseS3),
                json!({ "fact": "default-encryption", "algorithm": "AES256", "expected": "kms" }),
            ),
            (
                Evidence::Key {
                    key: KeyIdentity::AwsManaged(key.clone()),
                    expected: ExpectedKey::Usable,
                },
                json!({ "fact": "key", "key": { "aws-managed": key.as_str() }, "expected": "usable" }),
            ),
            (
                Evidence::KeyState {
                    state: "PendingDeletion".into(),
                    deletion: Some(Timestamp::UNIX_EPOCH),
                },
                json!({
                    "fact": "key-state", "state": "PendingDeletion", "deletion": "1970-01-01T00:00:00Z",
                }),
            ),
            (
                Evidence::KeyRotation {
                    every_days: None,
                    at_most_days: 365,
                    rotated: Some(vec![]),
                },
                json!({ "fact": "key-rotation", "every_days": null, "at_most_days": 365 }),
            ),
            (
                Evidence::KeyRotation {
                    every_days: Some(365),
                    at_most_days: 365,
                    rotated: Some(vec![Date::constant(2026, 1, 2)]),
                },
                json!({
                    "fact": "key-rotation", "every_days": 365, "at_most_days": 365, "rotated": ["2026-01-02"],
                }),
            ),
            (
                Evidence::OfRelatedKey {
                    key: key.clone(),
                    evidence: Box::new(Evidence::DirectUse { access: None }),
                },
                json!({
                    "fact": "of-related-key", "key": key.as_str(),
                    "evidence": { "fact": "direct-use", "access": null },
                }),
            ),
            (
                Evidence::GrantsToServices { services: ["rds.amazonaws.com".to_owned()].into() },
                json!({ "fact": "grants-to-services", "services": ["rds.amazonaws.com"] }),
            ),
            (
                Evidence::OutsideAccess { access: Some(access()) },
                json!({ "fact": "outside-access", "access": {
                    "statement": "App", "principal": "*", "operations": ["kms:Decrypt"],
                    "how": "direct", "delegated": false,
                } }),
            ),
            (
                Evidence::Upload { unrefused: Some(unrefused) },
                json!({ "fact": "upload", "unrefused": {
                    "request": { "upload": { "algorithm": "aws:kms", "key": "absent" } },
                    "because": { "close": [{ "statement": "Tls", "leaves": "callers" }] },
                } }),
            ),
            (
                Evidence::KeyOfOneClass { class },
                json!({ "fact": "key-of-one-class", "class": "all" }),
            ),
            (
                Evidence::AccountAccess { answer },
                json!({ "fact": "account-access", "answer": ["sts:AssumeRole", "AccessDenied"] }),
            ),
            (
                Evidence::Policy { of: PolicyOf::Bucket, problem },
                json!({ "fact": "policy", "of": "bucket", "problem": {
                    "not-a-policy": { "place": "Statement" },
                } }),
            ),
            (Evidence::SseCBlocked, json!({ "fact": "sse-c-blocked" })),
            (
                Evidence::NoKeyArn {
                    statement: "Own".into(),
                    value: "alias/acme".into(),
                    expected: key.clone(),
                    witness: Box::new(Witness {
                        principal: String::new(),
                        action: String::new(),
                        resource: String::new(),
                        condition_keys: BTreeMap::new(),
                        absent_keys: BTreeSet::new(),
                    }),
                },
                json!({
                    "fact": "no-key-arn", "statement": "Own", "value": "alias/acme", "expected": key.as_str(),
                }),
            ),
        ] {
            // The order of the fields counts: the fingerprint is a hash of this text.
            assert_eq!(serde_json::to_string(&evidence).unwrap(), expected.to_string());
        }
    }
}
