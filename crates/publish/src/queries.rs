//! What Security Hub is asked.
//!
//! By [GetFindings](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_GetFindings.html), 100 findings at a time: of an
//! account's own Security Hub, what stands in it; of the administrator's, in the home region, what all of them hold.

use crate::{PublishError, SecurityHub, asff};
use aws_sdk_securityhub::types::{
    AwsSecurityFinding, AwsSecurityFindingFilters, ComplianceStatus, MapFilter, MapFilterComparison, StringFilter,
    StringFilterComparison, builders::AwsSecurityFindingFiltersBuilder,
};
use controls::Level;
use facts::{AccountId, KeyArn, KeySubject, Region};
use findings::{About, Finding, KeyUse, fields, key_uses};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// The most values that [GetFindings](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_GetFindings.html) takes
/// for one attribute.
pub const MOST_VALUES: usize = 20;

fn equal(value: &str) -> StringFilter {
    StringFilter::builder().comparison(StringFilterComparison::Equals).value(value).build()
}

fn prefixed(value: &str) -> StringFilter {
    StringFilter::builder().comparison(StringFilterComparison::Prefix).value(value).build()
}

fn field(key: &str, value: &str, comparison: MapFilterComparison) -> MapFilter {
    MapFilter::builder().key(key).value(value).comparison(comparison).build()
}

fn of_key(key: &KeyArn) -> AwsSecurityFindingFiltersBuilder {
    AwsSecurityFindingFilters::builder().resource_id(equal(key.as_str()))
}

/// Ids of findings, told by their beginnings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// They begin with one of these, of which there are at most [`MOST_VALUES`],
    pub begin_with: Vec<String>,
    /// and not with this.
    pub but_not: Option<String>,
}

impl Ids {
    /// Those that begin so.
    #[must_use]
    pub fn under(prefix: String) -> Self {
        Self { begin_with: vec![prefix], but_not: None }
    }

    fn filters(&self) -> Vec<StringFilter> {
        let not = |prefix: &String| {
            StringFilter::builder().comparison(StringFilterComparison::PrefixNotEquals).value(prefix).build()
        };
        self.begin_with.iter().map(|prefix| prefixed(prefix)).chain(self.but_not.iter().map(not)).collect()
    }
}

/// What a finding is about that stands in the Security Hub of another account, and whether it passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// A bucket, or an account.
    pub about: About,
    /// True where the control passed.
    pub passed: bool,
    /// When it was imported last.
    pub updated_at: Option<Timestamp>,
}

/// The buckets that a page of findings tells of.
#[derive(Debug, Default)]
pub struct Users {
    /// One entry a bucket, in order.
    pub uses: Vec<KeyUse>,
    /// Where the list goes on; none at its end.
    pub next: Option<String>,
}

impl SecurityHub {
    /// Every finding that stands here and has such an id, archived ones too. 1 call for each 100.
    ///
    /// # Errors
    /// A call that failed, a finding that is not as we wrote it.
    pub async fn standing_under(&self, ids: &Ids) -> Result<Vec<Finding>, PublishError> {
        let filters = self.own().set_id(Some(ids.filters())).build();
        self.select(filters, |finding| asff::from_asff(finding, &self.place).map(Some)).await
    }

    /// Like [`SecurityHub::standing_under`], for many buckets: a finding that is not as we wrote it is left out, so that it holds up
    /// only its own bucket.
    ///
    /// # Errors
    /// A call that failed.
    pub async fn standing_of_many(&self, ids: &Ids) -> Result<Vec<Finding>, PublishError> {
        self.select(self.own().set_id(Some(ids.filters())).build(), |f| Ok(asff::from_asff(f, &self.place).ok())).await
    }

