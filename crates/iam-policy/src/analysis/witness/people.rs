//! Callers to look for examples among: for each caller that a policy distinguishes, some identities
//! that could be that caller.

use super::sample::{self, Place, UNKNOWN_ACCOUNT};
use crate::{
    Caller, Given, Policy,
    analysis::caller::{self, ACCOUNT_KEYS, ARN_KEY, KEYS_OF_SERVICES, OF_ANONYMOUS, SERVICE_KEY},
};
use std::collections::BTreeSet;

/// The key that holds the [type of the
/// caller](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principaltype).
const TYPE_KEY: &str = "aws:principaltype";
/// The key that holds the [name of a
/// user](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-username).
/// Roles and root users have no such name.
const USERNAME_KEY: &str = "aws:username";
/// The key that holds [the id of the
/// caller](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-userid).
const USER_ID_KEY: &str = "aws:userid";
/// The greatest number of accounts that are tried for strangers.
const MOST_ACCOUNTS: usize = 4;
/// The greatest number of identities that are tried for one caller.
const MOST_IDENTITIES: usize = 12;

/// An identity, or another caller that can sign a request.
#[derive(Debug, Clone)]
pub(super) struct Example {
    /// The caller as the policy distinguishes it.
    pub(super) of: Caller,
    /// The caller itself.
    pub(super) caller: Caller,
    /// The name of the caller: an ARN, if it has one.
    pub(super) principal: String,
    /// The condition keys that follow from the caller; `None` if the request does not have the key.
    pub(super) keys: Vec<(&'static str, Option<String>)>,
}

impl Example {
    /// Returns the condition keys that follow from the caller.
    pub(super) fn givens(&self) -> impl Iterator<Item = (&str, Given)> {
        self.keys
            .iter()
            .map(|(key, value)| (*key, value.as_deref().map_or_else(Given::absent, Given::text)))
    }

    fn identity(of: &Caller, arn: &str, principal_arn: String, account: &str) -> Self {
        let resource = arn.splitn(6, ':').last().unwrap_or_default();
        let is_user = resource.starts_with("user/");
        let kind = match resource.split('/').next() {
            Some("user") => "User",
            Some("federated-user") => "FederatedUser",
            Some("root") => "Account",
            _ => "AssumedRole",
        };
        let name = resource.rsplit('/').next().filter(|_| is_user);
        let mut keys = vec![
            (ARN_KEY, Some(principal_arn)),
            (TYPE_KEY, Some(kind.to_owned())),
            (USERNAME_KEY, name.map(str::to_owned)),
            (SERVICE_KEY, Some("false".to_owned())),
        ];
        keys.extend(ACCOUNT_KEYS.map(|key| (key, Some(account.to_owned()))));
        keys.extend(KEYS_OF_SERVICES.map(|key| (key, None)));
        if kind == "Account" {
            keys.push((USER_ID_KEY, Some(account.to_owned())));
        }
        let caller = Caller::Identity { arn: arn.to_owned(), account: account.to_owned() };
        Self { of: of.clone(), caller, principal: arn.to_owned(), keys }
    }

    /// Returns the caller of a request without a signature.
    pub(super) fn anonymous() -> Self {
        let keys = OF_ANONYMOUS.map(|(key, value)| (key, value.map(str::to_owned))).to_vec();
        let caller = Caller::Stranger;
        Self { of: caller.clone(), caller, principal: "an anonymous caller".to_owned(), keys }
    }

