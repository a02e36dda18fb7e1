//! The callers that a policy distinguishes, the condition keys that follow from them, and the
//! principals that name them.

use crate::{Given, Pattern, Policy, Principal, Selection, truth::Truth};
use std::collections::BTreeSet;

/// The caller of a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Caller {
    /// A caller of an account that the policy does not name.
    Stranger,
    /// A caller of this account that the policy does not name.
    Account(String),
    /// A user, role, session or federated user.
    Identity {
        /// The ARN of the identity.
        arn: String,
        /// The account of the identity.
        account: String,
    },
    /// A caller that this identity provider vouches for.
    Federated(String),
    /// The account of this canonical user id.
    CanonicalUser(String),
}

impl Caller {
    /// Returns the account, or `None` if it is not known.
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
pub(super) const ACCOUNT_KEYS: [&str; 2] = ["aws:principalaccount", "kms:calleraccount"];
/// The key that holds [the caller's
/// ARN](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn).
/// For a session, it is the ARN of the role.
pub(super) const ARN_KEY: &str = "aws:principalarn";
/// The key that is true if [a service calls for
/// itself](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalisawsservice).
pub(crate) const SERVICE_KEY: &str = "aws:principalisawsservice";
/// The keys that only a request has which an AWS service makes for itself: the
/// [source](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-sourcearn)
/// for which it calls, and its
/// [name](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalservicename).
pub(crate) const KEYS_OF_SERVICES: [&str; 6] = [
    "aws:sourcearn",
    "aws:sourceaccount",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:principalservicename",
    "aws:principalservicenameslist",
];

/// The keys that follow from the fact that a request has no signature, with their values. `None` if
/// such a request lacks the key
/// ([global](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html)).
/// AWS services sign their requests.
pub(super) const OF_ANONYMOUS: [(&str, Option<&str>); 15] = [
    ("aws:principalaccount", Some("anonymous")),
    ("aws:principaltype", Some("Anonymous")),
    ("aws:userid", Some("anonymous")),
    (ARN_KEY, None),
    (SERVICE_KEY, None),
    ("kms:calleraccount", None),
    ("aws:principalorgid", None),
    ("aws:principalorgpaths", None),
    ("aws:username", None),
    ("aws:sourcearn", None),
    ("aws:sourceaccount", None),
    ("aws:sourceorgid", None),
    ("aws:sourceorgpaths", None),
    ("aws:principalservicename", None),
    ("aws:principalservicenameslist", None),
];

/// Returns the condition keys that follow from each caller. A stranger belongs to none of the
/// accounts of the callers. An account represents those of its identities that are not callers
/// themselves. Keys for which `spoken_of` is false are left out.
pub(super) fn contexts(
    callers: &BTreeSet<Caller>,
    spoken_of: impl Fn(&str) -> bool,
) -> Vec<Vec<(&'static str, Given)>> {
    let asked: Vec<_> = ACCOUNT_KEYS
        .into_iter()
        .chain([ARN_KEY, SERVICE_KEY])
        .chain(KEYS_OF_SERVICES)
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
        // An origin access identity is CloudFront itself. AWS does not say which keys it has.
        (key, caller) if KEYS_OF_SERVICES.contains(&key) => {
            (!matches!(caller, Caller::CanonicalUser(_))).then(Given::absent)
        }
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

/// Returns a pattern for the ARNs of an account's identities.
fn arns_of(account: &str) -> String {
    format!("arn:*:*::{account}:*")
}

/// Returns a pattern for `aws:PrincipalArn` of an identity. The role of a session may have a path
/// that the ARN of the session does not show.
fn principal_arn(arn: &str, account: &str) -> String {
    match session_role(arn) {
        Some(role) => format!("arn:*:iam::{account}:role/*{role}"),
        None => arn.to_owned(),
    }
}

/// Returns the name of the role of a session, or `None` if the ARN is not that of a session.
pub(super) fn session_role(arn: &str) -> Option<&str> {
    let (_, session) = arn.split_once(":assumed-role/")?;
    session.split('/').next()
}

/// Returns the name of a role without its path, or `None` if the ARN is not that of a role.
pub(super) fn role(arn: &str) -> Option<&str> {
    let (_, role) = arn.split_once(":role/")?;
    role.rsplit('/').next()
}

/// Judges whether a statement names a caller.
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

/// True if an Allow with these principals is enough for a caller. If it names only the account, the
/// account's own policies must allow the identity too. `NotPrincipal` is never enough.
pub(super) fn is_enough(principals: &Selection<Principal>, caller: &Caller) -> bool {
    let leaves_it = |principal: &Principal| {
        matches!((principal, caller), (Principal::Account(_), Caller::Identity { .. }))
    };
    let enough = |principal: &Principal| {
        !leaves_it(principal) && is_named(principal, caller) == Truth::Always
    };
    matches!(principals, Selection::Only(named) if named.iter().any(enough))
}

/// Judges whether a statement names all callers.
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
        // An account includes all of its identities, in a Deny too
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
        // An origin access identity belongs to no account.
        (Principal::CanonicalUser(name), Caller::Account(_) | Caller::Identity { .. })
            if name.starts_with("arn:") =>
        {
            Truth::Never
        }
        // Neither a canonical user id nor an identity provider says which account the caller
        // belongs to. A stranger belongs to no account that the policy names in any way.
        (Principal::CanonicalUser(_), Caller::Account(_) | Caller::Identity { .. })
        | (
            Principal::Account(_) | Principal::Identity { .. },
            Caller::Federated(_) | Caller::CanonicalUser(_),
        ) => Truth::Maybe,
        _ => Truth::Never,
    }
}

/// Judges whether a principal of `NotPrincipal` excepts a caller. A policy must list both an
/// identity and its account. A listed account excepts none of its other identities but the root
/// user: "all principals except the user" are refused
/// ([NotPrincipal](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html)).
fn is_excepted(principal: &Principal, caller: &Caller) -> Truth {
    match (principal, caller) {
        (Principal::Account(_), Caller::Identity { arn, .. }) if !arn.ends_with(":root") => {
            Truth::Never
        }
        (Principal::Account(_), Caller::Account(_)) => {
            is_named(principal, caller).min(Truth::Maybe)
        }
        _ => is_named(principal, caller),
    }
}

/// Compares a named identity with a caller of the same account. A role includes its sessions. A
/// named session is only a part of its role.
fn same_identity(named: &str, caller: &str) -> Truth {
    if named == caller || (role(named).is_some() && role(named) == session_role(caller)) {
        Truth::Always
    } else if session_role(named).is_some() && session_role(named) == role(caller) {
        Truth::Maybe
    } else {
        Truth::Never
    }
}

/// Returns the callers that a policy distinguishes: strangers, callers that it names as principals
/// or in conditions, and the accounts of those.
pub(super) fn distinguished(policy: &Policy) -> BTreeSet<Caller> {
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

/// Returns the identity that an ARN names, or `None` if the ARN has no account. An ARN of a root
/// user, or with wildcards or variables, gives the account.
fn identity(arn: &str) -> Option<Caller> {
    let account = arn.split(':').nth(4).filter(|account| is_account(account))?.to_owned();
    let whole = !arn.contains(['*', '?', '$']) && !arn.ends_with(":root");
    Some(if whole {
        Caller::Identity { arn: arn.to_owned(), account }
    } else {
        Caller::Account(account)
    })
}

/// Returns the caller that a principal names. `None` for everyone, for a service, which acts for
/// itself, and for a deleted identity.
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
