//! The [grants](https://docs.aws.amazon.com/kms/latest/developerguide/grants.html) of a key.

use crate::AccountId;
use std::collections::{BTreeMap, BTreeSet};

/// The grants of a key. A grant allows uses of the key and refuses none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyGrants {
    /// The AWS services that have a grant. One that acts in another account than the key's is
    /// named with its account.
    pub services: BTreeSet<String>,
    /// The grants to identities and accounts. Grants that differ in their id only are one.
    pub others: Vec<KeyGrant>,
    /// True if there are more grants than were looked at: pages that were not read, or more than
    /// [`MOST_GRANTS`] different grants. `others` then has those to other accounts first.
    pub more: bool,
}

/// The greatest number of different grants that are kept of a key. A key has [at most 50,000
/// grants](https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html).
pub const MOST_GRANTS: usize = 1000;

/// A grant to an identity or an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyGrant {
    /// The id of the grant. If several grants allow the same, the oldest.
    pub id: String,
    /// The principal that gets the permissions, as KMS returns it. The text is from outside.
    pub grantee: String,
    /// True if an AWS service uses the key in the account of the grantee, which is not the key's.
    pub by_service: bool,
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
#[derive(Debug)]
pub struct GrantCollector {
    /// The account of the key.
    own: AccountId,
    services: BTreeSet<String>,
    others: BTreeMap<Allowed, Named>,
    more: bool,
}

/// Everything that two grants must have in common to count as one. Grants to other accounts than
/// the key's are first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Allowed {
    is_own: bool,
    grantee: String,
    by_service: bool,
    operations: BTreeSet<String>,
    constraints: GrantConstraints,
}

/// The second in which a grant was created, and its id.
type Named = (i64, String);

impl GrantCollector {
    /// Creates a collector for a key of this account.
    #[must_use]
    pub fn of(own: AccountId) -> Self {
        Self { own, services: BTreeSet::new(), others: BTreeMap::new(), more: false }
    }

    /// Adds a grant to an AWS service.
    pub fn add_service(&mut self, service: String) {
        self.services.insert(service);
    }

    /// Notes that there are grants which are not read.
    pub fn leave_rest(&mut self) {
        self.more = true;
    }

    /// Adds a grant. `created` is the second since 1970 in which it was created.
    pub fn add(&mut self, grant: KeyGrant, created: i64) {
        let KeyGrant { id, mut grantee, mut by_service, operations, constraints } = grant;
        match service(&grantee) {
            Some((name, Some(account))) if account != self.own.as_str() => {
                self.add_service(format!("{name} of account {account}"));
                (grantee, by_service) = (account.to_owned(), true);
            }
            Some((name, _)) => {
                let name = name.to_owned();
                return self.add_service(name);
            }
            None => {}
        }
        let is_own = grantee.split(':').nth(4) == Some(self.own.as_str());
        let allowed = Allowed { is_own, grantee, by_service, operations, constraints };
        let oldest = self.others.entry(allowed).or_insert_with(|| (created, id.clone()));
        *oldest = (created, id).min(oldest.clone());
        if self.others.len() > MOST_GRANTS {
            self.others.pop_last();
            self.more = true;
        }
    }

    /// Returns the grants.
    #[must_use]
    pub fn finish(self) -> KeyGrants {
        let grant = |(allowed, (_, id))| {
            let Allowed { grantee, by_service, operations, constraints, .. } = allowed;
            KeyGrant { id, grantee, by_service, operations, constraints }
        };
        KeyGrants {
            services: self.services,
            others: self.others.into_iter().map(grant).collect(),
            more: self.more,
        }
    }
}

/// The name of EC2 in grants [for one
/// instance](https://docs.aws.amazon.com/kms/latest/developerguide/ct-ec2two.html).
const EC2: &str = "ec2-infrastructure";

