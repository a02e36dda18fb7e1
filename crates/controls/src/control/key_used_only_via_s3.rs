//! The control `key-used-only-via-s3`: principals that the key's policies and grants admit can use
//! the key only through S3.
//!
//! S3 calls KMS on behalf of the principal that reads or writes an object. In such a call,
//! [`kms:ViaService`](https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service)
//! is `s3.REGION.amazonaws.com`. "This condition key only applies for forward access sessions": it
//! is absent if KMS is called directly. So the control looks for operations that encrypt or decrypt
//! with the key. It fails if the policy may allow one although the condition key is absent, or
//! names another service. AWS services that act for themselves do not use the key directly.
//!
//! CreateGrant gives such use to others, unless
//! [`kms:GrantIsForAWSResource`](https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-grant-is-for-aws-resource)
//! is required or the call must come through a service. An identity that may call PutKeyPolicy
//! under the same conditions administers the key and could give itself any access. So its
//! CreateGrant does not count, but its Decrypt does.
//!
//! A
//! [grant](https://docs.aws.amazon.com/kms/latest/developerguide/grants.html) cannot be limited to
//! S3, so each grant of such an operation counts. Grants to AWS services are reported. The same
//! holds for the primary and the replicas of a multi-Region key: they decrypt the same data.
//!
//! The control does not know the principals that the account's own IAM policies admit. A statement
//! that leaves the key to IAM policies is reported. It fails only if the class says
//! `root-delegation = "reject"`.

