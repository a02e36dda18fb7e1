//! Sends messages to a queue in batches, and counts those in it.

use crate::QueueError;
use aws_config::SdkConfig;
use aws_sdk_sqs::{
    Client, config,
    types::{QueueAttributeName, SendMessageBatchRequestEntry},
};

/// The most messages that one call of
/// [SendMessageBatch](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html)
/// takes.
const AT_ONCE: usize = 10;

/// The most bytes of bodies in one call. SQS has never had a lower limit.
const BYTES_AT_ONCE: usize = 200 * 1024;

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueMessage {
    /// The body of the message.
    pub body: String,
    /// The group and id for a FIFO queue; `None` for other queues.
    pub(crate) order: Option<MessageOrder>,
    /// The delay before delivery, in seconds, at most 900; `None` for the delay of the queue.
    pub(crate) delay: Option<u16>,
}

impl QueueMessage {
    /// Returns a message that is delivered after `seconds`. The most is 900, the longest [delay of
    /// SQS](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-timers.html).
    pub(crate) fn after(seconds: u16, body: String) -> Self {
        Self { body, order: None, delay: Some(seconds.min(900)) }
    }

    /// Returns a message that is delivered after the delay of the queue.
    pub(crate) fn later(body: String) -> Self {
        Self { body, order: None, delay: None }
    }
}

/// The group and id of a message in a [FIFO
/// queue](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues.html).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageOrder {
    /// The group. Messages of one group are handled one after another.
    pub(crate) group: String,
    /// The deduplication id. If two messages have the same id within five minutes, SQS keeps one.
    /// At most 128 characters.
    pub(crate) id: String,
}

/// A queue that messages are sent to.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    url: String,
}

impl Queue {
    /// Creates a client for the queue at `url`; makes no call. `own` is the configuration of the
    /// function itself, which may send to the queue.
    #[must_use]
    pub fn new(own: &SdkConfig, url: String) -> Self {
        let config = config::Builder::from(own).interceptor(calls::Counter).build();
        Self { client: Client::from_conf(config), url }
    }

    /// Sends messages in their order. 1 call for each 10 messages, or fewer if their bodies exceed
    /// 200 KiB.
    ///
    /// # Errors
    /// Returns an error if a call fails, or if SQS refuses a message. Earlier batches are sent by
    /// then, and later ones are not. Other messages of the same batch may be sent.
    pub async fn send(&self, messages: &[QueueMessage]) -> Result<(), QueueError> {
        let mut rest = messages;
        while !rest.is_empty() {
            let (some, others) = rest.split_at(fitting(rest));
            self.send_batch(some).await?;
            rest = others;
        }
        Ok(())
    }

    /// Returns about how many messages are in the queue. Messages that are delayed or being handled
    /// count too. 1 call.
    ///
    /// # Errors
    /// Returns an error if the call fails.
    pub async fn waiting(&self) -> Result<u64, QueueError> {
        let counted = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let request = self.client.get_queue_attributes().queue_url(&self.url);
        let answer = request.set_attribute_names(Some(counted.to_vec())).send().await;
        let call = |source| QueueError::Call {
            permission: "sqs:GetQueueAttributes",
            queue: self.url.clone(),
            source: Box::new(source),
        };
        let attributes = answer.map_err(call)?.attributes.unwrap_or_default();
        Ok(counted.iter().filter_map(|name| attributes.get(name)?.parse::<u64>().ok()).sum())
    }

    async fn send_batch(&self, messages: &[QueueMessage]) -> Result<(), QueueError> {
        let entries = messages.iter().enumerate().map(|(number, message)| entry(number, message));
        let entries: Result<Vec<_>, _> = entries.collect();
        let entries = entries.map_err(|error| self.failed(error))?;
        let request =
            self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let answer = request.send().await.map_err(|error| self.failed(error))?;
        match answer.failed.into_iter().next() {
            None => Ok(()),
            Some(refused) => Err(QueueError::Refused {
                queue: self.url.clone(),
                code: refused.code,
                message: refused.message.unwrap_or_default(),
            }),
        }
    }

