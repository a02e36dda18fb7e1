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
