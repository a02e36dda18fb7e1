//! Finds out whether a bucket receives logs that cannot be written with a customer-managed key.
//!
//! AWS documents two kinds:
//!
//! - Logs of load balancers: "the only server-side encryption option that's supported is Amazon
//!   S3-managed keys (SSE-S3)"
//!   ([Application](https://docs.aws.amazon.com/elasticloadbalancing/latest/application/enable-access-logging.html),
//!   [Classic](https://docs.aws.amazon.com/elasticloadbalancing/latest/classic/enable-access-logs.html)).
//! - [Server access
//!   logs](https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html):
//!   in the bucket that receives them, "default server-side encryption with AWS KMS keys is not
//!   supported".
//!
//! Both kinds show in the bucket policy, which must allow the writer to put objects. Network load
//! balancers, CloudTrail, Config and flow logs can write with such a key, so their buckets are not
//! exempt. Access logs that are delivered by the ACL of the log delivery group leave no trace in
//! the policy.

use crate::{Outcome, control::policy_of};
use facts::Bucket;
use iam_policy::{Effect, Pattern, Policy, Principal, Selection, Statement};

const LOAD_BALANCERS: &str = "logs of load balancers, which need SSE-S3";
/// Practice differs from the documentation: see the [report of
/// users](https://github.com/aws/aws-cdk/issues/25350).
const SERVER_ACCESS: &str = "S3 server access logs, which need SSE-S3 as AWS documents it. Users \
     report that such logs do arrive with SSE-KMS if the key policy admits logging.s3.amazonaws.com";

/// The services that write logs with SSE-S3 only, and the names of these logs.
const SERVICES: [(&str, &str); 2] = [
    ("logdelivery.elasticloadbalancing.amazonaws.com", LOAD_BALANCERS),
    ("logging.s3.amazonaws.com", SERVER_ACCESS),
];

/// The accounts of Elastic Load Balancing in regions that existed before August 2022.
///
/// The ids are from the pages on access logs of Application and Classic Load Balancers. The ids for
/// China are from the Terraform provider.
const LOAD_BALANCER_ACCOUNTS: [&str; 26] = [
    "127311923021",
    "033677994240",
    "027434742980",
    "797873946194",
    "098369216593",
    "754344448648",
    "985666609251",
    "507241528517",
    "582318560864",
    "600734575887",
    "383597477331",
    "718504428378",
    "114774131450",
    "783225319266",
    "589379963580",
    "156460612806",
    "652711504416",
    "009996457667",
    "635631232127",
    "897822967062",
    "054676820928",
    "076674570225",
    "190560391635",
    "048591011584",
    "638102146993",
    "037604701340",
];

/// Returns the logs with SSE-S3 only that the bucket policy admits, in words. `None` if it admits
/// none.
/// The error is the outcome if the policy could not be read or understood.
pub(crate) fn receives(bucket: &Bucket) -> Result<Option<&'static str>, Outcome> {
    let Some(policy) = policy_of(bucket)? else { return Ok(None) };
    Ok(policy.statements.iter().filter(|statement| allows_uploads(statement)).find_map(writer))
}

/// Returns the accounts of load balancers that a bucket policy lets put objects. Load balancers of
/// newer regions write as a service, which acts for itself.
pub(crate) fn accounts(policy: &Policy) -> Vec<&'static str> {
    let writes = |account: &&str| {
        let is_named =
            |principal: &Principal| *principal == Principal::Account((*account).to_owned());
        policy.statements.iter().filter(|it| allows_uploads(it)).any(
            |it| matches!(&it.principals, Selection::Only(named) if named.iter().any(is_named)),
        )
    };
    LOAD_BALANCER_ACCOUNTS.into_iter().filter(writes).collect()
}

fn allows_uploads(statement: &Statement) -> bool {
    let is_upload =
        |action: &String| Pattern::wildcard(&action.to_lowercase()).matches("s3:putobject");
    statement.effect == Effect::Allow
        && matches!(&statement.actions, Selection::Only(actions) if actions.iter().any(is_upload))
}

fn writer(statement: &Statement) -> Option<&'static str> {
    let Selection::Only(principals) = &statement.principals else { return None };
    principals.iter().find_map(|principal| match principal {
        Principal::Service(name) => {
            SERVICES.iter().find(|(service, _)| service == name).map(|(_, logs)| *logs)
        }
        Principal::Account(account) => {
            LOAD_BALANCER_ACCOUNTS.contains(&account.as_str()).then_some(LOAD_BALANCERS)
        }
        _ => None,
    })
}
