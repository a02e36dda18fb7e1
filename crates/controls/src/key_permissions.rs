//! Judges who has access to a key, by each way into it.
//!
//! A control about access is an [`AccessRule`]. It says what the policies of a key admit, and what
//! a grant admits. [`judged`] asks it about every [`Admission`] of the key and of its related keys.
//! So no control can forget one.

use crate::{
    Class, Evidence, Outcome, PolicyOf, PolicyProblem, Severity, Shortfall,
    control::{MOST_LISTED, understood},
    kms_actions,
};
use facts::{Admission, Fact, KeyAdmissions, KeyArn, KeyGrant, KeyGrants, PolicyDocument};
use iam_policy::{Condition, Effect, Policy, Principal, Selection, Statement, Version};
use std::collections::BTreeSet;

/// A control about access to a key.
pub(crate) trait AccessRule {
    /// Judges what the policies of a key admit. Each of them can allow, and a Deny of either
    /// refuses.
    fn of_policies(policies: &KeyPolicies, class: &Class) -> Outcome;

    /// True if the control judges a grant of this kind.
    fn looks_at(grant: &KeyGrant) -> bool;

    /// Judges what grants admit. `policies` has the statements of the grants, and each Deny of the
    /// key's policies, which overrides them. `operations` are those of the grants.
    fn of_grants(
        policies: &KeyPolicies,
        operations: &BTreeSet<&'static str>,
        class: &Class,
    ) -> Outcome;

    /// The worst severity of a failure by a grant.
    const WORST: Severity;

    /// Returns the evidence of grants to AWS services, or `None` if the control does not show it.
    fn of_services(services: &BTreeSet<String>) -> Option<Evidence>;
}

/// The policy or the grant that allows a use of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedBy {
    /// The key policy.
    KeyPolicy,
    /// The policy `AWS_RAM` of a key that is shared through AWS Resource Access Manager.
    SharedPolicy,
    /// A grant.
    Grant {
        /// The id of the grant.
        id: String,
    },
}

/// Policies of one key as one policy, with the origin of each statement.
#[derive(Debug)]
pub(crate) struct KeyPolicies {
    /// The key.
    pub(crate) key: KeyArn,
    /// The statements of all policies. Those of the key policy are first.
    pub(crate) all: Policy,
    origins: Vec<AllowedBy>,
}

impl KeyPolicies {
    /// Creates the policies of a key that has a key policy only.
    pub(crate) fn of(policy: &Policy, key: &KeyArn) -> Self {
        let origins = vec![AllowedBy::KeyPolicy; policy.statements.len()];
        Self { key: key.clone(), all: policy.clone(), origins }
    }

    fn joined_with_shared(mut self, shared: &Policy) -> Self {
        self.all = self.all.joined_with(shared);
        self.origins.resize(self.all.statements.len(), AllowedBy::SharedPolicy);
        self
    }

