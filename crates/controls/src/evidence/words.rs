//! The words of evidence, as findings, alerts and the command show them.
//!
//! No fingerprint depends on these words.

use super::{
    CloseStatement, Evidence, ExpectedEncryption, ExpectedKey, KeyIdentity, NotRefused, PolicyOf,
    PolicyProblem, ProbedRequest, Unrefused, UploadKey,
};
use crate::KeyAccess;
use facts::{KeyUser, MOST_GRANTS, Unreadable};
use iam_policy::Remainder;
use jiff::civil::Date;

impl Evidence {
    /// Returns the name of the fact: `default encryption`.
    #[must_use]
    pub fn fact(&self) -> &'static str {
        match self {
            Self::DefaultEncryption { .. } => "default encryption",
            Self::Key { .. } => "key",
            Self::KeyState { .. } => "key state",
            Self::KeySpec { .. } => "key spec",
            Self::KeyRegion { .. } => "key region",
            Self::KeyManager { .. } => "key manager",
            Self::MaterialExpires { .. } => "imported key material",
            Self::KeyRotation { .. } => "rotation of the key",
            Self::LastRotation { .. } => "last rotation of the key",
            Self::GrantsToServices { .. } => "grants to AWS services",
            Self::UnknownGrant { .. } => "grant",
            Self::ManyGrants => "grants",
            Self::OfRelatedKey { evidence, .. } => evidence.fact(),
            Self::OutsideAccess { .. } => "access to the key from outside",
            Self::DirectUse { .. } | Self::UseLeftToIam { .. } => "direct use of the key",
            Self::UseThroughAnotherService { .. } => "use of the key through another service",
            Self::Administration { .. } => "administration of the key",
            Self::RequestWithoutTls { .. } => "unrefused request without TLS",
            Self::Upload { .. } => "unrefused upload",
            Self::SseCBlocked => "blocked encryption types",
            Self::BucketKey { .. } => "bucket key",
            Self::KeyOfOtherClasses { .. } => "other use of the key",
            Self::KeyOfOneClass { .. } => "use of the key",
            Self::AccountAccess { .. } => "access",
            Self::SecurityHub { .. } => "Security Hub",
            Self::Policy { of: PolicyOf::Bucket, .. } => "bucket policy",
            Self::Policy { of: PolicyOf::Key, .. } => "key policy",
            Self::Policy { of: PolicyOf::SharedKey, .. } => "key policy AWS_RAM",
            Self::PolicyVariable { .. } => "condition with a policy variable",
            Self::NoKeyArn { .. } => "key in a condition",
            Self::ServiceWithoutRegion { .. } => "name of S3 in a condition",
            Self::UniqueId { .. } => "principal",
        }
    }

    /// Returns the value of the fact, in words. The text can contain text from outside.
    #[must_use]
    pub fn value(&self) -> String {
        match self {
            Self::DefaultEncryption { algorithm, .. } => {
                algorithm.clone().unwrap_or_else(|| "several rules that differ".to_owned())
            }
            Self::Key { key, .. } => key.describe(),
            Self::KeyState { state, deletion: Some(date) } => {
                format!("{state} (deletion on {date})")
            }
            Self::KeyState { state, deletion: None } => state.clone(),
            Self::KeySpec { spec, usage } => format!("{spec} for {usage}"),
            Self::KeyRegion { region, .. } => region.to_string(),
            Self::KeyManager { account } => format!("AWS (for account {account})"),
            Self::MaterialExpires { at } => format!("expires on {at}"),
            Self::KeyRotation { every_days, rotated, .. } => {
                let rotation = match every_days {
                    Some(days) => format!("on, every {days} days"),
                    None => "off".to_owned(),
                };
                match rotated.as_deref() {
                    None => format!("{rotation}; the days of past rotations could not be read"),
                    Some([]) => rotation,
                    Some(days) => format!("{rotation}; rotated on {}", describe_days(days)),
                }
            }
            Self::LastRotation { rotated, created, .. } => match rotated.as_deref() {
                None | Some([]) => format!("never, since the key was created on {created}"),
                Some(days) => format!("on {}", describe_days(days)),
            },
            Self::GrantsToServices { services } => {
                services.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
            }
            Self::UnknownGrant { grantee } => format!(
                "to {grantee}: not an identity, an account or a service, or of an unknown operation"
            ),
            Self::ManyGrants => "more than were looked at".to_owned(),
            Self::OfRelatedKey { key, evidence } => format!("on {key}: {}", evidence.value()),
            Self::OutsideAccess { access } | Self::DirectUse { access } => {
                none_or(access, KeyAccess::describe)
            }
            Self::UseThroughAnotherService { access } | Self::Administration { access } => {
                access.describe()
            }
            Self::UseLeftToIam { access } => {
                format!(
                    "left to the IAM policies of {} (statement {})",
                    access.principal, access.statement
                )
            }
            Self::RequestWithoutTls { unrefused } | Self::Upload { unrefused } => {
                none_or(unrefused, Unrefused::describe)
            }
            Self::SseCBlocked => "SSE-C".to_owned(),
            Self::BucketKey { enabled: true } | Self::SecurityHub { enabled: true } => {
                "enabled".to_owned()
            }
            Self::BucketKey { enabled: false } => "disabled".to_owned(),
            Self::SecurityHub { enabled: false } => "not enabled".to_owned(),
            Self::KeyOfOtherClasses { buckets, more, .. } => {
                let listed = buckets.iter().map(describe_user).collect::<Vec<_>>().join(", ");
                if *more { format!("{listed} and others") } else { listed }
            }
            Self::KeyOfOneClass { class } => format!("class {class} only"),
            Self::AccountAccess { answer: Unreadable { permission, subject, code } } => {
                format!("{code} ({permission} on {subject})")
            }
            Self::Policy { problem, .. } => problem.describe(),
            Self::PolicyVariable { statement, key, value } => {
                format!("{key} is compared with {value} (statement {statement})")
            }
            Self::NoKeyArn { statement, value, .. } => {
                format!("{value}, which S3 compares with the ARN of a key (statement {statement})")
            }
            Self::ServiceWithoutRegion { statement, value, .. } => {
                format!("{value}, which kms:ViaService never is (statement {statement})")
            }
            Self::UniqueId { id } => {
                format!("{id} (a unique id, which AWS resolves when the policy is put)")
            }
        }
    }

    /// Returns the expected value, in words.
    #[must_use]
    pub fn expected(&self) -> String {
        match self {
            Self::DefaultEncryption { expected: ExpectedEncryption::Kms, .. } => {
                "aws:kms or aws:kms:dsse"
            }
            Self::DefaultEncryption {
                expected: ExpectedEncryption::CustomerManagedKey, ..
            }
            | Self::Key { expected: ExpectedKey::CustomerManaged, .. } => "a customer-managed key",
            Self::Key { expected: ExpectedKey::Usable, .. } => "a key that can be used",
            Self::KeyState { .. } => "Enabled",
            Self::KeySpec { .. } => "SYMMETRIC_DEFAULT for ENCRYPT_DECRYPT",
            Self::KeyRegion { expected, .. } => expected.as_str(),
            Self::KeyManager { .. } => "the customer",
            Self::KeyRotation { at_most_days, .. } => {
                return format!("on, every {at_most_days} days or more often");
            }
            Self::MaterialExpires { .. } => "more than 30 days until it expires",
            Self::LastRotation { at_most_days, .. } => {
                return format!("within the last {at_most_days} days");
            }
            Self::GrantsToServices { .. } => "any",
            Self::UnknownGrant { .. } => "a grant that is understood",
            Self::ManyGrants => {
                return format!(
                    "at most {MOST_GRANTS} different grants to identities and accounts"
                );
            }
            Self::OfRelatedKey { evidence, .. } => return evidence.expected(),
            Self::OutsideAccess { .. }
            | Self::DirectUse { .. }
            | Self::UseThroughAnotherService { .. }
            | Self::UseLeftToIam { .. }
            | Self::Administration { .. }
            | Self::RequestWithoutTls { .. }
            | Self::Upload { .. } => "none",
            Self::SseCBlocked => "SSE-C",
            Self::BucketKey { .. } | Self::SecurityHub { .. } => "enabled",
            Self::KeyOfOtherClasses { class, .. } | Self::KeyOfOneClass { class } => {
                return format!("class {class} only");
            }
            Self::AccountAccess { .. } => "an answer",
            Self::Policy { problem: PolicyProblem::NotAPolicy { .. }, .. } => "a policy",
            Self::Policy { problem: PolicyProblem::TooComplex { .. }, .. } => {
                "statements that can be analysed"
            }
            Self::PolicyVariable { .. } => "a value that the policy contains",
            Self::NoKeyArn { expected, .. } => expected.as_str(),
            Self::ServiceWithoutRegion { expected, .. } => expected,
            Self::UniqueId { .. } => "the ARN of an identity",
        }
        .to_owned()
    }
}

