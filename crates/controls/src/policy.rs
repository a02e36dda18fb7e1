//! Applies the controls that a policy alone decides, before there is a bucket.

use crate::{
    BucketPolicyVerdict, Class, Evidence, KeyPolicyVerdict, Outcome, PolicyOf, call, control,
    judge, unrefused::Owned,
};
use facts::{
    AccountId, Bucket, BucketEncryption, BucketId, DefaultEncryption, Fact, Key, KeyAdministration,
    KeyArn, KeyLookup, KeyManager, KeyReference, KeyState, Permissions, PolicyDocument, Tags,
    Unreadable, UsedKey,
};
use iam_policy::{Effect, Policy, Principal, Selection, Statement};
use jiff::Timestamp;

/// Judges a key policy by the requirements of a class: `key-used-only-via-s3` and
/// `key-policy-closed`.
///
/// A unique id in a policy is that of a deleted identity, which an Allow does not admit. If a Deny
/// or NotPrincipal names one, the policy does not pass. It is not in use yet, so the identity may
/// exist, and AWS then resolves the id when the policy is put.
///
/// A document that is not a policy is undetermined.
#[must_use]
pub fn judge_key_policy(
    document: &PolicyDocument,
    key: &KeyArn,
    class: &Class,
) -> [KeyPolicyVerdict; 2] {
    let policy = match control::understood(document, PolicyOf::Key) {
        Ok(policy) => policy,
        Err(outcome) => {
            return [&control::KEY_USED_ONLY_VIA_S3, &control::KEY_POLICY_CLOSED].map(|control| {
                let outcome = outcome.clone();
                KeyPolicyVerdict { control, outcome, delegates_to_iam: false, accesses: Vec::new() }
            });
        }
    };
    let via_s3 = control::key_used_only_via_s3(policy, key, class);
    let (closed, accesses) = control::key_policy_closed(policy, key, class);
    let delegates_to_iam = via_s3.delegates_to_iam;
    let control = &control::KEY_POLICY_CLOSED;
    [via_s3, KeyPolicyVerdict { control, outcome: closed, delegates_to_iam, accesses }].map(
        |verdict| KeyPolicyVerdict { outcome: without_ids(policy, verdict.outcome), ..verdict },
    )
}

/// Judges a bucket policy: `tls-only`, `uploads-use-cmk` and, as far as a policy decides it,
/// `ssec-blocked`.
///
/// `bucket` is the ARN of the bucket, `owner` its account, and `key` the key of its default
/// encryption. `class` is the class of the bucket. Unique ids, and a document that is not a policy,
/// are treated as in [`judge_key_policy`].
#[must_use]
pub fn judge_bucket_policy(
    document: &PolicyDocument,
    bucket: &str,
    owner: &AccountId,
    key: &KeyArn,
    class: &Class,
) -> [BucketPolicyVerdict; 3] {
    let policy = match control::understood(document, PolicyOf::Bucket) {
        Ok(policy) => policy,
        Err(outcome) => {
            let controls = [&control::TLS_ONLY, &control::UPLOADS_USE_CMK, &control::SSEC_BLOCKED];
            return controls
                .map(|control| BucketPolicyVerdict { control, outcome: outcome.clone() });
        }
    };
    let of = Owned { bucket, owner };
    [
        control::tls_only(Some(policy), of),
        control::uploads_use_cmk(Some(policy), of, key, &class.allowed_keys),
        control::ssec_blocked(Some(policy), of),
    ]
    .map(|verdict| BucketPolicyVerdict { outcome: without_ids(policy, verdict.outcome), ..verdict })
}

