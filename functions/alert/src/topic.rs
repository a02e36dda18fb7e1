//! The SNS topic that people subscribe to.

use alerts::AlertMessage;
use aws_config::SdkConfig;
use aws_sdk_sns::{Client, config, error::BoxError};

/// The failure to publish a message.
#[derive(Debug, thiserror::Error)]
#[error("sns:Publish to {topic} failed")]
pub struct TopicError {
    topic: String,
    source: BoxError,
}

/// An SNS topic with its client.
#[derive(Debug, Clone)]
pub struct Topic {
    client: Client,
    arn: String,
}

impl Topic {
    /// Creates a client of the topic. `own` is the configuration of the function itself, which may
    /// publish to the topic.
    #[must_use]
    pub fn new(own: &SdkConfig, arn: String) -> Self {
        let config = config::Builder::from(own).interceptor(calls::Counter).build();
        Self { client: Client::from_conf(config), arn }
    }

    /// Publishes a message to all subscribers. 1 call.
    ///
    /// # Errors
    /// Returns an error if SNS does not accept the message.
    pub async fn publish(&self, message: &AlertMessage) -> Result<(), TopicError> {
        let request = self
            .client
            .publish()
            .topic_arn(&self.arn)
            .message_structure("json")
            .message(message.json());
        request
            .subject(&message.subject)
            .send()
            .await
            .map_err(|error| self.failed(error.into()))?;
        Ok(())
    }

    fn failed(&self, source: BoxError) -> TopicError {
        TopicError { topic: self.arn.clone(), source }
    }

    #[cfg(test)]
    pub(crate) fn for_test(client: Client) -> Self {
        Self { client, arn: "arn:aws:sns:us-east-1:100000000001:cmkwatch-alerts".to_owned() }
    }
}