    /// What stands here though it is about another account, or about its buckets. 1 call for each 100.
    ///
    /// # Errors
    /// A call that failed.
    pub async fn held_for(&self, owner: &AccountId) -> Result<Vec<Held>, PublishError> {
        let owned = field(fields::OWNER_ACCOUNT, owner.as_str(), MapFilterComparison::Equals);
        let held = |finding: AwsSecurityFinding| {
            let status = finding.compliance().and_then(|compliance| compliance.status());
            let updated_at = finding.updated_at().and_then(|moment| moment.parse().ok());
            let passed = status == Some(&ComplianceStatus::Passed);
            Some(Held { about: About::of_id(finding.id()?)?, passed, updated_at })
        };
        self.select(self.own().product_fields(owned).record_state(equal("ACTIVE")).build(), |f| Ok(held(f))).await
    }

    /// The regions, besides some, in which findings about buckets of an account stand; seen from the administrator's home
    /// region, which sees all. 1 call for each 100.
    ///
    /// # Errors
    /// A call that failed.
    pub async fn other_regions(
        &self,
        account: &AccountId,
        besides: &BTreeSet<Region>,
    ) -> Result<BTreeSet<Region>, PublishError> {
        let other = |region: &Region| {
            StringFilter::builder().comparison(StringFilterComparison::NotEquals).value(region.as_str()).build()
        };
        let ids = format!("cmkwatch/{}/{account}/", self.place.region.partition());
        let filters = AwsSecurityFindingFilters::builder()
            .id(prefixed(&ids))
            .aws_account_id(equal(account.as_str()))
            .record_state(equal("ACTIVE"))
            .set_region(
                Some(besides.iter().take(MOST_VALUES).map(other).collect()).filter(|other: &Vec<_>| !other.is_empty()),
            );
        let region = |finding: AwsSecurityFinding| Some(About::of_id(finding.id()?)?.bucket()?.region().clone());
        let found = self.select(filters.build(), |finding| Ok(region(finding))).await?;
        Ok(found.into_iter().filter(|region| !besides.contains(region)).collect())
    }

    /// Buckets of other classes than one that use a key, as their findings tell: all, or so many that it does not matter; seen from
    /// the administrator's home region, which sees all. 1 call.
    ///
    /// # Errors
    /// A call that failed.
    pub async fn users_of_another_class(&self, key: &KeyArn, class: &str) -> Result<Vec<KeyUse>, PublishError> {
        let another = field(fields::CLASS, class, MapFilterComparison::NotEquals);
        let filters = of_key(key).product_fields(another);
        Ok(self.page_of_uses(filters, None).await?.uses)
    }

    /// The buckets that use a key and whose verdict depends on who else does. 1 call for each 100 of their findings.
    ///
    /// # Errors
    /// A call that failed.
    pub async fn dependents_of(&self, key: &KeyArn) -> Result<Vec<KeyUse>, PublishError> {
        let required = |level| field(fields::LEVEL_REQUIRED, level, MapFilterComparison::Equals);
        let filters =
            of_key(key).product_fields(required(Level::Enforced.as_str())).product_fields(required(fields::UNREADABLE));
        let (mut uses, mut next) = (Vec::new(), None);
        loop {
            let page = self.page_of_uses(filters.clone(), next).await?;
            uses = key_uses(uses.into_iter().chain(page.uses));
            next = page.next;
            if next.is_none() {
                return Ok(uses);
            }
        }
    }

    /// A page of the buckets that use a key, or that name it by an alias. 1 call.
    ///
    /// # Errors
    /// A call that failed.
    pub async fn page_of_users(&self, of: &KeySubject, next: Option<String>) -> Result<Users, PublishError> {
        let filters = match of {
            KeySubject::Key(key) => of_key(key),
            KeySubject::Alias(alias) => {
                let named = field(fields::KEY_ALIAS, alias.as_str(), MapFilterComparison::Equals);
                AwsSecurityFindingFilters::builder().product_fields(named)
            }
        };
        self.page_of_uses(filters, next).await
    }

    async fn page_of_uses(
        &self,
        filters: AwsSecurityFindingFiltersBuilder,
        next: Option<String>,
    ) -> Result<Users, PublishError> {
        let ours = filters.id(prefixed("cmkwatch/")).record_state(equal("ACTIVE")).build();
        let (found, next) = self.page(&ours, next).await?;
        Ok(Users { uses: key_uses(found.into_iter().filter_map(|finding| self.used(finding))), next })
    }