impl KeyIdentity {
    fn describe(&self) -> String {
        match self {
            Self::Named(name) => name.clone(),
            Self::AwsS3 => "aws/s3 (AWS-managed)".to_owned(),
            Self::AwsManaged(key) => format!("{key} (AWS-managed)"),
            Self::Missing(name) => format!("{name} (no such key)"),
            Self::ManagedBy { key, manager: Some(manager) } => {
                format!("{key} (managed by {manager})")
            }
            Self::ManagedBy { key, manager: None } => {
                format!("{key} (managed by neither AWS nor the customer)")
            }
        }
    }
}

impl Unrefused {
    fn describe(&self) -> String {
        let because = match &self.because {
            NotRefused::NoPolicy => "there is no bucket policy".to_owned(),
            NotRefused::Close(statements) if statements.is_empty() => {
                "no statement refuses it".to_owned()
            }
            NotRefused::Close(statements) => {
                statements.iter().map(CloseStatement::describe).collect::<Vec<_>>().join(", ")
            }
        };
        format!("{} ({because})", self.request.describe())
    }
}

impl CloseStatement {
    fn describe(&self) -> String {
        let leaves = match &self.leaves {
            Remainder::Callers => "names some callers only".to_owned(),
            Remainder::Actions => "leaves actions out".to_owned(),
            Remainder::Resources => "leaves resources out".to_owned(),
            Remainder::Condition(key) => format!("depends on {key}"),
        };
        format!("statement {} {leaves}", self.statement)
    }
}

