//! Claims messages in the table, and records those that were sent.

use crate::row::{self, Attributes};
use alerts::{AlertedState, Claim, Decision, FindingEvent, Gone, LastDecision, Silence, decide};
use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client, config,
    error::BoxError,
    operation::put_item::{PutItemError, builders::PutItemFluentBuilder},
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use jiff::Timestamp;

/// The number of tries to claim a row that other runs keep changing. After that, the event must be
/// delivered again.
const MOST_TRIES: usize = 5;

/// A call to the table that failed.
#[derive(Debug, thiserror::Error)]
#[error("dynamodb:PutItem on table {table} failed")]
pub struct ClaimsError {
    table: String,
    source: BoxError,
}

/// The result of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The claim was made: this run must send the message, and record that it did.
    Won(LastDecision),
    /// Another run is sending an alert about the finding: the event must be delivered again.
    Wait,
    /// No message is needed, for the given reason.
    Silent(Silence),
}

/// The table of sent alerts.
#[derive(Debug, Clone)]
pub struct Claims {
    client: Client,
    table: String,
}

/// The row that a write may replace.
enum Over<'a> {
    /// No row, or a damaged one.
    Nothing,
    /// The given row: the version and the owner of the claim must be equal.
    Row(&'a LastDecision),
    /// A row of an older version.
    Older,
    /// A row of an older version without a claim, whose alerted state does not cover the new one.
    Other,
}

/// The result of a write.
enum Written {
    /// The row was written. Holds the row that was replaced, if the write asks for it.
    Done(Option<LastDecision>),
    /// The row was not written, because the table holds this other row. Version 0 if there is no
    /// row.
    Found(LastDecision),
}

impl Claims {
    /// Creates a client of the table. `own` is the configuration of the function itself, which may
    /// write to the table in its own region.
    #[must_use]
    pub fn new(own: &SdkConfig, table: String) -> Self {
        let config = config::Builder::from(own).interceptor(calls::Counter).build();
        Self { client: Client::from_conf(config), table }
    }

    /// Creates a table whose client is mocked.
    #[must_use]
    #[doc(hidden)]
    pub fn with_client(client: Client) -> Self {
        Self { client, table: "cmkwatch-alerted".to_owned() }
    }

    /// Claims the message about a finding for a run. 1 call if the finding has no row yet,
    /// otherwise up to 2. If other runs change the row meanwhile, up to 5.
    ///
    /// # Errors
    /// Returns an error if a call fails. The claim may have been made all the same: then the next
    /// try of the same run succeeds.
    pub async fn claim(
        &self,
        event: &FindingEvent,
        run: &Claim,
        now: Timestamp,
    ) -> Result<Claimed, ClaimsError> {
        if let Decision::Silent(reason) = decide(None, event, &run.owner, now) {
            return Ok(Claimed::Silent(reason));
        }
        let alerted = Some(AlertedState::of(event));
        let mine = LastDecision { version: event.state_version, alerted, claim: Some(run.clone()) };
        let mut found = None::<LastDecision>;
        for _ in 0..MOST_TRIES {
            let decision = match &found {
                None => Decision::Alert,
                Some(known) => decide(Some(known), event, &run.owner, now),
            };
            let over = found.as_ref().map_or(Over::Nothing, Over::Row);
            let (row, claimed) = match decision {
                Decision::Alert => (mine.clone(), Claimed::Won(mine.clone())),
                // The event of an earlier change may still arrive, and must find that this change
                // is known.
                Decision::Silent(Silence::AlreadyKnown) => {
                    let alerted = found.as_ref().and_then(|known| known.alerted);
                    let row = LastDecision { version: event.state_version, alerted, claim: None };
                    (row, Claimed::Silent(Silence::AlreadyKnown))
                }
                Decision::Silent(reason) => return Ok(Claimed::Silent(reason)),
                Decision::Wait => return Ok(Claimed::Wait),
            };
            match self.write(&event.id, &row, over, now).await? {
                Written::Done(_) => return Ok(claimed),
                Written::Found(other) => found = Some(other),
            }
        }
        Ok(Claimed::Wait)
    }

    /// Records that a claimed message was sent. 1 call.
    ///
    /// # Errors
    /// Returns an error if the call fails. Then the claim lapses. If the event is delivered again,
    /// the message is sent again.
    pub async fn record(
        &self,
        finding: &str,
        claimed: &LastDecision,
        now: Timestamp,
    ) -> Result<(), ClaimsError> {
        let sent = LastDecision { claim: None, ..claimed.clone() };
        // If the claim lapsed and another run has it now, that run records the message.
        self.write(finding, &sent, Over::Row(claimed), now).await.map(drop)
    }

    /// Releases a claim whose message could not be sent, so that the event need not wait until the
    /// claim lapses. 1 call.
    ///
    /// # Errors
    /// Returns an error if the call fails.
    pub async fn release(
        &self,
        finding: &str,
        claimed: &LastDecision,
        now: Timestamp,
    ) -> Result<(), ClaimsError> {
        let claim = claimed.claim.clone().map(|claim| Claim { lapses_at: now, ..claim });
        self.write(finding, &LastDecision { claim, ..claimed.clone() }, Over::Row(claimed), now)
            .await
            .map(drop)
    }

