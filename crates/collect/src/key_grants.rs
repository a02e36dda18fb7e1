//! Reads the grants of a key.

use crate::{CollectError, error::Question};
use aws_sdk_kms::{
    Client,
    types::{GrantConstraints as ListedConstraints, GrantListEntry},
};
use facts::{Fact, GrantCollector, GrantConstraints, KeyArn, KeyGrant, KeyGrants};

/// The most entries of a page of
/// [ListGrants](https://docs.aws.amazon.com/kms/latest/APIReference/API_ListGrants.html).
const PAGE: i32 = 100;

/// The most pages that are read, so that a key with more grants does not hold up its buckets.
const MOST_PAGES: usize = 100;

/// Reads the grants of a key. 1 call for each 100 grants: services can make thousands. Up to 10,000
/// grants are read. A grant without a grantee or an id makes the answer incomplete.
pub(crate) async fn of_key(kms: &Client, key: &KeyArn) -> Result<Fact<KeyGrants>, CollectError> {
    let question = Question { permission: "kms:ListGrants", subject: format!("key {key}") };
    let mut pages = kms.list_grants().key_id(key.as_str()).limit(PAGE).into_paginator().send();
    let mut grants = GrantCollector::of(key.account().clone());
    for _ in 0..MOST_PAGES {
        let page = match pages.next().await {
            Some(Ok(page)) => page,
            Some(Err(error)) => return question.classify(error),
            None => return Ok(Fact::Known(grants.finish())),
        };
        for entry in page.grants.ok_or_else(|| question.clone().incomplete("the grants"))? {
            if let GrantListEntry { grantee_service_principal: Some(service), .. } = entry {
                grants.add_service(service);
                continue;
            }
            let created = entry.creation_date.map_or(i64::MAX, |date| date.secs());
            let grant = read(entry).ok_or_else(|| question.clone().incomplete("a grantee"))?;
            grants.add(grant, created);
        }
    }
    if pages.next().await.is_some() {
        grants.leave_rest();
    }
    Ok(Fact::Known(grants.finish()))
}

fn read(entry: GrantListEntry) -> Option<KeyGrant> {
    let operations = entry.operations.unwrap_or_default();
    Some(KeyGrant {
        id: entry.grant_id?,
        grantee: entry.grantee_principal?,
        by_service: false,
        operations: operations.iter().map(|operation| operation.as_str().to_owned()).collect(),
        constraints: entry.constraints.map(constraints).unwrap_or_default(),
    })
}

/// Returns the constraints. A context that must be equal contains at least the same pairs.
fn constraints(listed: ListedConstraints) -> GrantConstraints {
    let parts = [listed.encryption_context_subset, listed.encryption_context_equals];
    GrantConstraints {
        encryption_context: parts.into_iter().flatten().flatten().collect(),
        source_arn: listed.source_arn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{answer, kms_error};
    use aws_sdk_kms::config::http::HttpResponse;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    const KEY: &str = "arn:aws:kms:us-east-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    async fn read(
        first: fn() -> HttpResponse,
        second: fn() -> HttpResponse,
    ) -> Result<Fact<KeyGrants>, CollectError> {
        let first = mock!(Client::list_grants)
            .match_requests(|request| request.limit() == Some(100) && request.marker().is_none())
            .then_http_response(first);
        let second = mock!(Client::list_grants)
            .match_requests(|request| request.marker() == Some("next"))
            .then_http_response(second);
        let kms = mock_client!(aws_sdk_kms, RuleMode::MatchAny, [&first, &second]);
        of_key(&kms, &KEY.parse().unwrap()).await
    }

    fn unasked() -> HttpResponse {
        panic!("there is no second page")
    }

    #[tokio::test]
    async fn grants_of_all_pages_are_read_with_their_constraints() {
        let grants = read(
            || answer(200, include_str!("../tests/answers/grants-1.json")),
            || answer(200, include_str!("../tests/answers/grants-2.json")),
        );
        let Fact::Known(KeyGrants { services, others, more }) = grants.await.unwrap() else {
            panic!()
        };
        let services: Vec<_> = services.iter().map(String::as_str).collect();
        assert_eq!(
            services,
            ["ec2-infrastructure", "rds.us-east-1.amazonaws.com", "s3.amazonaws.com"]
        );
        assert!(!more);
        let [one] = &others[..] else { panic!("{others:?}") };
        assert_eq!(one.grantee, "arn:aws:iam::111111111111:role/app");
        assert_eq!(
            one.operations.iter().collect::<Vec<_>>(),
            ["Decrypt", "GenerateDataKey", "Unheard"]
        );
        let context: Vec<_> = one.constraints.encryption_context.iter().collect();
        assert_eq!(context, [(&"Department".to_owned(), &"IT".to_owned())]);
        assert_eq!(one.constraints.source_arn.as_deref(), Some("arn:aws:s3:::acme"));
    }

    #[tokio::test]
    async fn refused_failed_and_incomplete_answers_are_distinguished() {
        let refused = read(|| kms_error(400, "AccessDeniedException"), unasked).await.unwrap();
        assert_eq!(
            refused.known().unwrap_err().to_string(),
            format!("`kms:ListGrants` on key {KEY}: AccessDeniedException")
        );
        assert!(read(|| kms_error(400, "ThrottlingException"), unasked).await.is_err());
        let nobody = read(|| answer(200, r#"{"Grants": [{"GrantId": "1"}]}"#), unasked).await;
        assert!(matches!(nobody, Err(CollectError::Incomplete { .. })));
        assert!(read(|| answer(200, "{}"), unasked).await.is_err());
        let none = read(|| answer(200, r#"{"Grants": []}"#), unasked).await.unwrap();
        assert_eq!(none, Fact::Known(KeyGrants::default()));
    }
}
