//! Asks iam-rs about one request.

use crate::text;
use controls::Witness;
use iam_rs::{
    Arn, Context, ContextValue, Decision, IAMPolicy, IAMRequest, PolicyEvaluator, Principal,
    PrincipalId,
};
use serde_json::Value;
use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
};

/// A request for iam-rs.
#[derive(Debug, Clone)]
pub(crate) struct Concrete {
    pub(crate) principal: String,
    pub(crate) action: String,
    pub(crate) resource: String,
    pub(crate) keys: BTreeMap<String, Vec<String>>,
}

impl From<&Witness> for Concrete {
    fn from(witness: &Witness) -> Self {
        let Witness { principal, action, resource, condition_keys, .. } = witness.clone();
        Self { principal, action, resource, keys: condition_keys }
    }
}

/// The condition keys that are true or false. The crate iam-rs compares text with `Bool` never.
const BOOLEANS: [&str; 5] = [
    "aws:securetransport",
    "aws:principalisawsservice",
    "aws:viaawsservice",
    "kms:grantisforawsresource",
    "aws:multifactorauthpresent",
];

fn value(key: &str, values: &[String]) -> ContextValue {
    match values {
        [one] if BOOLEANS.contains(&&*key.to_lowercase()) => ContextValue::Boolean(one == "true"),
        [one] => ContextValue::String(one.clone()),
        many => ContextValue::StringList(many.to_vec()),
    }
}

/// A policy that iam-rs is asked about.
pub(crate) struct SecondOpinion<'a> {
    statements: &'a [Value],
    by_caller: RefCell<HashMap<String, PolicyEvaluator>>,
}

impl<'a> SecondOpinion<'a> {
    pub(crate) fn new(statements: &'a [Value]) -> Self {
        Self { statements, by_caller: RefCell::default() }
    }

    /// True if the policy allows a request.
    pub(crate) fn allows(&self, request: &Concrete) -> bool {
        let Concrete { principal, action, resource, keys } = request;
        // An anonymous caller has no ARN, and iam-rs wants one.
        let caller = if principal.contains([':', '.']) {
            principal
        } else {
            "arn:aws:iam::000000000000:role/nobody"
        };
        let data = keys.iter().map(|(key, values)| (key.clone(), value(key, values))).collect();
        let id = PrincipalId::String(caller.to_owned());
        let principal = if caller.ends_with(".amazonaws.com") {
            Principal::Service(id)
        } else {
            Principal::Aws(id)
        };
        let asked = IAMRequest::new_with_context(
            principal,
            action.clone(),
            Arn::parse(resource).unwrap(),
            Context::with_data(data),
        );
        let mut by_caller = self.by_caller.borrow_mut();
        let evaluator = by_caller.entry(caller.to_owned()).or_insert_with(|| {
            PolicyEvaluator::with_policies(vec![spelled_out(self.statements, caller)])
        });
        evaluator.evaluate(&asked).unwrap().decision == Decision::Allow
    }
}

/// Returns the policy with the caller beside its account. The crate iam-rs does not know that [an
/// account includes its
/// identities](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html).
fn spelled_out(statements: &[Value], caller: &str) -> IAMPolicy {
    let account = caller.split(':').nth(4).unwrap_or_default();
    let mut statements = statements.to_vec();
    for statement in &mut statements {
        let Some(aws) = statement.pointer_mut("/Principal/AWS") else { continue };
        let mut named = aws.as_array().map_or_else(|| vec![aws.clone()], Vec::clone);
        let root = format!("arn:aws:iam::{account}:root");
        if !account.is_empty() && named.iter().any(|name| *name == account || *name == *root) {
            named.push(caller.into());
        }
        *aws = named.into();
    }
    IAMPolicy::from_json(&text(&statements)).unwrap()
}

/// Returns every combination of the values of these keys. `None` means that the request does not
/// have the key. Only the first value counts of a key that the policy does not contain.
pub(crate) fn combinations(
    policy: &str,
    keys: &[(&'static str, &[Option<&'static str>])],
) -> Vec<BTreeMap<String, Vec<String>>> {
    let mut all = vec![BTreeMap::new()];
    for (key, values) in keys {
        let values = if policy.contains(key) { values } else { &values[..1] };
        let with = |one: &BTreeMap<_, _>| {
            let with = |value: &Option<&'static str>| {
                let mut keys = one.clone();
                keys.extend(value.map(|value| ((*key).to_owned(), vec![value.to_owned()])));
                keys
            };
            values.iter().map(with).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(with).collect();
    }
    all
}

/// Keys that every request of a policy may have, with the values that decide conditions on them.
pub(crate) const OPEN: [(&str, &[Option<&str>]); 4] = [
    ("aws:PrincipalOrgID", &[None, Some("o-1"), Some("o-2"), Some("o-3")]),
    ("aws:SourceIp", &[Some("10.1.2.3"), Some("203.0.113.10"), Some("192.0.2.1"), None]),
    (
        "aws:CurrentTime",
        &[Some("2025-06-01T00:00:00Z"), Some("2028-06-01T00:00:00Z"), Some("2035-06-01T00:00:00Z")],
    ),
    ("aws:SecureTransport", &[Some("true"), Some("false")]),
];

/// Returns the keys that follow from a caller.
pub(crate) fn keys_of(caller: &str) -> BTreeMap<String, Vec<String>> {
    let account = caller.split(':').nth(4).unwrap_or_default();
    let keys = [
        ("kms:CallerAccount", account),
        ("aws:PrincipalAccount", account),
        ("aws:PrincipalArn", caller),
        ("aws:PrincipalIsAWSService", "false"),
    ];
    keys.map(|(key, value)| (key.to_owned(), vec![value.to_owned()])).into()
}
