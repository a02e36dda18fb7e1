//! The Security Hub of one account and region.

use crate::{PublishError, asff};
use aws_config::SdkConfig;
use aws_sdk_securityhub::{
    Client,
    error::ProvideErrorMetadata,
    operation::batch_import_findings::BatchImportFindingsError,
    types::{
        AwsSecurityFinding, AwsSecurityFindingFilters, AwsSecurityFindingIdentifier, ImportFindingsError, StringFilter,
        StringFilterComparison, WorkflowUpdate,
    },
};
use facts::{AccountId, BucketId, Region};
use findings::{Finding, Plan, Workflow, id_prefix};
use std::error::Error;

/// The most findings that [BatchImportFindings](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_BatchImportFindings.html)
/// and BatchUpdateFindings take at once. Of ours, none has more than 40 KB (all its fields at their limits), so that a
/// batch stays below the 6 MB that it may have.
const BATCH: usize = 100;

/// The Security Hub of an account and region.
#[derive(Debug)]
pub struct SecurityHub {
    client: Client,
    account: AccountId,
    region: Region,
}

impl SecurityHub {
    /// `config` is that of the account in the region: the
    /// [caller of an import must be the account](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_BatchImportFindings.html)
    /// that owns the bucket.
    #[must_use]
    pub fn new(config: &SdkConfig, account: &AccountId, region: &Region) -> Self {
        Self::with_client(Client::new(config), account, region)
    }

    fn with_client(client: Client, account: &AccountId, region: &Region) -> Self {
        Self { client, account: account.clone(), region: region.clone() }
    }

    /// Every finding of ours about a bucket, archived ones too. 1 call for each 100.
    ///
    /// # Errors
    /// A call that failed, a finding that is not as we wrote it.
    pub async fn standing(&self, bucket: &BucketId) -> Result<Vec<Finding>, PublishError> {
        let is = |comparison, value: String| StringFilter::builder().comparison(comparison).value(value).build();
        let filters = AwsSecurityFindingFilters::builder()
            .id(is(StringFilterComparison::Prefix, id_prefix(bucket)))
            .product_arn(is(StringFilterComparison::Equals, self.product_arn()))
            .aws_account_id(is(StringFilterComparison::Equals, self.account.to_string()))
            .build();
        let mut pages = self.client.get_findings().filters(filters).max_results(100).into_paginator().items().send();
        let mut standing = Vec::new();
        while let Some(finding) = pages.next().await {
            let finding = finding.map_err(|error| self.failed("securityhub:GetFindings", error))?;
            standing.push(asff::from_asff(finding, bucket)?);
        }
        Ok(standing)
    }

    /// Tells Security Hub what a plan asks for; no call where it asks for nothing.
    ///
    /// # Errors
    /// A call that failed, a finding that was refused; a refused finding holds up no other. A plan made anew asks for the
    /// rest.
    pub async fn carry_out(&self, plan: &Plan) -> Result<(), PublishError> {
        self.set_workflow(&plan.reopen, Workflow::New).await?;
        let mut refused = Vec::new();
        for batch in plan.import.chunks(BATCH) {
            refused.extend(self.import(batch.iter().map(asff::to_asff).collect()).await?);
        }
        let taken = plan.resolve.iter().filter(|id| refused.iter().all(|refusal| refusal.id.as_ref() != Some(*id)));
        self.set_workflow(&taken.cloned().collect::<Vec<_>>(), Workflow::Resolved).await?;
        refused.into_iter().next().map_or(Ok(()), |refusal| Err(refusal.into()))
    }

