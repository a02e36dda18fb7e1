//! Finds the requests that a bucket policy should refuse and does not.

use crate::{
    BucketPolicyVerdict, CloseStatement, Control, Evidence, NotRefused, Outcome, PolicyOf,
    ProbedRequest, Shortfall, Unrefused, control::too_complex,
};
use facts::AccountId;
use iam_policy::{Condition, Gap, Given, Policy, Remainder, Request, Statement, TooComplex};

/// The greatest number of statements that the evidence lists for a request: those that almost
/// refuse it.
const MOST_LISTED: usize = 3;

/// A request as evidence names it, and the request that the policy is asked about.
pub(crate) type Probe = (ProbedRequest, Request);

/// The bucket whose policy is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owned<'a> {
    /// The ARN of the bucket.
    pub(crate) bucket: &'a str,
    /// The account that owns the bucket. Conditions may require it.
    pub(crate) owner: &'a AccountId,
}

/// The condition keys that hold the owner of the bucket:
/// [global](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-resourceaccount),
/// [S3](https://docs.aws.amazon.com/AmazonS3/latest/userguide/amazon-s3-policy-keys.html).
const OWNER_KEYS: [&str; 2] = ["aws:ResourceAccount", "s3:ResourceAccount"];

/// Returns the verdict of a control that holds if the policy refuses all these requests. `evidence`
/// makes the kind of evidence that the control shows.
pub(crate) fn verdict(
    control: &'static Control,
    policy: Option<&Policy>,
    of: Owned<'_>,
    probes: &[Probe],
    evidence: fn(Option<Unrefused>) -> Evidence,
) -> BucketPolicyVerdict {
    let outcome = match unrefused(policy, of, probes) {
        Err(error) => too_complex(PolicyOf::Bucket, error),
        Ok(found) if found.is_empty() => Outcome::Passed(vec![evidence(None)]),
        Ok(found) => match found.iter().map(|one| one.variable.clone()).collect() {
            // Nobody can tell from the policy whether one of the requests gets through.
            Some(variables) => Outcome::Undetermined(distinct(variables)),
            None => {
                let sure = found.into_iter().filter(|one| one.variable.is_none());
                let (shown, doubtful): (Vec<_>, Vec<_>) = sure
                    .map(|one| one.unrefused)
                    .partition(|unrefused| unrefused.witness.is_some());
                let all =
                    |requests: Vec<Unrefused>| requests.into_iter().map(|it| evidence(Some(it)));
                if shown.is_empty() {
                    Outcome::Undetermined(all(doubtful).map(Shortfall::NoWitness).collect())
                } else {
                    let evidence = all(shown).collect();
                    Outcome::Failed { severity: control.severity, evidence }
                }
            }
        },
    };
    BucketPolicyVerdict { control, outcome }
}

/// Returns the request on a bucket of this owner, by a caller that is no AWS service. A policy may
/// exempt services that act for themselves, such as writers of logs.
pub(crate) fn owned(request: &Request, of: Owned<'_>) -> Request {
    let owner = || Given::text(of.owner.as_str());
    let request = request.clone().not_by_a_service().preferably_by(of.owner.as_str());
    OWNER_KEYS.into_iter().fold(request, |request, key| request.with(key, owner()))
}

/// A request that the policy does not refuse for sure.
struct Found {
    unrefused: Unrefused,
    /// The policy variable that decides if the request is refused; `None` if it is not refused.
    variable: Option<Evidence>,
}

/// Returns each piece of evidence once.
fn distinct(evidence: Vec<Evidence>) -> Vec<Shortfall> {
    let mut all: Vec<Evidence> = Vec::new();
    for one in evidence {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    all.into_iter().map(Shortfall::NotUnderstood).collect()
}

/// Returns the requests that the policy does not refuse, with the statements that almost do.
fn unrefused(
    policy: Option<&Policy>,
    of: Owned<'_>,
    probes: &[Probe],
) -> Result<Vec<Found>, TooComplex> {
    let none = Policy::default();
    let requests: Vec<_> = probes.iter().map(|(_, request)| owned(request, of)).collect();
    let gaps = policy.unwrap_or(&none).gaps(&requests)?;
    let found = |((probe, request), gap): (&Probe, Option<Gap>)| {
        let gap = gap?;
        let because = policy.map_or(NotRefused::NoPolicy, |policy| close(policy, request, &gap));
        let variable = policy.and_then(|policy| variable(policy, request, &gap));
        let unrefused = Unrefused { request: probe.clone(), because, witness: gap.witness };
        Some(Found { unrefused, variable })
    };
    Ok(probes.iter().zip(gaps).filter_map(found).collect())
}

/// Returns the policy variable with which a Deny compares what makes the request wrong, such as the
/// key of an upload. A variable in a Deny about something else, such as the tags of the caller,
/// decides nothing: some callers get through.
fn variable(policy: &Policy, request: &Request, gap: &Gap) -> Option<Evidence> {
    gap.because.iter().find_map(|(statement, leaves)| {
        let Remainder::Condition(key) = leaves else { return None };
        if !request.context.iter().any(|(known, _)| known.eq_ignore_ascii_case(key)) {
            return None;
        }
        let value = policy.variable(*statement, key)?.to_owned();
        Some(Evidence::PolicyVariable {
            statement: policy.name(*statement),
            key: key.clone(),
            value,
        })
    })
}

/// Returns the statements that almost refuse a request. A Deny that depends on conditions counts
/// only if one of them is about what makes the request wrong. A Deny of plain HTTP has nothing to
/// do with the key of an upload.
fn close(policy: &Policy, request: &Request, gap: &Gap) -> NotRefused {
    let is_about = |statement: &Statement| {
        let about = |condition: &Condition| {
            request.context.iter().any(|(key, _)| key.eq_ignore_ascii_case(&condition.key))
        };
        statement.conditions.is_empty() || statement.conditions.iter().any(about)
    };
    let related =
        gap.because.iter().filter(|(at, _)| policy.statements.get(*at).is_some_and(is_about));
    let statements = related.take(MOST_LISTED).map(|(statement, leaves)| CloseStatement {
        statement: policy.name(*statement),
        leaves: leaves.clone(),
    });
    NotRefused::Close(statements.collect())
}