use crate::{
    Class, Control, Evidence, How, KeyAccess, KeyPolicyVerdict, Level, Outcome, PolicyOf,
    RootDelegation, Rule, Severity, Shortfall, Subject, call,
    control::{customer_key, too_complex},
    key_access::{
        GRANT_IS_FOR_SERVICE, Uses, VIA_SERVICE, accesses, other_than_s3, request, witnessed,
    },
    key_permissions::{self, AccessRule, KeyPolicies},
    remedy::through_s3,
};
use facts::{Bucket, KeyArn, KeyGrant};
use iam_policy::{
    Caller, Condition, Effect, Given, Pattern, Policy, Principal, Request, Selection, Statement,
    TooComplex,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The control `key-used-only-via-s3`.
pub(crate) const KEY_USED_ONLY_VIA_S3: Control = Control {
    slug: "key-used-only-via-s3",
    level: Level::Cmk,
    severity: Severity::Medium,
    title: "The KMS key of an S3 bucket should be used only through S3",
    holds_when: "no principal that the key's policies and grants admit can use the key, or its \
          replicas, except through S3 (`kms:ViaService`)",
    why: "A principal that can use the key without S3 can decrypt copied data keys and data. \
          Neither the policies nor the logs of S3 see it.",
    reference: "https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service",
    requirements: &["AWS Well-Architected SEC08-BP01", "NIST.800-53.r5 AC-6"],
    remediation: "Add a Deny to the key policy (kms:PutKeyPolicy). It overrides grants, so that \
          services such as EBS can no longer use the key.",
    calls: &[call::KEY_POLICY, call::GRANTS, call::ENCRYPTION, call::ALIAS],
    statement: Some(statement),
    adapt: Some(through_s3::adapt),
    exempts_log_buckets: false,
    rule: Rule::Bucket(check),
};

/// The operations that encrypt and decrypt objects and their data keys.
pub(crate) const OPERATIONS: [&str; 6] = [
    "kms:Decrypt",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
];
/// The operations that give the caller a pair of keys. A grant can name them one by one.
const PAIR_OPERATIONS: [&str; 2] =
    ["kms:GenerateDataKeyPair", "kms:GenerateDataKeyPairWithoutPlaintext"];
pub(crate) const GRANT: &str = "kms:CreateGrant";
const ADMINISTER: &str = "kms:PutKeyPolicy";
const DECRYPT: &str = "kms:Decrypt";
const REPLICATE: &str = "kms:ReplicateKey";
/// The greatest number of accesses that the evidence lists.
pub(crate) const MOST_LISTED: usize = 20;

fn check(bucket: &Bucket, class: &Class) -> Outcome {
    let judged = customer_key(bucket).map(|(key, administration)| {
        key_permissions::judged::<OnlyViaS3>(&key.arn, &administration.admissions, class)
    });
    super::decided(judged)
}

/// The rule of this control.
struct OnlyViaS3;

impl AccessRule for OnlyViaS3 {
    fn of_policies(policies: &KeyPolicies, class: &Class) -> Outcome {
        of_policies(policies, class).outcome
    }

    /// Services that act for themselves do not use the key directly.
    fn looks_at(grant: &KeyGrant) -> bool {
        !grant.by_service
    }

    /// A grant cannot be limited to S3. So each grant of such an operation counts, unless a Deny
    /// overrides it.
    fn of_grants(
        policies: &KeyPolicies,
        operations: &BTreeSet<&'static str>,
        class: &Class,
    ) -> Outcome {
        let key = &policies.key;
        let is_use = |operation: &&&str| {
            OPERATIONS.contains(operation)
                || PAIR_OPERATIONS.contains(operation)
                || **operation == GRANT
        };
        let uses = operations.iter().filter(is_use);
        let uses = uses.flat_map(|o| [(*o, How::Direct), (*o, How::OtherService)]);
        let asked = Uses::new(uses, |o, how| asked_for(key, class, o, how));
        match accesses(policies, &asked) {
            Err(error) => too_complex(PolicyOf::Key, error),
            Ok(found) => {
                let (counted, doubtful) = witnessed(&policies.all, &asked, found);
                outcome(&counted, &doubtful, &[], Vec::new())
            }
        }
    }

    const WORST: Severity = KEY_USED_ONLY_VIA_S3.severity;

    fn of_services(services: &BTreeSet<String>) -> Option<Evidence> {
        Some(Evidence::GrantsToServices { services: services.clone() })
    }
}

/// Judges a key policy alone.
pub(crate) fn of_policy(policy: &Policy, key: &KeyArn, class: &Class) -> KeyPolicyVerdict {
    of_policies(&KeyPolicies::of(policy, key), class)
}

/// Judges the policies of a key as one.
fn of_policies(policies: &KeyPolicies, class: &Class) -> KeyPolicyVerdict {
    let key = &policies.key;
    let uses = OPERATIONS.into_iter().flat_map(|o| [(o, How::Direct), (o, How::OtherService)]);
    let asked =
        Uses::new(uses.chain([(GRANT, How::Direct)]), |o, how| asked_for(key, class, o, how));
    let (outcome, delegates_to_iam, accesses) = match used(policies, class, &asked) {
        Err(error) => (too_complex(PolicyOf::Key, error), false, Vec::new()),
        Ok(all) => {
            let delegates = all.iter().any(|found| found.delegated);
            let accepts = class.root_delegation == RootDelegation::Accept;
            let (accepted, counted): (Vec<_>, Vec<_>) =
                all.into_iter().partition(|found| found.delegated && accepts);
            let (counted, doubtful) = witnessed(&policies.all, &asked, counted);
            let mut outcome = match services_without_region(policies, class) {
                Ok(mistakes) => outcome(&counted, &doubtful, &accepted, mistakes),
                Err(error) => too_complex(PolicyOf::Key, error),
            };
            if let Outcome::Passed(evidence) = &mut outcome {
                evidence.extend(replication(policies, class));
            }
            (outcome, delegates, counted)
        }
    };
    KeyPolicyVerdict { control: &KEY_USED_ONLY_VIA_S3, outcome, delegates_to_iam, accesses }
}

/// Returns every use that is not through S3, without the grants of principals that administer the
/// key.
fn used(policies: &KeyPolicies, class: &Class, asked: &Uses) -> Result<Vec<KeyAccess>, TooComplex> {
    let (policy, key) = (&policies.all, &policies.key);
    let mut found = accesses(policies, asked)?;
    let [grant, administer] =
        [GRANT, ADMINISTER].map(|operation| asked_for(key, class, operation, How::Direct));
    for one in found.iter_mut().filter(|one| one.operations.contains(&GRANT)) {
        // PutKeyPolicy has no effect across accounts. A principal that the policy may refuse is no
        // administrator. An account is no administrator either: its IAM policies may give one
        // identity CreateGrant, and PutKeyPolicy to another.
        let mut all = true;
        for caller in one.callers(asked, GRANT) {
            let is_own = (matches!(caller, Caller::Identity { .. }) || one.by_root_user)
                && caller.account() == Some(key.account().as_str());
            all &= is_own
                && (policy.surely_allows(&administer, caller)?
                    || policy.allows_alike(one.index, &grant, &administer, caller)?);
        }
        one.operations.retain(|operation| !(all && *operation == GRANT));
    }
    found.retain(|one| !one.operations.is_empty());
    Ok(found)
}

/// Returns the principals of the key's own account that may replicate the key. They choose the
/// policy of the replica, so they administer the key. Only a [multi-Region
/// key](https://docs.aws.amazon.com/kms/latest/APIReference/API_ReplicateKey.html) can be
/// replicated.
fn replication(policies: &KeyPolicies, class: &Class) -> Vec<Evidence> {
    let key = &policies.key;
    if !key.is_multi_region() {
        return Vec::new();
    }
    let asked = Uses::new([(REPLICATE, How::Direct)], |o, how| asked_for(key, class, o, how));
    let is_own =
        |one: &KeyAccess| !one.delegated && one.caller.account() == Some(key.account().as_str());
    // A policy that is too complex does not pass, and this is asked only about those that do.
    let found = accesses(policies, &asked).unwrap_or_default();
    let own = found.into_iter().filter(is_own).take(MOST_LISTED);
    own.map(|access| Evidence::Administration { access }).collect()
}

/// Returns the statements that should admit S3 and do not: they compare `kms:ViaService` only with
/// values such as `s3.amazonaws.com`. A real value always names the region.
///
/// An Allow counts if it names identities that no other statement lets use the key through S3. A
/// Deny counts if nobody can use the key through S3.
fn services_without_region(
    policies: &KeyPolicies,
    class: &Class,
) -> Result<Vec<Evidence>, TooComplex> {
    let (policy, key) = (&policies.all, &policies.key);
    let is_about_s3 = |condition: &&Condition| {
        condition.key.eq_ignore_ascii_case(VIA_SERVICE)
            && !condition.values.is_empty()
            && condition.values.iter().all(|value| is_s3_without_region(value))
            && (condition.operator.negated || !condition.operator.if_exists)
    };
    let wrong = |statement: &Statement| {
        let is_denied = statement.effect == Effect::Deny;
        let mut conditions = statement.conditions.iter().filter(is_about_s3);
        conditions.find(|it| it.operator.negated == is_denied)?.values.first().cloned()
    };
    let statements = policy.statements.iter().enumerate();
    let wrong: Vec<_> = statements.filter_map(|(at, it)| Some((at, it, wrong(it)?))).collect();
    if wrong.is_empty() {
        return Ok(Vec::new());
    }
    let expected = format!("s3.{}.amazonaws.com", key.region());
    let asked = [request(key, class, DECRYPT, How::OtherService, Given::text(&expected))
        .preferably_by(key.account().as_str())];
    let grants = policy.allowed(&asked)?;
    let is_closed = policy.gaps(&asked)?.iter().all(Option::is_none);
    // The request of the caller that the statement should admit.
    let witness = |statement: &Statement| {
        let mut witness = Policy::default().gaps(&asked).ok()?.pop()??.witness?;
        if statement.effect == Effect::Deny {
            return is_closed.then_some(witness);
        }
        let is_left_out = |arn: &&String| {
            !grants.iter().any(|grant| match &grant.caller {
                Caller::Identity { arn: caller, .. } => caller == *arn,
                Caller::Stranger => true,
                _ => false,
            })
        };
        let arns = statement.principals.named().iter().filter_map(|principal| match principal {
            Principal::Identity { arn, .. } => Some(arn),
            _ => None,
        });
        witness.principal.clone_from(arns.into_iter().find(is_left_out)?);
        Some(witness)
    };
    let is_decrypt = |statement: &Statement| {
        let matches =
            |action: &String| Pattern::wildcard(&action.to_lowercase()).matches("kms:decrypt");
        let named = statement.actions.named().iter().any(matches);
        named == matches!(statement.actions, Selection::Only(_))
    };
    let evidence = |(at, statement, value): (usize, &Statement, String)| {
        let witness = Box::new(witness(statement).filter(|_| is_decrypt(statement))?);
        let (statement, expected) = (policies.name(at), expected.clone());
        Some(Evidence::ServiceWithoutRegion { statement, value, expected, witness })
    };
    Ok(wrong.into_iter().filter_map(evidence).collect())
}

/// True for a text that means S3 and is no value of `kms:ViaService`.
fn is_s3_without_region(value: &str) -> bool {
    let value = value.to_lowercase();
    let is_text = !value.contains(['*', '?', '$']);
    is_text && value.starts_with("s3.") && !Pattern::wildcard("s3.*.amazonaws.com").matches(&value)
}

fn asked_for(key: &KeyArn, class: &Class, operation: &str, how: How) -> Request {
    let request = request(key, class, operation, how, other_than_s3(key));
    if operation == GRANT {
        request.with(GRANT_IS_FOR_SERVICE, Given::text("false").or_absent())
    } else {
        request
    }
}

/// Returns the outcome: `counted` are the uses with a witness, `doubtful` those without one.
fn outcome(
    counted: &[KeyAccess],
    doubtful: &[KeyAccess],
    accepted: &[KeyAccess],
    mistakes: Vec<Evidence>,
) -> Outcome {
    let evidence = |access: &KeyAccess| match access.how {
        How::Direct => Evidence::DirectUse { access: Some(access.clone()) },
        How::OtherService => Evidence::UseThroughAnotherService { access: access.clone() },
    };
    if counted.is_empty() && !mistakes.is_empty() {
        return Outcome::Failed { severity: Severity::Low, evidence: mistakes };
    }
    if counted.is_empty() && !doubtful.is_empty() {
        let doubtful = doubtful.iter().take(MOST_LISTED);
        return Outcome::Undetermined(doubtful.map(evidence).map(Shortfall::NoWitness).collect());
    }
    if counted.is_empty() {
        return Outcome::Passed(vec![match accepted.first() {
            Some(access) => Evidence::UseLeftToIam { access: access.clone() },
            None => Evidence::DirectUse { access: None },
        }]);
    }
    let is_direct = counted.iter().any(|found| found.how == How::Direct);
    let evidence = counted.iter().take(MOST_LISTED).map(evidence).chain(mistakes);
    let severity = if is_direct { KEY_USED_ONLY_VIA_S3.severity } else { Severity::Low };
    Outcome::Failed { severity, evidence: evidence.collect() }
}

/// Builds a statement that refuses direct use. Services that act for themselves and the
/// administration of the key are not refused.
fn statement(subject: &Subject) -> Option<Value> {
    let region = subject.key.as_ref()?.region();
    Some(json!({
        "Sid": "OnlyThroughS3", "Effect": "Deny", "Principal": "*",
        "Action": ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*", "kms:CreateGrant"], "Resource": "*",
        "Condition": {
            "StringNotEquals": { "kms:ViaService": format!("s3.{region}.amazonaws.com") },
            "Bool": { "aws:PrincipalIsAWSService": "false" },
            "BoolIfExists": { GRANT_IS_FOR_SERVICE: "false" },
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{KEY_ARN, bucket, class, denied, key, kms};
    use facts::{
        DefaultEncryption, Fact, Key, KeyAdministration, KeyLookup, KeyManager, Permissions,
        PolicyDocument,
    };

    fn with_policy(policy: Fact<PolicyDocument>) -> Outcome {
        let admissions = Permissions::of_key_policy(policy).into();
        let administration =
            Some(KeyAdministration { admissions, ..key(KEY_ARN).administration.unwrap() });
        of_key(Fact::Known(KeyLookup::Found(Box::new(Key { administration, ..key(KEY_ARN) }))))
    }

    fn of_key(resolved: Fact<KeyLookup>) -> Outcome {
        check(&bucket(Fact::Known(DefaultEncryption::Kms(kms("alias/a", resolved)))), &class())
    }

    /// The cases of policies are in `tests/cases/`.
    #[test]
    fn outcomes() {
        let policy = |principal: &str| {
            let text = r#"{"Statement": {"Sid": "App", "Effect": "Allow", "Principal": WHO, "Action": "kms:Decrypt",
                "Resource": "*"}}"#;
            Fact::Known(text.replace("WHO", principal).parse())
        };
        assert!(matches!(with_policy(policy(r#"{"AWS": "111111111111"}"#)), Outcome::Passed(_)));
        let failed = with_policy(policy(r#"{"AWS": "arn:aws:iam::111111111111:role/app"}"#));
        assert!(
            matches!(&failed, Outcome::Failed { severity, .. } if *severity == Severity::Medium),
            "{failed:?}"
        );
        let aws = Key { manager: KeyManager::Aws, ..key(KEY_ARN) };
        for none in
            [KeyLookup::AwsManagedDefault, KeyLookup::Missing, KeyLookup::Found(Box::new(aws))]
        {
            assert!(matches!(of_key(Fact::Known(none)), Outcome::NotApplicable(_)));
        }
        let sse_s3 = bucket(Fact::Known(DefaultEncryption::SseS3));
        assert!(matches!(check(&sse_s3, &class()), Outcome::NotApplicable(_)));
    }

    #[test]
    fn facts_that_were_not_read_or_understood_are_undetermined() {
        let why = denied("kms:GetKeyPolicy");
        assert_eq!(with_policy(Fact::Unreadable(why.clone())), Outcome::unreadable(&why));
        assert_eq!(of_key(Fact::Unreadable(why.clone())), Outcome::unreadable(&why));
        assert_eq!(
            check(&bucket(Fact::Unreadable(why.clone())), &class()),
            Outcome::unreadable(&why)
        );
        assert!(matches!(with_policy(Fact::Known("{}".parse())), Outcome::Undetermined(_)));
        let partner = Key {
            manager: KeyManager::Other("PARTNER".into()),
            administration: None,
            ..key(KEY_ARN)
        };
        assert!(matches!(
            of_key(Fact::Known(KeyLookup::Found(Box::new(partner)))),
            Outcome::Undetermined(_)
        ));
    }

    /// "Administration" of a multi-Region key includes the policy of its replicas.
    #[test]
    fn principals_that_may_replicate_the_key_are_reported() {
        let policy: Policy = r#"{"Statement": [
            {"Sid": "Own", "Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "kms:*", "Resource": "*"},
            {"Sid": "Copy", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:role/copy"},
                "Action": "kms:ReplicateKey", "Resource": "*"}]}"#
            .parse()
            .unwrap();
        let reported = |key: &str| {
            let outcome = of_policy(&policy, &key.parse().unwrap(), &class()).outcome;
            let Outcome::Passed(evidence) = outcome else { panic!("{outcome:?}") };
            evidence.iter().map(Evidence::value).collect::<Vec<_>>()
        };
        let left = "left to the IAM policies of account 111111111111 (statement Own)";
        let copy = "open to arn:aws:iam::111111111111:role/copy: kms:ReplicateKey (statement Copy)";
        assert_eq!(reported("arn:aws:kms:us-east-1:111111111111:key/mrk-1234"), [left, copy]);
        assert_eq!(reported(KEY_ARN), [left]);
    }

    /// Rows: a principal, its actions, and texts of the short remedy. A text after `!` is absent.
    #[test]
    fn the_remedy_depends_on_what_the_policy_admits() {
        let role = r#"{"AWS": "arn:aws:iam::111111111111:role/app"}"#;
        for (principal, actions, texts) in [
            (
                role,
                r#""kms:Decrypt""#,
                &[
                    "The named identities can then no longer use the key through other services",
                    r#""ArnEquals":{"aws:PrincipalArn":["arn:aws:iam::111111111111:role/app"]}"#,
                    "!CreateGrant",
                ][..],
            ),
            ("\"*\"", r#""kms:Decrypt""#, &["It overrides grants", "Statement: {", "!ArnEquals"]),
            (
                r#"{"AWS": "222222222222"}"#,
                r#"["kms:Decrypt", "kms:CreateGrant"]"#,
                &["CreateGrant only if", "Statement App admits such use", "!Statement: {"],
            ),
        ] {
            let text = r#"{"Statement": {"Sid": "App", "Effect": "Allow", "Principal": WHO,
                "Action": WHAT, "Resource": "*"}}"#;
            let text = text.replace("WHO", principal).replace("WHAT", actions);
            let policy: Policy = text.parse().unwrap();
            let key: KeyArn = KEY_ARN.parse().unwrap();
            let verdict = of_policy(&policy, &key, &class());
            let Outcome::Failed { evidence, .. } = verdict.outcome else { panic!("{text}") };
            let subject =
                Subject { key: Some(key), key_policy: Some(policy), ..Subject::default() };
            let remedy = KEY_USED_ONLY_VIA_S3.remedy(&subject, &evidence).in_short();
            for text in texts {
                match text.strip_prefix('!') {
                    Some(absent) => assert!(!remedy.contains(absent), "{absent}: {remedy}"),
                    None => assert!(remedy.contains(text), "{text}: {remedy}"),
                }
            }
        }
    }

    #[test]
    fn the_offered_statement_makes_the_control_pass() {
        let subject = Subject { key: Some(KEY_ARN.parse().unwrap()), ..Subject::default() };
        let open =
            json!({ "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*" });
        let closed =
            json!({ "Version": "2012-10-17", "Statement": [open, statement(&subject).unwrap()] });
        let closed = with_policy(Fact::Known(closed.to_string().parse()));
        assert!(matches!(closed, Outcome::Passed(_)), "{closed:?}");
    }
}
