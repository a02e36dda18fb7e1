//! The key and the queues that cmkwatch's functions share in the hub, with their policies, and a
//! finding to alert about.

use crate::Place;
use aws_sdk_securityhub::types::{
    AwsSecurityFinding, Compliance, ComplianceStatus, Resource, Severity, SeverityLabel,
};
use aws_sdk_sqs::types::QueueAttributeName;

impl Place {
    /// Reads the policy of a key, by the key's alias.
    pub async fn key_policy(&self, alias: &str) -> String {
        let request =
            self.kms().get_key_policy().key_id(self.key_of(alias).await).policy_name("default");
        request.send().await.unwrap().policy.unwrap()
    }

    /// Puts the policy of a key, by the key's ARN or alias. Without the bypass, KMS refuses a
    /// policy that does not let its author change it again.
    pub async fn put_key_policy(&self, key: &str, policy: &str) {
        let request = self.kms().put_key_policy().key_id(self.key_of(key).await).policy(policy);
        request.bypass_policy_lockout_safety_check(true).send().await.unwrap();
    }

    async fn key_of(&self, alias: &str) -> String {
        self.kms().describe_key().key_id(alias).send().await.unwrap().key_metadata.unwrap().key_id
    }

    /// Reads the policy of a queue, by the queue's name.
    pub async fn queue_policy(&self, name: &str) -> String {
        let request = self.sqs().get_queue_attributes().queue_url(self.queue_url(name).await);
        let answer = request
            .attribute_names(QueueAttributeName::Policy)
            .send()
            .await
            .unwrap()
            .attributes
            .unwrap();
        answer[&QueueAttributeName::Policy].clone()
    }

    /// Puts the policy of a queue, by the queue's name.
    pub async fn put_queue_policy(&self, name: &str, policy: &str) {
        let request = self.sqs().set_queue_attributes().queue_url(self.queue_url(name).await);
        request.attributes(QueueAttributeName::Policy, policy).send().await.unwrap();
    }

    /// Receives and deletes the messages of a queue, and returns their bodies.
    pub async fn take_messages(&self, url: &str) -> Vec<String> {
        let mut bodies = Vec::new();
        loop {
            let request = self.sqs().receive_message().queue_url(url).max_number_of_messages(10);
            let messages = request.send().await.unwrap().messages.unwrap_or_default();
            if messages.is_empty() {
                return bodies;
            }
            for message in messages {
                let handle = message.receipt_handle.unwrap();
                self.sqs()
                    .delete_message()
                    .queue_url(url)
                    .receipt_handle(handle)
                    .send()
                    .await
                    .unwrap();
                bodies.push(message.body.unwrap());
            }
        }
    }

    /// Returns the names of the queues that begin with a prefix.
    pub async fn queues(&self, prefix: &str) -> Vec<String> {
        let listed = self.sqs().list_queues().queue_name_prefix(prefix).send().await.unwrap();
        let name = |url: String| url.rsplit('/').next().unwrap().to_owned();
        listed.queue_urls.unwrap_or_default().into_iter().map(name).collect()
    }

    async fn queue_url(&self, name: &str) -> String {
        self.sqs().get_queue_url().queue_name(name).send().await.unwrap().queue_url.unwrap()
    }

    fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.config)
    }

    /// Imports a finding of cmkwatch that has just opened, about a bucket that does not exist.
    pub async fn import_opened(&self, bucket: &str) {
        let (account, region, now) =
            (&self.account, &self.region, jiff::Timestamp::now().to_string());
        let severity = Severity::builder().label(SeverityLabel::Critical).build();
        let resource =
            Resource::builder().r#type("AwsS3Bucket").id(format!("arn:aws:s3:::{bucket}")).build();
        let finding = AwsSecurityFinding::builder()
            .schema_version("2018-10-08")
            .id(format!("cmkwatch/aws/{account}/{region}/{bucket}/tls-only"))
            .product_arn(format!(
                "arn:aws:securityhub:{region}:{account}:product/{account}/default"
            ))
            .generator_id("cmkwatch/tls-only")
            .aws_account_id(account)
            .types("Software and Configuration Checks/AWS Security Best Practices")
            .created_at(&now)
            .updated_at(&now)
            .severity(severity)
            .title("a title")
            .description("a description")
            .resources(resource)
            .compliance(Compliance::builder().status(ComplianceStatus::Failed).build())
            .product_fields("cmkwatch/transition", "opened")
            .build();
        let answer =
            self.security_hub().batch_import_findings().findings(finding).send().await.unwrap();
        assert_eq!(answer.failed_count, Some(0), "{answer:?}");
    }
}