    /// Imports a batch; what is refused within it is sent once more, each alone. What is still refused.
    async fn import(&self, batch: Vec<AwsSecurityFinding>) -> Result<Vec<ImportFindingsError>, PublishError> {
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

    /// Sends a batch; what was refused of it. One that is malformed may fail the call as a whole; then all were refused.
    async fn send(&self, batch: Vec<AwsSecurityFinding>) -> Result<Vec<ImportFindingsError>, PublishError> {
        match self.client.batch_import_findings().set_findings(Some(batch.clone())).send().await {
            Ok(answer) => Ok(answer.failed_findings.unwrap_or_default()),
            Err(error)
                if error.as_service_error().is_some_and(BatchImportFindingsError::is_invalid_input_exception) =>
            {
                let refusal = ImportFindingsError::builder()
                    .error_code("InvalidInputException")
                    .error_message(error.message().unwrap_or("something in the batch is malformed"));
                Ok(batch.into_iter().map(|finding| refusal.clone().set_id(finding.id).build()).collect())
            }
            Err(error) => Err(self.failed("securityhub:BatchImportFindings", error)),
        }
    }

    async fn set_workflow(&self, ids: &[String], workflow: Workflow) -> Result<(), PublishError> {
        let product = self.product_arn();
        for batch in ids.chunks(BATCH) {
            let identifier = |id: &String| AwsSecurityFindingIdentifier::builder().id(id).product_arn(&product).build();
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

    fn product_arn(&self) -> String {
        asff::product_arn(&self.account, &self.region)
    }

    fn failed(&self, permission: &'static str, error: impl Error + Send + Sync + 'static) -> PublishError {
        PublishError::Call {
            permission,
            account: self.account.to_string(),
            region: self.region.to_string(),
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
        types::{BatchUpdateFindingsUnprocessedFinding, error::InvalidInputException},
    };
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    fn hub(rules: &[&aws_smithy_mocks::Rule]) -> SecurityHub {
        let client = mock_client!(aws_sdk_securityhub, RuleMode::Sequential, rules);
        SecurityHub::with_client(client, bucket().account(), bucket().region())
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
    async fn one_that_is_refused_does_not_hold_up_the_others() {
        let refuse = |ids: &'static [usize]| {
            move || {
                let refused = ids.iter().map(|id| refusal(&finding(*id).id)).collect();
                BatchImportFindingsOutput::builder().set_failed_findings(Some(refused)).build()
            }
        };
        let all = mock!(Client::batch_import_findings).then_output(refuse(&[0, 1]));
        let first_again = mock!(Client::batch_import_findings).then_output(refuse(&[0]));
        let second_again = mock!(Client::batch_import_findings).then_output(done);
        let resolve = mock!(Client::batch_update_findings)
            .match_requests(|request| {
                let ids: Vec<_> =
                    request.finding_identifiers().iter().filter_map(|identifier| identifier.id()).collect();
                ids == [finding(2).id]
            })
            .then_output(|| BatchUpdateFindingsOutput::builder().build());
        let plan = Plan {
            import: (0..3).map(finding).collect(),
            resolve: vec![finding(0).id, finding(2).id],
            ..Plan::default()
        };
        let error = hub(&[&all, &first_again, &second_again, &resolve]).carry_out(&plan).await.unwrap_err();
        assert!(error.to_string().contains(&finding(0).id), "{error}");
        assert_eq!(resolve.num_calls(), 1);
    }

    #[tokio::test]
    async fn a_refusal_of_what_was_not_sent_is_an_error_too() {
        let refuse = || BatchImportFindingsOutput::builder().failed_findings(refusal("another")).build();
        let plan = Plan { import: vec![finding(0)], ..Plan::default() };
        let rule = mock!(Client::batch_import_findings).then_output(refuse);
        assert!(matches!(hub(&[&rule]).carry_out(&plan).await, Err(PublishError::Refused { .. })));
    }

    #[tokio::test]
    async fn a_batch_that_is_refused_as_a_whole_is_sent_one_by_one() {
        let invalid = || BatchImportFindingsError::InvalidInputException(InvalidInputException::builder().build());
        let whole = mock!(Client::batch_import_findings)
            .match_requests(|request| request.findings().len() == 2)
            .then_error(invalid);
        let good = mock!(Client::batch_import_findings).then_output(done);
        let bad = mock!(Client::batch_import_findings).then_error(invalid);
        let plan = Plan { import: (0..2).map(finding).collect(), ..Plan::default() };
        let error = hub(&[&whole, &good, &bad]).carry_out(&plan).await.unwrap_err();
        assert!(matches!(&error, PublishError::Refused { id, .. } if *id == finding(1).id), "{error}");
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
                let filters = request.filters().unwrap();
                let value = |filter: &[StringFilter]| filter[0].value().unwrap().to_owned();
                value(filters.id()) == "cmkwatch/aws/111111111111/eu-west-1/acme/"
                    && value(filters.product_arn()) == asff::product_arn(bucket().account(), bucket().region())
                    && value(filters.aws_account_id()) == "111111111111"
            })
            .then_output(move || page(0, Some("more")));
        let second = mock!(Client::get_findings)
            .match_requests(|request| request.next_token() == Some("more"))
            .then_output(move || page(1, None));
        assert_eq!(hub(&[&first, &second]).standing(&bucket()).await.unwrap(), [finding(0), finding(1)]);
    }

    #[tokio::test]
    async fn a_finding_that_is_not_as_we_wrote_it_is_an_error() {
        let strange = || {
            let finding = AwsSecurityFinding::builder().id("cmkwatch/x").build();
            GetFindingsOutput::builder().findings(finding).build()
        };
        let error = hub(&[&mock!(Client::get_findings).then_output(strange)]).standing(&bucket()).await.unwrap_err();
        assert!(matches!(&error, PublishError::NotOurs { id, .. } if id == "cmkwatch/x"), "{error}");
    }
}
