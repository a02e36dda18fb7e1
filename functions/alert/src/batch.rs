//! A batch of events: what is told of them, and which messages failed.

use crate::{Names, Topic, told::Told};
use alerts::{Chosen, Message, Received, choose, parse};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use controls::Alerts;
use facts::{AccountId, Region};
use jiff::Timestamp;
use std::{collections::BTreeSet, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

/// Between two messages, so that two functions at once keep to the
/// [10 events a second](https://docs.aws.amazon.com/chatbot/latest/adminguide/chatbot-troubleshooting.html) that Amazon Q
/// Developer in chat applications takes: what is more it may drop, after SNS took it.
const BETWEEN: Duration = Duration::from_millis(200);

/// How long an alert waits for the names of accounts.
const PATIENCE: Duration = Duration::from_secs(3);

/// The function: what it needs, made once, and what it told just now.
#[derive(Debug)]
pub struct Alert {
    topic: Topic,
    names: Names,
    alerts: Alerts,
    hub: AccountId,
    home: Region,
    told: Told,
}

impl Alert {
    /// A function that tells `topic`, in the account `hub` and the `home` region of Security Hub.
    #[must_use]
    pub fn new(topic: Topic, names: Names, alerts: Alerts, hub: AccountId, home: Region) -> Self {
        Self { topic, names, alerts, hub, home, told: Told::default() }
    }

    /// Tells what of the batch is worth it, and says which messages are to come again. What is not published at `deadline`
    /// comes again too.
    pub async fn handle(&self, batch: SqsEvent, now: Timestamp, deadline: Instant) -> SqsBatchResponse {
        let received = batch.records.len();
        self.told.forget_before(now);
        let (understood, mut failed) = self.sort(batch.records);
        let mut choice = choose(understood, &self.alerts, |key, at| self.told.has(key, at));
        choice.quiet.iter().for_each(|(key, at)| self.told.remember(key, *at, now));
        self.name(&mut choice.chosen, deadline).await;
        let (findings, edits) = (choice.chosen.len(), choice.edits);
        let messages = self.messages(choice.chosen);
        let sent = messages.len();
        let mut pace = interval(BETWEEN);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for (message, chosen) in messages {
            pace.tick().await;
            failed.extend(self.publish(message, chosen, now, deadline).await);
        }
        metrics::counter!("FindingsAlerted").increment(findings as u64);
        metrics::counter!("EditsIgnored").increment(edits as u64);
        metrics::counter!("Failures").increment(failed.len() as u64);
        tracing::info!(received, findings, edits, messages = sent, failed = failed.len(), "batch done");
        let mut response = SqsBatchResponse::default();
        failed.into_iter().for_each(|message| response.add_failure(message));
        response
    }

    /// Adds the names of the accounts that the events did not tell.
    async fn name(&self, chosen: &mut [Chosen<String>], deadline: Instant) {
        let unnamed = chosen.iter_mut().map(|chosen| &mut chosen.news).filter(|news| news.account_name.is_none());
        let unnamed: Vec<_> = unnamed.collect();
        let accounts: BTreeSet<_> = unnamed.iter().map(|news| news.place().account).collect();
        let until = deadline.min(Instant::now() + PATIENCE);
        let names = timeout_at(until, self.names.of(accounts)).await.unwrap_or_default();
        unnamed.into_iter().for_each(|news| news.account_name = names.get(&news.place().account).cloned());
    }

    /// One for each finding, or one for all.
    fn messages(&self, chosen: Vec<Chosen<String>>) -> Vec<(Message, Vec<Chosen<String>>)> {
        if chosen.len() > self.alerts.digest_over {
            let news: Vec<_> = chosen.iter().map(|chosen| &chosen.news).collect();
            return vec![(Message::digest(&news, &self.home), chosen)];
        }
        chosen.into_iter().map(|chosen| (Message::about(&chosen.news, &self.home), vec![chosen])).collect()
    }

    /// Publishes one message; what was received for it, where that fails.
    async fn publish(
        &self,
        message: Message,
        told: Vec<Chosen<String>>,
        now: Timestamp,
        deadline: Instant,
    ) -> Vec<String> {
        let published = timeout_at(deadline, self.topic.publish(&message)).await;
        let published = match published {
            Ok(published) => published.map_err(anyhow::Error::from),
            Err(_) => Err(anyhow::anyhow!("there was not time enough")),
        };
        match published {
            Ok(()) => {
                metrics::counter!("AlertsSent").increment(1);
                told.iter().for_each(|chosen| self.told.remember(&chosen.news.key(), chosen.news.updated_at, now));
                tracing::info!(subject = message.subject, findings = told.len(), "told");
                Vec::new()
            }
            Err(error) => {
                tracing::error!(subject = message.subject, error = format!("{error:#}"), "not told");
                told.into_iter().flat_map(|chosen| chosen.receipts).collect()
            }
        }
    }

    /// What the messages say, and which of them cannot be understood.
    fn sort(&self, records: Vec<SqsMessage>) -> (Vec<Received<String>>, Vec<String>) {
        let (mut understood, mut failed) = (Vec::new(), Vec::new());
        for record in records {
            let is_first = is_first(&record);
            // Without an id the response names "", by which Lambda takes the whole batch as failed: nothing is lost.
            let receipt = record.message_id.unwrap_or_default();
            match parse(record.body.as_deref().unwrap_or_default(), &self.hub) {
                Ok(Some(news)) => understood.push(Received { receipt, is_first, news }),
                Ok(None) => tracing::info!(message_id = receipt, "gone with a control that is no more"),
                Err(error) => {
                    let error = anyhow::Error::from(error);
                    tracing::error!(message_id = receipt, error = format!("{error:#}"), "message not understood");
                    failed.push(receipt);
                }
            }
        }
        (understood, failed)
    }
}

/// By [how often it was received](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html).
fn is_first(record: &SqsMessage) -> bool {
    record.attributes.get("ApproximateReceiveCount").is_some_and(|count| count == "1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_organizations::{Client as Organizations, operation::describe_account::DescribeAccountOutput};
    use aws_sdk_sns::{
        Client,
        operation::publish::{PublishError, PublishOutput},
        types::error::InternalErrorException,
    };
    use aws_smithy_mocks::{RuleMode, mock, mock_client};
    use controls::Severity;
    use serde_json::json;

    const ALERTS: Alerts = Alerts { minimum_severity: Severity::Medium, digest_over: 2 };

    fn event(bucket: usize, sent_at: &str) -> String {
        let finding = json!({
            "Id": format!("cmkwatch/aws/200000000002/us-east-1/acme-{bucket}/tls-only"),
            "ProductArn": "arn:aws:securityhub:us-east-1:200000000002:product/200000000002/default",
            "AwsAccountId": "200000000002", "UpdatedAt": "2026-11-25T04:00:00Z",
            "Severity": {"Label": "MEDIUM"}, "Workflow": {"Status": "NEW"},
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
        let mut event = SqsEvent::default();
        event.records = bodies.into_iter().enumerate().map(record).collect();
        event
    }

    async fn failures(function: &Alert, bodies: Vec<String>) -> Vec<String> {
        let (now, deadline) = ("2026-11-25T04:01:00Z".parse().unwrap(), Instant::now() + Duration::from_secs(60));
        let response = function.handle(batch(bodies), now, deadline).await;
        response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect()
    }

    fn function(client: Client) -> Alert {
        let named = mock!(Organizations::describe_account).then_output(|| DescribeAccountOutput::builder().build());
        let names = Names::for_test(mock_client!(aws_sdk_organizations, RuleMode::MatchAny, [&named]));
        let (hub, home) = ("100000000001".parse().unwrap(), "us-east-1".parse().unwrap());
        Alert::new(Topic::for_test(client), names, ALERTS, hub, home)
    }

    fn opened(buckets: std::ops::Range<usize>) -> Vec<String> {
        buckets.map(|bucket| event(bucket, "2026-11-25T04:00:02Z")).collect()
    }

    #[tokio::test]
    async fn few_findings_are_told_one_by_one_and_many_together_and_none_twice() {
        let rule = mock!(Client::publish).sequence().output(|| PublishOutput::builder().build()).repeatedly().build();
        let function = function(mock_client!(aws_sdk_sns, RuleMode::Sequential, [&rule]));
        for (bodies, calls) in [
            (opened(0..2), 2),
            (opened(2..9), 3),
            (opened(0..9), 3),
            (vec![event(0, "2026-11-25T04:00:30Z")], 3),
            (Vec::new(), 3),
        ] {
            assert!(failures(&function, bodies).await.is_empty());
            assert_eq!(rule.num_calls(), calls);
        }
    }

    #[tokio::test]
    async fn what_nobody_needs_to_hear_of_is_not_told_by_an_edit_either() {
        let rule = mock!(Client::publish).sequence().output(|| PublishOutput::builder().build()).repeatedly().build();
        let function = function(mock_client!(aws_sdk_sns, RuleMode::Sequential, [&rule]));
        let said = |label: &str| event(0, "2026-11-25T04:00:30Z").replace("MEDIUM", label);
        for label in ["LOW", "CRITICAL"] {
            assert!(failures(&function, vec![said(label)]).await.is_empty());
        }
        assert_eq!(rule.num_calls(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn messages_keep_to_what_slack_takes() {
        let rule = mock!(Client::publish).sequence().output(|| PublishOutput::builder().build()).repeatedly().build();
        let alerts = Alerts { digest_over: 20, ..ALERTS };
        let function = Alert { alerts, ..function(mock_client!(aws_sdk_sns, RuleMode::Sequential, [&rule])) };
        let began = Instant::now();
        assert!(failures(&function, opened(0..20)).await.is_empty());
        assert_eq!(rule.num_calls(), 20);
        assert!(began.elapsed() >= BETWEEN * 19, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn what_could_not_be_told_comes_again_and_is_not_taken_for_told() {
        let refuse = || PublishError::InternalErrorException(InternalErrorException::builder().build());
        let rule = mock!(Client::publish)
            .sequence()
            .error(refuse)
            .times(1)
            .output(|| PublishOutput::builder().build())
            .repeatedly()
            .build();
        let function = function(mock_client!(aws_sdk_sns, RuleMode::Sequential, [&rule], |config| {
            config.retry_config(aws_sdk_sns::config::retry::RetryConfig::disabled())
        }));
        let mut failed = failures(&function, opened(0..7)).await;
        failed.sort();
        assert_eq!(failed, ["0", "1", "2", "3", "4", "5", "6"]);
        assert!(failures(&function, opened(0..7)).await.is_empty());
        assert_eq!(rule.num_calls(), 2);
    }

    #[tokio::test]
    async fn what_is_not_understood_fails_alone() {
        let rule = mock!(Client::publish).sequence().output(|| PublishOutput::builder().build()).repeatedly().build();
        let function = function(mock_client!(aws_sdk_sns, RuleMode::Sequential, [&rule]));
        let bodies = vec!["{}".to_owned(), event(0, "2026-11-25T04:00:02Z"), "<html>".to_owned()];
        assert_eq!(failures(&function, bodies).await, ["0", "2"]);
        assert_eq!(rule.num_calls(), 1);
    }
}