/// Judges a bucket policy together with the default encryption of the bucket: the controls of
/// [`judge_bucket_policy`], `encrypted-with-kms` and `encrypted-with-cmk`. A bucket that receives
/// logs which need SSE-S3 is exempt, as far as the class says so.
///
/// `key` is the customer-managed key that the encryption names. It does not matter if the
/// encryption is SSE-S3 or uses `aws/s3`.
#[must_use]
pub fn judge_bucket_policy_and_encryption(
    document: &PolicyDocument,
    id: &BucketId,
    encryption: BucketEncryption<KeyReference>,
    key: &KeyArn,
    class: &Class,
) -> [BucketPolicyVerdict; 5] {
    let BucketEncryption { default, bucket_key, blocks_sse_c } = encryption;
    let default = match default {
        DefaultEncryption::Kms(named) => DefaultEncryption::Kms(used_key(named, key)),
        DefaultEncryption::KmsDsse(named) => DefaultEncryption::KmsDsse(used_key(named, key)),
        DefaultEncryption::SseS3 => DefaultEncryption::SseS3,
        DefaultEncryption::Unknown(algorithm) => DefaultEncryption::Unknown(algorithm),
        DefaultEncryption::Contradictory => DefaultEncryption::Contradictory,
    };
    let bucket = Bucket {
        id: id.clone(),
        read_at: Timestamp::UNIX_EPOCH,
        tags: Fact::Known(Tags::new()),
        encryption: Fact::Known(BucketEncryption { default, bucket_key, blocks_sse_c }),
        policy: Fact::Known(Some(document.clone())),
        key_users: None,
    };
    [
        &control::ENCRYPTED_WITH_KMS,
        &control::ENCRYPTED_WITH_CMK,
        &control::SSEC_BLOCKED,
        &control::UPLOADS_USE_CMK,
        &control::TLS_ONLY,
    ]
    .map(|control| {
        let outcome = judge::apply(control, &bucket, class);
        let outcome = judge::unless_log_bucket(&bucket, control, outcome, class);
        let is_about_policy = control.calls.contains(&call::BUCKET_POLICY);
        let outcome = match document {
            Ok(policy) if is_about_policy => without_ids(policy, outcome),
            _ => outcome,
        };
        BucketPolicyVerdict { control, outcome }
    })
}

/// Returns the key that the default encryption uses. A name other than `aws/s3` is that of `key`.
fn used_key(reference: KeyReference, key: &KeyArn) -> UsedKey {
    let unknown = || Unreadable {
        permission: "kms:GetKeyPolicy",
        subject: key.to_string(),
        code: "it was not asked for".to_owned(),
    };
    let resolved = match &reference {
        KeyReference::Absent => KeyLookup::AwsManagedDefault,
        KeyReference::Unrecognised(_) => KeyLookup::Missing,
        named if named.is_reserved_alias() => KeyLookup::AwsManagedDefault,
        _ => KeyLookup::Found(Box::new(Key {
            arn: key.clone(),
            manager: KeyManager::Customer,
            state: KeyState::Enabled,
            spec: "SYMMETRIC_DEFAULT".to_owned(),
            usage: "ENCRYPT_DECRYPT".to_owned(),
            origin: "AWS_KMS".to_owned(),
            created: Timestamp::UNIX_EPOCH,
            material_expires: None,
            related: Vec::new(),
            administration: Some(KeyAdministration {
                admissions: Permissions::of_key_policy(Fact::Unreadable(unknown())).into(),
                rotation: Fact::Unreadable(unknown()),
                rotated: Fact::Unreadable(unknown()),
            }),
        })),
    };
    UsedKey { reference, resolved: Fact::Known(resolved) }
}

/// Makes a pass undetermined if a Deny or NotPrincipal names a principal by a unique id: the
/// verdict may depend on that principal.
fn without_ids(policy: &Policy, outcome: Outcome) -> Outcome {
    let decides = |statement: &&Statement| {
        statement.effect == Effect::Deny || matches!(statement.principals, Selection::Except(_))
    };
    let named = policy.statements.iter().filter(decides).flat_map(|it| it.principals.named());
    let id = named
        .filter_map(
            |principal| if let Principal::Deleted(id) = principal { Some(id) } else { None },
        )
        .next();
    match (outcome, id) {
        (Outcome::Passed(_), Some(id)) => {
            Outcome::not_understood(Evidence::UniqueId { id: id.clone() })
        }
        (outcome, _) => outcome,
    }
}
