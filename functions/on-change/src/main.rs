//! Wires up logging, settings, clients and the handler of batches.

// The nested futures of SDK clients are deeper than the compiler's default limit.
#![recursion_limit = "256"]

use aws_lambda_events::event::sqs::SqsEvent;
use lambda_runtime::{Context, Error};
use on_change::OnChange;
use queue::Queue;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let metrics = startup::observe()?;
    let function = function()
        .await
        .inspect_err(|error| tracing::error!(error = format!("{error:#}"), "cannot start"))?;
    let handle = async |batch: SqsEvent, context: Context| {
        Ok(function.handle(batch, startup::deadline(&context)).await)
    };
    startup::serve(metrics, handle).await
}

async fn function() -> anyhow::Result<OnChange> {
    let own = startup::own_config().await;
    Ok(OnChange::new(
        assembly::watch(&own)?,
        Queue::new(&own, startup::variable("CMKWATCH_SWEEP_QUEUE")?),
    ))
}
