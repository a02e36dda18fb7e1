//! Finds the principals that may use a key by its policy, and the ways in which they may.

use crate::OrganizationId;
use facts::KeyArn;
use iam_policy::{
    Caller, Comparison, Condition, Given, Grant, Operator, Pattern, Policy, Principal, Quantifier,
    Request, Statement, TooComplex,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// A use of a key that its policy may allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyAccess {
    /// The statement that allows the use: its Sid, or its index from 0.
    pub statement: String,
    /// The index of that statement.
    #[serde(skip)]
    pub(crate) index: usize,
    /// The principal that the statement names. If that is everyone, the caller that gets through
    /// follows, if it is known. The text is from outside.
    pub principal: String,
    /// The operations that the principal may call: `kms:Decrypt`.
    pub operations: Vec<&'static str>,
    /// The way in which the principal may call the operations.
    pub how: How,
    /// The caller that gets through, for questions of trust.
    #[serde(skip)]
    pub(crate) caller: Caller,
    /// True if the statement leaves the use to the IAM policies of the key's own account.
    pub delegated: bool,
    /// True if the statement admits the root user of an account only.
    #[serde(skip)]
    pub(crate) by_root_user: bool,
}

/// The way in which a key is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// A direct call of KMS: `kms:ViaService` is absent.
    Direct,
    /// A call of a service, which passes it on to KMS: `kms:ViaService` names the service.
    OtherService,
}

impl How {
    /// Returns the name that outputs use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::OtherService => "other-service",
        }
    }
}

/// The [condition
/// key](https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service)
/// that names the service which passes a call on. Absent if KMS is called directly.
pub(crate) const VIA_SERVICE: &str = "kms:ViaService";

/// The [condition
/// keys](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-calledvia)
/// that name the services which made a request with the caller's credentials. Absent if KMS is
/// called directly.
const CALLED_VIA: [&str; 3] = ["aws:CalledVia", "aws:CalledViaFirst", "aws:CalledViaLast"];

/// Returns the request for an operation that is called in this way. `service` is the value of
/// `kms:ViaService` if a service passes the call on.
pub(crate) fn request(key: &KeyArn, operation: &str, how: How, service: Given) -> Request {
    // https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-viaawsservice
    let (via, is_via) = match how {
        How::Direct => (Given::absent(), "false"),
        How::OtherService => (service, "true"),
    };
    let request = Request::new(operation, key.as_str())
        .with(VIA_SERVICE, via)
        .with("aws:ViaAWSService", Given::text(is_via))
        .with("aws:ResourceAccount", Given::text(key.account().as_str()));
    match how {
        How::Direct => CALLED_VIA.into_iter().fold(request, |r, key| r.with(key, Given::absent())),
        How::OtherService => request,
    }
}

/// Returns the values of `kms:ViaService` for services other than S3. The value for S3 is
/// `s3.REGION.amazonaws.com` in all partitions.
pub(crate) fn other_than_s3() -> Given {
    Given::unlike([Pattern::wildcard("s3.*.amazonaws.com")])
}

