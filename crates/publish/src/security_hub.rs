//! Imports findings into the Security Hub of one account and region, and sets their workflow
//! status.

use crate::{PublishError, asff, error::Closed, pace::Pace};
use aws_config::SdkConfig;
use aws_sdk_securityhub::{
    Client, config,
    error::{ProvideErrorMetadata, SdkError},
    operation::batch_import_findings::BatchImportFindingsError,
    types::{
        AwsSecurityFinding, AwsSecurityFindingIdentifier, ImportFindingsError, WorkflowUpdate,
    },
};
use facts::Place;
use findings::{Finding, Workflow};
use std::error::Error;

/// The most findings that one call of
/// [BatchImportFindings](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_BatchImportFindings.html)
/// or BatchUpdateFindings takes. A batch may have 6 MB. Batches of cmkwatch stay below, because no
/// finding has more than 40 KB, even with all its fields at their limits.
const BATCH: usize = 100;

/// The Security Hub of an account and region.
#[derive(Debug)]
pub struct SecurityHub {
    pub(crate) client: Client,
    pub(crate) place: Place,
    pub(crate) pace: Pace,
}

impl SecurityHub {
    /// Creates a client for the Security Hub of `place`; makes no call. `config` is the
    /// configuration for calls in that account and region, because the [caller of an import must be
    /// the
    /// account](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_BatchImportFindings.html)
    /// that owns the bucket.
    #[must_use]
    pub fn new(config: &SdkConfig, place: &Place) -> Self {
        let config = config::Builder::from(config)
            .retry_config(calls::patient_retries())
            .timeout_config(calls::patient_timeouts(config.timeout_config()))
            .retry_partition(calls::partition("securityhub", place))
            .interceptor(calls::Counter)
            .build();
        Self::with_client(Client::from_conf(config), place)
    }

    pub(crate) fn with_client(client: Client, place: &Place) -> Self {
        Self { client, place: place.clone(), pace: Pace::default() }
    }

    /// Returns the account and region of the Security Hub.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Imports findings that are to be stored here, 100 a call. A refused finding is sent once
    /// more, alone, and holds up no other. Returns the findings that are still refused.
    ///
    /// # Errors
    /// Returns an error if a call fails.
    pub async fn import(&self, findings: &[Finding]) -> Result<Vec<PublishError>, PublishError> {
        let mut refused = Vec::new();
        for batch in findings.chunks(BATCH) {
            refused.extend(self.import_batch(batch.iter().map(asff::to_asff).collect()).await?);
        }
        Ok(refused.into_iter().map(PublishError::from).collect())
    }

    /// Imports a batch, and sends each refused finding once more, alone. Returns the findings that
    /// are still refused.
    async fn import_batch(
        &self,
        batch: Vec<AwsSecurityFinding>,
    ) -> Result<Vec<ImportFindingsError>, PublishError> {
        let first = self.send(batch.clone()).await?;
        let mut refused = Vec::new();
        for refusal in first {
            match batch.iter().find(|finding| finding.id == refusal.id) {
                Some(finding) => refused.extend(self.send(vec![finding.clone()]).await?),
                None => refused.push(refusal),
            }
        }
        Ok(refused)
    }