    /// Returns each Deny, and the statements of grants in place of each Allow.
    fn with_grants(&self, grants: &[Granted<'_>]) -> Self {
        let statements = self.all.statements.iter().zip(&self.origins);
        let refusing = statements.filter(|(statement, _)| statement.effect == Effect::Deny);
        let (statements, mut origins): (Vec<_>, Vec<_>) =
            refusing.map(|(statement, origin)| (statement.clone(), origin.clone())).unzip();
        let policy = Policy { version: self.all.version, statements };
        let statements = grants.iter().flat_map(|granted| granted.statements.clone()).collect();
        let granted = Policy { version: Version::V2012, statements };
        origins.extend(grants.iter().flat_map(|granted| {
            let origin = AllowedBy::Grant { id: granted.grant.id.clone() };
            granted.statements.iter().map(move |_| origin.clone())
        }));
        Self { key: self.key.clone(), all: policy.joined_with(&granted), origins }
    }

    /// Returns the policy or the grant that a statement belongs to.
    pub(crate) fn origin(&self, statement: usize) -> AllowedBy {
        self.origins.get(statement).cloned().unwrap_or(AllowedBy::KeyPolicy)
    }

    /// Returns the name of a statement for people: its Sid, or its index in its own policy. The
    /// name of a grant's statement does not contain its id.
    pub(crate) fn name(&self, statement: usize) -> String {
        let origin = self.origin(statement);
        let before = self.origins.iter().take(statement).filter(|it| **it != origin).count();
        let sid = self.all.statements.get(statement).and_then(|it| it.sid.clone());
        let name = sid.unwrap_or_else(|| (statement - before).to_string());
        match origin {
            AllowedBy::KeyPolicy => name,
            AllowedBy::SharedPolicy => format!("{name} of policy AWS_RAM"),
            AllowedBy::Grant { .. } => "grant".to_owned(),
        }
    }
}

/// Judges every way into a key.
pub(crate) fn judged<R: AccessRule>(
    key: &KeyArn,
    admissions: &KeyAdmissions,
    class: &Class,
) -> Outcome {
    combined(of_each::<R>(key, admissions.all(), class))
}

/// Judges each way into a key, and into its related keys.
fn of_each<'a, R: AccessRule>(
    key: &KeyArn,
    admissions: impl IntoIterator<Item = Admission<'a>>,
    class: &Class,
) -> Vec<Outcome> {
    let (mut policy, mut shared, mut grants) = (None, None, None);
    let mut of_related = Vec::new();
    for admission in admissions {
        match admission {
            Admission::KeyPolicy(read) => policy = Some(read),
            Admission::SharedPolicy(read) => shared = Some(read),
            Admission::Grants(read) => grants = Some(read),
            Admission::RelatedKey(related) => {
                let outcome =
                    combined(of_each::<R>(&related.arn, related.permissions.all(), class));
                of_related.push(of_related_key(outcome, &related.arn));
            }
        }
    }
    let (Some(policy), Some(shared), Some(grants)) = (policy, shared, grants) else {
        return of_related;
    };
    let mut outcomes = of_permissions::<R>(key, policy, shared, grants, class);
    outcomes.extend(of_related);
    outcomes
}

/// Judges the policies and the grants of one key.
fn of_permissions<R: AccessRule>(
    key: &KeyArn,
    policy: &Fact<PolicyDocument>,
    shared: &Fact<Option<PolicyDocument>>,
    grants: &Fact<KeyGrants>,
    class: &Class,
) -> Vec<Outcome> {
    let policy = policy.known().map_err(Outcome::unreadable);
    let policy = match policy.and_then(|policy| understood(policy, PolicyOf::Key)) {
        Ok(policy) => policy,
        // A Deny of this policy could override everything else.
        Err(undetermined) => return vec![undetermined],
    };
    let (mut policies, mut outcomes) = (KeyPolicies::of(policy, key), Vec::new());
    let shared = shared.known().map_err(Outcome::unreadable);
    match shared.and_then(|shared| shared.as_ref().map(shared_policy).transpose()) {
        Ok(Some(shared)) => policies = policies.joined_with_shared(shared),
        Ok(None) => {}
        // A resource share has no Deny: "Effect: must be set to ALLOW"
        // (https://docs.aws.amazon.com/ram/latest/APIReference/API_CreatePermission.html).
        Err(undetermined) => outcomes.push(undetermined),
    }
    outcomes.push(R::of_policies(&policies, class));
    match grants.known() {
        Ok(grants) => outcomes.extend(of_grants::<R>(grants, &policies, class)),
        Err(why) => outcomes.push(Outcome::unreadable(why)),
    }
    outcomes
}

fn shared_policy(document: &PolicyDocument) -> Result<&Policy, Outcome> {
    understood(document, PolicyOf::SharedKey)
}

/// The number of grants that are judged together.
const AT_ONCE: usize = 100;

