//! Starts each Lambda function, and writes its metrics after each event.
//!
//! Reads the settings and the environment. Logs are JSON lines. Metrics are lines in the [embedded
//! metric
//! format](https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html),
//! in the namespace `cmkwatch`, with the function as dimension. Only this crate and the mains read
//! the clock, the environment and files. What an event means is decided elsewhere.

#![allow(
    clippy::disallowed_methods,
    reason = "here the mains look at the time, the environment and files"
)]

mod error;

pub use error::StartupError;

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::tls;
use controls::Settings;
use facts::{Malformed, Region};
use jiff::{SignedDuration, Timestamp};
use lambda_runtime::{Context, Error, LambdaEvent, service_fn};
use metrics_cloudwatch_embedded::{Builder, Collector};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeSet,
    env, fs, io,
    path::Path,
    str::FromStr,
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// The part of a run's time that is kept back for its answer.
const TO_ANSWER: Duration = Duration::from_secs(2);

/// The most by which the clocks of two runs may differ.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(2);

/// Starts logs and metrics. Call this function first.
///
/// # Errors
/// Returns an error if a variable is missing or a metrics recorder was set before.
pub fn observe() -> Result<&'static Collector, StartupError> {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_target(false)
        .init();
    let name = variable("AWS_LAMBDA_FUNCTION_NAME")?;
    let builder = Builder::new().cloudwatch_namespace("cmkwatch").with_dimension("Function", name);
    let collector = builder.init().map_err(|error| StartupError::Metrics(error.to_string()))?;
    metrics::describe_histogram!(
        "EventAge",
        metrics::Unit::Seconds,
        "from the call that changed something to the verdict"
    );
    Ok(collector)
}

/// Reads the settings that are packed beside the binary.
///
/// # Errors
/// Returns an error if the file is missing or malformed. The error names line and key.
pub fn settings() -> Result<Settings, StartupError> {
    let path = Path::new(&variable("LAMBDA_TASK_ROOT")?).join("cmkwatch.toml");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(StartupError::Unreadable { path, source }),
    };
    text.parse().map_err(|source| StartupError::Settings { path, source })
}

/// Reads a list of regions with commas between them from a variable of the environment. The list
/// may be empty.
///
/// # Errors
/// Returns an error if the variable is missing or malformed.
pub fn regions(name: &'static str) -> Result<BTreeSet<Region>, StartupError> {
    let text = variable(name)?;
    let regions = text.split(',').filter(|region| !region.is_empty()).map(str::parse);
    regions.collect::<Result<_, _>>().map_err(|source| StartupError::Malformed { name, source })
}

/// Reads a number from a variable of the environment.
///
/// # Errors
/// Returns an error if the variable is missing or not a number that fits.
pub fn number<T: FromStr>(name: &'static str) -> Result<T, StartupError> {
    let text = variable(name)?;
    text.parse().map_err(|_| StartupError::NotANumber { name, value: text })
}

/// Loads the configuration of the function itself.
///
/// All clients of the SDK share its HTTP client, so that connections are kept. Retries back off
/// with full jitter, and slow a client down if it is
/// [throttled](https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html).
pub async fn own_config() -> SdkConfig {
    let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(8))
        .operation_timeout(Duration::from_secs(30));
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().tls_provider(tls).build_https())
        .retry_config(RetryConfig::adaptive().with_max_attempts(5))
        .timeout_config(timeouts.build())
        .load()
        .await
}

/// Answers events until the process ends, and writes the metrics after each event.
///
/// # Errors
/// Returns an error if the runtime cannot go on.
pub async fn serve<E, A>(
    metrics: &'static Collector,
    handle: impl AsyncFn(E, Context) -> Result<A, Error>,
) -> Result<(), Error>
where
    E: DeserializeOwned,
    A: Serialize,
{
    let handle = &handle;
    let answer = move |LambdaEvent { payload, context }: LambdaEvent<E>| async move {
        let answer = handle(payload, context).await;
        if let Err(error) = metrics.flush(io::stdout()) {
            tracing::error!(%error, "metrics not written");
        }
        answer
    };
    lambda_runtime::run(service_fn(answer)).await
}

/// Returns the moment by which a run must be done, so that it can answer in time.
#[must_use]
pub fn deadline(context: &Context) -> Instant {
    let left = context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
    Instant::now() + left.saturating_sub(TO_ANSWER)
}

/// Returns a moment at which a run has certainly ended.
///
/// Lambda stops a run at its deadline, and clocks may differ by a moment.
#[must_use]
pub fn ends_at(context: &Context) -> Timestamp {
    let deadline = Timestamp::try_from(context.deadline()).unwrap_or(Timestamp::MAX);
    deadline.checked_add(CLOCKS_DIFFER).unwrap_or(Timestamp::MAX)
}

/// Reads a variable of the environment.
///
/// # Errors
/// Returns an error if the variable is missing.
pub fn variable(name: &str) -> Result<String, StartupError> {
    env::var(name).map_err(|source| StartupError::Missing { name: name.to_owned(), source })
}

/// Reads an account or a region from a variable of the environment.
///
/// # Errors
/// Returns an error if the variable is missing or malformed.
pub fn named<T: FromStr<Err = Malformed>>(name: &'static str) -> Result<T, StartupError> {
    variable(name)?.parse().map_err(|source| StartupError::Malformed { name, source })
}
