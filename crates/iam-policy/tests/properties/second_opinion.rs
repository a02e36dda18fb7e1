//! Compares with [iam-rs](https://docs.rs/iam-rs), which evaluates one request at a time. Every
//! request that iam-rs allows must be found as a use. For every use that is found, iam-rs must
//! allow some request.

use crate::policies::{EC2, KEY, OTHER_ROLE, ROLE, policy, requests, statements, text};
use iam_policy::{Caller, Grant};
use iam_rs::{Arn, Context, Decision, IAMPolicy, IAMRequest, PolicyEvaluator, PrincipalId};
use proptest::prelude::*;
use serde_json::Value;

/// The callers: two accounts that policies name, and one that they do not name. Each named account
/// has its root, the role that policies name, and another role.
const CALLERS: [(&str, &str); 7] = [
    ("111111111111", "arn:aws:iam::111111111111:root"),
    ("111111111111", ROLE),
    ("111111111111", "arn:aws:iam::111111111111:role/unnamed"),
    ("222222222222", "arn:aws:iam::222222222222:root"),
    ("222222222222", OTHER_ROLE),
    ("222222222222", "arn:aws:iam::222222222222:role/unnamed"),
    ("999999999999", "arn:aws:iam::999999999999:role/unnamed"),
];
/// The values of `kms:ViaService` for each of the [`requests`]: called directly, or by a service
/// other than S3.
const VIA: [&[Option<&str>]; 2] = [
    &[None],
    &[Some(EC2), Some("rds.us-east-1.amazonaws.com"), Some("lambda.eu-west-1.amazonaws.com")],
];
const ORGANIZATIONS: [Option<&str>; 4] = [None, Some("o-1"), Some("o-2"), Some("o-3")];

/// True if iam-rs allows one request.
fn allows(
    evaluator: &PolicyEvaluator,
    (account, arn): (&str, &str),
    via: Option<&str>,
    organization: Option<&str>,
) -> bool {
    let mut context = Context::new().with_string("kms:CallerAccount", account);
    for (key, value) in [("kms:ViaService", via), ("aws:PrincipalOrgID", organization)] {
        if let Some(value) = value {
            context = context.with_string(key, value);
        }
    }
    let principal = iam_rs::Principal::Aws(PrincipalId::String(arn.to_owned()));
    let request =
        IAMRequest::new_with_context(principal, "kms:Decrypt", Arn::parse(KEY).unwrap(), context);
    evaluator.evaluate(&request).unwrap().decision == Decision::Allow
}

/// Returns the policy with all callers of an account in place of each account that is a principal.
/// The crate iam-rs does not know that [an account includes its
/// identities](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html).
fn spelled_out(statements: &[Value]) -> IAMPolicy {
    let mut statements = statements.to_vec();
    for statement in &mut statements {
        let Some(aws) = statement.pointer_mut("/Principal/AWS") else { continue };
        let named: Vec<_> = aws.as_array().map_or_else(|| vec![aws.clone()], Vec::clone);
        let all = named.iter().flat_map(|name| {
            let name = name.as_str().unwrap();
            let of = CALLERS.iter().filter(|(account, arn)| {
                *arn == name || name == *account || name == format!("arn:aws:iam::{account}:root")
            });
            of.map(|(_, arn)| *arn).chain((name == "*").then_some("*")).collect::<Vec<_>>()
        });
        *aws = all.collect();
    }
    IAMPolicy::from_json(&text(&statements)).unwrap()
}

/// True if a use that was found includes this caller.
fn is_of(grant: &Grant, (account, arn): (&str, &str)) -> bool {
    match &grant.caller {
        // Strangers that get through represent everyone.
        Caller::Stranger => true,
        Caller::Account(of) => of == account,
        Caller::Identity { arn: of, .. } => of == arn,
        Caller::Federated(_) | Caller::CanonicalUser(_) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn both_evaluators_agree(statements in statements()) {
        let policy = policy(&statements);
        let evaluator = PolicyEvaluator::with_policies(vec![spelled_out(&statements)]);
        let grants = policy.allowed(&requests("kms:Decrypt")).unwrap();
        for (how, via) in VIA.iter().enumerate() {
            let somehow = |caller| {
                via.iter().any(|via| ORGANIZATIONS.iter().any(|organization| allows(&evaluator, caller, *via, *organization)))
            };
            for caller in CALLERS {
                let found = grants.iter().any(|grant| grant.request == how && is_of(grant, caller));
                prop_assert!(found || !somehow(caller), "{caller:?} is allowed {how} and not found: {}", text(&statements));
            }
            for grant in grants.iter().filter(|grant| grant.request == how) {
                let allowed = CALLERS.iter().any(|caller| match grant.caller {
                    Caller::Stranger => caller.0 == "999999999999" && somehow(*caller),
                    _ => is_of(grant, *caller) && somehow(*caller),
                });
                prop_assert!(allowed, "{grant:?} is not allowed: {}", text(&statements));
            }
        }
    }
}
