//! Finds the principals that may use a key by its policy, and the ways in which they may.

use crate::{
    Class, OrganizationId,
    key_permissions::{AllowedBy, KeyPolicies},
};
use facts::KeyArn;
use iam_policy::{
    Caller, Comparison, Condition, Given, Grant, Operator, Pattern, Policy, Principal, Quantifier,
    Request, Statement, TooComplex, Witness,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// A use of a key that its policy may allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyAccess {
    /// The statement that allows the use: its Sid, or its index from 0. `grant` if a grant allows
    /// it.
    pub statement: String,
    /// The policy or the grant that allows the use.
    #[serde(skip)]
    pub allowed_by: AllowedBy,
    /// The index of the statement among those of all policies of the key.
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
    /// The grants behind the access.
    #[serde(skip)]
    pub(crate) grants: Vec<Grant>,
    /// A request that gets through; `None` if none was looked for, or none was found.
    #[serde(skip)]
    pub witness: Option<Witness>,
    /// True if neither the policy nor the settings know the caller of the witness.
    #[serde(skip)]
    pub(crate) by_anyone: bool,
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
/// key](https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-grant-is-for-aws-resource)
/// that is true if an AWS service creates, lists or revokes a grant for the caller.
pub(crate) const GRANT_IS_FOR_SERVICE: &str = "kms:GrantIsForAWSResource";

/// The [condition
/// keys](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-calledvia)
/// that name the services which made a request with the caller's credentials. Absent if KMS is
/// called directly.
const CALLED_VIA: [&str; 3] = ["aws:CalledVia", "aws:CalledViaFirst", "aws:CalledViaLast"];

/// Returns the organization of the key. If it is not known, a name takes its place, so that the
/// organization of a caller can be compared with it.
fn own_organization(class: &Class) -> &str {
    class.organization.as_ref().map_or("o-yourorganization", OrganizationId::as_str)
}

/// Returns the request for an operation that is called in this way. `service` is the value of
/// `kms:ViaService` if a service passes the call on.
pub(crate) fn request(
    key: &KeyArn,
    class: &Class,
    operation: &str,
    how: How,
    service: Given,
) -> Request {
    // https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-viaawsservice
    let (via, is_via) = match how {
        How::Direct => (Given::absent(), "false"),
        How::OtherService => (service, "true"),
    };
    let request = Request::new(operation, key.as_str())
        .with(VIA_SERVICE, via)
        .with("aws:ViaAWSService", Given::text(is_via))
        .with("aws:ResourceAccount", Given::text(key.account().as_str()))
        .assuming("aws:ResourceOrgID", own_organization(class));
    // The placeholder of an unknown organization takes the place of the variable only.
    let request = match &class.organization {
        Some(organization) => request.with("aws:ResourceOrgID", Given::text(organization.as_str())),
        None => request,
    };
    match how {
        How::Direct => CALLED_VIA.into_iter().fold(request, |r, key| r.with(key, Given::absent())),
        How::OtherService => request,
    }
}

/// Services that pass calls on to KMS, for examples.
const OTHER_SERVICES: [&str; 5] = ["ec2", "rds", "lambda", "secretsmanager", "s3tables"];

/// Returns the values of `kms:ViaService` in calls of a key of this region. Each value is
/// `SERVICE.REGION.amazonaws.com`, in all partitions.
pub(crate) fn any_service(key: &KeyArn) -> Given {
    let examples = OTHER_SERVICES.map(|name| format!("{name}.{}.amazonaws.com", key.region()));
    Given::like(Pattern::wildcard("*.*.amazonaws.com")).such_as(examples)
}

/// Returns the values of `kms:ViaService` for services other than S3.
pub(crate) fn other_than_s3(key: &KeyArn) -> Given {
    any_service(key).except([Pattern::wildcard("s3.*")])
}

/// The operations that a control asks about, the way in which each is called, and the requests for
/// them, in the same order.
pub(crate) struct Uses {
    uses: Vec<(&'static str, How)>,
    requests: Vec<Request>,
    /// The index of the first request that only unknown callers make.
    unknown: usize,
}

impl Uses {
    /// Creates the question. `request` makes the request for an operation that is called in a way.
    pub(crate) fn new(
        uses: impl IntoIterator<Item = (&'static str, How)>,
        request: impl Fn(&'static str, How) -> Request,
    ) -> Self {
        let uses: Vec<_> = uses.into_iter().collect();
        let requests: Vec<_> =
            uses.iter().map(|&(operation, how)| request(operation, how)).collect();
        Self { unknown: requests.len(), uses, requests }
    }

    /// Adds the same requests of unknown callers. Neither the policy nor the settings know their
    /// organization, their network or their id.
    pub(crate) fn also_by_anyone(mut self, policy: &Policy, class: &Class) -> Self {
        let by_anyone = |it: &Request| by_unknown_caller(it.clone(), policy, class);
        let by_anyone: Vec<_> = self.requests.iter().map(by_anyone).collect();
        self.requests.extend(by_anyone);
        self.uses.extend_from_within(..);
        self
    }

    /// True if an unknown caller makes this request.
    fn is_by_anyone(&self, grant: &Grant) -> bool {
        grant.request >= self.unknown && grant.caller == Caller::Stranger
    }
}

/// Returns the uses that a policy may allow.
///
/// Grants of one statement to one principal are one use.
pub(crate) fn accesses(policies: &KeyPolicies, asked: &Uses) -> Result<Vec<KeyAccess>, TooComplex> {
    let (policy, own) = (&policies.all, policies.key.account().as_str());
    let mut found: BTreeMap<_, KeyAccess> = BTreeMap::new();
    for grant in policy.allowed(&asked.requests)? {
        let Some(&(operation, how)) = asked.uses.get(grant.request) else { continue };
        let statement = policy.statements.get(grant.statement);
        let principal = said(&grant, statement);
        let by_root_user = statement.is_some_and(admits_root_user_only);
        let allowed_by = policies.origin(grant.statement);
        // A grant leaves nothing to IAM policies: it names its operations.
        let may_delegate = !by_root_user && !matches!(allowed_by, AllowedBy::Grant { .. });
        let access = (grant.statement, how, principal.clone());
        let entry = found.entry(access).or_insert_with(|| KeyAccess {
            statement: policies.name(grant.statement),
            allowed_by,
            index: grant.statement,
            principal,
            operations: Vec::new(),
            how,
            delegated: may_delegate && grant.principal == Principal::Account(own.to_owned()),
            by_root_user,
            caller: grant.caller.clone(),
            grants: Vec::new(),
            witness: None,
            by_anyone: false,
        });
        if !entry.operations.contains(&operation) {
            entry.operations.push(operation);
        }
        entry.grants.push(grant);
    }
    Ok(found.into_values().collect())
}

/// Looks for a request that gets through by each access. Returns the accesses with such a request,
/// and those for which none was found. A use through a service is left out if the same use is
/// possible directly.
pub(crate) fn witnessed(
    policy: &Policy,
    asked: &Uses,
    mut accesses: Vec<KeyAccess>,
) -> (Vec<KeyAccess>, Vec<KeyAccess>) {
    for access in &mut accesses {
        let is_counted = |grant: &Grant| {
            let asked = asked.uses.get(grant.request);
            asked.is_some_and(|(operation, _)| access.operations.contains(operation))
        };
        access.grants.retain(is_counted);
    }
    let is_repeat = |one: &KeyAccess, all: &[KeyAccess]| all.iter().any(|other| other.repeats(one));
    let (repeats, others): (Vec<_>, Vec<_>) =
        accesses.iter().cloned().partition(|one| is_repeat(one, &accesses));
    let (mut found, mut doubtful) = split(policy, asked, others);
    let (_, open): (Vec<_>, Vec<_>) = repeats.into_iter().partition(|one| is_repeat(one, &found));
    if !open.is_empty() {
        let (more, others) = split(policy, asked, open);
        found.extend(more);
        doubtful.extend(others);
    }
    (found, doubtful)
}

/// Returns the accesses with a witness, and those for which none was found.
fn split(
    policy: &Policy,
    asked: &Uses,
    accesses: Vec<KeyAccess>,
) -> (Vec<KeyAccess>, Vec<KeyAccess>) {
    // A request of an unknown caller shows best what a statement admits.
    let of = |access, by_anyone| {
        let KeyAccess { grants, .. }: &KeyAccess = access;
        grants.iter().filter(|grant| asked.is_by_anyone(grant) == by_anyone).collect()
    };
    let groups: Vec<_> = accesses.iter().flat_map(|it| [of(it, true), of(it, false)]).collect();
    let mut witnesses = policy.witnesses(&asked.requests, &groups).into_iter();
    let mut next = || witnesses.next().flatten();
    let all = accesses.into_iter().map(|access| {
        let (by_anyone, by_others) = (next(), next());
        KeyAccess {
            by_anyone: by_anyone.is_some(),
            witness: by_anyone.or(by_others),
            grants: Vec::new(),
            ..access
        }
    });
    all.partition(|access| access.witness.is_some())
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

/// The [policy
/// variable](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-resourceorgid)
/// that holds the organization of the key.
const KEYS_ORGANIZATION: &str = "${aws:ResourceOrgID}";

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
    let is_exact = matches!(comparison, Comparison::String | Comparison::StringIgnoreCase);
    let is_known = |value: &String| {
        if value.eq_ignore_ascii_case(KEYS_ORGANIZATION) {
            return true;
        }
        let known = value.split(['*', '?', '$']).next().unwrap_or_default();
        known.len() >= SHORTEST_ID && (!is_exact || known == value)
    };
    (is_exact || comparison == Comparison::StringLike)
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
fn by_unknown_caller(request: Request, policy: &Policy, class: &Class) -> Request {
    let conditions = || policy.statements.iter().flat_map(|statement| &statement.conditions);
    let unlike = |key: &'static str| {
        let named = conditions()
            .filter(|condition| key.eq_ignore_ascii_case(&condition.key))
            .filter(|condition| names_somebody(condition))
            .flat_map(|condition| &condition.values)
            .flat_map(|value| match value.eq_ignore_ascii_case(KEYS_ORGANIZATION) {
                true => [own_organization(class).to_owned(), String::new()],
                false => [value.to_lowercase(), value.clone()],
            })
            .map(|value| Pattern::wildcard(&value));
        let trusted = class.trusted_organizations.iter().map(|id| match key {
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
    /// Returns the callers that may call an operation.
    pub(crate) fn callers<'a>(
        &'a self,
        asked: &'a Uses,
        operation: &'a str,
    ) -> impl Iterator<Item = &'a Caller> {
        let is_asked = move |grant: &&Grant| {
            asked.uses.get(grant.request).is_some_and(|(asked, _)| *asked == operation)
        };
        self.grants.iter().filter(is_asked).map(|grant| &grant.caller)
    }

    /// True if this direct use includes the other use, which is through a service.
    fn repeats(&self, other: &Self) -> bool {
        (self.how, other.how) == (How::Direct, How::OtherService)
            && (self.index, &self.principal) == (other.index, &other.principal)
            && other.operations.iter().all(|operation| self.operations.contains(operation))
    }

    /// Describes the access: `open to arn:...:role/app: kms:Decrypt (statement AppRole)`. A leading
    /// `*` is written as `everyone`, because `*` is markup in some places.
    pub(crate) fn describe(&self) -> String {
        let Self { statement, allowed_by, principal, operations, .. } = self;
        let principal = principal
            .strip_prefix('*')
            .map_or_else(|| principal.clone(), |who| format!("everyone{who}"));
        let operations = listed(operations);
        match allowed_by {
            AllowedBy::KeyPolicy | AllowedBy::SharedPolicy => {
                format!("open to {principal}: {operations} (statement {statement})")
            }
            AllowedBy::Grant { id } => format!("open to {principal} by grant {id}: {operations}"),
        }
    }
}

/// The number of operations up to which a text lists all of them.
const ALL_LISTED: usize = 7;
/// The number of operations that a text lists if there are more. The name of the statement, which
/// follows, is then not cut off.
const FEW_LISTED: usize = 5;

fn listed(operations: &[&str]) -> String {
    match operations.get(..FEW_LISTED) {
        Some(first) if operations.len() > ALL_LISTED => {
            format!("{} and {} more", first.join(", "), operations.len() - first.len())
        }
        _ => operations.join(", "),
    }
}
