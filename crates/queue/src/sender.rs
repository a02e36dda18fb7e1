//! Messages to a queue, in batches.

use crate::QueueError;
use aws_config::SdkConfig;
use aws_sdk_sqs::{
    Client, config,
    types::{QueueAttributeName, SendMessageBatchRequestEntry},
};

/// How many messages [SendMessageBatch](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html)
/// takes at once.
const AT_ONCE: usize = 10;

/// How many bytes of bodies are sent at once: less than any limit that SQS had.
const BYTES_AT_ONCE: usize = 200 * 1024;

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its body.
    pub body: String,
    /// For a queue that keeps an order.
    pub(crate) order: Option<Order>,
    /// After how many seconds it is delivered, at most 900; `None` for the delay of the queue.
    pub(crate) delay: Option<u16>,
}

impl Message {
    /// The message, to be delivered after so many seconds: at most 900, the longest that
    /// [SQS delays](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-timers.html).
    pub(crate) fn after(seconds: u16, body: String) -> Self {
        Self { body, order: None, delay: Some(seconds.min(900)) }
    }

    /// The message, to be delivered after the delay of the queue.
    pub(crate) fn later(body: String) -> Self {
        Self { body, order: None, delay: None }
    }
}

/// Where a message stands in a queue that
/// [keeps an order](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues.html).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    /// Messages of one group are handled one after another.
    pub(crate) group: String,
    /// Of two with the same id, within five minutes, one is kept. At most 128 characters.
    pub(crate) id: String,
}

/// A queue that messages are sent to.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    url: String,
}

impl Queue {
    /// `own` is the configuration of the function itself, which may send to the queue.
    #[must_use]
    pub fn new(own: &SdkConfig, url: String) -> Self {
        let config = config::Builder::from(own).interceptor(calls::Counter).build();
        Self { client: Client::from_conf(config), url }
    }

    /// Sends messages, in this order. 1 call for each 10, or 200 KB.
    ///
    /// # Errors
    /// A message that was not taken; those before it were.
    pub async fn send(&self, messages: &[Message]) -> Result<(), QueueError> {
        let mut rest = messages;
        while !rest.is_empty() {
            let (some, others) = rest.split_at(fitting(rest));
            self.send_batch(some).await?;
            rest = others;
        }
        Ok(())
    }

    /// About how many messages are in the queue, those included that somebody works on or that are delayed. 1 call.
    ///
    /// # Errors
    /// A queue that does not answer.
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

    async fn send_batch(&self, messages: &[Message]) -> Result<(), QueueError> {
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

/// How many of the messages fit into a batch; at least one.
fn fitting(messages: &[Message]) -> usize {
    let mut bytes = 0;
    let fit = messages.iter().take(AT_ONCE).take_while(|message| {
        bytes += message.body.len();
        bytes <= BYTES_AT_ONCE
    });
    fit.count().max(1)
}

fn entry(
    number: usize,
    message: &Message,
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

    fn messages(number: usize, bytes: usize) -> Vec<Message> {
        vec![Message::later("a".repeat(bytes)); number]
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
    async fn what_waits_is_what_is_anywhere_in_the_queue() {
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
    async fn a_message_that_is_not_taken_is_an_error() {
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
