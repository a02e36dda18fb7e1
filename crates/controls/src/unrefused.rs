//! What a bucket policy does not refuse.

use crate::{BucketPolicyVerdict, Control, Evidence, Outcome, control::too_complex};
use facts::AccountId;
use iam_policy::{Gap, Given, Left, Policy, Request, TooComplex};

const WANTED: &str = "none";
/// How many statements that come close are told.
const MOST_TOLD: usize = 3;

/// Requests in words, and as the question that is asked of the policy.
pub(crate) type Asked = (String, Request);

/// The bucket whose policy it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owned<'a> {
    /// Its ARN.
    pub(crate) bucket: &'a str,
    /// The account that owns it, which conditions may ask for.
    pub(crate) owner: &'a AccountId,
}

/// The condition keys that hold the owner:
/// [global](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-resourceaccount),
/// [S3](https://docs.aws.amazon.com/AmazonS3/latest/userguide/amazon-s3-policy-keys.html).
const OWNER_KEYS: [&str; 2] = ["aws:ResourceAccount", "s3:ResourceAccount"];

/// The verdict of a control that holds where every one of these requests is refused.
pub(crate) fn verdict(
    control: &'static Control,
    policy: Option<&Policy>,
    of: Owned<'_>,
    asked: &[Asked],
    fact: &'static str,
) -> BucketPolicyVerdict {
    let found = gaps(policy, of, asked);
    let (outcome, requests) = match found {
        Err(error) => (too_complex("bucket policy", error), Vec::new()),
        Ok(requests) if requests.is_empty() => {
            (Outcome::Passed(vec![Evidence::new(fact, WANTED, WANTED)]), requests)
        }
        Ok(requests) => {
            let evidence = requests
                .iter()
                .map(|request| Evidence::new(fact, request.clone(), WANTED))
                .collect();
            (Outcome::Failed { severity: control.severity, evidence }, requests)
        }
    };
    BucketPolicyVerdict { control, outcome, requests }
}

fn owned(request: &Request, of: Owned<'_>) -> Request {
    let owner = || Given::text(of.owner.as_str());
    OWNER_KEYS.into_iter().fold(request.clone(), |request, key| request.with(key, owner()))
}

/// What of the requests gets through, with the statements that come closest to refusing it.
fn gaps(
    policy: Option<&Policy>,
    of: Owned<'_>,
    asked: &[Asked],
) -> Result<Vec<String>, TooComplex> {
    let Some(policy) = policy else {
        return Ok(asked
            .iter()
            .map(|(said, _)| format!("{said} (there is no bucket policy)"))
            .collect());
    };
    let requests: Vec<_> = asked.iter().map(|(_, request)| owned(request, of)).collect();
    let gaps = policy.gaps(&requests)?;
    Ok(asked
        .iter()
        .zip(gaps)
        .filter_map(|((said, _), gap)| Some(told(policy, said, &gap?)))
        .collect())
}

fn told(policy: &Policy, said: &str, gap: &Gap) -> String {
    let left = |(statement, left): &(usize, Left)| {
        let what = match left {
            Left::Callers => "names some callers only".to_owned(),
            Left::Actions => "leaves actions out".to_owned(),
            Left::Resources => "leaves resources out".to_owned(),
            Left::Condition(key) => format!("depends on {key}"),
        };
        format!("statement {} {what}", policy.name(*statement))
    };
    let close: Vec<_> = gap.because.iter().take(MOST_TOLD).map(left).collect();
    let because =
        if close.is_empty() { "no statement refuses it".to_owned() } else { close.join(", ") };
    format!("{said} ({because})")
}
