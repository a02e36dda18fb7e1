//! The control `key-policy-closed`: the key's policies and grants admit only the key's own account,
//! and accounts or organizations that the settings trust. The same holds for the primary and the
//! replicas of a multi-Region key.
//!
//! [Other
//! accounts](https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-modifying-external-accounts.html)
//! can use a key as far as its policy allows. "`Principal: *` in an Allow gives every identity in
//! every account" the permission, if its own account allows it as well. Only operations that are
//! effective across accounts count. The API page of each operation says whether it is. A principal
//! that AWS shows by a unique id was deleted and admits nobody. Services that act for themselves do
//! not count.

use crate::{
    Class, Control, Evidence, How, KeyAccess, Level, OrganizationId, Outcome, PolicyOf, Rule,
    Severity, Shortfall, Subject, call,
    control::{customer_key, too_complex},
    key_access::{
        ORGANIZATION, ORGANIZATION_PATHS, Uses, accesses, any_service, names_identities, request,
        witnessed,
    },
    key_permissions::{self, AccessRule, KeyPolicies},
    remedy,
};
use facts::{AccountId, Bucket, KeyArn, KeyGrant};
use iam_policy::{Caller, Given, Pattern, Policy, TooComplex};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The control `key-policy-closed`.
pub(crate) const KEY_POLICY_CLOSED: Control = Control {
    slug: "key-policy-closed",
    level: Level::Cmk,
    severity: Severity::High,
    title: "The KMS key of an S3 bucket should admit known accounts only",
    holds_when: "the policies and grants of the key and its replicas admit only the key's account \
          and trusted accounts or organizations",
    why: "A principal of an account that you do not control can use the key, and can prevent you \
          from revoking what was encrypted with it.",
    reference: "https://docs.aws.amazon.com/securityhub/latest/userguide/kms-controls.html#kms-5",
    requirements: &[
        "AWS Well-Architected SEC08-BP01",
        "NIST.800-53.r5 AC-3",
        "NIST.800-53.r5 AC-6",
    ],
    remediation: "Remove the statement from the key policy, or add the account or organization \
          to trusted-accounts or trusted-organizations of cmkwatch.toml. Or close the policy \
          with a Deny (kms:PutKeyPolicy).",
    calls: &[call::KEY_POLICY, call::GRANTS, call::ENCRYPTION, call::ALIAS],
    statement: Some(statement),
    adapt: Some(remedy::by_way_in),
    exempts_log_buckets: false,
    rule: Rule::Bucket(check),
};

/// The greatest number of accesses that the evidence lists.
const MOST_LISTED: usize = 20;

/// The operations whose pages say "Cross-account use: Yes"
/// ([list](https://docs.aws.amazon.com/kms/latest/developerguide/kms-api-permissions-reference.html)).
const OPERATIONS: [&str; 20] = [
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:DeriveSharedSecret",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyPair",
    "kms:GenerateDataKeyPairWithoutPlaintext",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:GenerateMac",
    "kms:GetKeyRotationStatus",
    "kms:GetPublicKey",
    "kms:ListGrants",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:RetireGrant",
    "kms:RevokeGrant",
    "kms:Sign",
    "kms:Verify",
    "kms:VerifyMac",
];

fn check(bucket: &Bucket, class: &Class) -> Outcome {
    let judged = customer_key(bucket).map(|(key, administration)| {
        key_permissions::judged::<Closed>(&key.arn, &administration.admissions, class)
    });
    super::decided(judged)
}

/// The rule of this control.
struct Closed;

impl AccessRule for Closed {
    fn of_policies(policies: &KeyPolicies, class: &Class) -> Outcome {
        judge(policies, class).0
    }

    /// The services of another account use the key for that account.
    fn looks_at(_: &KeyGrant) -> bool {
        true
    }

    /// A grant is judged by the account of its principal.
    fn of_grants(
        policies: &KeyPolicies,
        operations: &BTreeSet<&'static str>,
        class: &Class,
    ) -> Outcome {
        let across = operations.iter().copied().filter(|it| OPERATIONS.contains(it));
        let asked = asked(across, &policies.key, class);
        match outsiders(policies, &asked, class) {
            Err(error) => too_complex(PolicyOf::Key, error),
            Ok((found, doubtful)) => outcome(&policies.all, &found, &doubtful),
        }
    }

    const WORST: Severity = KEY_POLICY_CLOSED.severity;

    /// Services of the key's account are no access from outside.
    fn of_services(_: &BTreeSet<String>) -> Option<Evidence> {
        None
    }
}

/// Judges a key policy alone. Returns the outcome and the uses that make it fail.
pub(crate) fn of_policy(policy: &Policy, key: &KeyArn, class: &Class) -> (Outcome, Vec<KeyAccess>) {
    judge(&KeyPolicies::of(policy, key), class)
}

