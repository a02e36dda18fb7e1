//! The Security Hub of one account and region.

use crate::{PublishError, asff};
use aws_config::SdkConfig;
use aws_sdk_securityhub::{
    Client,
    types::{
        AwsSecurityFinding, AwsSecurityFindingFilters, AwsSecurityFindingIdentifier, ImportFindingsError, StringFilter,
        StringFilterComparison, WorkflowUpdate,
    },
};
use facts::BucketId;
use findings::{Finding, Plan, Workflow, id_prefix};
use std::error::Error;

/// The most findings that [BatchImportFindings](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_BatchImportFindings.html)
/// and BatchUpdateFindings take at once. Of ours, none has more than 40 KB (all its fields at their limits), so that a
/// batch stays below the 6 MB that it may have.
const BATCH: usize = 100;

/// The Security Hub of the account and region that a bucket belongs to.
#[derive(Debug)]
pub struct SecurityHub {
    client: Client,
    bucket: BucketId,
}

impl SecurityHub {
    /// `config` is that of the account that owns the bucket, in the bucket's region: the
    /// [caller of an import must be that account](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_BatchImportFindings.html).
    #[must_use]
    pub fn of(config: &SdkConfig, bucket: &BucketId) -> Self {
        Self::with_client(Client::new(config), bucket)
    }

    fn with_client(client: Client, bucket: &BucketId) -> Self {
        Self { client, bucket: bucket.clone() }
    }

    /// Every finding of ours about the bucket, archived ones too. 1 call for each 100.
    ///
    /// # Errors
    /// A call that failed, a finding that is not as we wrote it.
    pub async fn standing(&self) -> Result<Vec<Finding>, PublishError> {
        let is = |comparison, value: String| StringFilter::builder().comparison(comparison).value(value).build();
        let filters = AwsSecurityFindingFilters::builder()
            .id(is(StringFilterComparison::Prefix, id_prefix(&self.bucket)))
            .product_arn(is(StringFilterComparison::Equals, asff::product_arn(&self.bucket)))
            .aws_account_id(is(StringFilterComparison::Equals, self.bucket.account().to_string()))
            .build();
        let mut pages = self.client.get_findings().filters(filters).max_results(100).into_paginator().items().send();
        let mut standing = Vec::new();
        while let Some(finding) = pages.next().await {
            let finding = finding.map_err(|error| self.failed("securityhub:GetFindings", error))?;
            standing.push(asff::from_asff(finding, &self.bucket)?);
        }
        Ok(standing)
    }

    /// Tells Security Hub what a plan asks for; no call where it asks for nothing.
    ///
    /// # Errors
    /// A call that failed, a finding that was refused: what was told before stays, and a plan made anew asks for the rest.
    pub async fn carry_out(&self, plan: &Plan) -> Result<(), PublishError> {
        self.set_workflow(&plan.reopen, Workflow::New).await?;
        for batch in plan.import.chunks(BATCH) {
            self.import(batch.iter().map(asff::to_asff).collect()).await?;
        }
        self.set_workflow(&plan.resolve, Workflow::Resolved).await
    }

    /// Imports a batch; what is refused within it is sent once more, alone.
    async fn import(&self, batch: Vec<AwsSecurityFinding>) -> Result<(), PublishError> {
        let refused = self.send(batch.clone()).await?;
        for finding in batch.into_iter().filter(|f| refused.iter().any(|refusal| refusal.id == f.id)) {
            if let Some(refusal) = self.send(vec![finding]).await?.into_iter().next() {
                return Err(PublishError::Refused {
                    id: refusal.id.unwrap_or_default(),
                    code: refusal.error_code.unwrap_or_default(),
                    message: refusal.error_message.unwrap_or_default(),
                });
            }
        }
        Ok(())
    }

    async fn send(&self, batch: Vec<AwsSecurityFinding>) -> Result<Vec<ImportFindingsError>, PublishError> {
        let answer = self.client.batch_import_findings().set_findings(Some(batch)).send().await;
        let answer = answer.map_err(|error| self.failed("securityhub:BatchImportFindings", error))?;
        Ok(answer.failed_findings.unwrap_or_default())
    }

    async fn set_workflow(&self, ids: &[String], workflow: Workflow) -> Result<(), PublishError> {
        const PERMISSION: &str = "securityhub:BatchUpdateFindings";
        let product = asff::product_arn(&self.bucket);
        for batch in ids.chunks(BATCH) {
            let identifier = |id: &String| AwsSecurityFindingIdentifier::builder().id(id).product_arn(&product).build();
            let answer = self
                .client
                .batch_update_findings()
                .set_finding_identifiers(Some(batch.iter().map(identifier).collect()))
                .workflow(WorkflowUpdate::builder().status(asff::to_workflow(workflow)).build())
                .send()
                .await
                .map_err(|error| self.failed(PERMISSION, error))?;
            if let Some(left) = answer.unprocessed_findings.unwrap_or_default().into_iter().next() {
                return Err(PublishError::Refused {
                    id: left.finding_identifier.and_then(|identifier| identifier.id).unwrap_or_default(),
                    code: left.error_code.unwrap_or_default(),
                    message: left.error_message.unwrap_or_default(),
                });
            }
        }
        Ok(())
    }

