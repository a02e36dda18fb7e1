//! Reads the findings that Security Hub holds, and since when it is on.
//!
//! [GetFindings](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_GetFindings.html)
//! returns 100 findings at a time. Its answers may be old, so they never decide what changed. They
//! show a customer's edits, and fill items that are new or lost. Once they are current, they show
//! what to repair.

use crate::{PublishError, SecurityHub, asff};
use aws_sdk_securityhub::types::{
    AwsSecurityFinding, AwsSecurityFindingFilters, StringFilter, StringFilterComparison,
    builders::AwsSecurityFindingFiltersBuilder,
};
use facts::{AccountId, Region};
use findings::{About, Finding, Held, Slug, Workflow};
use std::collections::{BTreeMap, BTreeSet};

/// The most values that
/// [GetFindings](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_GetFindings.html)
/// takes for one attribute.
const MOST_VALUES: usize = 20;

fn equal(value: &str) -> StringFilter {
    StringFilter::builder().comparison(StringFilterComparison::Equals).value(value).build()
}

fn prefixed(value: &str) -> StringFilter {
    StringFilter::builder().comparison(StringFilterComparison::Prefix).value(value).build()
}

impl SecurityHub {
    /// Returns the time since which Security Hub is on, in the format of AWS. 1 call.
    ///
    /// # Errors
    /// Returns an error if the call fails. [`PublishError::closed`] says if Security Hub is off.
    pub async fn on_since(&self) -> Result<String, PublishError> {
        self.pace.describe_hub.until_ready().await;
        let answer = self.client.describe_hub().send().await;
        let answer = answer.map_err(|error| self.failed("securityhub:DescribeHub", error))?;
        Ok(answer.subscribed_at.unwrap_or_default())
    }

    /// Returns the findings that were imported here and whose ids begin with one of `prefixes`,
    /// archived ones too. A finding that does not have the form of cmkwatch is an error of its own.
    /// 1 call for each 20 prefixes and 100 findings.
    ///
    /// # Errors
    /// Returns an error if a call fails.
    pub async fn held(
        &self,
        prefixes: &[String],
    ) -> Result<Vec<Result<Finding, PublishError>>, PublishError> {
        let mut held = Vec::new();
        for some in prefixes.chunks(MOST_VALUES) {
            held.extend(
                self.select(self.own(some), |finding| Some(asff::from_asff(finding, &self.place)))
                    .await?,
            );
        }
        Ok(held)
    }

    /// Returns the active findings that were imported here and whose ids begin with one of
    /// `prefixes`. Only the fields that are compared with the state are returned. `only` are the
    /// slugs of the controls; `None` for all. 1 call for each 20 prefixes and 100 findings.
    ///
    /// # Errors
    /// Returns an error if a call fails.
    pub async fn active(
        &self,
        prefixes: &[String],
        only: Option<&BTreeSet<Slug>>,
    ) -> Result<Vec<Held>, PublishError> {
        let generators =
            only.map(|only| only.iter().map(|slug| equal(&format!("cmkwatch/{slug}"))).collect());
        let mut active = Vec::new();
        for some in prefixes.chunks(MOST_VALUES) {
            let filters =
                self.own(some).record_state(equal("ACTIVE")).set_generator_id(generators.clone());
            active.extend(self.select(filters, asff::held).await?);
        }
        Ok(active)
    }

    /// Returns the workflow status, by id, of each finding whose id begins with `prefix`. 1 call
    /// for each 100 findings.
    ///
    /// # Errors
    /// Returns an error if a call fails.
    pub async fn workflows(
        &self,
        prefix: String,
    ) -> Result<BTreeMap<String, Workflow>, PublishError> {
        let workflow = |finding: AwsSecurityFinding| {
            let status = finding.workflow()?.status()?;
            Some((finding.id()?.to_owned(), Workflow::of_word(status.as_str())?))
        };
        Ok(self.select(self.own(&[prefix]), workflow).await?.into_iter().collect())
    }

