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
                        "event will be delivered again: another run is sending a message about the finding"
                    );
                    self.failed.extend(selected.receipts);
                }
                Err(error) => {
                    tracing::error!(
                        finding,
                        error,
                        "message not claimed: its events will be delivered again"
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
                "message sent but not recorded"
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
                tracing::info!(subject, findings, "message sent");
                Vec::new()
            }
            Err(error) => {
                tracing::error!(
                    subject,
                    error,
                    "message not sent: its events will be delivered again"
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
mod tests {
    use super::*;
    use aws_sdk_dynamodb::{
        Client as Dynamo,
        operation::put_item::{PutItemError, PutItemOutput},
        types::{AttributeValue, error::ConditionalCheckFailedException},
    };
    use aws_sdk_organizations::{
        Client as Organizations, operation::describe_account::DescribeAccountOutput,
    };
    use aws_sdk_sns::{
        Client,
        operation::publish::{PublishError, PublishOutput},
        types::error::InternalErrorException,
    };
    use aws_smithy_mocks::{MockResponse, RuleMode, mock, mock_client};
    use controls::Severity;
    use serde_json::json;
    use std::{
        collections::{BTreeMap, HashMap},
        sync::{
            Mutex,
            atomic::{AtomicUsize, Ordering},
        },
    };

    /// The number of the next run.
    static RUN: AtomicUsize = AtomicUsize::new(0);

    const ALERTS: Alerts = Alerts { minimum_severity: Severity::Medium, digest_over: 2 };

    fn imported(bucket: usize, sent_at: &str) -> String {
        let finding = json!({
            "Id": format!("cmkwatch/aws/200000000002/us-east-1/acme-{bucket}/tls-only"),
            "ProductArn": "arn:aws:securityhub:us-east-1:200000000002:product/200000000002/default",
            "AwsAccountId": "200000000002", "UpdatedAt": "2026-11-25T04:00:00Z",
            "Severity": {"Label": "MEDIUM"}, "Workflow": {"Status": "NEW"}, "Compliance": {"Status": "FAILED"},
            "ProductFields": {"cmkwatch/transition": "opened"},
        });
        json!({"time": sent_at, "detail": {"findings": [finding]}}).to_string()
    }

    fn batch(bodies: Vec<String>) -> SqsEvent {
        let record = |(number, body): (usize, String)| {
            let mut record = SqsMessage::default();
            (record.message_id, record.body) = (Some(number.to_string()), Some(body));
            record
        };
        let mut batch = SqsEvent::default();
        batch.records = bodies.into_iter().enumerate().map(record).collect();
        batch
    }

    async fn failures(function: &Alert, bodies: Vec<String>) -> Vec<String> {
        let (now, deadline) =
            ("2026-11-25T04:01:00Z".parse().unwrap(), Instant::now() + Duration::from_secs(60));
        let run = Claim { owner: RUN.fetch_add(1, Ordering::Relaxed).to_string(), lapses_at: now };
        let response = function.handle(batch(bodies), &run, now, deadline).await;
        response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect()
    }

    fn function(client: Client) -> Alert {
        let named = mock!(Organizations::describe_account)
            .then_output(|| DescribeAccountOutput::builder().build());
        let names =
            Names::for_test(mock_client!(aws_sdk_organizations, RuleMode::MatchAny, [&named]));
        let (hub, home) = ("100000000001".parse().unwrap(), "us-east-1".parse().unwrap());
        Alert::new(Topic::for_test(client), names, Claims::with_client(table()), ALERTS, hub, home)
    }

    /// Mocks a table that evaluates the conditions of writes.
    fn table() -> Dynamo {
        let rows = Mutex::new(BTreeMap::<String, HashMap<String, AttributeValue>>::new());
        let put = mock!(Dynamo::put_item).then_compute_response(move |request| {
            let (item, mut rows) = (request.item().unwrap(), rows.lock().unwrap());
            let key = item["finding"].as_s().unwrap();
            let found = rows.get(key);
            let value = |name: &str| {
                request.expression_attribute_values().and_then(|values| values.get(name))
            };
            let same = |name: &str, to: &str| found.and_then(|row| row.get(name)) == value(to);
            let number = |value: &AttributeValue| value.as_n().unwrap().parse::<u64>().unwrap();
            let holds = match request.condition_expression().unwrap() {
                condition if condition.starts_with("attribute_not_exists") => found.is_none(),
                "#version < :version" => {
                    found.is_some_and(|row| number(&row["version"]) < number(&item["version"]))
                }
                condition if condition.ends_with("attribute_not_exists(#owner)") => {
                    same("version", ":over") && found.is_some_and(|row| !row.contains_key("owner"))
                }
                _ => same("version", ":over") && same("owner", ":owner"),
            };
            if holds {
                rows.insert(key.clone(), item.clone());
                return MockResponse::Output(PutItemOutput::builder().build());
            }
            let failed =
                ConditionalCheckFailedException::builder().set_item(found.cloned()).build();
            MockResponse::Error(PutItemError::ConditionalCheckFailedException(failed))
        });
        mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&put])
    }

    fn opened(buckets: std::ops::Range<usize>) -> Vec<String> {
        buckets.map(|bucket| imported(bucket, "2026-11-25T04:00:02Z")).collect()
    }

    #[tokio::test]
    async fn few_findings_are_sent_one_by_one_and_many_as_a_digest_and_none_twice() {
        let rule = mock!(Client::publish)
            .sequence()
            .output(|| PublishOutput::builder().build())
            .repeatedly()
            .build();
        let function = function(mock_client!(aws_sdk_sns, RuleMode::Sequential, [&rule]));
        for (bodies, calls) in [
            (opened(0..2), 2),
            (opened(2..9), 3),
            (opened(0..9), 3),
            (vec![imported(0, "2026-11-25T04:00:30Z")], 3),
            (Vec::new(), 3),
        ] {
            assert!(failures(&function, bodies).await.is_empty());
            assert_eq!(rule.num_calls(), calls);
        }
    }

    #[tokio::test]
    async fn an_event_fails_while_another_run_sends_its_message() {
        let rule = mock!(Client::publish)
            .sequence()
            .output(|| PublishOutput::builder().build())
            .repeatedly()
            .build();
        let function = function(mock_client!(aws_sdk_sns, RuleMode::Sequential, [&rule]));
        let now: Timestamp = "2026-11-25T04:01:00Z".parse().unwrap();
        let other =
            Claim { owner: "other".into(), lapses_at: now + jiff::SignedDuration::from_secs(60) };
        let Ok(Parsed::FindingEvent(event)) =
            parse(&imported(0, "2026-11-25T04:00:02Z"), &function.hub)
        else {
            panic!()
        };
        assert!(matches!(function.claims.claim(&event, &other, now).await, Ok(Claimed::Won(_))));
        assert_eq!(failures(&function, opened(0..1)).await, ["0"]);
        assert_eq!(rule.num_calls(), 0);
    }

    #[tokio::test]
    async fn an_archived_finding_can_open_again() {
        let rule = mock!(Client::publish)
            .sequence()
            .output(|| PublishOutput::builder().build())
            .repeatedly()
            .build();
        let function = function(mock_client!(aws_sdk_sns, RuleMode::Sequential, [&rule]));
        let at = |second: &str, transition: &str| {
            let imported =
                imported(0, &format!("2026-11-25T04:00:{second}Z")).replace("opened", transition);
            imported.replace("04:00:00Z", &format!("04:00:{second}Z"))
        };
        for (imported, calls) in [
            (at("01", "opened"), 1),
            (at("02", "gone"), 1),
            (at("03", "opened"), 2),
            (at("04", "opened"), 2),
        ] {
            assert!(failures(&function, vec![imported.clone()]).await.is_empty());
            assert_eq!(rule.num_calls(), calls, "{imported}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn messages_keep_to_the_rate_limit_of_chat_applications() {
        let rule = mock!(Client::publish)
            .sequence()
            .output(|| PublishOutput::builder().build())
            .repeatedly()
            .build();
        let alerts = Alerts { digest_over: 20, ..ALERTS };
        let function =
            Alert { alerts, ..function(mock_client!(aws_sdk_sns, RuleMode::Sequential, [&rule])) };
        let began = Instant::now();
        assert!(failures(&function, opened(0..20)).await.is_empty());
        assert_eq!(rule.num_calls(), 20);
        assert!(began.elapsed() >= BETWEEN * 19, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_message_that_fails_is_sent_again_and_not_recorded_as_sent() {
        let refuse =
            || PublishError::InternalErrorException(InternalErrorException::builder().build());
        let rule = mock!(Client::publish)
            .sequence()
            .error(refuse)
            .times(1)
            .output(|| PublishOutput::builder().build())
            .repeatedly()
            .build();
        let function =
            function(mock_client!(aws_sdk_sns, RuleMode::Sequential, [&rule], |config| {
                config.retry_config(aws_sdk_sns::config::retry::RetryConfig::disabled())
            }));
        let mut failed = failures(&function, opened(0..7)).await;
        failed.sort();
        assert_eq!(failed, ["0", "1", "2", "3", "4", "5", "6"]);
        assert!(failures(&function, opened(0..7)).await.is_empty());
        assert_eq!(rule.num_calls(), 2);
    }

    #[tokio::test]
    async fn an_event_that_is_not_understood_fails_alone() {
        let rule = mock!(Client::publish)
            .sequence()
            .output(|| PublishOutput::builder().build())
            .repeatedly()
            .build();
        let function = function(mock_client!(aws_sdk_sns, RuleMode::Sequential, [&rule]));
        let bodies =
            vec!["{}".to_owned(), imported(0, "2026-11-25T04:00:02Z"), "<html>".to_owned()];
        assert_eq!(failures(&function, bodies).await, ["0", "2"]);
        assert_eq!(rule.num_calls(), 1);
    }
}
