//! Wires up logging, settings, clients and the handler of batches.

use aws_lambda_events::event::sqs::SqsEvent;
use lambda_runtime::{Context, Error};
use queue::Queue;
use sweep_account::SweepAccount;

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

async fn function() -> anyhow::Result<SweepAccount> {
    let own = startup::own_config().await;
    let retiring = assembly::retiring_watch(&own).await?;
    Ok(SweepAccount::new(
        assembly::watch(&own)?,
        retiring,
        Queue::new(&own, startup::variable("CMKWATCH_SWEEP_QUEUE")?),
    ))
}