    fn other(of: &Caller, name: &str) -> Self {
        let keys = vec![(SERVICE_KEY, Some("false".to_owned()))];
        Self { of: of.clone(), caller: of.clone(), principal: name.to_owned(), keys }
    }
}

/// Returns examples of a caller that the policy distinguishes. `known` are all such callers.
pub(super) fn examples(
    policy: &Policy,
    of: &Caller,
    known: &BTreeSet<Caller>,
    place: &Place,
) -> Vec<Example> {
    match of {
        Caller::Stranger => {
            let is_free =
                |account: &String| !known.iter().any(|it| it.account() == Some(account.as_str()));
            let last: u64 = UNKNOWN_ACCOUNT.parse().unwrap_or_default();
            let unknown = (0..=last).rev().map(|account| account.to_string()).find(is_free);
            let like = accounts(policy).into_iter().filter(is_free);
            let all: Vec<_> = unknown.into_iter().chain(like).take(MOST_ACCOUNTS).collect();
            all.iter().flat_map(|it| of_account(policy, of, it, known, place)).collect()
        }
        Caller::Account(account) => of_account(policy, of, account, known, place),
        Caller::Identity { arn, account } => {
            let role = caller::session_role(arn);
            let own = role.map_or_else(
                || arn.clone(),
                |role| format!("arn:{}:iam::{account}:role/{role}", place.partition),
            );
            let with_path = role.into_iter().flat_map(|role| {
                let is_path = |arn: &String| arn.ends_with(&format!("/{role}"));
                arns(policy, account, place).into_iter().filter(is_path).collect::<Vec<_>>()
            });
            let all: BTreeSet<_> = with_path.chain([own]).collect();
            let identity = |principal_arn| Example::identity(of, arn, principal_arn, account);
            // A Deny may name some sessions of a role only.
            let session = caller::role(arn).map(|role| {
                let (partition, name) = (&place.partition, "example");
                let session = format!("arn:{partition}:sts::{account}:assumed-role/{role}/{name}");
                Example::identity(of, &session, arn.clone(), account)
            });
            all.into_iter().map(identity).take(MOST_IDENTITIES).chain(session).collect()
        }
        Caller::Federated(name) | Caller::CanonicalUser(name) => vec![Example::other(of, name)],
    }
}

/// Returns identities of an account.
fn of_account(
    policy: &Policy,
    of: &Caller,
    account: &str,
    known: &BTreeSet<Caller>,
    place: &Place,
) -> Vec<Example> {
    let arn = |resource: &str| format!("arn:{}:iam::{account}:{resource}", place.partition);
    let mut all: Vec<_> = ["role/example", "user/example", "root"].map(arn).to_vec();
    all.extend(arns(policy, account, place));
    all.extend(user_names(policy).map(|name| arn(&format!("user/{name}"))));
    let mut seen = BTreeSet::new();
    all.retain(|arn| seen.insert(arn.clone()));
    // Identities that the policy names come last: others say more about the account.
    all.sort_by_key(|arn| {
        known.contains(&Caller::Identity { arn: arn.clone(), account: account.to_owned() })
    });
    all.truncate(MOST_IDENTITIES);
    all.into_iter().map(|arn| Example::identity(of, &arn, arn.clone(), account)).collect()
}

/// Returns accounts that match a pattern which the policy compares with the caller's account or
/// ARN.
fn accounts(policy: &Policy) -> BTreeSet<String> {
    let conditions = policy.statements.iter().flat_map(|statement| &statement.conditions);
    let patterns = conditions.flat_map(|condition| {
        let is_arn = condition.key == ARN_KEY;
        let is_account = ACCOUNT_KEYS.contains(&condition.key.as_str());
        condition.values.iter().filter_map(move |value| match value.split(':').nth(4) {
            Some(account) if is_arn => Some(account),
            None if is_account => Some(value.as_str()),
            _ => None,
        })
    });
    patterns.filter_map(account_like).collect()
}

/// Returns an account that matches a pattern.
fn account_like(pattern: &str) -> Option<String> {
    if !pattern.contains(['*', '?']) {
        return None;
    }
    let digits = pattern.replace('?', "0");
    let missing = 12_usize.checked_sub(digits.replace('*', "").len())?;
    let filled = digits.replacen('*', &"0".repeat(missing), 1).replace('*', "");
    let is_account = filled.len() == 12 && filled.bytes().all(|byte| byte.is_ascii_digit());
    is_account.then_some(filled)
}

/// Returns ARNs of identities of an account that match a pattern which the policy compares with
/// `aws:PrincipalArn`.
fn arns(policy: &Policy, account: &str, place: &Place) -> Vec<String> {
    let conditions = policy.statements.iter().flat_map(|statement| &statement.conditions);
    let values = conditions
        .filter(|condition| condition.key == ARN_KEY)
        .flat_map(|condition| &condition.values);
    let is_own = |arn: &String| {
        let mut parts = arn.splitn(6, ':').skip(2);
        let is_identity = |resource: &str| {
            resource == "root" || resource.starts_with("role/") || resource.starts_with("user/")
        };
        matches!(
            (parts.next(), parts.next(), parts.next(), parts.next()),
            (Some("iam"), Some(""), Some(of), Some(it)) if of == account && is_identity(it)
        )
    };
    // A pattern such as `*:role/admin` leaves everything before the role open.
    let begun = |value: &String| {
        let rest = value.strip_prefix('*');
        let arns = rest.map(|rest| {
            [format!("arn:*:iam::{account}{rest}"), format!("arn:*:iam::{account}:{rest}")]
        });
        // Or the wildcard matches the account and a part of the path.
        let path = format!(":{account}:role/example/");
        let all = arns.into_iter().flatten().chain([value.clone(), value.replacen('*', &path, 1)]);
        all.collect::<Vec<_>>()
    };
    values
        .flat_map(begun)
        .filter_map(|value| sample::of_arn(&value, place, account))
        .filter(is_own)
        .collect()
}

/// Returns the names of users that the policy compares with `aws:username`.
fn user_names(policy: &Policy) -> impl Iterator<Item = &String> {
    let conditions = policy.statements.iter().flat_map(|statement| &statement.conditions);
    let is_name = |name: &&String| !name.contains(['*', '?', '$', '/', ':']);
    conditions
        .filter(|condition| condition.key == USERNAME_KEY)
        .flat_map(|condition| &condition.values)
        .filter(is_name)
}