/// Judges the policies of a key as one. Returns the outcome and the uses that make it fail.
fn judge(policies: &KeyPolicies, class: &Class) -> (Outcome, Vec<KeyAccess>) {
    let asked = asked(OPERATIONS, &policies.key, class).also_by_anyone(&policies.all, class);
    match outsiders(policies, &asked, class) {
        Ok((accesses, doubtful)) => (outcome(&policies.all, &accesses, &doubtful), accesses),
        Err(error) => (too_complex(PolicyOf::Key, error), Vec::new()),
    }
}

/// Returns the requests for these operations by callers of organizations that are not trusted.
fn asked(operations: impl IntoIterator<Item = &'static str>, key: &KeyArn, class: &Class) -> Uses {
    let uses = operations.into_iter().flat_map(|o| [(o, How::Direct), (o, How::OtherService)]);
    Uses::new(uses, |operation, how| {
        let request = request(key, class, operation, how, any_service(key));
        let [organization, paths] = organizations(class);
        [(ORGANIZATION, organization), (ORGANIZATION_PATHS, paths)].into_iter().fold(
            request,
            |request, (name, given)| {
                given.into_iter().fold(request, |r, given| r.with(name, given))
            },
        )
    })
}

/// Returns the uses by callers that are neither of the key's account nor trusted: those with a
/// witness, and those without one.
fn outsiders(
    policies: &KeyPolicies,
    asked: &Uses,
    class: &Class,
) -> Result<(Vec<KeyAccess>, Vec<KeyAccess>), TooComplex> {
    let mut found = accesses(policies, asked)?;
    found.retain(|one| !is_trusted(&one.caller, &policies.key, class));
    Ok(witnessed(&policies.all, asked, found))
}

/// Returns the organization keys of a caller that is not trusted, `None` for a key that can have
/// any value.
fn organizations(class: &Class) -> [Option<Given>; 2] {
    let trusted = &class.trusted_organizations;
    if trusted.is_empty() {
        return [None, None];
    }
    let ids = Given::unlike(trusted.iter().map(|id| Pattern::literal(id.as_str()))).or_absent();
    let paths =
        Given::unlike(trusted.iter().map(|id| Pattern::wildcard(&format!("{}/*", id.as_str()))))
            .or_absent();
    [Some(ids), Some(paths)]
}

fn is_trusted(caller: &Caller, key: &KeyArn, class: &Class) -> bool {
    caller.account().is_some_and(|account| {
        account == key.account().as_str()
            || class.trusted_accounts.iter().any(|trusted| trusted.as_str() == account)
    })
}

/// True if the statement admits only identities that it names by their ids.
fn names_identity(policy: &Policy, access: &KeyAccess) -> bool {
    policy.statements.get(access.index).is_some_and(names_identities)
}

/// Returns the outcome: `found` are the uses with a witness, `doubtful` those without one.
fn outcome(policy: &Policy, found: &[KeyAccess], doubtful: &[KeyAccess]) -> Outcome {
    let evidence = |one: &KeyAccess| Evidence::OutsideAccess { access: Some(one.clone()) };
    if found.is_empty() && !doubtful.is_empty() {
        let doubtful = doubtful.iter().take(MOST_LISTED);
        return Outcome::Undetermined(doubtful.map(evidence).map(Shortfall::NoWitness).collect());
    }
    if found.is_empty() {
        return Outcome::Passed(vec![Evidence::OutsideAccess { access: None }]);
    }
    let severity = if found.iter().any(|one| one.by_anyone) {
        Severity::Critical
    } else if found.iter().all(|one| one.caller == Caller::Stranger && names_identity(policy, one))
    {
        // Known identities, whose account the policy does not name.
        Severity::Medium
    } else {
        KEY_POLICY_CLOSED.severity
    };
    let evidence = found.iter().take(MOST_LISTED).map(evidence);
    Outcome::Failed { severity, evidence: evidence.collect() }
}

/// Builds a statement that refuses callers of accounts and organizations that are not trusted.
/// Services that act for themselves are not refused.
fn statement(subject: &Subject) -> Option<Value> {
    let own = subject.key.as_ref()?.account();
    let accounts: Vec<_> =
        std::iter::once(own).chain(&subject.trusted_accounts).map(AccountId::as_str).collect();
    let organizations: Vec<_> =
        subject.trusted_organizations.iter().map(OrganizationId::as_str).collect();
    let mut others = json!({ "kms:CallerAccount": accounts });
    if let (Some(keys), false) = (others.as_object_mut(), organizations.is_empty()) {
        keys.insert(ORGANIZATION.to_owned(), json!(organizations));
    }
    Some(json!({
        "Sid": "OnlyWhoIsTrusted", "Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*",
        "Condition": { "StringNotEquals": others, "Bool": { "aws:PrincipalIsAWSService": "false" } },
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
        let failed = with_policy(policy(r#""*""#));
        assert!(
            matches!(&failed, Outcome::Failed { severity, .. } if *severity == Severity::Critical),
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