    /// Returns the buckets and accounts that have active findings whose ids begin with `prefix`. 1
    /// call for each 100 findings.
    ///
    /// # Errors
    /// Returns an error if a call fails.
    pub async fn subjects(&self, prefix: String) -> Result<BTreeSet<About>, PublishError> {
        let filters = self.own(&[prefix]).record_state(equal("ACTIVE"));
        let about = |finding: AwsSecurityFinding| About::of_id(finding.id()?);
        Ok(self.select(filters, about).await?.into_iter().collect())
    }

    /// Returns the regions in which an account has active findings. Only the Security Hub of the
    /// administrator's home region sees all of them. A finding counts if the account itself or the
    /// administrator imported it. 1 call for each 100 findings.
    ///
    /// # Errors
    /// Returns an error if a call fails.
    pub async fn regions_of(&self, account: &AccountId) -> Result<BTreeSet<Region>, PublishError> {
        let prefix = format!("cmkwatch/{}/{account}/", self.place.region.partition());
        let filters = AwsSecurityFindingFilters::builder()
            .id(prefixed(&prefix))
            .record_state(equal("ACTIVE"));
        let importers = [account.as_str(), self.place.account.as_str()];
        let region = |finding: AwsSecurityFinding| {
            let is_believed = importers.contains(&finding.aws_account_id()?);
            About::of_id(finding.id()?).filter(|_| is_believed).map(|about| about.place().region)
        };
        Ok(self.select(filters, region).await?.into_iter().collect())
    }

    /// Returns filters for the findings that this account imported in this region, with ids that
    /// begin with one of `prefixes`.
    fn own(&self, prefixes: &[String]) -> AwsSecurityFindingFiltersBuilder {
        AwsSecurityFindingFilters::builder()
            .product_arn(equal(&self.product_arn()))
            .aws_account_id(equal(self.place.account.as_str()))
            .set_id(Some(prefixes.iter().map(|prefix| prefixed(prefix)).collect()))
    }

