//! Permissions of a role, split into one action on one resource each.

use cmkwatch_tests::{Denied, Place};
use iam_policy::Pattern;
use serde_json::{Value, json};
use std::fmt;

/// Resources with wildcards: action, resource, and why the resource cannot be narrower. `ACCOUNT`
/// is the role's own account. The [service authorization
/// reference](https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html)
/// says which actions have no resource.
const WIDE: [(&str, &str, &str); 22] = [
    ("organizations:ListAccounts", "*", "has no resource"),
    ("s3:ListAllMyBuckets", "*", "has no resource"),
    ("tag:GetResources", "*", "has no resource"),
    ("kms:ListAliases", "*", "has no resource"),
    (
        "organizations:DescribeAccount",
        "arn:aws:organizations::*:account/o-sandbox00000/*",
        "every account of the organization, and the management account is not known",
    ),
    (
        "sts:AssumeRole",
        "arn:aws:iam::*:role/cmkwatch-member",
        "every account that is, or was, in the organization",
    ),
    ("s3:GetEncryptionConfiguration", "arn:aws:s3:::*", "the ARN of a bucket names no account"),
    ("s3:GetBucketPolicy", "arn:aws:s3:::*", "the ARN of a bucket names no account"),
    ("s3:GetBucketTagging", "arn:aws:s3:::*", "the ARN of a bucket names no account"),
    ("kms:DescribeKey", "arn:aws:kms:*:*:key/*", "a bucket's key may be another account's"),
    (
        "kms:GetKeyRotationStatus",
        "arn:aws:kms:*:*:key/*",
        "a bucket's key may be another account's",
    ),
    (
        "kms:GetKeyPolicy",
        "arn:aws:kms:*:ACCOUNT:key/*",
        "every key of the account may be a bucket's",
    ),
    ("kms:ListGrants", "arn:aws:kms:*:ACCOUNT:key/*", "every key of the account may be a bucket's"),
    (
        "kms:ListKeyRotations",
        "arn:aws:kms:*:ACCOUNT:key/*",
        "every key of the account may be a bucket's",
    ),
    (
        "securityhub:BatchImportFindings",
        "arn:aws:securityhub:*:ACCOUNT:product/ACCOUNT/default",
        "a finding is stored in the bucket's region",
    ),
    (
        "securityhub:DescribeHub",
        "arn:aws:securityhub:*:ACCOUNT:hub/default",
        "a finding is stored in the bucket's region",
    ),
    (
        "securityhub:GetFindings",
        "arn:aws:securityhub:*:ACCOUNT:hub/default",
        "a finding is stored in the bucket's region",
    ),
    (
        "securityhub:BatchUpdateFindings",
        "arn:aws:securityhub:*:ACCOUNT:hub/default",
        "a finding is stored in the bucket's region",
    ),
    (
        "logs:*",
        "arn:aws:logs:us-east-1:ACCOUNT:log-group:/aws/lambda/cmkwatch-on-change:*",
        "Lambda names the streams",
    ),
    (
        "logs:*",
        "arn:aws:logs:us-east-1:ACCOUNT:log-group:/aws/lambda/cmkwatch-sweep-planner:*",
        "as above",
    ),
    (
        "logs:*",
        "arn:aws:logs:us-east-1:ACCOUNT:log-group:/aws/lambda/cmkwatch-sweep-account:*",
        "as above",
    ),
    ("logs:*", "arn:aws:logs:us-east-1:ACCOUNT:log-group:/aws/lambda/cmkwatch-alert:*", "as above"),
];

/// A permission of a role: one action on one resource.
#[derive(Clone)]
pub(crate) struct Grant {
    place: Place,
    pub(crate) role: String,
    pub(crate) action: String,
    pub(crate) resource: String,
    policy: String,
    /// All permissions of the policy, one by one. This grant is the one at `number`.
    all: Vec<Value>,
    number: usize,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}: {} on {}", self.role, self.place.account, self.action, self.resource)
    }
}

impl Grant {
    pub(crate) fn take(&self) {
        self.leave(|number| number != self.number);
    }

    /// Takes away this grant and another one of the same policy.
    pub(crate) fn take_with(&self, other: &Self) {
        self.leave(|number| ![self.number, other.number].contains(&number));
    }

    pub(crate) fn give_back(&self) {
        self.leave(|_| true);
    }

    fn leave(&self, is_left: impl Fn(usize) -> bool) {
        let left = self.all.iter().enumerate().filter(|(number, _)| is_left(*number));
        // A policy must have a statement, even if no grant is left.
        let nothing = json!({"Effect": "Deny", "Action": "sts:GetCallerIdentity", "Resource": "*"});
        let mut left: Vec<_> = left.map(|(_, statement)| statement).collect();
        if left.is_empty() {
            left.push(&nothing);
        }
        let document = json!({"Version": "2012-10-17", "Statement": left});
        self.place.put_role_policy(&self.role, &self.policy, &document.to_string());
    }

