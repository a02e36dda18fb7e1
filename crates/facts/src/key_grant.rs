//! The [grants](https://docs.aws.amazon.com/kms/latest/developerguide/grants.html) of a key.

use std::collections::{BTreeMap, BTreeSet};

/// The grants of a key. A grant allows uses of the key and refuses none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyGrants {
    /// The AWS services that have a grant.
    pub services: BTreeSet<String>,
    /// The grants to others. Grants that differ in their id only are one.
    pub others: Vec<KeyGrant>,
    /// True if there are more than [`MOST_GRANTS`] different grants to others. `others` then has
    /// the first of them, by grantee.
    pub more: bool,
}

/// The greatest number of different grants that are kept of a key. A key has [at most 50,000
/// grants](https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html).
pub const MOST_GRANTS: usize = 100;

/// A grant to somebody who is no AWS service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyGrant {
    /// The id of the grant. If several grants allow the same, the oldest.
    pub id: String,
    /// The principal that gets the permissions, as KMS returns it. The text is from outside.
    pub grantee: String,
    /// The operations that the grant allows, as KMS names them: `Decrypt`.
    pub operations: BTreeSet<String>,
    /// The constraints on the operations.
    pub constraints: GrantConstraints,
}

/// The
/// [constraints](https://docs.aws.amazon.com/kms/latest/APIReference/API_GrantConstraints.html) of
/// a grant.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GrantConstraints {
    /// Pairs that the encryption context of a request must contain. The case of a name does not
    /// matter. They apply to operations that encrypt or decrypt.
    pub encryption_context: BTreeMap<String, String>,
    /// The ARN of the resource for which an AWS service must call.
    pub source_arn: Option<String>,
}

/// Gathers the grants of a key, page by page.
#[derive(Debug, Default)]
pub struct GrantCollector {
    services: BTreeSet<String>,
    others: BTreeMap<Allowed, Named>,
    more: bool,
}

/// The grantee, the operations and the constraints of a grant.
type Allowed = (String, BTreeSet<String>, GrantConstraints);
/// The second in which a grant was created, and its id.
type Named = (i64, String);

impl GrantCollector {
    /// Adds a grant to an AWS service.
    pub fn add_service(&mut self, service: String) {
        self.services.insert(service);
    }

    /// Adds a grant. `created` is the second since 1970 in which it was created.
    pub fn add(&mut self, grant: KeyGrant, created: i64) {
        let KeyGrant { id, grantee, operations, constraints } = grant;
        if let Some(service) = service(&grantee) {
            return self.add_service(service.to_owned());
        }
        let named = self.others.entry((grantee, operations, constraints));
        let oldest = named.or_insert_with(|| (created, id.clone()));
        *oldest = (created, id).min(oldest.clone());
        if self.others.len() > MOST_GRANTS {
            self.others.pop_last();
            self.more = true;
        }
    }

    /// Returns the grants.
    #[must_use]
    pub fn finish(self) -> KeyGrants {
        let grant = |((grantee, operations, constraints), (_, id)): (Allowed, Named)| KeyGrant {
            id,
            grantee,
            operations,
            constraints,
        };
        KeyGrants {
            services: self.services,
            others: self.others.into_iter().map(grant).collect(),
            more: self.more,
        }
    }
}

