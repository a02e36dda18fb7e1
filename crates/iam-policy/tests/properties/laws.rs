//! Laws of [`Policy::allowed`] and [`Policy::gaps`].

use crate::policies::{KEY, policy, requests, statement, statements, text};
use iam_policy::{Caller, Policy, Principal, Request};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeSet;

/// Returns the uses of Decrypt that a policy may allow, without the indexes of the statements.
fn uses(policy: &Policy) -> BTreeSet<(String, Caller, usize)> {
    let grants = policy.allowed(&requests("kms:Decrypt")).unwrap();
    grants
        .into_iter()
        .map(|grant| (grant.principal.to_string(), grant.caller, grant.request))
        .collect()
}

/// True if `many` lets through every caller that `few` does. Strangers represent everyone, and an
/// account represents all of its identities.
fn is_within(few: &Policy, many: &Policy) -> bool {
    let many = uses(many);
    uses(few).iter().all(|(_, caller, request)| {
        many.iter().any(|(principal, other, same)| {
            let everyone =
                *principal == Principal::Anyone.to_string() && *other == Caller::Stranger;
            let account =
                matches!(other, Caller::Account(_)) && other.account() == caller.account();
            same == request && (everyone || account || other == caller)
        })
    })
}

/// True if every direct Decrypt is refused.
fn refuses(policy: &Policy) -> bool {
    let [direct, _] = requests("kms:Decrypt");
    policy.gaps(&[direct]).unwrap().iter().all(Option::is_none)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn another_deny_never_widens_a_policy(statements in statements(), deny in statement(&["Deny"])) {
        let before = policy(&statements);
        let after = policy(&[statements, vec![deny]].concat());
        prop_assert!(is_within(&after, &before));
        prop_assert!(!refuses(&before) || refuses(&after));
    }

    #[test]
    fn another_allow_never_narrows_a_policy(statements in statements(), allow in statement(&["Allow"])) {
        let before = policy(&statements);
        let after = policy(&[statements, vec![allow]].concat());
        prop_assert!(is_within(&before, &after));
        prop_assert_eq!(refuses(&before), refuses(&after));
    }

    #[test]
    fn the_order_of_statements_does_not_matter(
        (statements, shuffled) in statements().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
    ) {
        let (one, two) = (policy(&statements), policy(&shuffled));
        prop_assert_eq!(uses(&one), uses(&two));
        prop_assert_eq!(refuses(&one), refuses(&two));
    }

    #[test]
    fn the_case_of_actions_and_of_condition_keys_does_not_matter(statements in statements()) {
        let shout = |statement: &Value| {
            let mut statement = statement.clone();
            for element in ["Action", "NotAction"] {
                if let Some(actions) = statement.get_mut(element) {
                    *actions = serde_json::from_str(&actions.to_string().to_uppercase()).unwrap();
                }
            }
            let block = statement["Condition"].as_object_mut().unwrap();
            for keys in block.values_mut() {
                let pairs = keys.as_object().unwrap().iter().map(|(key, values)| (key.to_uppercase(), values.clone()));
                *keys = pairs.collect::<serde_json::Map<_, _>>().into();
            }
            statement
        };
        let loud: Vec<_> = statements.iter().map(shout).collect();
        prop_assert_eq!(uses(&policy(&statements)), uses(&policy(&loud)));
        prop_assert_eq!(refuses(&policy(&statements)), refuses(&policy(&loud)));
    }

    #[test]
    fn a_refused_request_is_not_allowed(statements in statements()) {
        let policy = policy(&statements);
        if refuses(&policy) {
            prop_assert!(uses(&policy).iter().all(|(_, _, request)| *request != 0));
        }
    }

    /// Inserts junk into the text of a policy. Neither reading it nor asking about it may panic.
    #[test]
    fn a_malformed_policy_never_panics(statements in statements(), cut in 0_usize..400, junk in "\\PC{0,20}") {
        let text = text(&statements);
        let at = (0..=cut.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap();
        let spoiled = format!("{}{junk}{}", &text[..at], &text[at..]);
        if let Ok(policy) = spoiled.parse::<Policy>() {
            let _ = policy.allowed(&requests(&junk));
            let _ = policy.gaps(&[Request::new(junk, KEY)]);
        }
    }
}