    /// What a finding tells of its bucket, if it was imported by the bucket's owner or by the hub: an account may give its
    /// findings any id.
    fn used(&self, finding: AwsSecurityFinding) -> Option<KeyUse> {
        let importer = finding.aws_account_id.as_deref()?;
        let fields = finding.product_fields.clone().unwrap_or_default().into_iter().collect();
        let used = KeyUse::of_finding(finding.id.as_deref()?, &fields)?;
        let owner = used.user.bucket.account().as_str();
        (importer == owner || importer == self.place.account.as_str()).then_some(used)
    }

    /// The filters of what was imported here.
    fn own(&self) -> AwsSecurityFindingFiltersBuilder {
        AwsSecurityFindingFilters::builder()
            .product_arn(equal(&self.product_arn()))
            .aws_account_id(equal(self.place.account.as_str()))
    }

    /// Every finding that the filters let through, read page by page: as the SDK holds one, it takes tens of kilobytes.
    async fn select<T>(
        &self,
        filters: AwsSecurityFindingFilters,
        read: impl Fn(AwsSecurityFinding) -> Result<Option<T>, PublishError>,
    ) -> Result<Vec<T>, PublishError> {
        let (mut all, mut next) = (Vec::new(), None);
        loop {
            let (found, more) = self.page(&filters, next).await?;
            for finding in found {
                all.extend(read(finding)?);
            }
            next = more;
            if next.is_none() {
                return Ok(all);
            }
        }
    }

    async fn page(
        &self,
        filters: &AwsSecurityFindingFilters,
        next: Option<String>,
    ) -> Result<(Vec<AwsSecurityFinding>, Option<String>), PublishError> {
        self.pace.get_findings.until_ready().await;
        let request = self.client.get_findings().filters(filters.clone()).max_results(100).set_next_token(next);
        let page = request.send().await.map_err(|error| self.failed("securityhub:GetFindings", error))?;
        Ok((page.findings.unwrap_or_default(), page.next_token.filter(|token| !token.is_empty())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{bucket, finding};
    use aws_sdk_securityhub::{
        Client,
        operation::get_findings::{GetFindingsInput, GetFindingsOutput},
    };
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};

    fn hub(rules: &[&Rule]) -> SecurityHub {
        SecurityHub::with_client(mock_client!(aws_sdk_securityhub, RuleMode::Sequential, rules), &bucket().place())
    }

    /// Findings of others by their account, about a key or an alias of theirs.
    fn answered(matches: fn(&GetFindingsInput) -> bool, importers: &'static [&'static str]) -> Rule {
        mock!(Client::get_findings).match_requests(matches).then_output(move || {
            let found = importers.iter().map(|importer| {
                let id = "cmkwatch/aws/222222222222/eu-west-1/acme/key-usable";
                AwsSecurityFinding::builder().id(id).aws_account_id(*importer).build()
            });
            GetFindingsOutput::builder().set_findings(Some(found.collect())).build()
        })
    }

    #[tokio::test]
    async fn the_users_of_a_key_are_told_by_its_arn_and_those_of_an_alias_by_a_field() {
        let key: KeySubject = "arn:aws:kms:eu-west-1:222222222222:key/1".parse().unwrap();
        let alias: KeySubject = "arn:aws:kms:eu-west-1:222222222222:alias/acme".parse().unwrap();
        let by_key = answered(
            |request| {
                let filters = request.filters().unwrap();
                filters.resource_id()[0].value() == Some("arn:aws:kms:eu-west-1:222222222222:key/1")
            },
            &["222222222222"],
        );
        let by_alias = answered(
            |request| {
                let named = &request.filters().unwrap().product_fields()[0];
                (named.key(), named.value())
                    == (Some("cmkwatch/key-alias"), Some("arn:aws:kms:eu-west-1:222222222222:alias/acme"))
            },
            &["222222222222", "222222222222"],
        );
        let hub = hub(&[&by_key, &by_alias]);
        for subject in [key, alias] {
            let users = hub.page_of_users(&subject, None).await.unwrap();
            assert_eq!((users.uses.len(), users.next), (1, None));
            assert_eq!(users.uses[0].user.bucket.to_string(), "222222222222/eu-west-1/acme");
        }
    }

    /// The hub itself is account 111111111111 here.
    #[tokio::test]
    async fn what_a_third_account_says_of_a_bucket_does_not_count() {
        let key: KeyArn = "arn:aws:kms:eu-west-1:222222222222:key/1".parse().unwrap();
        let cases: [(&'static [&'static str], usize); 3] =
            [(&["333333333333"], 0), (&["111111111111"], 1), (&["222222222222"], 1)];
        for (importers, expected) in cases {
            let hub = hub(&[&answered(|_| true, importers), &answered(|_| true, importers)]);
            assert_eq!(hub.users_of_another_class(&key, "public").await.unwrap().len(), expected, "{importers:?}");
            assert_eq!(hub.dependents_of(&key).await.unwrap().len(), expected, "{importers:?}");
        }
    }

