//! Who may use a key, and how, by its policy.

use facts::KeyArn;
use iam_policy::{Caller, Given, Grant, Pattern, Policy, Principal, Request, TooComplex};
use serde::Serialize;
use std::collections::BTreeMap;

/// A use of a key that its policy may allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyAccess {
    /// The statement that allows it: its Sid, or its index from 0.
    pub statement: String,
    /// Whom it names, and who that is where it names everyone. Comes from outside.
    pub principal: String,
    /// What they may call: `kms:Decrypt`.
    pub operations: Vec<&'static str>,
    /// How they may call it.
    pub how: How,
    /// Who they are, for questions of trust.
    #[serde(skip)]
    pub(crate) caller: Caller,
    /// Whether the statement leaves it to the IAM policies of the key's own account.
    pub delegated: bool,
}

/// How a key is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// By a call of KMS: `kms:ViaService` is absent.
    Direct,
    /// By a call of a service, which passes it on to KMS: `kms:ViaService` names the service.
    OtherService,
}

impl How {
    /// The name that outputs have for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::OtherService => "other-service",
        }
    }
}

/// [The condition key](https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service) that
/// names the service which passes a call on; absent where KMS is called directly.
pub(crate) const VIA_SERVICE: &str = "kms:ViaService";

/// An operation and how it is called, as a request.
pub(crate) fn request(key: &KeyArn, operation: &str, how: How, service: Given) -> Request {
    // https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-viaawsservice
    let (via, is_via) = match how {
        How::Direct => (Given::absent(), "false"),
        How::OtherService => (service, "true"),
    };
    Request::new(operation, key.as_str())
        .with(VIA_SERVICE, via)
        .with("aws:ViaAWSService", Given::text(is_via))
        .with("aws:ResourceAccount", Given::text(key.account().as_str()))
}

/// A service other than S3. The value is `s3.REGION.amazonaws.com` in all partitions.
pub(crate) fn other_than_s3() -> Given {
    Given::unlike([Pattern::wildcard("s3.*.amazonaws.com")])
}

/// What a policy may allow of a list of operations, each with how it is called. Grants of one statement to one principal are
/// one use, told once where the key can be used directly.
pub(crate) fn uses(
    policy: &Policy,
    key: &KeyArn,
    asked: &[(&'static str, How)],
    requests: &[Request],
) -> Result<Vec<KeyAccess>, TooComplex> {
    let mut found: BTreeMap<_, KeyAccess> = BTreeMap::new();
    for grant in policy.allowed(requests)? {
        let Some(&(operation, how)) = asked.get(grant.request) else { continue };
        let principal = said(&grant);
        let entry =
            found.entry((grant.statement, how, principal.clone())).or_insert_with(|| KeyAccess {
                statement: policy.name(grant.statement),
                principal,
                operations: Vec::new(),
                how,
                delegated: grant.principal == Principal::Account(key.account().to_string()),
                caller: grant.caller,
            });
        if !entry.operations.contains(&operation) {
            entry.operations.push(operation);
        }
    }
    Ok(without_repeats(found.into_values().collect()))
}

/// Without what can be done directly as well.
fn without_repeats(found: Vec<KeyAccess>) -> Vec<KeyAccess> {
    let direct: Vec<_> = found.iter().filter(|one| one.how == How::Direct).cloned().collect();
    let repeats = |one: &KeyAccess| {
        one.how != How::Direct
            && direct.iter().any(|other| {
                (&other.statement, &other.principal) == (&one.statement, &one.principal)
                    && one.operations.iter().all(|operation| other.operations.contains(operation))
            })
    };
    found.into_iter().filter(|one| !repeats(one)).collect()
}

/// The principal, as the statement names it, and who gets through where that is everyone.
fn said(grant: &Grant) -> String {
    match (&grant.principal, &grant.caller) {
        (Principal::Anyone, Caller::Account(account)) => format!("* (account {account})"),
        (Principal::Anyone, Caller::Identity { arn, .. }) => format!("* ({arn})"),
        (Principal::Anyone, Caller::Federated(name) | Caller::CanonicalUser(name)) => {
            format!("* ({name})")
        }
        (Principal::Account(account), _) => format!("account {account}"),
        (principal, _) => principal.to_string(),
    }
}

impl KeyAccess {
    /// Describes the access: `open to arn:...:role/app: kms:Decrypt (statement AppRole)`. An `*` is
    /// written as `everyone`, as it is markup in some places.
    pub(crate) fn describe(&self) -> String {
        let Self { statement, principal, operations, .. } = self;
        let principal = principal
            .strip_prefix('*')
            .map_or_else(|| principal.clone(), |who| format!("everyone{who}"));
        format!("open to {principal}: {} (statement {statement})", operations.join(", "))
    }
}
