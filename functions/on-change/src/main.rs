//! Wiring: logging, settings, clients, and the handler for each batch.

use anyhow::Context;
use aws_config::{BehaviorVersion, retry::RetryConfig, timeout::TimeoutConfig};
use aws_lambda_events::event::sqs::SqsEvent;
use collect::Accounts;
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use on_change::OnChange;
use std::{env, fs, path::Path, time::Duration};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing_subscriber::fmt().json().flatten_event(true).with_span_list(false).with_target(false).init();
    let function =
        function().await.inspect_err(|error| tracing::error!(error = format!("{error:#}"), "cannot start"))?;
    let function = &function;
    run(service_fn(
        move |batch: LambdaEvent<SqsEvent>| async move { Ok::<_, Error>(function.handle(batch.payload).await) },
    ))
    .await
}

async fn function() -> anyhow::Result<OnChange> {
    let path = Path::new(&env::var("LAMBDA_TASK_ROOT").context("LAMBDA_TASK_ROOT is not set")?).join("cmkwatch.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let settings = text.parse().with_context(|| format!("{} is wrong", path.display()))?;
    let role = env::var("CMKWATCH_MEMBER_ROLE").context("CMKWATCH_MEMBER_ROLE is not set")?;
    let home = env::var("AWS_REGION").context("AWS_REGION is not set")?.parse()?;
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(8))
        .operation_timeout(Duration::from_secs(20));
    let own = aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::standard().with_max_attempts(4))
        .timeout_config(timeouts.build());
    Ok(OnChange { accounts: Accounts::new(own.load().await, &home, role), settings, now: Timestamp::now })
}
