//! Judges who has access to a key, by each way into it.
//!
//! A control about access is an [`AccessRule`]. It says what the policies of a key admit, and what
//! a grant admits. [`judged`] asks it about every [`Admission`] of the key and of its related keys.
//! So no control can forget one.

use crate::{
    Class, Evidence, Outcome, PolicyOf, Severity, Shortfall,
    control::{MOST_LISTED, understood},
    kms_actions,
};
use facts::{
    Admission, GrantConstraints, KeyAdmissions, KeyArn, KeyGrant, KeyGrants, PolicyDocument,
};
use iam_policy::{Condition, Effect, Policy, Principal, Selection, Statement};
use std::collections::BTreeSet;

/// A control about access to a key.
pub(crate) trait AccessRule {
    /// Judges what the policies of a key admit. Each of them can allow, and a Deny of either
    /// refuses.
    fn of_policies(policies: &KeyPolicies, class: &Class) -> Outcome;

    /// Judges what a grant admits to somebody who is no AWS service. `policies` has the statements
    /// of the grant, and each Deny of the key's policies, which overrides it.
    fn of_grant(policies: &KeyPolicies, operations: &[&'static str], class: &Class) -> Outcome;

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

    /// Returns each Deny, and the statements of a grant in place of each Allow.
    fn with_grant(&self, id: &str, granted: Vec<Statement>) -> Self {
        let statements = self.all.statements.iter().zip(&self.origins);
        let refusing = statements.filter(|(statement, _)| statement.effect == Effect::Deny);
        let (statements, mut origins): (Vec<_>, Vec<_>) =
            refusing.map(|(statement, origin)| (statement.clone(), origin.clone())).unzip();
        let policy = Policy { version: self.all.version, statements };
        let granted = Policy { version: iam_policy::Version::V2012, statements: granted };
        let all = policy.joined_with(&granted);
        origins.resize(all.statements.len(), AllowedBy::Grant { id: id.to_owned() });
        Self { key: self.key.clone(), all, origins }
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
    let mut outcomes = Vec::new();
    if let (Some(policy), Some(shared), Some(grants)) = (policy, shared, grants) {
        match policy
            .known()
            .map_err(Outcome::unreadable)
            .and_then(|it| understood(it, PolicyOf::Key))
        {
            // A Deny of this policy could override everything else.
            Err(undetermined) => outcomes.push(undetermined),
            Ok(policy) => {
                let mut policies = KeyPolicies::of(policy, key);
                let shared = shared.known().map_err(Outcome::unreadable);
                match shared.and_then(|it| it.as_ref().map(shared_policy).transpose()) {
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
            }
        }
    }
    outcomes.extend(of_related);
    outcomes
}

fn shared_policy(document: &PolicyDocument) -> Result<&Policy, Outcome> {
    understood(document, PolicyOf::SharedKey)
}

fn of_grants<R: AccessRule>(
    grants: &KeyGrants,
    policies: &KeyPolicies,
    class: &Class,
) -> Vec<Outcome> {
    let judge = |grant: &KeyGrant| match granted(grant) {
        Ok((operations, statements)) => {
            R::of_grant(&policies.with_grant(&grant.id, statements), &operations, class)
        }
        Err(evidence) => Outcome::not_understood(evidence),
    };
    let mut outcomes = Vec::new();
    let is_failed = |it: &&Outcome| matches!(it, Outcome::Failed { .. });
    for grant in &grants.others {
        // More of them say nothing new.
        if outcomes.iter().filter(is_failed).count() == MOST_LISTED {
            break;
        }
        outcomes.push(judge(grant));
    }
    if grants.more {
        outcomes.push(Outcome::not_understood(Evidence::ManyGrants));
    }
    if !grants.services.is_empty() {
        outcomes.extend(R::of_services(&grants.services).map(|it| Outcome::Passed(vec![it])));
    }
    outcomes
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

/// Returns the actions that a grant allows, and Allow statements that mean the same as the grant.
/// The error is the evidence of a grantee or an operation that is not known.
fn granted(grant: &KeyGrant) -> Result<(Vec<&'static str>, Vec<Statement>), Evidence> {
    let unknown = || Evidence::UnknownGrant { grantee: grant.grantee.clone() };
    let principal = match Principal::aws(grant.grantee.clone()) {
        Ok(known @ (Principal::Account(_) | Principal::Identity { .. })) => known,
        _ => return Err(unknown()),
    };
    let action = |operation: &String| {
        let action = format!("kms:{operation}");
        kms_actions::IN_GRANTS.into_iter().find(|known| *known == action)
    };
    let actions: Option<Vec<_>> = grant.operations.iter().map(action).collect();
    let actions = actions.ok_or_else(unknown)?;
    let (data, others): (Vec<_>, Vec<_>) =
        actions.iter().partition(|action| WITH_CONTEXT.contains(action));
    let GrantConstraints { encryption_context, source_arn } = &grant.constraints;
    let source = source_arn.iter().map(|arn| ("aws:SourceArn".to_owned(), arn));
    let context = encryption_context.iter();
    let context = context.map(|(name, value)| (format!("kms:EncryptionContext:{name}"), value));
    let statement = |actions: Vec<&str>, conditions: Vec<(String, &String)>| Statement {
        sid: None,
        effect: Effect::Allow,
        principals: Selection::Only(vec![principal.clone()]),
        actions: Selection::Only(actions.into_iter().map(str::to_owned).collect()),
        resources: Selection::Only(vec!["*".to_owned()]),
        conditions: conditions.into_iter().filter_map(|(key, value)| equals(&key, value)).collect(),
    };
    let data = statement(data, source.clone().chain(context).collect());
    let others = statement(others, source.collect());
    let is_empty = |it: &Statement| it.actions.named().is_empty();
    Ok((actions, [data, others].into_iter().filter(|it| !is_empty(it)).collect()))
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
/// pass. Otherwise it is undetermined.
fn combined(outcomes: Vec<Outcome>) -> Outcome {
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
        None if missing.is_empty() => Outcome::Passed(passed),
        None => Outcome::Undetermined(missing),
    }
}