    /// Returns true if the grant is needed for accounts that are not, or not any more, in the
    /// organization.
    pub(crate) fn is_of_accounts(&self) -> bool {
        let asks_for_sweeps =
            self.role == "cmkwatch-on-change" && self.resource.ends_with(":cmkwatch-sweep.fifo");
        let retires =
            self.role == "cmkwatch-retire" || self.resource.ends_with(":role/cmkwatch-retire");
        let asks = ["organizations:DescribeAccount", "dynamodb:DeleteItem"]
            .contains(&self.action.as_str());
        asks || asks_for_sweeps || retires
    }

    pub(crate) fn account(&self) -> &str {
        &self.place.account
    }

    /// Returns true if the call was refused because this grant is missing.
    pub(crate) fn is_missed(&self, denied: &Denied) -> bool {
        denied.principal == self.role
            && denied.account == self.place.account
            && denied.action == self.action
            && Pattern::wildcard(&self.resource).matches(&denied.resource)
    }

    /// Returns role, action and resource, without the account or region in which the role exists.
    pub(crate) fn anywhere(&self) -> (&str, &str, String) {
        let (role, resource) = match self.role.as_str() {
            "cmkwatch-member" => {
                ("cmkwatch-member", self.resource.replace(&self.place.account, "ACCOUNT"))
            }
            role if role.starts_with("cmkwatch-forward-") => {
                ("cmkwatch-forward", self.resource.clone())
            }
            role => (role, self.resource.clone()),
        };
        (role, &self.action, resource)
    }
}

/// Returns every grant of cmkwatch's roles in an account, as deployed. Panics if an action has a
/// wildcard, or if a resource has one and is not in `WIDE`.
pub(crate) fn grants(place: &Place) -> Vec<Grant> {
    let answer = place
        .aws("iam", &["get-account-authorization-details", "--filter", "Role", "--output", "json"]);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let roles = answer["RoleDetailList"].as_array().unwrap().iter();
    let ours = roles.filter(|role| role["RoleName"].as_str().unwrap().starts_with("cmkwatch-"));
    ours.flat_map(|role| {
        assert_eq!(role["AttachedManagedPolicies"].as_array().map_or(0, Vec::len), 0, "{role}");
        let policies = role["RolePolicyList"].as_array().unwrap().iter();
        policies
            .flat_map(|policy| grants_of(place, role["RoleName"].as_str().unwrap(), policy))
            .collect::<Vec<_>>()
    })
    .collect()
}

fn grants_of(place: &Place, role: &str, policy: &Value) -> Vec<Grant> {
    let all: Vec<_> =
        list(&policy["PolicyDocument"]["Statement"]).iter().flat_map(each_alone).collect();
    let grant = |(number, statement): (usize, &Value)| {
        let [action, resource] =
            ["Action", "Resource"].map(|name| statement[name].as_str().unwrap().to_owned());
        assert_eq!(statement["Effect"], "Allow");
        assert!(!action.contains('*'), "{role}: {action}");
        assert!(is_narrow(place, &action, &resource), "{role}: {action} on {resource}");
        for (operator, keys) in statement["Condition"].as_object().into_iter().flatten() {
            let single = keys.as_object().unwrap().values().all(Value::is_string);
            assert!(
                single,
                "{role}: {action}: {operator} names several values, and not each may be needed"
            );
        }
        Grant {
            place: place.clone(),
            role: role.to_owned(),
            action,
            resource,
            policy: policy["PolicyName"].as_str().unwrap().to_owned(),
            all: all.clone(),
            number,
        }
    };
    all.iter().enumerate().map(grant).collect()
}

/// Returns true if the resource has no wildcard, or if it is in `WIDE`.
fn is_narrow(place: &Place, action: &str, resource: &str) -> bool {
    let is_it = |(wide, on, _): &(&str, &str, &str)| {
        Pattern::wildcard(wide).matches(action) && on.replace("ACCOUNT", &place.account) == resource
    };
    !resource.contains(['*', '?']) || WIDE.iter().any(is_it)
}

/// Splits a statement into one statement for each pair of an action and a resource.
pub(crate) fn each_alone(statement: &Value) -> Vec<Value> {
    let pairs = list(&statement["Action"]).into_iter().flat_map(|action| {
        list(&statement["Resource"]).into_iter().map(move |resource| (action.clone(), resource))
    });
    let alone = |(action, resource): (Value, Value)| {
        let mut statement = statement.clone();
        (statement["Action"], statement["Resource"]) = (action, resource);
        statement.as_object_mut().unwrap().remove("Sid");
        statement
    };
    pairs.map(alone).collect()
}

pub(crate) fn list(one_or_many: &Value) -> Vec<Value> {
    one_or_many.as_array().cloned().unwrap_or_else(|| vec![one_or_many.clone()])
}