impl ProbedRequest {
    fn describe(&self) -> String {
        match self {
            Self::AnyOnBucket(bucket) => format!("any S3 action on {bucket}"),
            Self::AnyOnObjects(bucket) => format!("any S3 action on objects of {bucket}"),
            Self::Upload { algorithm, key } => {
                let key = match key {
                    UploadKey::NotApplicable => "",
                    UploadKey::Absent => " with no key",
                    UploadKey::Another => " with another key",
                };
                format!("s3:PutObject that asks for {algorithm}{key}")
            }
            Self::UploadWithSseC => "s3:PutObject with SSE-C".to_owned(),
        }
    }
}

impl PolicyProblem {
    fn describe(&self) -> String {
        match self {
            Self::NotAPolicy { place, reason } => format!("{place}: {reason}"),
            Self::TooComplex { reason } => reason.clone(),
        }
    }
}

fn describe_user(user: &KeyUser) -> String {
    let bucket = user.bucket.arn();
    match &user.class {
        Some(class) => format!("{bucket} (account {}, class {class})", user.bucket.account()),
        None => format!("{bucket} of a class that could not be read"),
    }
}

/// The greatest number of days that a text lists.
const MOST_DAYS: usize = 5;

fn describe_days(days: &[Date]) -> String {
    let listed: Vec<_> = days.iter().take(MOST_DAYS).map(ToString::to_string).collect();
    let more = if days.len() > MOST_DAYS { " and before" } else { "" };
    format!("{}{more}", listed.join(", "))
}

fn none_or<T>(value: &Option<T>, describe: impl Fn(&T) -> String) -> String {
    value.as_ref().map_or_else(|| "none".to_owned(), describe)
}
