//! What a role is granted, one action on one resource at a time.

use cmkwatch_tests::Place;
use serde_json::{Value, json};
use std::fmt;

/// Actions that have no resource to be narrowed to, by the
/// [service authorization reference](https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html).
const WITHOUT_RESOURCE: [&str; 4] =
    ["organizations:ListAccounts", "s3:ListAllMyBuckets", "tag:GetResources", "kms:ListAliases"];

/// One action on one resource that a role may do.
#[derive(Clone)]
pub(crate) struct Grant {
    place: Place,
    pub(crate) role: String,
    pub(crate) action: String,
    pub(crate) resource: String,
    policy: String,
    /// All that the role is granted, one by one; this is the one at `number`.
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

    /// Takes another of the same role, too.
    pub(crate) fn take_with(&self, other: &Self) {
        self.leave(|number| ![self.number, other.number].contains(&number));
    }

    pub(crate) fn give_back(&self) {
        self.leave(|_| true);
    }

    fn leave(&self, is_left: impl Fn(usize) -> bool) {
        let left = self.all.iter().enumerate().filter(|(number, _)| is_left(*number));
        // A policy must have a statement, even where nothing is left.
        let nothing = json!({"Effect": "Deny", "Action": "sts:GetCallerIdentity", "Resource": "*"});
        let mut left: Vec<_> = left.map(|(_, statement)| statement).collect();
        if left.is_empty() {
            left.push(&nothing);
        }
        let document = json!({"Version": "2012-10-17", "Statement": left});
        self.place.put_role_policy(&self.role, &self.policy, &document.to_string());
    }

    pub(crate) fn account(&self) -> &str {
        &self.place.account
    }
}

/// Every grant of cmkwatch's roles in an account, as deployed. None may name actions or, where there are any, resources by
/// `*` alone.
pub(crate) fn grants(place: &Place) -> Vec<Grant> {
    let told = place.aws("iam", &["get-account-authorization-details", "--filter", "Role", "--output", "json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let roles = told["RoleDetailList"].as_array().unwrap().iter();
    let ours = roles.filter(|role| role["RoleName"].as_str().unwrap().starts_with("cmkwatch-"));
    ours.flat_map(|role| {
        assert_eq!(role["AttachedManagedPolicies"].as_array().map_or(0, Vec::len), 0, "{role}");
        let policies = role["RolePolicyList"].as_array().unwrap().iter();
        policies.flat_map(|policy| grants_of(place, role["RoleName"].as_str().unwrap(), policy)).collect::<Vec<_>>()
    })
    .collect()
}

fn grants_of(place: &Place, role: &str, policy: &Value) -> Vec<Grant> {
    let all: Vec<_> = list(&policy["PolicyDocument"]["Statement"]).iter().flat_map(each_alone).collect();
    let grant = |(number, statement): (usize, &Value)| {
        let [action, resource] = ["Action", "Resource"].map(|name| statement[name].as_str().unwrap().to_owned());
        assert_eq!(statement["Effect"], "Allow");
        assert!(!action.contains('*'), "{role}: {action}");
        assert_eq!(resource == "*", WITHOUT_RESOURCE.contains(&action.as_str()), "{role}: {action} on {resource}");
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

/// A statement as one for each of its actions and resources.
fn each_alone(statement: &Value) -> Vec<Value> {
    let pairs = list(&statement["Action"])
        .into_iter()
        .flat_map(|action| list(&statement["Resource"]).into_iter().map(move |resource| (action.clone(), resource)));
    let alone = |(action, resource): (Value, Value)| {
        let mut statement = statement.clone();
        (statement["Action"], statement["Resource"]) = (action, resource);
        statement.as_object_mut().unwrap().remove("Sid");
        statement
    };
    pairs.map(alone).collect()
}

fn list(one_or_many: &Value) -> Vec<Value> {
    one_or_many.as_array().cloned().unwrap_or_else(|| vec![one_or_many.clone()])
}
