//! Who makes a request, and what follows from it.

use crate::{Given, Pattern, Policy, Principal, Selection, truth::Truth};
use std::collections::BTreeSet;

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Caller {
    /// Somebody of an account that the policy does not name.
    Stranger,
    /// Somebody of this account whom the policy does not name.
    Account(String),
    /// A user, role, session or federated user.
    Identity {
        /// Its ARN.
        arn: String,
        /// Its account.
        account: String,
    },
    /// Whom this identity provider vouches for.
    Federated(String),
    /// The account of this canonical user id.
    CanonicalUser(String),
}

impl Caller {
    /// The account, where it is known.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        match self {
            Self::Account(account) | Self::Identity { account, .. } => Some(account),
            Self::Stranger | Self::Federated(_) | Self::CanonicalUser(_) => None,
        }
    }
}

/// The condition keys that hold the caller's account:
/// [global](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalaccount),
/// [KMS](https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-caller-account).
const ACCOUNT_KEYS: [&str; 2] = ["aws:principalaccount", "kms:calleraccount"];
/// [The caller's ARN](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn);
/// of a session, that of its role.
const ARN_KEY: &str = "aws:principalarn";
/// [Whether a service calls for itself](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalisawsservice).
const SERVICE_KEY: &str = "aws:principalisawsservice";

/// What is known of condition keys from who calls. `known` are the accounts that a stranger is not of.
pub(super) fn context(caller: &Caller, known: &BTreeSet<String>) -> Vec<(&'static str, Given)> {
    let of_account = |account: &str, arn: Given| {
        let mut keys: Vec<_> = ACCOUNT_KEYS.iter().map(|&key| (key, Given::text(account))).collect();
        keys.extend([(ARN_KEY, arn), (SERVICE_KEY, Given::text("false"))]);
        keys
    };
    match caller {
        Caller::Account(account) => of_account(account, Given::like(arns_of(account))),
        Caller::Identity { arn, account } => of_account(account, Given::like(principal_arn(arn, account))),
        Caller::Stranger => {
            let accounts = || known.iter().map(|account| Pattern::literal(account));
            let mut keys: Vec<_> = ACCOUNT_KEYS.iter().map(|&key| (key, Given::unlike(accounts()))).collect();
            let arns = Given::unlike(known.iter().map(|account| arns_of(account)));
            keys.extend([(ARN_KEY, arns), (SERVICE_KEY, Given::text("false"))]);
            keys
        }
        Caller::Federated(_) | Caller::CanonicalUser(_) => vec![(SERVICE_KEY, Given::text("false"))],
    }
}

/// The ARNs that identities of an account have.
fn arns_of(account: &str) -> Pattern {
    Pattern::wildcard(&format!("arn:*:*::{account}:*"))
}

/// What `aws:PrincipalArn` is for an identity: a session's role may have a path that its own ARN does not show.
fn principal_arn(arn: &str, account: &str) -> Pattern {
    match session_role(arn) {
        Some(role) => Pattern::wildcard(&format!("arn:*:iam::{account}:role/*{role}")),
        None => Pattern::literal(arn),
    }
}

/// The name of the role of a session.
fn session_role(arn: &str) -> Option<&str> {
    let (_, session) = arn.split_once(":assumed-role/")?;
    session.split('/').next()
}

/// The name of a role, without its path.
fn role(arn: &str) -> Option<&str> {
    let (_, role) = arn.split_once(":role/")?;
    role.rsplit('/').next()
}

/// Whether a statement names the caller; none for everyone at once.
pub(super) fn named(principals: &Selection<Principal>, caller: Option<&Caller>) -> Truth {
    let Some(caller) = caller else { return names_everyone(principals) };
    match principals {
        Selection::Only(named) => Truth::any(named.iter().map(|principal| is_named(principal, caller))),
        Selection::Except(named) => !Truth::any(named.iter().map(|principal| is_excepted(principal, caller))),
    }
}