    fn failed(&self, permission: &'static str, error: impl Error + Send + Sync + 'static) -> PublishError {
        PublishError::Call {
            permission,
            account: self.bucket.account().to_string(),
            region: self.bucket.region().to_string(),
            source: Box::new(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{bucket, finding};
    use aws_sdk_securityhub::{
        operation::{
            batch_import_findings::BatchImportFindingsOutput, batch_update_findings::BatchUpdateFindingsOutput,
            get_findings::GetFindingsOutput,
        },
        types::BatchUpdateFindingsUnprocessedFinding,
    };
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    fn hub(rules: &[&aws_smithy_mocks::Rule]) -> SecurityHub {
        SecurityHub::with_client(mock_client!(aws_sdk_securityhub, RuleMode::Sequential, rules), &bucket())
    }

    fn refusal(id: &str) -> ImportFindingsError {
        ImportFindingsError::builder().id(id).error_code("InternalError").error_message("later").build()
    }

    fn done() -> BatchImportFindingsOutput {
        BatchImportFindingsOutput::builder().build()
    }

    #[tokio::test]
    async fn a_plan_that_asks_for_nothing_calls_nothing() {
        hub(&[]).carry_out(&Plan::default()).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_refused_is_sent_once_more_alone() {
        let all = mock!(Client::batch_import_findings)
            .match_requests(|request| request.findings().len() == 3)
            .then_output(|| BatchImportFindingsOutput::builder().failed_findings(refusal(&finding(1).id)).build());
        let alone = mock!(Client::batch_import_findings)
            .match_requests(|request| request.findings().len() == 1 && request.findings()[0].id == Some(finding(1).id))
            .then_output(done);
        let plan = Plan { import: (0..3).map(finding).collect(), ..Plan::default() };
        hub(&[&all, &alone]).carry_out(&plan).await.unwrap();
        assert_eq!((all.num_calls(), alone.num_calls()), (1, 1));
    }

    #[tokio::test]
    async fn what_is_refused_alone_too_is_an_error_that_names_it() {
        let refuse = || BatchImportFindingsOutput::builder().failed_findings(refusal(&finding(0).id)).build();
        let rule = mock!(Client::batch_import_findings).sequence().output(refuse).repeatedly().build();
        let plan = Plan { import: vec![finding(0)], ..Plan::default() };
        let error = hub(&[&rule]).carry_out(&plan).await.unwrap_err();
        assert!(error.to_string().contains(&finding(0).id), "{error}");
        assert_eq!(rule.num_calls(), 2);
    }

    #[tokio::test]
    async fn more_than_a_hundred_findings_are_several_batches() {
        let rule = mock!(Client::batch_import_findings)
            .match_requests(|request| request.findings().len() <= 100)
            .sequence()
            .output(done)
            .repeatedly()
            .build();
        let plan = Plan { import: (0..250).map(finding).collect(), ..Plan::default() };
        hub(&[&rule]).carry_out(&plan).await.unwrap();
        assert_eq!(rule.num_calls(), 3);
    }

    #[tokio::test]
    async fn reopening_comes_before_the_import_and_resolving_after_it() {
        let set = |status: &'static str| {
            mock!(Client::batch_update_findings)
                .match_requests(move |request| {
                    let asked = request.workflow().and_then(|workflow| workflow.status()).map(|status| status.as_str());
                    asked == Some(status) && request.finding_identifiers().len() == 1
                })
                .then_output(|| BatchUpdateFindingsOutput::builder().build())
        };
        let import = mock!(Client::batch_import_findings).then_output(done);
        let plan = Plan { reopen: vec![finding(0).id], import: vec![finding(0)], resolve: vec![finding(1).id] };
        hub(&[&set("NEW"), &import, &set("RESOLVED")]).carry_out(&plan).await.unwrap();
    }

    #[tokio::test]
    async fn a_workflow_that_was_not_set_is_an_error() {
        let left = || {
            let left = BatchUpdateFindingsUnprocessedFinding::builder().error_code("FindingNotFound").build();
            BatchUpdateFindingsOutput::builder().unprocessed_findings(left).build()
        };
        let rule = mock!(Client::batch_update_findings).then_output(left);
        let plan = Plan { resolve: vec![finding(0).id], ..Plan::default() };
        let error = hub(&[&rule]).carry_out(&plan).await.unwrap_err();
        assert!(error.to_string().contains("FindingNotFound"), "{error}");
    }

    #[tokio::test]
    async fn what_stands_is_read_page_by_page_and_comes_back_as_it_was_sent() {
        let page = |number: usize, next: Option<&str>| {
            GetFindingsOutput::builder()
                .findings(asff::to_asff(&finding(number)))
                .set_next_token(next.map(str::to_owned))
                .build()
        };
        let first = mock!(Client::get_findings)
            .match_requests(|request| {
                let id = request.filters().and_then(|filters| filters.id().first()).and_then(|filter| filter.value());
                id == Some("cmkwatch/aws/111111111111/eu-west-1/acme/")
            })
            .then_output(move || page(0, Some("more")));
        let second = mock!(Client::get_findings)
            .match_requests(|request| request.next_token() == Some("more"))
            .then_output(move || page(1, None));
        assert_eq!(hub(&[&first, &second]).standing().await.unwrap(), [finding(0), finding(1)]);
    }

    #[tokio::test]
    async fn a_finding_that_is_not_as_we_wrote_it_is_an_error() {
        let strange = || {
            let finding = AwsSecurityFinding::builder().id("cmkwatch/x").build();
            GetFindingsOutput::builder().findings(finding).build()
        };
        let error = hub(&[&mock!(Client::get_findings).then_output(strange)]).standing().await.unwrap_err();
        assert!(matches!(&error, PublishError::NotOurs { id, .. } if id == "cmkwatch/x"), "{error}");
    }
}