/// Returns the AWS service that a grantee is, and the account in which it acts, if it is known.
/// `None` for others.
///
/// ListGrants shows a service by its [service
/// principal](https://docs.aws.amazon.com/kms/latest/developerguide/grant-view.html). EC2 shows as
/// `111122223333:aws:ec2-infrastructure:i-81e2f56c`, or as the session of such a role. No customer
/// can make a role with [a colon in its
/// name](https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html). A service-linked
/// role is no service here: it is a role of an account.
fn service(grantee: &str) -> Option<(&str, Option<&str>)> {
    let is_principal = !grantee.contains([':', '/', '*', ' '])
        && [".amazonaws.com", ".amazonaws.com.cn"].iter().any(|end| grantee.ends_with(end));
    if is_principal || grantee == "AWS Internal" {
        return Some((grantee, None));
    }
    let account = match grantee.splitn(6, ':').collect::<Vec<_>>()[..] {
        [account, "aws", EC2, _] => account,
        ["arn", _, "sts", "", account, session]
            if session.strip_prefix("assumed-role/aws:")?.split('/').next() == Some(EC2) =>
        {
            account
        }
        _ => return None,
    };
    account.parse::<AccountId>().is_ok().then_some((EC2, Some(account)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(id: &str, grantee: &str, operations: &[&str]) -> KeyGrant {
        KeyGrant {
            id: id.to_owned(),
            grantee: grantee.to_owned(),
            by_service: false,
            operations: operations.iter().map(|&it| it.to_owned()).collect(),
            constraints: GrantConstraints::default(),
        }
    }

    const ROLE: &str = "arn:aws:iam::111122223333:role/app";

    fn collector() -> GrantCollector {
        GrantCollector::of("111122223333".parse().unwrap())
    }

    #[test]
    fn services_are_recognised_by_their_principal() {
        let ec2 = Some((EC2, Some("111122223333")));
        for (grantee, expected) in [
            ("rds.us-east-1.amazonaws.com", Some(("rds.us-east-1.amazonaws.com", None))),
            ("ec2.amazonaws.com.cn", Some(("ec2.amazonaws.com.cn", None))),
            ("AWS Internal", Some(("AWS Internal", None))),
            ("111122223333:aws:ec2-infrastructure:i-81e2f56c", ec2),
            ("arn:aws:sts::111122223333:assumed-role/aws:ec2-infrastructure/i-81e2f56c", ec2),
            // Software on an instance can be such an identity.
            ("arn:aws:sts::111122223333:assumed-role/aws:ec2-instance/i-81e2f56c", None),
            (":aws:ec2-infrastructure:i-81e2f56c", None),
            ("111122223333:aws:other:i-81e2f56c", None),
            (ROLE, None),
            ("arn:aws:iam::111122223333:root", None),
            ("arn:aws:iam::111122223333:user/rds.amazonaws.com", None),
            ("arn:aws:iam::111122223333:role/a:assumed-role/aws:ec2-infrastructure/b", None),
            ("arn:aws:sts::111122223333:assumed-role/app/aws:ec2-infrastructure", None),
            (
                "arn:aws:iam::111122223333:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
                None,
            ),
            ("AROAEXAMPLEEXAMPLE", None),
            ("", None),
        ] {
            assert_eq!(service(grantee), expected, "{grantee}");
        }
    }

    #[test]
    fn a_service_in_another_account_is_a_grant_to_that_account() {
        let mut grants = collector();
        grants.add(grant("own", "111122223333:aws:ec2-infrastructure:i-1", &["Decrypt"]), 1);
        grants.add(grant("other", "444455556666:aws:ec2-infrastructure:i-2", &["Decrypt"]), 1);
        let KeyGrants { services, others, .. } = grants.finish();
        let services: Vec<_> = services.into_iter().collect();
        assert_eq!(services, [EC2, "ec2-infrastructure of account 444455556666"]);
        let [one] = &others[..] else { panic!("{others:?}") };
        assert_eq!((one.grantee.as_str(), one.by_service), ("444455556666", true));
    }

    #[test]
    fn grants_that_allow_the_same_are_one_and_show_the_oldest_id() {
        let mut grants = collector();
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
        let names: Vec<_> = (0..=MOST_GRANTS).map(|at| format!("{ROLE}{at:04}")).collect();
        let of = |names: &[&String]| {
            let mut grants = collector();
            names.iter().for_each(|name| grants.add(grant("id", name, &["Decrypt"]), 1));
            grants.finish()
        };
        let forward = of(&names.iter().collect::<Vec<_>>());
        assert_eq!((forward.others.len(), forward.more), (MOST_GRANTS, true));
        assert_eq!(forward, of(&names.iter().rev().collect::<Vec<_>>()));
        assert!(!of(&names.iter().skip(1).collect::<Vec<_>>()).more);
    }

    /// An account that sorts last is kept before those of the key's own account.
    #[test]
    fn grants_to_other_accounts_are_kept_first() {
        let mut grants = collector();
        for at in 0..=MOST_GRANTS {
            grants.add(grant("own", &format!("{ROLE}{at}"), &["Decrypt"]), 1);
        }
        let outside = "arn:aws:iam::999999999999:role/x";
        grants.add(grant("outside", outside, &["Decrypt"]), 1);
        assert_eq!(grants.finish().others[0].grantee, outside);
    }
}
