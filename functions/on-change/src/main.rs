//! Wiring: logging, settings, clients, and the handler for each batch.

#![allow(clippy::disallowed_methods, reason = "a main is where the time and the environment are looked at")]

use anyhow::Context;
use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_lambda_events::event::sqs::SqsEvent;
use aws_smithy_http_client::tls;
use collect::Accounts;
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use on_change::OnChange;
use std::{
    env, fs,
    path::Path,
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// Kept back of the time that a run has, to answer in.
const TO_ANSWER: Duration = Duration::from_secs(2);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing_subscriber::fmt().json().flatten_event(true).with_span_list(false).with_target(false).init();
    let function =
        function().await.inspect_err(|error| tracing::error!(error = format!("{error:#}"), "cannot start"))?;
    let function = &function;
    let handler = move |batch: LambdaEvent<SqsEvent>| async move {
        let left = batch.context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
        let deadline = Instant::now() + left.saturating_sub(TO_ANSWER);
        Ok::<_, Error>(function.handle(batch.payload, deadline).await)
    };
    run(service_fn(handler)).await
}

async fn function() -> anyhow::Result<OnChange> {
    let path = Path::new(&variable("LAMBDA_TASK_ROOT")?).join("cmkwatch.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let settings = text.parse().with_context(|| format!("{} is wrong", path.display()))?;
    let home = variable("AWS_REGION")?.parse().context("AWS_REGION is wrong")?;
    let accounts = Accounts::new(own_config().await, &home, variable("CMKWATCH_MEMBER_ROLE")?);
    Ok(OnChange { accounts, settings, now: Timestamp::now })
}

/// One HTTP client for every client of the SDK, so that connections are kept.
async fn own_config() -> SdkConfig {
    let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(8))
        .operation_timeout(Duration::from_secs(20));
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().tls_provider(tls).build_https())
        .retry_config(RetryConfig::standard().with_max_attempts(4))
        .timeout_config(timeouts.build())
        .load()
        .await
}

fn variable(name: &str) -> anyhow::Result<String> {
    env::var(name).with_context(|| format!("the environment has no {name}"))
}
