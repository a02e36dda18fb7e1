//! A batch of events: what is told of them, and which messages failed.

use crate::{Topic, told::Told};
use alerts::{Chosen, Message, choose, parse};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use controls::Alerts;
use facts::Region;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

/// How many messages are published at once.
const AT_ONCE: usize = 8;

/// The function: what it needs, made once, and what it told just now.
#[derive(Debug)]
pub struct Alert {
    topic: Topic,
    alerts: Alerts,
    home: Region,
    told: Told,
}

impl Alert {
    /// A function that tells `topic`, in the `home` region of Security Hub.
    #[must_use]
    pub fn new(topic: Topic, alerts: Alerts, home: Region) -> Self {
        Self { topic, alerts, home, told: Told::default() }
    }

    /// Tells what of the batch is worth it, and says which messages are to come again. What is not published at `deadline`
    /// comes again too.
    pub async fn handle(&self, batch: SqsEvent, now: Timestamp, deadline: Instant) -> SqsBatchResponse {
        let received = batch.records.len();
        self.told.forget_before(now);
        let (understood, mut failed) = sort(batch.records);
        let chosen = choose(understood, &self.alerts, |id, at| self.told.has(id, at));
        let findings = chosen.len();
        let messages = self.messages(chosen);
        let sent = messages.len();
        let published = stream::iter(messages).map(|(message, told)| self.publish(message, told, deadline));
        failed.extend(published.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await.into_iter().flatten());
        metrics::counter!("FindingsAlerted").increment(findings as u64);
        metrics::counter!("Failures").increment(failed.len() as u64);
        tracing::info!(received, findings, messages = sent, failed = failed.len(), "batch done");
        let mut response = SqsBatchResponse::default();
        failed.into_iter().for_each(|message| response.add_failure(message));
        response
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
    async fn publish(&self, message: Message, told: Vec<Chosen<String>>, deadline: Instant) -> Vec<String> {
        let published = timeout_at(deadline, self.topic.publish(&message)).await;
        let published = match published {
            Ok(published) => published.map_err(anyhow::Error::from),
            Err(_) => Err(anyhow::anyhow!("there was not time enough")),
        };
        match published {
            Ok(()) => {
                metrics::counter!("AlertsSent").increment(1);
                told.iter().for_each(|chosen| self.told.remember(&chosen.news.id, chosen.news.updated_at));
                tracing::info!(subject = message.subject, findings = told.len(), "told");
                Vec::new()
            }
            Err(error) => {
                tracing::error!(subject = message.subject, error = format!("{error:#}"), "not told");
                told.into_iter().flat_map(|chosen| chosen.receipts).collect()
            }
        }
    }
}

/// What the messages say, and which of them cannot be understood.
fn sort(records: Vec<SqsMessage>) -> (Vec<(String, alerts::News)>, Vec<String>) {
    let (mut understood, mut failed) = (Vec::new(), Vec::new());
    for record in records {
        // Without an id the response names "", by which Lambda takes the whole batch as failed: nothing is lost.
        let id = record.message_id.unwrap_or_default();
        match parse(record.body.as_deref().unwrap_or_default()) {
            Ok(news) => understood.push((id, news)),
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::error!(message_id = id, error = format!("{error:#}"), "message not understood");
                failed.push(id);
            }
        }
    }
    (understood, failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_sns::{
        Client,
        operation::publish::{PublishError, PublishOutput},
        types::error::InternalErrorException,
    };
    use aws_smithy_mocks::{RuleMode, mock, mock_client};
    use controls::Severity;
    use serde_json::json;
    use std::time::Duration;

    const ALERTS: Alerts = Alerts { minimum_severity: Severity::Medium, digest_over: 2 };

    fn event(bucket: usize, sent_at: &str) -> String {
        let finding = json!({
            "Id": format!("cmkwatch/aws/200000000002/us-east-1/acme-{bucket}/tls-only"),
            "Title": "t", "AwsAccountId": "200000000002", "UpdatedAt": "2026-11-25T04:00:00Z",
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
        Alert::new(Topic::for_test(client), ALERTS, "us-east-1".parse().unwrap())
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
