//! The alerts that a subscriber of the topic receives.

use crate::{Sandbox, sandbox, sandbox::waiting};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// A subscriber: the queue that the sandbox subscribes to the topic.
#[derive(Debug)]
pub struct Alerts {
    sqs: aws_sdk_sqs::Client,
    sandbox: &'static Sandbox,
    queue: String,
}

impl Alerts {
    /// Returns the subscriber of the sandbox.
    pub async fn new() -> Self {
        let sqs = sandbox().sqs().await;
        let queue = sqs
            .get_queue_url()
            .queue_name("cmkwatch-alerts")
            .send()
            .await
            .unwrap()
            .queue_url
            .unwrap();
        Self { sqs, sandbox: sandbox(), queue }
    }

    /// Sends a message to the function alert, as if it came from the rule.
    pub async fn send(&self, body: &str) {
        self.sqs.send_message().queue_url(&self.queue).message_body(body).send().await.unwrap();
    }

    /// Waits until a message that the function cannot understand is a dead letter.
    ///
    /// # Panics
    /// Panics if that takes longer than two minutes, or if there is another dead letter.
    pub async fn wait_for_dead_letter(&self, body: &str) {
        let dead = &self.sandbox.alerts_dead_queue_url;
        for _ in 0..120 {
            let received = self
                .sqs
                .receive_message()
                .queue_url(dead)
                .wait_time_seconds(1)
                .send()
                .await
                .unwrap();
            if let Some(message) = received.messages.unwrap_or_default().into_iter().next() {
                assert_eq!(message.body.as_deref(), Some(body));
                return;
            }
        }
        panic!("{body} is no dead letter after two minutes");
    }

    /// Waits until the function has handled all its messages, except `bad` messages that it cannot
    /// understand.
    ///
    /// # Panics
    /// Panics if that takes longer than a minute.
    pub async fn wait_until_alerted(&self, bad: u64) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut quiet = 0;
        while quiet < 3 {
            assert!(Instant::now() < deadline, "alerts were left after a minute");
            tokio::time::sleep(Duration::from_millis(500)).await;
            let dead = waiting(&self.sqs, &self.sandbox.alerts_dead_queue_url).await;
            let left = waiting(&self.sqs, &self.queue).await;
            quiet = if left <= bad.saturating_sub(dead) { quiet + 1 } else { 0 };
        }
    }

    /// Takes the notifications that were received since the last call. Checks the schema and the
    /// limits of each.
    pub async fn take(&self) -> Vec<Value> {
        self.take_all().await.iter().map(checked).collect()
    }

    /// Takes the messages that were received since the last call, as SNS [sends
    /// them](https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html). Messages
    /// of alarms are included.
    pub async fn take_all(&self) -> Vec<Envelope> {
        let queue = &self.sandbox.alerts_queue_url;
        let mut envelopes = Vec::new();
        loop {
            let request = self
                .sqs
                .receive_message()
                .queue_url(queue)
                .max_number_of_messages(10)
                .wait_time_seconds(1);
            let messages = request.send().await.unwrap().messages.unwrap_or_default();
            if messages.is_empty() {
                return envelopes;
            }
            for message in messages {
                envelopes.push(serde_json::from_str(message.body.as_deref().unwrap()).unwrap());
                let handle = message.receipt_handle.unwrap();
                self.sqs
                    .delete_message()
                    .queue_url(queue)
                    .receipt_handle(handle)
                    .send()
                    .await
                    .unwrap();
            }
        }
    }
}

/// A message of SNS.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Envelope {
    /// The subject of an e-mail.
    pub subject: Option<String>,
    /// The text that was published.
    pub message: String,
}

/// The [schema](https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html) of a
/// custom notification. Fields that are missing here are refused.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Notification {
    version: String,
    source: String,
    #[serde(rename = "id")]
    _id: Option<String>,
    content: Content,
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Content {
    text_type: Option<String>,
    title: Option<String>,
    description: String,
    #[serde(default)]
    next_steps: Vec<String>,
    #[serde(default)]
    keywords: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Metadata {
    thread_id: Option<String>,
    #[serde(rename = "summary")]
    _summary: Option<String>,
    #[serde(rename = "eventType")]
    _event_type: Option<String>,
    #[serde(rename = "relatedResources")]
    _related_resources: Option<Vec<String>>,
    #[serde(rename = "additionalContext")]
    _additional_context: Option<BTreeMap<String, String>>,
    #[serde(rename = "enableCustomActions")]
    _enable_custom_actions: Option<bool>,
}

/// Returns a custom notification. Panics if it breaks its schema, its limits or the limits that SNS
/// has for messages.
fn checked(envelope: &Envelope) -> Value {
    assert!(envelope.message.len() <= 256 * 1024, "{} bytes", envelope.message.len());
    let subject = envelope.subject.as_deref().unwrap();
    assert!(
        subject.len() < 100 && subject.is_ascii() && subject.starts_with("cmkwatch "),
        "{subject}"
    );
    let Notification { version, source, content, metadata, .. } =
        serde_json::from_str(&envelope.message).unwrap();
    assert_eq!((version.as_str(), source.as_str()), ("1.0", "custom"));
    assert_eq!(content.text_type.as_deref(), Some("client-markdown"));
    within(&content.title.unwrap(), 250);
    within(&content.description, 8000);
    content.next_steps.iter().for_each(|step| within(step, 350));
    content.keywords.iter().for_each(|keyword| within(keyword, 75));
    assert!(metadata.thread_id.is_none_or(|thread| !thread.is_empty()));
    serde_json::from_str(&envelope.message).unwrap()
}

fn within(text: &str, longest: usize) {
    let length = text.chars().count();
    assert!((1..=longest).contains(&length), "{length} of 1 to {longest}: {text}");
}