/// Returns the AWS service that a grantee is, or `None` for others.
///
/// ListGrants shows a service by its [service
/// principal](https://docs.aws.amazon.com/kms/latest/developerguide/grant-view.html). EC2 gets
/// [grants for one instance](https://docs.aws.amazon.com/kms/latest/developerguide/ct-ec2two.html):
/// `111122223333:aws:ec2-infrastructure:i-81e2f56c`, or the session of a role whose name begins
/// with `aws:`. No other role can have [such a
/// name](https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html). A service-linked
/// role is no service here: it is a role of an account.
fn service(grantee: &str) -> Option<&str> {
    let is_principal = !grantee.contains([':', '/', '*', ' '])
        && [".amazonaws.com", ".amazonaws.com.cn"].iter().any(|end| grantee.ends_with(end));
    if is_principal || grantee == "AWS Internal" {
        return Some(grantee);
    }
    let name = match grantee.splitn(6, ':').collect::<Vec<_>>()[..] {
        [account, "aws", name, _] if account.bytes().all(|b| b.is_ascii_digit()) => name,
        ["arn", _, "sts", _, _, session] => {
            session.strip_prefix("assumed-role/aws:")?.split('/').next()?
        }
        _ => return None,
    };
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(id: &str, grantee: &str, operations: &[&str]) -> KeyGrant {
        KeyGrant {
            id: id.to_owned(),
            grantee: grantee.to_owned(),
            operations: operations.iter().map(|&it| it.to_owned()).collect(),
            constraints: GrantConstraints::default(),
        }
    }

    const ROLE: &str = "arn:aws:iam::111122223333:role/app";

    #[test]
    fn services_are_recognised_by_their_principal() {
        for (grantee, expected) in [
            ("rds.us-east-1.amazonaws.com", Some("rds.us-east-1.amazonaws.com")),
            ("ec2.amazonaws.com.cn", Some("ec2.amazonaws.com.cn")),
            ("AWS Internal", Some("AWS Internal")),
            ("111122223333:aws:ec2-infrastructure:i-81e2f56c", Some("ec2-infrastructure")),
            (
                "arn:aws:sts::111122223333:assumed-role/aws:ec2-infrastructure/i-81e2f56c",
                Some("ec2-infrastructure"),
            ),
            (ROLE, None),
            ("arn:aws:iam::111122223333:root", None),
            ("arn:aws:iam::111122223333:user/rds.amazonaws.com", None),
            ("arn:aws:sts::111122223333:assumed-role/app/aws:ec2-infrastructure", None),
            (
                "arn:aws:iam::111122223333:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
                None,
            ),
            ("AROAEXAMPLEEXAMPLE", None),
            ("111122223333:aws::", None),
            ("", None),
        ] {
            assert_eq!(service(grantee), expected, "{grantee}");
        }
    }

    #[test]
    fn grants_that_allow_the_same_are_one_and_show_the_oldest_id() {
        let mut grants = GrantCollector::default();
        grants.add(grant("new", ROLE, &["Decrypt", "Encrypt"]), 2);
        grants.add(grant("old", ROLE, &["Encrypt", "Decrypt"]), 1);
        grants.add(grant("other", ROLE, &["Decrypt"]), 3);
        grants.add(grant("1", "rds.amazonaws.com", &["Decrypt"]), 1);
        grants.add(grant("2", "rds.amazonaws.com", &["Encrypt"]), 2);
        let KeyGrants { services, others, more } = grants.finish();
        assert_eq!(services.into_iter().collect::<Vec<_>>(), ["rds.amazonaws.com"]);
        let ids: Vec<_> = others.iter().map(|it| it.id.as_str()).collect();
        assert_eq!((&ids[..], more), (&["other", "old"][..], false));
    }

    #[test]
    fn the_first_of_many_grants_are_kept_in_any_order() {
        let names: Vec<_> = (0..=MOST_GRANTS).map(|at| format!("{ROLE}{at:03}")).collect();
        let of = |names: &[&String]| {
            let mut grants = GrantCollector::default();
            names.iter().for_each(|name| grants.add(grant("id", name, &["Decrypt"]), 1));
            grants.finish()
        };
        let forward = of(&names.iter().collect::<Vec<_>>());
        assert_eq!((forward.others.len(), forward.more), (MOST_GRANTS, true));
        assert_eq!(forward, of(&names.iter().rev().collect::<Vec<_>>()));
        assert!(!of(&names.iter().skip(1).collect::<Vec<_>>()).more);
    }
}