    fn failed(&self, source: impl std::error::Error + Send + Sync + 'static) -> QueueError {
        QueueError::Call {
            permission: "sqs:SendMessage",
            queue: self.url.clone(),
            source: Box::new(source),
        }
    }
}

/// Returns how many of the messages fit into a batch; at least 1.
fn fitting(messages: &[QueueMessage]) -> usize {
    let mut bytes = 0;
    let fit = messages.iter().take(AT_ONCE).take_while(|message| {
        bytes += message.body.len();
        bytes <= BYTES_AT_ONCE
    });
    fit.count().max(1)
}

fn entry(
    number: usize,
    message: &QueueMessage,
) -> Result<SendMessageBatchRequestEntry, aws_sdk_sqs::error::BuildError> {
    let order = message.order.as_ref();
    SendMessageBatchRequestEntry::builder()
        .id(number.to_string())
        .message_body(&message.body)
        .set_delay_seconds(message.delay.map(i32::from))
        .set_message_group_id(order.map(|order| order.group.clone()))
        .set_message_deduplication_id(order.map(|order| order.id.clone()))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_sqs::{
        operation::{
            get_queue_attributes::GetQueueAttributesOutput,
            send_message_batch::SendMessageBatchOutput,
        },
        types::{BatchResultErrorEntry, SendMessageBatchResultEntry},
    };
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    fn messages(number: usize, bytes: usize) -> Vec<QueueMessage> {
        vec![QueueMessage::later("a".repeat(bytes)); number]
    }

    fn sent() -> SendMessageBatchOutput {
        let taken = Vec::<SendMessageBatchResultEntry>::new();
        SendMessageBatchOutput::builder()
            .set_successful(Some(taken))
            .set_failed(Some(Vec::new()))
            .build()
            .unwrap()
    }

    #[tokio::test]
    async fn batches_keep_the_limits() {
        for (number, bytes, calls) in
            [(0, 1, 0), (1, 300 * 1024, 1), (10, 1, 1), (11, 1, 2), (10, 50 * 1024, 3)]
        {
            let rule =
                mock!(Client::send_message_batch).sequence().output(sent).repeatedly().build();
            let client = mock_client!(aws_sdk_sqs, RuleMode::Sequential, [&rule]);
            let queue = Queue { client, url: "https://sqs/changes".into() };
            queue.send(&messages(number, bytes)).await.unwrap();
            assert_eq!(rule.num_calls(), calls, "{number} of {bytes}");
        }
    }

    #[tokio::test]
    async fn waiting_counts_visible_invisible_and_delayed_messages() {
        use QueueAttributeName as Name;
        let counts = [
            (Name::ApproximateNumberOfMessages, "3"),
            (Name::ApproximateNumberOfMessagesNotVisible, "2"),
            (Name::ApproximateNumberOfMessagesDelayed, "1"),
        ];
        let answer = move || {
            let counts =
                counts.iter().map(|(name, count)| (name.clone(), (*count).to_owned())).collect();
            GetQueueAttributesOutput::builder().set_attributes(Some(counts)).build()
        };
        let rule = mock!(Client::get_queue_attributes).then_output(answer);
        let client = mock_client!(aws_sdk_sqs, RuleMode::Sequential, [&rule]);
        assert_eq!(Queue { client, url: "https://sqs/sweep".into() }.waiting().await.unwrap(), 6);
    }

    #[tokio::test]
    async fn a_refused_message_is_an_error() {
        let refuse = || {
            let refused = BatchResultErrorEntry::builder()
                .id("0")
                .code("Throttled")
                .sender_fault(false)
                .build();
            let taken = Vec::<SendMessageBatchResultEntry>::new();
            SendMessageBatchOutput::builder()
                .set_successful(Some(taken))
                .failed(refused.unwrap())
                .build()
                .unwrap()
        };
        let rule = mock!(Client::send_message_batch).then_output(refuse);
        let client = mock_client!(aws_sdk_sqs, RuleMode::Sequential, [&rule]);
        let error = Queue { client, url: "https://sqs/changes".into() }
            .send(&messages(1, 1))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("Throttled"), "{error}");
    }
}
