//! Wiring: logging, settings, clients, and the handler for each sweep.

#![allow(clippy::disallowed_methods, reason = "a main is where the time is looked at")]

use jiff::Timestamp;
use lambda_runtime::{Context, Error};
use sweep_planner::{Request, SweepPlanner};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let metrics = startup::observe()?;
    let function =
        function().await.inspect_err(|error| tracing::error!(error = format!("{error:#}"), "cannot start"))?;
    let handle = async |request: Request, _: Context| {
        let begun = function.begin(request, Timestamp::now()).await;
        Ok(begun.inspect_err(|error| tracing::error!(error = format!("{error:#}"), "no sweep was begun"))?)
    };
    startup::serve(metrics, handle).await
}

async fn function() -> anyhow::Result<SweepPlanner> {
    let own = startup::own_config().await;
    let queue = startup::queue(&own, "CMKWATCH_SWEEP_QUEUE")?;
    Ok(SweepPlanner { own, settings: startup::settings()?, queue })
}