/// Judges grants. Stops when the worst is found, because more of them say nothing new.
fn of_grants<R: AccessRule>(
    grants: &KeyGrants,
    policies: &KeyPolicies,
    class: &Class,
) -> Vec<Outcome> {
    let (mut all, mut unknown) = (Vec::new(), Vec::new());
    for grant in grants.others.iter().filter(|grant| R::looks_at(grant)) {
        match granted(grant) {
            Some(granted) => all.push(granted),
            None => {
                let evidence = Evidence::UnknownGrant { grantee: grant.grantee.clone() };
                unknown.push(Shortfall::NotUnderstood(evidence));
            }
        }
    }
    unknown.truncate(MOST_LISTED);
    if grants.more {
        unknown.push(Shortfall::NotUnderstood(Evidence::ManyGrants));
    }
    let (for_resources, plain): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|granted| granted.grant.constraints.source_arn.is_some());
    let mut outcomes = Vec::new();
    let is_worst = |outcome: &Outcome| matches!(outcome, Outcome::Failed { severity, .. } if *severity == R::WORST);
    for some in plain.chunks(AT_ONCE) {
        outcomes.extend(judge_grants::<R>(some, policies, class));
        if outcomes.iter().any(is_worst) {
            break;
        }
    }
    // AWS does not say whether a call that an identity makes can have a source ARN.
    for some in for_resources.chunks(AT_ONCE) {
        outcomes.extend(judge_grants::<R>(some, policies, class).into_iter().map(doubtful));
    }
    if !unknown.is_empty() {
        outcomes.push(Outcome::Undetermined(unknown));
    }
    if !grants.services.is_empty() {
        outcomes.extend(R::of_services(&grants.services).map(|it| Outcome::Passed(vec![it])));
    }
    outcomes
}

/// Judges grants together, or in halves if that is too complex.
fn judge_grants<R: AccessRule>(
    grants: &[Granted<'_>],
    policies: &KeyPolicies,
    class: &Class,
) -> Vec<Outcome> {
    let operations = grants.iter().flat_map(|granted| granted.operations.clone()).collect();
    let outcome = R::of_grants(&policies.with_grants(grants), &operations, class);
    match grants.split_at_checked(grants.len() / 2) {
        Some((first, second)) if is_too_complex(&outcome) && !first.is_empty() => {
            let mut outcomes = judge_grants::<R>(first, policies, class);
            outcomes.extend(judge_grants::<R>(second, policies, class));
            outcomes
        }
        // The evidence of a pass is that there is none.
        _ if matches!(outcome, Outcome::Passed(_)) => Vec::new(),
        _ => vec![outcome],
    }
}

fn is_too_complex(outcome: &Outcome) -> bool {
    let problem = |shortfall: &Shortfall| {
        let Shortfall::NotUnderstood(Evidence::Policy { problem, .. }) = shortfall else {
            return false;
        };
        matches!(problem, PolicyProblem::TooComplex { .. })
    };
    matches!(outcome, Outcome::Undetermined(shortfalls) if shortfalls.iter().any(problem))
}

/// Makes a failure undetermined.
fn doubtful(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Failed { evidence, .. } => {
            Outcome::Undetermined(evidence.into_iter().map(Shortfall::NotUnderstood).collect())
        }
        outcome => outcome,
    }
}

/// A grant as Allow statements.
struct Granted<'a> {
    grant: &'a KeyGrant,
    operations: Vec<&'static str>,
    statements: Vec<Statement>,
}

/// The operations that encrypt and decrypt, to which the encryption context of a grant applies.
const WITH_CONTEXT: [&str; 8] = [
    "kms:Decrypt",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyPair",
    "kms:GenerateDataKeyPairWithoutPlaintext",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
];