    /// Decides about a finding whose state is the same as before a batch. No message is sent in two
    /// cases: people know the state, or the finding passes and has no row. Otherwise the message is
    /// claimed. 1 call if the finding has no row yet, otherwise up to 3.
    ///
    /// # Errors
    /// Returns an error if a call fails.
    pub async fn cancel(
        &self,
        event: &FindingEvent,
        run: &Claim,
        now: Timestamp,
    ) -> Result<Claimed, ClaimsError> {
        let alerted = AlertedState::of(event);
        if alerted == AlertedState::Closed {
            let row =
                LastDecision { version: event.state_version, alerted: Some(alerted), claim: None };
            if let Written::Done(_) = self.write(&event.id, &row, Over::Nothing, now).await? {
                return Ok(Claimed::Silent(Silence::CancelledOut));
            }
        }
        match self.claim(event, run, now).await? {
            Claimed::Silent(Silence::AlreadyKnown) => Ok(Claimed::Silent(Silence::CancelledOut)),
            claimed => Ok(claimed),
        }
    }

    /// Claims the message about a minor change, if people know another state of the finding.
    /// Returns the state that they know, too. 1 call. If another run is sending an alert about the
    /// finding, 2, or 3 if its claim has lapsed.
    ///
    /// # Errors
    /// Returns an error if a call fails.
    pub async fn correct(
        &self,
        event: &FindingEvent,
        run: &Claim,
        now: Timestamp,
    ) -> Result<(Claimed, Option<AlertedState>), ClaimsError> {
        let mine = LastDecision {
            version: event.state_version,
            alerted: Some(AlertedState::of(event)),
            claim: Some(run.clone()),
        };
        match self.write(&event.id, &mine, Over::Other, now).await? {
            Written::Done(before) => {
                Ok((Claimed::Won(mine), before.and_then(|before| before.alerted)))
            }
            Written::Found(found) if found.claim.is_some() => {
                // It is not known whether the message of the other run was sent.
                Ok((self.claim(event, run, now).await?, None))
            }
            Written::Found(_) => Ok((Claimed::Silent(Silence::Minor), None)),
        }
    }

    /// Records that a finding is archived. Then older events that arrive late are not alerted, and
    /// the finding can open again. That takes 1 call if the finding has no row yet, otherwise 2.
    ///
    /// # Errors
    /// Returns an error if a call fails.
    pub async fn close<R>(&self, gone: &Gone<R>, now: Timestamp) -> Result<(), ClaimsError> {
        let row = LastDecision {
            version: gone.version,
            alerted: Some(AlertedState::Closed),
            claim: None,
        };
        if let Written::Found(_) = self.write(&gone.finding, &row, Over::Nothing, now).await? {
            self.write(&gone.finding, &row, Over::Older, now).await?;
        }
        Ok(())
    }

    /// Writes a row. A row that is written twice, because the answer to the first attempt was lost,
    /// counts as written.
    async fn write(
        &self,
        finding: &str,
        known: &LastDecision,
        over: Over<'_>,
        now: Timestamp,
    ) -> Result<Written, ClaimsError> {
        let request = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(row::write(finding, known, now)));
        match only_over(request, over, known).send().await {
            Ok(written) => Ok(Written::Done(written.attributes.map(|before| row::read(&before)))),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                    let found = row::read(failed.item().unwrap_or(&Attributes::new()));
                    Ok(if found == *known { Written::Done(None) } else { Written::Found(found) })
                }
                _ => Err(ClaimsError { table: self.table.clone(), source: error.into() }),
            },
        }
    }
}

/// Makes a write conditional on the row that it replaces.
fn only_over(
    request: PutItemFluentBuilder,
    over: Over<'_>,
    known: &LastDecision,
) -> PutItemFluentBuilder {
    let request = request
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .expression_attribute_names("#version", "version");
    let number = |version: u64| AttributeValue::N(version.to_string());
    match over {
        // A version that is not a number is damaged, and is no version of any change.
        Over::Nothing => request
            .condition_expression(
                "attribute_not_exists(#version) OR NOT attribute_type(#version, :number)",
            )
            .expression_attribute_values(":number", AttributeValue::S("N".to_owned())),
        Over::Older => request
            .condition_expression("#version < :version")
            .expression_attribute_values(":version", number(known.version)),
        Over::Other => {
            let covering = row::words_that_cover(known.alerted);
            let names: Vec<_> =
                (0..covering.len()).map(|number| format!(":covering{number}")).collect();
            let condition = format!(
                "#version < :version AND attribute_exists(#known) AND NOT #known IN ({}) AND attribute_not_exists(#owner)",
                names.join(", ")
            );
            let values = names.into_iter().zip(covering.into_iter().map(AttributeValue::S));
            let request = request
                .condition_expression(condition)
                .expression_attribute_names("#known", row::STATE)
                .expression_attribute_names("#owner", "owner")
                .expression_attribute_values(":version", number(known.version))
                .return_values(ReturnValue::AllOld);
            values.fold(request, |request, (name, value)| {
                request.expression_attribute_values(name, value)
            })
        }
        Over::Row(LastDecision { version, claim: None, .. }) => request
            .condition_expression("#version = :over AND attribute_not_exists(#owner)")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":over", number(*version)),
        Over::Row(LastDecision { version, claim: Some(claim), .. }) => request
            .condition_expression("#version = :over AND #owner = :owner")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":over", number(*version))
            .expression_attribute_values(":owner", AttributeValue::S(claim.owner.clone())),
    }
}

#[cfg(test)]
mod tests;
