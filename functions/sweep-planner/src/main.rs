//! Wires up logging, settings, clients and the handler of sweeps.

// The nested futures of SDK clients are deeper than the compiler's default limit.
#![recursion_limit = "256"]
#![allow(clippy::disallowed_methods, reason = "a main is where the time is looked at")]

use jiff::Timestamp;
use lambda_runtime::{Context, Error};
use queue::Queue;
use state::State;
use sweep_planner::{SweepPlanner, SweepRequest};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let metrics = startup::observe()?;
    let function = function()
        .await
        .inspect_err(|error| tracing::error!(error = format!("{error:#}"), "cannot start"))?;
    let handle = async |request: SweepRequest, _: Context| {
        let begun = function.begin(request, Timestamp::now()).await.map_err(anyhow::Error::from);
        Ok(begun.inspect_err(|error| {
            tracing::error!(error = format!("{error:#}"), "no sweep was begun")
        })?)
    };
    startup::serve(metrics, handle).await
}

async fn function() -> anyhow::Result<SweepPlanner> {
    let own = startup::own_config().await;
    let queue = Queue::new(&own, startup::variable("CMKWATCH_SWEEP_QUEUE")?);
    let state = State::new(&own, startup::variable("CMKWATCH_STATE_TABLE")?);
    let hub = startup::named("CMKWATCH_ACCOUNT")?;
    Ok(SweepPlanner { own, settings: startup::settings()?, queue, state, hub })
}