    /// Returns every finding that the filters select and `read` accepts. Each page is converted at
    /// once, because a finding takes tens of kilobytes in the SDK.
    async fn select<T>(
        &self,
        filters: AwsSecurityFindingFiltersBuilder,
        read: impl Fn(AwsSecurityFinding) -> Option<T>,
    ) -> Result<Vec<T>, PublishError> {
        let (filters, mut all, mut next) = (filters.build(), Vec::new(), None);
        loop {
            self.pace.get_findings.until_ready().await;
            let request = self
                .client
                .get_findings()
                .filters(filters.clone())
                .max_results(100)
                .set_next_token(next);
            let page = request
                .send()
                .await
                .map_err(|error| self.failed("securityhub:GetFindings", error))?;
            all.extend(page.findings.unwrap_or_default().into_iter().filter_map(&read));
            next = page.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(all);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{bucket, finding};
    use aws_sdk_securityhub::{Client, operation::get_findings::GetFindingsOutput};
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};

    fn hub(rules: &[&Rule]) -> SecurityHub {
        SecurityHub::with_client(
            mock_client!(aws_sdk_securityhub, RuleMode::Sequential, rules),
            &bucket().place(),
        )
    }

    fn page(number: usize, next: Option<&str>) -> GetFindingsOutput {
        let found = asff::to_asff(&finding(number));
        GetFindingsOutput::builder().findings(found).set_next_token(next.map(str::to_owned)).build()
    }

    #[tokio::test]
    async fn findings_of_all_pages_are_read_as_they_were_sent() {
        let first = mock!(Client::get_findings)
            .match_requests(|request| {
                let filters = request.filters().unwrap();
                let value = |filter: &[StringFilter]| filter[0].value().unwrap().to_owned();
                value(filters.id()) == "cmkwatch/aws/111111111111/eu-west-1/acme/"
                    && value(filters.product_arn()) == asff::product_arn(&bucket().place())
                    && value(filters.aws_account_id()) == "111111111111"
            })
            .then_output(move || page(0, Some("more")));
        let second = mock!(Client::get_findings)
            .match_requests(|request| request.next_token() == Some("more"))
            .then_output(move || page(1, None));
        let held =
            hub(&[&first, &second]).held(&[About::Bucket(bucket()).id_prefix()]).await.unwrap();
        let held: Vec<_> = held.into_iter().map(Result::unwrap).collect();
        assert_eq!(held, [finding(0), finding(1)]);
    }

    #[tokio::test]
    async fn many_prefixes_are_asked_for_twenty_at_a_time() {
        let rule = mock!(Client::get_findings)
            .match_requests(|request| request.filters().unwrap().id().len() <= 20)
            .sequence()
            .output(|| GetFindingsOutput::builder().build())
            .repeatedly()
            .build();
        let prefixes: Vec<_> = (0..41).map(|number| format!("cmkwatch/{number}/")).collect();
        assert!(hub(&[&rule]).held(&prefixes).await.unwrap().is_empty());
        assert_eq!(rule.num_calls(), 3);
    }

    #[tokio::test]
    async fn active_findings_that_others_wrote_have_no_summary() {
        let only = BTreeSet::from([Slug::from("key-usable")]);
        let rule = mock!(Client::get_findings)
            .match_requests(|request| {
                let filters = request.filters().unwrap();
                let value = |filter: &[StringFilter]| filter[0].value().unwrap().to_owned();
                (value(filters.generator_id()), value(filters.record_state()))
                    == ("cmkwatch/key-usable".into(), "ACTIVE".into())
            })
            .then_output(|| {
                let strange = AwsSecurityFinding::builder()
                    .id("cmkwatch/x")
                    .updated_at("2026-11-01T00:00:00Z")
                    .build();
                GetFindingsOutput::builder()
                    .findings(strange)
                    .findings(asff::to_asff(&finding(0)))
                    .build()
            });
        let held = hub(&[&rule]).active(&["cmkwatch/".to_owned()], Some(&only)).await.unwrap();
        let updated_at = "2026-11-01T00:00:00Z".parse().unwrap();
        let strange = Held { id: "cmkwatch/x".into(), summary: None, workflow: None, updated_at };
        assert_eq!(held, [strange, Held::of(&finding(0))]);
    }

    #[tokio::test]
    async fn a_malformed_finding_is_an_error_of_its_own() {
        let strange = || {
            let strange = AwsSecurityFinding::builder().id("cmkwatch/x").build();
            GetFindingsOutput::builder()
                .findings(strange)
                .findings(asff::to_asff(&finding(0)))
                .build()
        };
        let held = hub(&[&mock!(Client::get_findings).then_output(strange)])
            .held(&["cmkwatch/".to_owned()])
            .await;
        let held = held.unwrap();
        assert!(
            matches!(&held[0], Err(PublishError::NotOurs { id, .. }) if id == "cmkwatch/x"),
            "{held:?}"
        );
        assert_eq!(held[1].as_ref().unwrap(), &finding(0));
    }

    /// The hub is account 111111111111 in this test.
    #[tokio::test]
    async fn a_finding_that_a_third_account_imported_does_not_count() {
        let account: AccountId = "222222222222".parse().unwrap();
        for (importer, expected) in [("333333333333", 0), ("111111111111", 1), ("222222222222", 1)]
        {
            let answer = move || {
                let id = "cmkwatch/aws/222222222222/eu-west-1/acme/key-usable";
                let found = AwsSecurityFinding::builder().id(id).aws_account_id(importer).build();
                GetFindingsOutput::builder().findings(found).build()
            };
            let regions = hub(&[&mock!(Client::get_findings).then_output(answer)])
                .regions_of(&account)
                .await
                .unwrap();
            assert_eq!(regions.len(), expected, "{importer}");
        }
    }
}