fn names_everyone(principals: &Selection<Principal>) -> Truth {
    let truth = |principal: &Principal| match principal {
        Principal::Anyone => Truth::Always,
        Principal::Deleted(_) => Truth::Never,
        _ => Truth::Maybe,
    };
    let any = Truth::any(principals.named().iter().map(truth));
    if matches!(principals, Selection::Only(_)) { any } else { !any }
}

fn is_named(principal: &Principal, caller: &Caller) -> Truth {
    match (principal, caller) {
        (Principal::Anyone, _) => Truth::Always,
        // An account stands for all of its identities, in a Deny too
        // (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html).
        (Principal::Account(a), Caller::Account(b) | Caller::Identity { account: b, .. }) => Truth::from(a == b),
        (Principal::Identity { arn: a, account }, Caller::Identity { arn: b, account: other }) if account == other => {
            same_identity(a, b)
        }
        (Principal::Federated(a), Caller::Federated(b)) | (Principal::CanonicalUser(a), Caller::CanonicalUser(b)) => {
            Truth::from(a == b)
        }
        // A canonical user id does not tell which account it is of.
        (Principal::CanonicalUser(_), Caller::Account(_) | Caller::Identity { .. } | Caller::Stranger)
        | (Principal::Account(_) | Principal::Identity { .. }, Caller::Federated(_) | Caller::CanonicalUser(_)) => {
            Truth::Maybe
        }
        _ => Truth::Never,
    }
}

/// By `NotPrincipal`, which must list an identity and its account both: that one of them will do cannot be told.
fn is_excepted(principal: &Principal, caller: &Caller) -> Truth {
    match (principal, caller) {
        (Principal::Account(_), Caller::Identity { .. }) => is_named(principal, caller).min(Truth::Maybe),
        _ => is_named(principal, caller),
    }
}

/// A role stands for its sessions too.
fn same_identity(named: &str, caller: &str) -> Truth {
    if named == caller || (role(named).is_some() && role(named) == session_role(caller)) {
        Truth::Always
    } else if session_role(named).is_some() && session_role(named) == role(caller) {
        Truth::Maybe
    } else {
        Truth::Never
    }
}

/// The accounts that a policy names, and everyone whom it tells apart: strangers, and whom it names as principals or in
/// conditions.
pub(super) fn told_apart(policy: &Policy) -> (BTreeSet<String>, BTreeSet<Caller>) {
    let mut callers = BTreeSet::new();
    for statement in &policy.statements {
        callers.extend(statement.principals.named().iter().filter_map(as_caller));
        for condition in &statement.conditions {
            let is = |key: &&str| **key == condition.key;
            if ACCOUNT_KEYS.iter().any(is) {
                callers.extend(condition.values.iter().filter(|value| is_account(value)).cloned().map(Caller::Account));
            } else if condition.key == ARN_KEY {
                callers.extend(condition.values.iter().filter_map(|value| identity(value)));
            }
        }
    }
    let accounts: BTreeSet<_> = callers.iter().filter_map(Caller::account).map(str::to_owned).collect();
    callers.extend(accounts.iter().cloned().map(Caller::Account));
    callers.insert(Caller::Stranger);
    (accounts, callers)
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// The identity that an ARN names, or the account of which, where it holds wildcards.
fn identity(arn: &str) -> Option<Caller> {
    let account = arn.split(':').nth(4).filter(|account| is_account(account))?.to_owned();
    let whole = !arn.contains(['*', '?', '$']) && !arn.ends_with(":root");
    Some(if whole { Caller::Identity { arn: arn.to_owned(), account } } else { Caller::Account(account) })
}

/// The caller that a principal stands for; none for everyone, for a service, which acts for itself, and for an identity
/// that is no more.
pub(super) fn as_caller(principal: &Principal) -> Option<Caller> {
    match principal {
        Principal::Account(account) => Some(Caller::Account(account.clone())),
        Principal::Identity { arn, account } => Some(Caller::Identity { arn: arn.clone(), account: account.clone() }),
        Principal::Federated(name) => Some(Caller::Federated(name.clone())),
        Principal::CanonicalUser(name) => Some(Caller::CanonicalUser(name.clone())),
        Principal::Anyone | Principal::Deleted(_) | Principal::Service(_) => None,
    }
}
