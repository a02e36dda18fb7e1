//! Makes the watch of a function from its environment.
//!
//! Only on-change and sweep-account evaluate buckets. So the other functions do not depend on this
//! crate, and do not link the clients of S3, KMS and Security Hub.

#![allow(clippy::disallowed_methods, reason = "here the time is looked at, for the mains")]

use aws_config::{SdkConfig, sts::AssumeRoleProvider};
use aws_credential_types::provider::SharedCredentialsProvider;
use collect::Accounts;
use facts::Place;
use jiff::{SignedDuration, Timestamp};
use queue::Queue;
use startup::StartupError;
use state::State;
use watch::{Deployment, Watch};

/// Makes the [`Watch`] by which a function evaluates buckets.
///
/// # Errors
/// Returns an error if settings or variables are missing or wrong.
pub fn watch(own: &SdkConfig) -> Result<Watch, StartupError> {
    watch_by(own, own)
}

/// Makes a [`Watch`] that enters accounts by the role of `CMKWATCH_RETIRE_ROLE`.
///
/// That role may enter accounts that left the organization, too. All else is as in [`watch()`].
///
/// # Errors
/// Returns an error if settings or variables are missing or wrong.
pub async fn retiring_watch(own: &SdkConfig) -> Result<Watch, StartupError> {
    let role = AssumeRoleProvider::builder(startup::variable("CMKWATCH_RETIRE_ROLE")?);
    let role = role
        .session_name(startup::variable("AWS_LAMBDA_FUNCTION_NAME")?)
        .configure(own)
        .build()
        .await;
    let role = SharedCredentialsProvider::new(role);
    watch_by(own, &own.clone().into_builder().credentials_provider(role).build())
}

/// Makes a watch. `own` reaches its table and queue, and `entering` assumes the roles in accounts.
fn watch_by(own: &SdkConfig, entering: &SdkConfig) -> Result<Watch, StartupError> {
    let organization = startup::variable("CMKWATCH_ORGANIZATION")?;
    let organization = organization.parse().map_err(StartupError::Organization)?;
    let settings = startup::settings()?.within(&organization);
    let (account, region) = (startup::named("CMKWATCH_ACCOUNT")?, startup::named("AWS_REGION")?);
    let (role, session) = (
        startup::variable("CMKWATCH_MEMBER_ROLE")?,
        startup::variable("AWS_LAMBDA_FUNCTION_NAME")?,
    );
    let accounts = Accounts::new(entering.clone(), Place { account, region }, role, session);
    let state = State::new(own, startup::variable("CMKWATCH_STATE_TABLE")?);
    let deployment = Deployment {
        generation: startup::number("CMKWATCH_GENERATION")?,
        second_look: SignedDuration::from_secs(i64::from(startup::number::<u16>(
            "CMKWATCH_SECOND_LOOK_SECONDS",
        )?)),
        regions: startup::regions("CMKWATCH_REGIONS")?,
    };
    let changes = Queue::new(own, startup::variable("CMKWATCH_CHANGES_QUEUE")?);
    Ok(Watch::new(accounts, settings, state, changes, deployment, Timestamp::now))
}