    #[tokio::test]
    async fn of_many_one_that_is_not_as_we_wrote_it_is_left_out() {
        let mixed = || {
            let strange = AwsSecurityFinding::builder().id("cmkwatch/x").build();
            GetFindingsOutput::builder().findings(strange).findings(asff::to_asff(&finding(0))).build()
        };
        let found = hub(&[&mock!(Client::get_findings).then_output(mixed)]);
        let ids = Ids { begin_with: vec!["cmkwatch/".into()], but_not: Some("cmkwatch/b".into()) };
        assert_eq!(found.standing_of_many(&ids).await.unwrap(), [finding(0)]);
    }

    #[tokio::test]
    async fn regions_that_are_known_are_left_out() {
        let rule = answered(
            |request| {
                let regions = request.filters().unwrap().region();
                regions.len() == 1 && regions[0].comparison() == Some(&StringFilterComparison::NotEquals)
            },
            &["222222222222"],
        );
        let known = BTreeSet::from(["us-east-1".parse::<Region>().unwrap()]);
        let found = hub(&[&rule]).other_regions(&"222222222222".parse().unwrap(), &known).await.unwrap();
        assert_eq!(found, BTreeSet::from(["eu-west-1".parse().unwrap()]));
    }

    #[tokio::test]
    async fn what_is_held_for_another_tells_what_it_is_about() {
        let rule = answered(
            |request| request.filters().unwrap().product_fields()[0].value() == Some("222222222222"),
            &["111111111111"],
        );
        let held = hub(&[&rule]).held_for(&"222222222222".parse().unwrap()).await.unwrap();
        assert_eq!((held.len(), held[0].passed, held[0].about.bucket().is_some()), (1, false, true));
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
                    && value(filters.product_arn()) == asff::product_arn(&bucket().place())
                    && value(filters.aws_account_id()) == "111111111111"
            })
            .then_output(move || page(0, Some("more")));
        let second = mock!(Client::get_findings)
            .match_requests(|request| request.next_token() == Some("more"))
            .then_output(move || page(1, None));
        assert_eq!(
            hub(&[&first, &second]).standing_under(&Ids::under(About::Bucket(bucket()).id_prefix())).await.unwrap(),
            [finding(0), finding(1)]
        );
    }

    #[tokio::test]
    async fn a_finding_that_is_not_as_we_wrote_it_is_an_error() {
        let strange = || {
            let finding = AwsSecurityFinding::builder().id("cmkwatch/x").build();
            GetFindingsOutput::builder().findings(finding).build()
        };
        let error = hub(&[&mock!(Client::get_findings).then_output(strange)])
            .standing_under(&Ids::under(About::Bucket(bucket()).id_prefix()))
            .await
            .unwrap_err();
        assert!(matches!(&error, PublishError::NotOurs { id, .. } if id == "cmkwatch/x"), "{error}");
    }
}