/// Returns the uses that a policy may allow.
///
/// `asked` lists the operations and the way in which each is called. `requests` has the request for
/// each of them, in the same order. Grants of one statement to one principal are one use. A use
/// through a service is left out if the same use is possible directly.
pub(crate) fn accesses(
    policy: &Policy,
    key: &KeyArn,
    asked: &[(&'static str, How)],
    requests: &[Request],
) -> Result<Vec<KeyAccess>, TooComplex> {
    let mut found: BTreeMap<_, KeyAccess> = BTreeMap::new();
    for grant in policy.allowed(requests)? {
        let Some(&(operation, how)) = asked.get(grant.request) else { continue };
        let statement = policy.statements.get(grant.statement);
        let principal = said(&grant, statement);
        let by_root_user = statement.is_some_and(admits_root_user_only);
        let entry =
            found.entry((grant.statement, how, principal.clone())).or_insert_with(|| KeyAccess {
                statement: policy.name(grant.statement),
                index: grant.statement,
                principal,
                operations: Vec::new(),
                how,
                delegated: !by_root_user
                    && grant.principal == Principal::Account(key.account().to_string()),
                by_root_user,
                caller: grant.caller,
            });
        if !entry.operations.contains(&operation) {
            entry.operations.push(operation);
        }
    }
    Ok(without_repeats(found.into_values().collect()))
}

/// Removes the uses through a service that are possible directly as well.
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

/// The condition keys that limit everyone to the members of an organization, to a network of
/// somebody, or to one identity, and their spelling
/// ([global](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html)).
const LIMITS: [&str; 8] = [
    ORGANIZATION,
    ORGANIZATION_PATHS,
    "aws:SourceVpc",
    "aws:SourceVpce",
    "aws:VpceAccount",
    "aws:VpceOrgID",
    "aws:VpceOrgPaths",
    USER_ID,
];
/// The condition key that holds the id of the caller's organization.
pub(crate) const ORGANIZATION: &str = "aws:PrincipalOrgID";
/// The condition key that holds the paths of the caller within its organization.
pub(crate) const ORGANIZATION_PATHS: &str = "aws:PrincipalOrgPaths";
/// The key that holds [the id of the
/// caller](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#principaltable):
/// for a session, the id of the role, a colon and the name of the session.
const USER_ID: &str = "aws:userid";

/// True if a condition of a statement holds for no caller but the root user of an account. The
/// [type](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principaltype)
/// of such a caller is `Account`.
fn admits_root_user_only(statement: &Statement) -> bool {
    let is_root_user = |condition: &Condition| match condition.key.as_str() {
        "aws:principaltype" => condition.values.iter().all(|value| value == "Account"),
        "aws:principalarn" => condition
            .values
            .iter()
            .all(|value| value.ends_with(":root") && !value.contains(['*', '?', '$'])),
        _ => false,
    };
    statement.conditions.iter().any(|condition| {
        !condition.values.is_empty() && needs_the_key(condition) && is_root_user(condition)
    })
}

/// True if a condition holds only for requests that have its key with one of the values.
fn needs_the_key(condition: &Condition) -> bool {
    let Operator { comparison, negated, quantifier, if_exists } = condition.operator;
    let is_text = matches!(
        comparison,
        Comparison::String
            | Comparison::StringLike
            | Comparison::StringIgnoreCase
            | Comparison::Arn
    );
    is_text && !negated && !if_exists && quantifier != Quantifier::ForAllValues
}

/// The length of the shortest text that identifies somebody: `vpc-` and 8 digits, or `o-` and 10
/// characters.
const SHORTEST_ID: usize = 12;

/// Returns the conditions of a statement that limit everyone to known callers, with the spelling of
/// the key.
fn limits(statement: &Statement) -> impl Iterator<Item = (&'static str, &Condition)> {
    statement.conditions.iter().filter_map(|condition| {
        let key = LIMITS.into_iter().find(|key| key.eq_ignore_ascii_case(&condition.key))?;
        (needs_the_key(condition) && names_somebody(condition)).then_some((key, condition))
    })
}

/// True if every value of a condition identifies somebody. `*` alone does not: what comes before a
/// wildcard must be long enough.
fn names_somebody(condition: &Condition) -> bool {
    let comparison = condition.operator.comparison;
    let is_known = |value: &String| {
        let known = value.split(['*', '?', '$']).next().unwrap_or_default();
        known.len() >= SHORTEST_ID && (comparison != Comparison::String || known == value)
    };
    matches!(comparison, Comparison::String | Comparison::StringLike)
        && !condition.values.is_empty()
        && condition.values.iter().all(is_known)
}

fn limit_in_words((key, condition): (&str, &Condition)) -> String {
    format!("{key} {}", condition.values.join(" or "))
}

/// True if a statement admits only identities that it names by their ids.
pub(crate) fn names_identities(statement: &Statement) -> bool {
    limits(statement).any(|(key, _)| key == USER_ID)
}

/// Returns the request of an unknown caller. No condition of the policy names its organization, its
/// network or its id. It does not belong to `organizations` either.
pub(crate) fn by_unknown_caller(
    request: Request,
    policy: &Policy,
    organizations: &[OrganizationId],
) -> Request {
    let conditions = || policy.statements.iter().flat_map(|statement| &statement.conditions);
    let unlike = |key: &'static str| {
        let named = conditions()
            .filter(|condition| key.eq_ignore_ascii_case(&condition.key))
            .filter(|condition| names_somebody(condition))
            .flat_map(|condition| &condition.values)
            .map(|value| Pattern::wildcard(value));
        let trusted = organizations.iter().map(|id| match key {
            ORGANIZATION => Pattern::literal(id.as_str()),
            _ => Pattern::wildcard(&format!("{}/*", id.as_str())),
        });
        let trusted = trusted.filter(|_| [ORGANIZATION, ORGANIZATION_PATHS].contains(&key));
        Given::unlike(named.chain(trusted))
    };
    LIMITS.into_iter().fold(request, |request, key| match key {
        USER_ID => request.with(key, unlike(key)),
        _ => request.with(key, unlike(key).or_absent()),
    })
}

/// Returns the principal, as the statement names it. For everyone, the caller that gets through
/// follows, if it is known. Or the conditions follow that limit everyone.
fn said(grant: &Grant, statement: Option<&Statement>) -> String {
    let limits: Vec<_> = statement.into_iter().flat_map(limits).map(limit_in_words).collect();
    match (&grant.principal, &grant.caller) {
        (Principal::Anyone, Caller::Stranger) if !limits.is_empty() => {
            format!("callers with {}", limits.join(" and "))
        }
        (Principal::Anyone, Caller::Account(account)) => format!("* (account {account})"),
        (Principal::Anyone, Caller::Identity { arn, .. }) => format!("* ({arn})"),
        (Principal::Anyone, Caller::Federated(name) | Caller::CanonicalUser(name)) => {
            format!("* ({name})")
        }
        (Principal::Account(account), _) if statement.is_some_and(admits_root_user_only) => {
            format!("the root user of account {account}")
        }
        (Principal::Account(account), _) => format!("account {account}"),
        (principal, _) => principal.to_string(),
    }
}

impl KeyAccess {
    /// Describes the access: `open to arn:...:role/app: kms:Decrypt (statement AppRole)`. A leading
    /// `*` is written as `everyone`, because `*` is markup in some places.
    pub(crate) fn describe(&self) -> String {
        let Self { statement, principal, operations, .. } = self;
        let principal = principal
            .strip_prefix('*')
            .map_or_else(|| principal.clone(), |who| format!("everyone{who}"));
        format!("open to {principal}: {} (statement {statement})", operations.join(", "))
    }
}