    /// Sends a batch, and returns the findings that were refused. A malformed finding may fail the
    /// whole call. Then all findings of the batch count as refused.
    async fn send(
        &self,
        batch: Vec<AwsSecurityFinding>,
    ) -> Result<Vec<ImportFindingsError>, PublishError> {
        self.pace.batch_import_findings.until_ready().await;
        match self.client.batch_import_findings().set_findings(Some(batch.clone())).send().await {
            Ok(answer) => Ok(answer.failed_findings.unwrap_or_default()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(BatchImportFindingsError::is_invalid_input_exception) =>
            {
                let refusal = ImportFindingsError::builder()
                    .error_code("InvalidInputException")
                    .error_message(
                        error.message().unwrap_or("something in the batch is malformed"),
                    );
                Ok(batch
                    .into_iter()
                    .map(|finding| refusal.clone().set_id(finding.id).build())
                    .collect())
            }
            Err(error) => Err(self.failed("securityhub:BatchImportFindings", error)),
        }
    }

    /// Sets the workflow status of findings that are stored here, 100 a call. Makes no call if
    /// `ids` is empty.
    ///
    /// # Errors
    /// Returns an error if a call fails, or if Security Hub did not process a finding.
    pub async fn set_workflow(
        &self,
        ids: &[String],
        workflow: Workflow,
    ) -> Result<(), PublishError> {
        let product = self.product_arn();
        for batch in ids.chunks(BATCH) {
            self.pace.batch_update_findings.until_ready().await;
            let identifier = |id: &String| {
                AwsSecurityFindingIdentifier::builder().id(id).product_arn(&product).build()
            };
            let answer = self
                .client
                .batch_update_findings()
                .set_finding_identifiers(Some(batch.iter().map(identifier).collect()))
                .workflow(WorkflowUpdate::builder().status(asff::to_workflow(workflow)).build())
                .send()
                .await
                .map_err(|error| self.failed("securityhub:BatchUpdateFindings", error))?;
            if let Some(left) = answer.unprocessed_findings.unwrap_or_default().into_iter().next() {
                return Err(left.into());
            }
        }
        Ok(())
    }

    pub(crate) fn product_arn(&self) -> String {
        asff::product_arn(&self.place)
    }

    pub(crate) fn failed<E, R>(
        &self,
        permission: &'static str,
        error: SdkError<E, R>,
    ) -> PublishError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        PublishError::Call {
            permission,
            place: self.place.clone(),
            closed: Closed::by(error.code(), &error),
            source: Box::new(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{bucket, finding};
    use aws_sdk_securityhub::{
        config::http::HttpResponse,
        operation::{
            batch_import_findings::BatchImportFindingsOutput,
            batch_update_findings::BatchUpdateFindingsOutput, describe_hub::DescribeHubOutput,
        },
        types::{BatchUpdateFindingsUnprocessedFinding, error::InvalidInputException},
    };
    use aws_smithy_async::rt::sleep::TokioSleep;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    fn hub(rules: &[&aws_smithy_mocks::Rule]) -> SecurityHub {
        let client = mock_client!(aws_sdk_securityhub, RuleMode::Sequential, rules);
        SecurityHub::with_client(client, &bucket().place())
    }

    fn refusal(id: &str) -> ImportFindingsError {
        ImportFindingsError::builder()
            .id(id)
            .error_code("InternalError")
            .error_message("later")
            .build()
    }

    fn done() -> BatchImportFindingsOutput {
        BatchImportFindingsOutput::builder().build()
    }

    #[tokio::test]
    async fn an_empty_list_of_findings_makes_no_call() {
        assert!(hub(&[]).import(&[]).await.unwrap().is_empty());
        hub(&[]).set_workflow(&[], Workflow::New).await.unwrap();
    }

    fn findings(number: usize) -> Vec<Finding> {
        (0..number).map(finding).collect()
    }

    /// All functions share a quota of a few calls a second, so a call may be throttled many times.
    #[tokio::test(start_paused = true)]
    async fn a_call_succeeds_after_ten_throttled_attempts() {
        let throttled = mock!(Client::describe_hub)
            .sequence()
            .http_response(|| {
                let body = SdkBody::from(
                    "{\"__type\":\"TooManyRequestsException\",\"message\":\"slow down\"}",
                );
                HttpResponse::new(StatusCode::try_from(429).unwrap(), body)
            })
            .times(10)
            .output(|| DescribeHubOutput::builder().subscribed_at("2026-11-01T00:00:00Z").build())
            .build();
        let client =
            mock_client!(aws_sdk_securityhub, RuleMode::Sequential, [&throttled], |config| {
                config
                    .retry_config(calls::patient_retries())
                    .timeout_config(calls::patient_timeouts(None))
                    .sleep_impl(TokioSleep::new())
            });
        let hub = SecurityHub::with_client(client, &bucket().place());
        assert_eq!(hub.on_since().await.unwrap(), "2026-11-01T00:00:00Z");
    }

    #[tokio::test]
    async fn a_refused_finding_is_sent_once_more_alone() {
        let all = mock!(Client::batch_import_findings)
            .match_requests(|request| request.findings().len() == 3)
            .then_output(|| {
                BatchImportFindingsOutput::builder()
                    .failed_findings(refusal(&finding(1).id()))
                    .build()
            });
        let alone = mock!(Client::batch_import_findings)
            .match_requests(|request| {
                request.findings().len() == 1 && request.findings()[0].id == Some(finding(1).id())
            })
            .then_output(done);
        assert!(hub(&[&all, &alone]).import(&findings(3)).await.unwrap().is_empty());
        assert_eq!((all.num_calls(), alone.num_calls()), (1, 1));
    }

    #[tokio::test]
    async fn a_finding_that_is_refused_twice_is_returned_and_blocks_no_other() {
        let refuse = |ids: &'static [usize]| {
            move || {
                let refused = ids.iter().map(|id| refusal(&finding(*id).id())).collect();
                BatchImportFindingsOutput::builder().set_failed_findings(Some(refused)).build()
            }
        };
        let all = mock!(Client::batch_import_findings).then_output(refuse(&[0, 1]));
        let first_again = mock!(Client::batch_import_findings).then_output(refuse(&[0]));
        let second_again = mock!(Client::batch_import_findings).then_output(done);
        let refused = hub(&[&all, &first_again, &second_again]).import(&findings(3)).await.unwrap();
        assert!(
            matches!(&refused[..], [PublishError::Refused { id, .. }] if *id == finding(0).id()),
            "{refused:?}"
        );
    }

    #[tokio::test]
    async fn a_refusal_of_a_finding_that_was_not_sent_is_returned() {
        let refuse =
            || BatchImportFindingsOutput::builder().failed_findings(refusal("another")).build();
        let rule = mock!(Client::batch_import_findings).then_output(refuse);
        assert_eq!(hub(&[&rule]).import(&findings(1)).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_batch_that_is_refused_as_a_whole_is_sent_one_by_one() {
        let invalid = || {
            BatchImportFindingsError::InvalidInputException(
                InvalidInputException::builder().build(),
            )
        };
        let whole = mock!(Client::batch_import_findings)
            .match_requests(|request| request.findings().len() == 2)
            .then_error(invalid);
        let good = mock!(Client::batch_import_findings).then_output(done);
        let bad = mock!(Client::batch_import_findings).then_error(invalid);
        let refused = hub(&[&whole, &good, &bad]).import(&findings(2)).await.unwrap();
        assert!(
            matches!(&refused[..], [PublishError::Refused { id, .. }] if *id == finding(1).id()),
            "{refused:?}"
        );
    }

    #[tokio::test]
    async fn more_than_a_hundred_findings_are_sent_in_several_batches() {
        let rule = mock!(Client::batch_import_findings)
            .match_requests(|request| request.findings().len() <= 100)
            .sequence()
            .output(done)
            .repeatedly()
            .build();
        hub(&[&rule]).import(&findings(250)).await.unwrap();
        assert_eq!(rule.num_calls(), 3);
    }

    #[tokio::test]
    async fn a_workflow_that_was_not_set_is_an_error() {
        let left = || {
            let left = BatchUpdateFindingsUnprocessedFinding::builder()
                .error_code("FindingNotFound")
                .build();
            BatchUpdateFindingsOutput::builder().unprocessed_findings(left).build()
        };
        let rule = mock!(Client::batch_update_findings).then_output(left);
        let error =
            hub(&[&rule]).set_workflow(&[finding(0).id()], Workflow::Resolved).await.unwrap_err();
        assert!(error.to_string().contains("FindingNotFound"), "{error}");
    }
}
