//! Limits the rate of calls to Security Hub, so that no call is made that would only be throttled.

use governor::{DefaultDirectRateLimiter, Quota};
use std::num::NonZeroU32;

/// The [quotas](https://docs.aws.amazon.com/securityhub/1.0/APIReference/Welcome.html) of one
/// account in one region. All callers share them. If other callers use them up, calls are
/// throttled, and the SDK slows down.
#[derive(Debug)]
pub(crate) struct Pace {
    /// The quota of GetFindings: "RateLimit of 3 requests per second. BurstLimit of 6".
    pub(crate) get_findings: DefaultDirectRateLimiter,
    /// The quota of DescribeHub, as of all other operations: "RateLimit of 10 requests per second.
    /// BurstLimit of 30".
    pub(crate) describe_hub: DefaultDirectRateLimiter,
    /// The quota of BatchImportFindings: "RateLimit of 10 requests per second. BurstLimit of 30".
    pub(crate) batch_import_findings: DefaultDirectRateLimiter,
    /// The quota of BatchUpdateFindings, the same as of BatchImportFindings.
    pub(crate) batch_update_findings: DefaultDirectRateLimiter,
}

impl Default for Pace {
    fn default() -> Self {
        let limiter = |each_second: NonZeroU32, burst: NonZeroU32| {
            DefaultDirectRateLimiter::direct(Quota::per_second(each_second).allow_burst(burst))
        };
        Self {
            get_findings: limiter(THREE, SIX),
            describe_hub: limiter(TEN, THIRTY),
            batch_import_findings: limiter(TEN, THIRTY),
            batch_update_findings: limiter(TEN, THIRTY),
        }
    }
}

const THREE: NonZeroU32 = number(3);
const SIX: NonZeroU32 = number(6);
const TEN: NonZeroU32 = number(10);
const THIRTY: NonZeroU32 = number(30);

const fn number(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}
