//! Lists the accounts of the organization, and reads the membership of one.

mod error;

pub use error::OrganizationError;

use aws_config::SdkConfig;
use aws_sdk_organizations::{Client, error::ProvideErrorMetadata as _, types::Account};
use facts::AccountId;

/// Returns every account of the organization that is ACTIVE or has no state, with
/// [ListAccounts](https://docs.aws.amazon.com/organizations/latest/APIReference/API_ListAccounts.html).
/// `own` must belong to the management account or, better, to a delegated administrator. 1 call for
/// each 20 accounts.
///
/// # Errors
/// Returns an error if a call fails or is refused, or if an account has no valid id.
pub async fn active_accounts(own: &SdkConfig) -> Result<Vec<AccountId>, OrganizationError> {
    list(&client(own)).await
}

/// The relation of an account to the organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// The account belongs to the organization, and is neither closed nor being closed.
    Member,
    /// The account belongs to the organization, and is closed or being closed. The text is its
    /// [state](https://docs.aws.amazon.com/organizations/latest/APIReference/API_Account.html).
    Closed(String),
    /// The account does not belong to the organization.
    Stranger,
}

/// The states of an account that is closed or being closed. A state that this version does not know
/// is not among them, so that nothing is archived because of it.
const CLOSED: [&str; 3] = ["SUSPENDED", "PENDING_CLOSURE", "CLOSED"];

/// Reads the relation of an account to the organization with
/// [DescribeAccount](https://docs.aws.amazon.com/organizations/latest/APIReference/API_DescribeAccount.html).
/// `own` as in [`active_accounts`]. 1 call.
///
/// # Errors
/// Returns an error if the call fails or is refused.
pub async fn membership(
    own: &SdkConfig,
    account: &AccountId,
) -> Result<Membership, OrganizationError> {
    describe(&client(own), account).await
}

async fn describe(
    organizations: &Client,
    account: &AccountId,
) -> Result<Membership, OrganizationError> {
    match organizations.describe_account().account_id(account.as_str()).send().await {
        Ok(answer) => Ok(match answer.account.as_ref().and_then(state) {
            Some(state) if CLOSED.contains(&state) => Membership::Closed(state.to_owned()),
            _ => Membership::Member,
        }),
        Err(error) if error.code() == Some("AccountNotFoundException") => Ok(Membership::Stranger),
        Err(error) => {
            let subject = format!("account {account}");
            Err(OrganizationError::of("organizations:DescribeAccount", subject, error))
        }
    }
}

fn client(own: &SdkConfig) -> Client {
    let config = aws_sdk_organizations::config::Builder::from(own)
        .retry_config(calls::patient_retries())
        .timeout_config(calls::patient_timeouts(own.timeout_config()))
        .interceptor(calls::Counter);
    Client::from_conf(config.build())
}

async fn list(organizations: &Client) -> Result<Vec<AccountId>, OrganizationError> {
    // The paginator goes on after an empty page, because such a page may name a next one.
    let mut pages = organizations.list_accounts().into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| {
            let subject = "the organization".to_owned();
            OrganizationError::of("organizations:ListAccounts", subject, error)
        })?;
        for account in page.accounts.unwrap_or_default().into_iter().filter(is_active) {
            let id = account.id.and_then(|id| id.parse().ok());
            found.push(id.ok_or(OrganizationError::NoId)?);
        }
    }
    Ok(found)
}

/// Returns true if an account is ACTIVE, or if it has no state.
fn is_active(account: &Account) -> bool {
    state(account).is_none_or(|state| state == "ACTIVE")
}

/// Returns the state of an account. `State` replaces `Status`, which Organizations no longer
/// returns since September 2026.
fn state(account: &Account) -> Option<&str> {
    #[allow(deprecated, reason = "an endpoint that is not up to date gives no State")]
    let status = account.status.as_ref().map(|status| status.as_str());
    account.state.as_ref().map(|state| state.as_str()).or(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_organizations::config::http::HttpResponse;
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
    use aws_smithy_types::body::SdkBody;

    fn answer(status: u16, body: &str) -> HttpResponse {
        HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body))
    }

    fn refusal(code: &str) -> HttpResponse {
        answer(400, &format!(r#"{{"__type":"{code}"}}"#))
    }

    async fn listed(rules: &[&Rule]) -> Result<Vec<String>, OrganizationError> {
        let client = mock_client!(aws_sdk_organizations, RuleMode::Sequential, rules);
        list(&client).await.map(|found| found.iter().map(ToString::to_string).collect())
    }

    fn with(response: fn() -> HttpResponse) -> Rule {
        mock!(Client::list_accounts).then_http_response(response)
    }

    #[tokio::test]
    async fn active_accounts_are_taken_from_every_page_by_state_or_status() {
        let empty = with(|| answer(200, r#"{"Accounts":[],"NextToken":"1"}"#));
        let first = with(|| answer(200, include_str!("../tests/answers/accounts.json")));
        let last = with(|| answer(200, r#"{"Accounts":[{"Id":"555555555555"}]}"#));
        let found = listed(&[&empty, &first, &last]).await.unwrap();
        assert_eq!(found, ["111111111111", "333333333333", "555555555555"]);
    }

    #[tokio::test]
    async fn an_account_is_a_member_closed_or_a_stranger() {
        let account = "111111111111".parse().unwrap();
        let asked = async |response: fn() -> HttpResponse| {
            let rule = mock!(Client::describe_account).then_http_response(response);
            describe(&mock_client!(aws_sdk_organizations, RuleMode::MatchAny, [&rule]), &account)
                .await
        };
        for response in [
            || answer(200, r#"{"Account":{"Id":"111111111111"}}"#),
            || answer(200, r#"{"Account":{"Id":"111111111111","State":"ACTIVE"}}"#),
            || answer(200, r#"{"Account":{"Id":"111111111111","State":"PENDING_ACTIVATION"}}"#),
            || answer(200, r#"{"Account":{"Id":"111111111111","State":"RESTING"}}"#),
        ] {
            assert_eq!(asked(response).await.unwrap(), Membership::Member);
        }
        let closed =
            asked(|| answer(200, r#"{"Account":{"Id":"111111111111","State":"SUSPENDED"}}"#))
                .await
                .unwrap();
        assert_eq!(closed, Membership::Closed("SUSPENDED".to_owned()));
        let stranger = asked(|| refusal("AccountNotFoundException")).await.unwrap();
        assert_eq!(stranger, Membership::Stranger);
        assert!(asked(|| refusal("AccessDeniedException")).await.is_err());
    }

    #[tokio::test]
    async fn a_refused_or_throttled_list_is_an_error() {
        let refused = listed(&[&with(|| refusal("AccessDeniedException"))]).await.unwrap_err();
        assert!(matches!(&refused, OrganizationError::Refused(_)), "{refused}");
        let throttled = listed(&[&with(|| refusal("TooManyRequestsException"))]).await.unwrap_err();
        assert!(matches!(&throttled, OrganizationError::Call { .. }), "{throttled}");
    }
}
