//! Handles a batch of events: which become messages, why the others do not, and which must be
//! delivered again.

use crate::{Names, Topic};
use alerts::{
    AlertMessage, Claim, Gone, LastDecision, Parsed, Received, Selected, SelectedAlerts, Silent,
    correction, parse, select_alerts,
};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use claims::{Claimed, Claims};
use controls::Alerts;
use facts::{AccountId, Region};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use std::{collections::BTreeSet, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

/// The pause between two messages. Amazon Q Developer in chat applications takes [10 events a
/// second](https://docs.aws.amazon.com/chatbot/latest/adminguide/chatbot-troubleshooting.html) and
/// may drop more, after SNS took them. With this pause, two functions that send at once keep to
/// that limit.
const BETWEEN: Duration = Duration::from_millis(200);

/// The time that an alert waits for the names of accounts.
const PATIENCE: Duration = Duration::from_secs(3);

/// The number of findings that are claimed at once.
const AT_ONCE: usize = 16;

/// The function with its clients and settings, created once.
#[derive(Debug)]
pub struct Alert {
    topic: Topic,
    names: Names,
    claims: Claims,
    alerts: Alerts,
    hub: AccountId,
    home: Region,
}

/// A finding whose message this run must send.
struct Won {
    selected: Selected<String>,
    claimed: LastDecision,
}

/// The events of a batch that are decided so far.
#[derive(Default)]
struct BatchDone {
    /// The messages of the queue that must be delivered again.
    failed: Vec<String>,
    /// The events that become no message.
    silent: Vec<Silent>,
}

impl BatchDone {
    /// Adds the results of claims, and returns the messages that this run must send.
    fn take(&mut self, claimed: Vec<(Selected<String>, Result<Claimed, String>)>) -> Vec<Won> {
        let mut won = Vec::new();
        for (selected, claimed) in claimed {
            let finding = &selected.event.id;
            match claimed {
                Ok(Claimed::Won(claimed)) => won.push(Won { selected, claimed }),
                Ok(Claimed::Silent(reason)) => {
                    let (finding, transition) = (finding.clone(), selected.event.transition);
                    self.silent.push(Silent { finding, transition, reason });
                }
                Ok(Claimed::Wait) => {
                    tracing::warn!(
                        finding,
                        "event will be delivered again: another run is sending an alert about the finding"
                    );
                    self.failed.extend(selected.receipts);
                }
                Err(error) => {
                    tracing::error!(
                        finding,
                        error,
                        "alert not claimed: its events will be delivered again"
                    );
                    self.failed.extend(selected.receipts);
                }
            }
        }
        won
    }
}

impl Alert {
    /// Creates a function that publishes to `topic`, in the account `hub` and the `home` region of
    /// Security Hub.
    #[must_use]
    pub fn new(
        topic: Topic,
        names: Names,
        claims: Claims,
        alerts: Alerts,
        hub: AccountId,
        home: Region,
    ) -> Self {
        Self { topic, names, claims, alerts, hub, home }
    }

    /// Sends the messages that the events of a batch need, and returns the events that must be
    /// delivered again. Those include events whose message was not published in time before
    /// `deadline`. `run` is this invocation, which claims the messages.
    pub async fn handle(
        &self,
        batch: SqsEvent,
        run: &Claim,
        now: Timestamp,
        deadline: Instant,
    ) -> SqsBatchResponse {
        let received = batch.records.len();
        let mut done = BatchDone::default();
        let understood = self.sort(batch.records, &mut done);
        let SelectedAlerts { selected, cancelled, gone, minor, silent } =
            select_alerts(understood, &self.alerts);
        done.silent.extend(silent);
        self.close(gone, &mut done, now, deadline).await;
        let mut claimed = self.claim(selected, cancelled, run, now, deadline).await;
        claimed.extend(self.correct(minor, run, now, deadline).await);
        let mut won = done.take(claimed);
        self.name(&mut won, deadline).await;
        let findings = won.len();
        let messages = self.messages(won);
        let sent = messages.len();
        let mut pace = interval(BETWEEN);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The last quarter of the time is kept for recording what was sent.
        let start = Instant::now();
        let until = start + deadline.saturating_duration_since(start) * 3 / 4;
        for (message, won) in messages {
            pace.tick().await;
            done.failed.extend(self.publish(message, won, now, until).await);
        }
        let BatchDone { failed, silent } = done;
        report(&silent);
        metrics::counter!("Failures").increment(failed.len() as u64);
        let (silent, failures) = (silent.len(), failed.len());
        tracing::info!(
            received,
            findings,
            messages = sent,
            silent,
            failed = failures,
            "batch done"
        );
        let mut response = SqsBatchResponse::default();
        failed.into_iter().for_each(|message| response.add_failure(message));
        response
    }

    /// Records which findings are archived.
    async fn close(
        &self,
        gone: Vec<Gone<String>>,
        done: &mut BatchDone,
        now: Timestamp,
        deadline: Instant,
    ) {
        let closing = stream::iter(gone).map(async |gone| {
            let closed = timeout_at(deadline, self.claims.close(&gone, now)).await;
            (gone, in_words(closed))
        });
        for (gone, closed) in closing.buffered(AT_ONCE).collect::<Vec<_>>().await {
            if let Err(error) = closed {
                tracing::error!(finding = gone.finding, error, "archived finding not recorded");
                done.failed.extend(gone.receipts);
            }
        }
    }

    /// Claims the messages, in the order in which they were chosen. Then claims those about
    /// cancelled changes that turn out to be needed.
    async fn claim(
        &self,
        selected: Vec<Selected<String>>,
        cancelled: Vec<Selected<String>>,
        run: &Claim,
        now: Timestamp,
        deadline: Instant,
    ) -> Vec<(Selected<String>, Result<Claimed, String>)> {
        let claiming = stream::iter(selected).map(async |selected| {
            let claimed = timeout_at(deadline, self.claims.claim(&selected.event, run, now)).await;
            (selected, in_words(claimed))
        });
        let cancelling = stream::iter(cancelled).map(async |selected| {
            let claimed = timeout_at(deadline, self.claims.cancel(&selected.event, run, now)).await;
            (selected, in_words(claimed))
        });
        let mut claimed: Vec<_> = claiming.buffered(AT_ONCE).collect().await;
        claimed.extend(cancelling.buffered(AT_ONCE).collect::<Vec<_>>().await);
        claimed
    }

    /// Claims the messages about findings whose change is minor, if people know another state of
    /// them.
    async fn correct(
        &self,
        minor: Vec<Selected<String>>,
        run: &Claim,
        now: Timestamp,
        deadline: Instant,
    ) -> Vec<(Selected<String>, Result<Claimed, String>)> {
        let correcting =
            stream::iter(minor).map(async |Selected { event, receipts }| {
                match in_words(timeout_at(deadline, self.claims.correct(&event, run, now)).await) {
                    Ok((claimed @ Claimed::Won(_), alerted)) => {
                        (Selected { event: correction(&event, alerted), receipts }, Ok(claimed))
                    }
                    Ok((claimed, _)) => (Selected { event, receipts }, Ok(claimed)),
                    Err(error) => (Selected { event, receipts }, Err(error)),
                }
            });
        correcting.buffered(AT_ONCE).collect().await
    }

    /// Adds the account names that the events do not have.
    async fn name(&self, won: &mut [Won], deadline: Instant) {
        let unnamed = won
            .iter_mut()
            .map(|won| &mut won.selected.event)
            .filter(|event| event.account_name.is_none());
        let unnamed: Vec<_> = unnamed.collect();
        let accounts: BTreeSet<_> = unnamed.iter().map(|event| event.place().account).collect();
        let until = deadline.min(Instant::now() + PATIENCE);
        let names = timeout_at(until, self.names.of(accounts)).await.unwrap_or_default();
        unnamed
            .into_iter()
            .for_each(|event| event.account_name = names.get(&event.place().account).cloned());
    }

    /// Creates one message for each finding, or one digest if they are more than `digest_over`.
    fn messages(&self, won: Vec<Won>) -> Vec<(AlertMessage, Vec<Won>)> {
        if won.len() > self.alerts.digest_over {
            let event: Vec<_> = won.iter().map(|won| &won.selected.event).collect();
            return vec![(AlertMessage::digest(&event, &self.home), won)];
        }
        won.into_iter()
            .map(|won| (AlertMessage::about(&won.selected.event, &self.home), vec![won]))
            .collect()
    }

    /// Publishes one message if that succeeds before `until`, and records it. Returns the events of
    /// the message if publishing fails.
    async fn publish(
        &self,
        message: AlertMessage,
        won: Vec<Won>,
        now: Timestamp,
        until: Instant,
    ) -> Vec<String> {
        let published = in_words(timeout_at(until, self.topic.publish(&message)).await);
        let is_published = published.is_ok();
        let recording = stream::iter(&won).map(async |Won { selected, claimed }| {
            let finding = &selected.event.id;
            let recorded = if is_published {
                self.claims.record(finding, claimed, now).await
            } else {
                self.claims.release(finding, claimed, now).await
            };
            recorded.err().map(|error| (finding, calls::with_causes(&error)))
        });
        for (finding, error) in
            recording.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await.into_iter().flatten()
        {
            // The event of a message that was sent is not delivered again: that would repeat the
            // message.
            let what = if is_published {
                "alert sent but not recorded"
            } else {
                "claim not released: it lapses by itself"
            };
            tracing::error!(finding, error, "{what}");
        }
        let (subject, findings) = (&message.subject, won.len());
        match published {
            Ok(()) => {
                metrics::counter!("AlertsSent").increment(1);
                metrics::counter!("FindingsAlerted").increment(findings as u64);
                tracing::info!(subject, findings, "alert sent");
                Vec::new()
            }
            Err(error) => {
                tracing::error!(
                    subject,
                    error,
                    "alert not sent: its events will be delivered again"
                );
                won.into_iter().flat_map(|won| won.selected.receipts).collect()
            }
        }
    }

    /// Parses the events. An event that is not understood must be delivered again, and ends as a
    /// dead letter.
    fn sort(&self, records: Vec<SqsMessage>, done: &mut BatchDone) -> Vec<Received<String>> {
        let mut understood = Vec::new();
        for record in records {
            let is_first = is_first(&record);
            // Without an id, the response names "". Then Lambda takes the whole batch as failed,
            // and nothing is lost.
            let receipt = record.message_id.unwrap_or_default();
            match parse(record.body.as_deref().unwrap_or_default(), &self.hub) {
                Ok(Parsed::FindingEvent(event)) => {
                    understood.push(Received { receipt, is_first, event: *event })
                }
                Ok(Parsed::Silent(silent)) => done.silent.push(silent),
                Err(error) => {
                    tracing::error!(
                        message_id = receipt,
                        error = calls::with_causes(&error),
                        "message not understood"
                    );
                    done.failed.push(receipt);
                }
            }
        }
        understood
    }
}

/// Logs and counts why events become no message.
fn report(silent: &[Silent]) {
    for Silent { finding, transition, reason } in silent {
        metrics::counter!("FindingsNotAlerted", "Reason" => reason.as_str()).increment(1);
        tracing::info!(finding, %transition, %reason, "finding not alerted");
    }
}

/// Returns the result of a call, or a text that says why the call failed or was not in time.
fn in_words<T, E>(result: Result<Result<T, E>, tokio::time::error::Elapsed>) -> Result<T, String>
where
    E: std::error::Error + Send + Sync + 'static,
{
    match result {
        Ok(result) => result.map_err(|error| calls::with_causes(&error)),
        Err(_) => Err("time limit reached".to_owned()),
    }
}

/// Returns true if a message was
/// [received](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html)
/// for the first time.
fn is_first(record: &SqsMessage) -> bool {
    record.attributes.get("ApproximateReceiveCount").is_some_and(|count| count == "1")
}

#[cfg(test)]
mod tests;
