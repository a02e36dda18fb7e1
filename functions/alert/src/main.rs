//! Wires up logging, settings, the topic and the handler of batches.

#![allow(clippy::disallowed_methods, reason = "a main is where the time is looked at")]
// The nested futures of two SDK clients are deeper than the compiler's default limit.
#![recursion_limit = "256"]

use alert::{Alert, Names, Topic};
use alerts::Claim;
use aws_lambda_events::event::sqs::SqsEvent;
use claims::Claims;
use jiff::Timestamp;
use lambda_runtime::{Context, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let metrics = startup::observe()?;
    let function = function()
        .await
        .inspect_err(|error| tracing::error!(error = format!("{error:#}"), "cannot start"))?;
    let handle = async |batch: SqsEvent, context: Context| {
        let run =
            Claim { owner: context.request_id.clone(), lapses_at: startup::ends_at(&context) };
        Ok(function.handle(batch, &run, Timestamp::now(), startup::deadline(&context)).await)
    };
    startup::serve(metrics, handle).await
}

async fn function() -> anyhow::Result<Alert> {
    let own = startup::own_config().await;
    let topic = Topic::new(&own, startup::variable("CMKWATCH_TOPIC")?);
    let claims = Claims::new(&own, startup::variable("CMKWATCH_ALERTED_TABLE")?);
    let (hub, home) = (startup::named("CMKWATCH_ACCOUNT")?, startup::named("AWS_REGION")?);
    Ok(Alert::new(topic, Names::new(&own), claims, startup::settings()?.alerts, hub, home))
}