/// Returns Allow statements that mean the same as a grant, apart from a source ARN. `None` if the
/// grantee or an operation is not known.
fn granted(grant: &KeyGrant) -> Option<Granted<'_>> {
    let principal = match Principal::aws(grant.grantee.clone()) {
        Ok(known @ Principal::Account(_)) => known,
        // A role of AWS itself, of which nothing is documented.
        Ok(Principal::Identity { arn, .. }) if is_role_of_aws(&arn) => return None,
        Ok(known @ Principal::Identity { .. }) => known,
        _ => return None,
    };
    let action = |operation: &String| {
        let action = format!("kms:{operation}");
        kms_actions::IN_GRANTS.into_iter().find(|known| *known == action)
    };
    let operations: Option<Vec<_>> = grant.operations.iter().map(action).collect();
    let operations = operations.filter(|all| !all.is_empty())?;
    let (data, others): (Vec<_>, Vec<_>) =
        operations.iter().partition(|action| WITH_CONTEXT.contains(action));
    let context = grant.constraints.encryption_context.iter();
    let context = context.map(|(name, value)| (format!("kms:EncryptionContext:{name}"), value));
    let context = context.filter_map(|(key, value)| equals(&key, value)).collect();
    let statement = |actions: Vec<&str>, conditions| Statement {
        sid: None,
        effect: Effect::Allow,
        principals: Selection::Only(vec![principal.clone()]),
        actions: Selection::Only(actions.into_iter().map(str::to_owned).collect()),
        resources: Selection::Only(vec!["*".to_owned()]),
        conditions,
    };
    let statements = [statement(data, context), statement(others, Vec::new())];
    let is_empty = |it: &Statement| it.actions.named().is_empty();
    let statements = statements.into_iter().filter(|it| !is_empty(it)).collect();
    Some(Granted { grant, operations, statements })
}

fn is_role_of_aws(arn: &str) -> bool {
    arn.splitn(6, ':').nth(5).is_some_and(|resource| resource.starts_with("assumed-role/aws:"))
}

/// Returns the condition that a key has exactly this value. The value has no variables.
fn equals(key: &str, value: &str) -> Option<Condition> {
    Some(Condition {
        operator: "StringEquals".parse().ok()?,
        key: key.to_lowercase(),
        written: key.to_owned(),
        values: vec![value.replace("${", "${$}{")],
    })
}

/// Names the related key in the evidence of an outcome.
fn of_related_key(outcome: Outcome, key: &KeyArn) -> Outcome {
    let wrap = |evidence: Evidence| Evidence::OfRelatedKey {
        key: key.clone(),
        evidence: Box::new(evidence),
    };
    let all = |evidence: Vec<Evidence>| evidence.into_iter().map(wrap).collect();
    match outcome {
        Outcome::Passed(evidence) => Outcome::Passed(all(evidence)),
        Outcome::Failed { severity, evidence } => {
            Outcome::Failed { severity, evidence: all(evidence) }
        }
        Outcome::NotApplicable(why) => Outcome::NotApplicable(why),
        Outcome::Undetermined(shortfalls) => {
            let wrapped = |shortfall| match shortfall {
                // The subject contains the ARN of the key.
                Shortfall::Unreadable(why) => Shortfall::Unreadable(why),
                Shortfall::NotUnderstood(evidence) => Shortfall::NotUnderstood(wrap(evidence)),
                Shortfall::NoWitness(evidence) => Shortfall::NoWitness(wrap(evidence)),
            };
            Outcome::Undetermined(shortfalls.into_iter().map(wrapped).collect())
        }
    }
}

/// Returns one outcome for all ways in. It fails if one of them fails, and passes if all of them
/// pass. Otherwise it is undetermined, also if nothing was judged.
fn combined(outcomes: Vec<Outcome>) -> Outcome {
    let is_empty = outcomes.is_empty();
    let mut worst: Option<Severity> = None;
    let (mut passed, mut failed, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Outcome::Passed(evidence) => passed.extend(evidence),
            Outcome::Failed { severity, evidence } => {
                worst = worst.max(Some(severity));
                failed.extend(evidence);
            }
            Outcome::Undetermined(shortfalls) => {
                missing.extend(shortfalls);
            }
            Outcome::NotApplicable(_) => {}
        }
    }
    match worst {
        Some(severity) => {
            // A remedy may end uses by services, so these grants are shown too.
            let of_services = passed.into_iter().filter(Evidence::is_about_services);
            let evidence = failed.into_iter().chain(of_services).collect();
            Outcome::Failed { severity, evidence }
        }
        None if missing.is_empty() && !is_empty => Outcome::Passed(passed),
        None => Outcome::Undetermined(missing),
    }
}
