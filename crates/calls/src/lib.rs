//! Counts, retries and timeouts of all calls to AWS.
//!
//! Attempts and throttled attempts are counted by service, because they use the quota of the users'
//! accounts. A client that is throttled slows down. Each account has a [`partition`] of its own, so
//! that its throttling slows down no other account.

use aws_credential_types::provider::error::CredentialsError;
use aws_runtime::retries::classifiers::THROTTLING_ERRORS;
use aws_sdk_sts::{error::ProvideErrorMetadata, operation::assume_role::AssumeRoleError};
use aws_smithy_runtime::client::retries::RetryPartition;
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef},
            dyn_dispatch_hint,
        },
        orchestrator::{HttpResponse, Metadata},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{config_bag::ConfigBag, retry::RetryConfig, timeout::TimeoutConfig};
use facts::Place;
use std::{error::Error, time::Duration};

/// Returns the partition for the retries of a service in one account and region, because AWS
/// [throttles by account and
/// region](https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html).
#[must_use]
pub fn partition(service: &str, Place { account, region }: &Place) -> RetryPartition {
    RetryPartition::custom(format!("{service}/{account}/{region}")).build()
}

/// The longest time for a call that waits for a quota of a few calls a second, with its retries.
const PATIENCE: Duration = Duration::from_secs(120);

/// Returns retries for a service whose quota for the whole account is a few calls a second: 12
/// attempts, up to 10 s apart. All processes of the account share that quota.
///
/// Such services are the [Security
/// Hub](https://docs.aws.amazon.com/securityhub/1.0/APIReference/Welcome.html) of the hub and
/// [Organizations](https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html).
#[must_use]
pub fn patient_retries() -> RetryConfig {
    RetryConfig::adaptive().with_max_attempts(12).with_max_backoff(Duration::from_secs(10))
}

/// Returns the timeouts that go with [`patient_retries`]: 2 minutes for a call, and those of
/// `config` for each attempt.
#[must_use]
pub fn patient_timeouts(config: Option<&TimeoutConfig>) -> TimeoutConfig {
    config
        .map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder)
        .operation_timeout(PATIENCE)
        .build()
}

/// The error codes of [S3](https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html) and
/// [KMS](https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html) that make a fact
/// unreadable. The caller may not have the answer, or cannot have it now. A retry does not change
/// that.
const REFUSALS: [&str; 10] = [
    "AccessDenied",
    "AccessDeniedException",
    "AllAccessDisabled",
    "AccountProblem",
    // KMS does not answer for a key whose store is disconnected or whose material is missing.
    "KMSInvalidStateException",
    "MethodNotAllowed",
    "NotSignedUp",
    "OptInRequired",
    "UnrecognizedClientException",
    "ValidationException",
];

/// Returns true if the error code of an answer is a refusal.
#[must_use]
pub fn is_refusal(code: &str) -> bool {
    REFUSALS.contains(&code)
}

/// Returns true if a call was not made because STS refused the role that it needs. The role does
/// not exist, or does not trust cmkwatch.
#[must_use]
pub fn is_refused_role(error: &(dyn Error + 'static)) -> bool {
    find::<CredentialsError>(error).is_some()
        && find::<AssumeRoleError>(error).and_then(ProvideErrorMetadata::code)
            == Some("AccessDenied")
}

/// Returns true if a call was not made because there were no credentials for it.
#[must_use]
pub fn has_no_credentials(error: &(dyn Error + 'static)) -> bool {
    find::<CredentialsError>(error).is_some()
}

/// Returns the text of an error and of its causes, for a log line: `the call failed: no answer`.
#[must_use]
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Returns an error of type `E`: the error itself or the first such error among its causes.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    error.downcast_ref().or_else(|| error.source().and_then(find))
}

/// Counts the attempts of a client by service: all in `ApiCalls`, and throttled ones in
/// `Throttles`.
#[derive(Debug, Clone, Copy)]
pub struct Counter;

#[dyn_dispatch_hint]
impl Intercept for Counter {
    fn name(&self) -> &'static str {
        "Counter"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        metrics::counter!("ApiCalls", "Service" => service(config)).increment(1);
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if context.response().is_some_and(is_throttled) {
            metrics::counter!("Throttles", "Service" => service(config)).increment(1);
        }
        Ok(())
    }
}

fn service(config: &ConfigBag) -> String {
    config
        .load::<Metadata>()
        .map_or_else(|| "unknown".to_owned(), |metadata| metadata.service().to_owned())
}

/// Returns true if an answer has an error code for throttling. The protocol of the service decides
/// if the code is in a header or in the body.
fn is_throttled(response: &HttpResponse) -> bool {
    if response.status().is_success() {
        return false;
    }
    let body = String::from_utf8_lossy(response.body().bytes().unwrap_or_default());
    let header = response.headers().get("x-amzn-errortype").unwrap_or_default();
    THROTTLING_ERRORS.iter().any(|code| header.contains(code) || body.contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    #[test]
    fn a_throttled_answer_is_known_by_its_code() {
        let answer = |status, body: &str| {
            HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body))
        };
        assert!(is_throttled(&answer(503, "<Error><Code>SlowDown</Code></Error>")));
        assert!(is_throttled(&answer(400, r#"{"__type":"ThrottlingException"}"#)));
        assert!(!is_throttled(&answer(400, r#"{"__type":"AccessDeniedException"}"#)));
        assert!(!is_throttled(&answer(200, "SlowDown")));
        let mut by_header = answer(429, "{}");
        by_header.headers_mut().insert("x-amzn-errortype", "TooManyRequestsException:");
        assert!(is_throttled(&by_header));
    }
}
