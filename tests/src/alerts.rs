//! What a subscriber of the topic is told.

use crate::{Sandbox, sandbox, sandbox::waiting};
use serde_json::Value;
use std::time::{Duration, Instant};

/// A subscriber: the queue that the sandbox subscribes to the topic.
#[derive(Debug)]
pub struct Alerts {
    sqs: aws_sdk_sqs::Client,
    sandbox: &'static Sandbox,
    queue: String,
}

impl Alerts {
    /// The subscriber of the sandbox.
    pub async fn new() -> Self {
        let sqs = sandbox().sqs().await;
        let queue = sqs.get_queue_url().queue_name("cmkwatch-alerts").send().await.unwrap().queue_url.unwrap();
        Self { sqs, sandbox: sandbox(), queue }
    }

    /// Gives the function something as if it came from the rule.
    pub async fn send(&self, body: &str) {
        self.sqs.send_message().queue_url(&self.queue).message_body(body).send().await.unwrap();
    }

    /// Waits until something that the function cannot understand is a dead letter.
    ///
    /// # Panics
    /// Where that takes longer than two minutes, or there is another.
    pub async fn wait_for_dead_letter(&self, body: &str) {
        let dead = &self.sandbox.alerts_dead_queue_url;
        for _ in 0..120 {
            let received = self.sqs.receive_message().queue_url(dead).wait_time_seconds(1).send().await.unwrap();
            if let Some(message) = received.messages.unwrap_or_default().into_iter().next() {
                assert_eq!(message.body.as_deref(), Some(body));
                return;
            }
        }
        panic!("{body} is no dead letter after two minutes");
    }

    /// Waits until the function has told all that it was given, but for `bad` messages that it cannot understand.
    ///
    /// # Panics
    /// Where that takes longer than a minute.
    pub async fn wait_until_told(&self, bad: u64) {
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

    /// What it was told since it was asked last. Each keeps the schema and the limits.
    pub async fn take(&self) -> Vec<Value> {
        let queue = &self.sandbox.alerts_queue_url;
        let mut notifications = Vec::new();
        loop {
            let request = self.sqs.receive_message().queue_url(queue).max_number_of_messages(10).wait_time_seconds(1);
            let messages = request.send().await.unwrap().messages.unwrap_or_default();
            if messages.is_empty() {
                return notifications;
            }
            for message in messages {
                let envelope: Value = serde_json::from_str(message.body.as_deref().unwrap()).unwrap();
                notifications.push(checked(envelope["Message"].as_str().unwrap()));
                let handle = message.receipt_handle.unwrap();
                self.sqs.delete_message().queue_url(queue).receipt_handle(handle).send().await.unwrap();
            }
        }
    }
}

/// A custom notification, held to its
/// [schema and limits](https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html).
fn checked(message: &str) -> Value {
    assert!(message.len() <= 256 * 1024, "{} bytes", message.len());
    let notification: Value = serde_json::from_str(message).unwrap();
    only(&notification, &["version", "source", "id", "content", "metadata"]);
    only(&notification["content"], &["textType", "title", "description", "nextSteps", "keywords"]);
    only(
        &notification["metadata"],
        &["threadId", "summary", "eventType", "relatedResources", "additionalContext", "enableCustomActions"],
    );
    assert_eq!((&notification["version"], &notification["source"]), (&"1.0".into(), &"custom".into()));
    let content = &notification["content"];
    assert_eq!(content["textType"], "client-markdown");
    within(&content["title"], 250);
    within(&content["description"], 8000);
    for (list, longest) in [("nextSteps", 350), ("keywords", 75)] {
        content[list].as_array().into_iter().flatten().for_each(|text| within(text, longest));
    }
    let context = notification["metadata"]["additionalContext"].as_object().unwrap();
    assert!(context.values().all(Value::is_string), "{context:?}");
    notification
}

fn only(object: &Value, names: &[&str]) {
    for name in object.as_object().unwrap().keys() {
        assert!(names.contains(&name.as_str()), "the schema has no {name}");
    }
}

fn within(text: &Value, longest: usize) {
    let length = text.as_str().unwrap().chars().count();
    assert!((1..=longest).contains(&length), "{length} of 1 to {longest}: {text}");
}
