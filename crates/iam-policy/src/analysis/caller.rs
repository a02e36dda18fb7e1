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

    fn arn(&self) -> Option<&str> {
        if let Self::Identity { arn, .. } = self { Some(arn) } else { None }
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

/// What is known of condition keys from who calls, for each caller who is told apart. A stranger is of none of their accounts,
/// and an account stands for those of its identities that are not among them. Keys that nobody asks about are left out.
pub(super) fn contexts(
    callers: &BTreeSet<Caller>,
    spoken_of: impl Fn(&str) -> bool,
) -> Vec<Vec<(&'static str, Given)>> {
    let asked: Vec<_> = ACCOUNT_KEYS
        .into_iter()
        .chain([ARN_KEY, SERVICE_KEY])
        .filter(|key| spoken_of(key))
        .collect();
    let context = |caller| {
        asked.iter().filter_map(|&key| Some((key, given(key, caller, callers)?))).collect()
    };
    callers.iter().map(context).collect()
}

fn given(key: &str, caller: &Caller, callers: &BTreeSet<Caller>) -> Option<Given> {
    let accounts = || {
        callers
            .iter()
            .filter_map(|other| if let Caller::Account(id) = other { Some(id) } else { None })
    };
    match (key, caller) {
        (SERVICE_KEY, _) => Some(Given::text("false")),
        (_, Caller::Federated(_) | Caller::CanonicalUser(_)) => None,
        (ARN_KEY, Caller::Account(account)) => {
            let arns = callers
                .iter()
                .filter(|other| other.account() == Some(account))
                .filter_map(Caller::arn);
            Some(Given::like_arn(&arns_of(account)).but_not(arns))
        }
        (ARN_KEY, Caller::Identity { arn, account }) => {
            Some(Given::like_arn(&principal_arn(arn, account)))
        }
        (ARN_KEY, Caller::Stranger) => {
            Some(Given::unlike_arns(accounts().map(|account| arns_of(account))))
        }
        (_, Caller::Account(account) | Caller::Identity { account, .. }) => {
            Some(Given::text(account))
        }
        (_, Caller::Stranger) => {
            Some(Given::unlike(accounts().map(|account| Pattern::literal(account))))
        }
    }
}

/// The ARNs that identities of an account have.
fn arns_of(account: &str) -> String {
    format!("arn:*:*::{account}:*")
}

/// What `aws:PrincipalArn` is for an identity: a session's role may have a path that its own ARN does not show.
fn principal_arn(arn: &str, account: &str) -> String {
    match session_role(arn) {
        Some(role) => format!("arn:*:iam::{account}:role/*{role}"),
        None => arn.to_owned(),
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

/// Whether a statement names a caller.
pub(super) fn named(principals: &Selection<Principal>, caller: &Caller) -> Truth {
    match principals {
        Selection::Only(named) => {
            Truth::any(named.iter().map(|principal| is_named(principal, caller)))
        }
        Selection::Except(named) => {
            !Truth::any(named.iter().map(|principal| is_excepted(principal, caller)))
        }
    }
}

/// Whether an Allow is enough for a caller: what names the account only leaves it to the account's own policies to allow its
/// identities.
pub(super) fn is_enough(principals: &Selection<Principal>, caller: &Caller) -> bool {
    let leaves_it = |principal: &Principal| {
        matches!((principal, caller), (Principal::Account(_), Caller::Identity { .. }))
    };
    let enough = |principal: &Principal| {
        !leaves_it(principal) && is_named(principal, caller) == Truth::Always
    };
    matches!(principals, Selection::Only(named) if named.iter().any(enough))
}

/// Whether a statement names whomever calls.
pub(super) fn names_everyone(principals: &Selection<Principal>) -> Truth {
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
        (Principal::Account(a), Caller::Account(b) | Caller::Identity { account: b, .. }) => {
            Truth::from(a == b)
        }
        (Principal::Identity { arn: a, account }, Caller::Identity { arn: b, account: other })
            if account == other =>
        {
            same_identity(a, b)
        }
        (Principal::Federated(a), Caller::Federated(b))
        | (Principal::CanonicalUser(a), Caller::CanonicalUser(b)) => Truth::from(a == b),
        // A canonical user id does not tell which account it is of.
        (
            Principal::CanonicalUser(_),
            Caller::Account(_) | Caller::Identity { .. } | Caller::Stranger,
        )
        | (
            Principal::Account(_) | Principal::Identity { .. },
            Caller::Federated(_) | Caller::CanonicalUser(_),
        ) => Truth::Maybe,
        _ => Truth::Never,
    }
}

/// By `NotPrincipal`. It must list an identity and its account both, and an account that it lists excepts none of its other
/// identities: "all principals except the user" are refused
/// ([NotPrincipal](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html)), the root user
/// aside.
fn is_excepted(principal: &Principal, caller: &Caller) -> Truth {
    match (principal, caller) {
        (Principal::Account(_), Caller::Identity { .. }) => Truth::Never,
        (Principal::Account(_), Caller::Account(_)) => {
            is_named(principal, caller).min(Truth::Maybe)
        }
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

/// Everyone whom a policy tells apart: strangers, and whom it names as principals or in conditions.
pub(super) fn told_apart(policy: &Policy) -> BTreeSet<Caller> {
    let mut callers = BTreeSet::from([Caller::Stranger]);
    for statement in &policy.statements {
        callers.extend(statement.principals.named().iter().filter_map(as_caller));
        for condition in &statement.conditions {
            if ACCOUNT_KEYS.contains(&condition.key.as_str()) {
                callers.extend(
                    condition
                        .values
                        .iter()
                        .filter(|value| is_account(value))
                        .cloned()
                        .map(Caller::Account),
                );
            } else if condition.key == ARN_KEY {
                callers.extend(condition.values.iter().filter_map(|value| identity(value)));
            }
        }
    }
    let accounts: Vec<_> = callers.iter().filter_map(Caller::account).map(str::to_owned).collect();
    callers.extend(accounts.into_iter().map(Caller::Account));
    callers
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// The identity that an ARN names, or the account of which, where it holds wildcards.
fn identity(arn: &str) -> Option<Caller> {
    let account = arn.split(':').nth(4).filter(|account| is_account(account))?.to_owned();
    let whole = !arn.contains(['*', '?', '$']) && !arn.ends_with(":root");
    Some(if whole {
        Caller::Identity { arn: arn.to_owned(), account }
    } else {
        Caller::Account(account)
    })
}

/// The caller that a principal stands for; none for everyone, for a service, which acts for itself, and for an identity
/// that is no more.
pub(super) fn as_caller(principal: &Principal) -> Option<Caller> {
    match principal {
        Principal::Account(account) => Some(Caller::Account(account.clone())),
        Principal::Identity { arn, account } => {
            Some(Caller::Identity { arn: arn.clone(), account: account.clone() })
        }
        Principal::Federated(name) => Some(Caller::Federated(name.clone())),
        Principal::CanonicalUser(name) => Some(Caller::CanonicalUser(name.clone())),
        Principal::Anyone | Principal::Deleted(_) | Principal::Service(_) => None,
    }
}
