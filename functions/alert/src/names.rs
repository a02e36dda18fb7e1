//! Reads the names of accounts that the events do not contain.
//!
//! Security Hub names the account that imported a finding. A finding in the hub's own Security Hub
//! is about another account, and people know that account by name rather than by number.

use aws_config::SdkConfig;
use aws_sdk_organizations::{Client, config};
use facts::AccountId;
use std::{cell::RefCell, collections::HashMap};

/// The most names that are looked up for one batch. The other accounts of a larger digest have no
/// name.
const MOST: usize = 20;

/// The names of accounts of the organization. A known name is not read again.
#[derive(Debug)]
pub struct Names {
    client: Client,
    known: RefCell<HashMap<AccountId, String>>,
}

impl Names {
    /// Creates a reader of names. `own` is the configuration of the function itself, in an account
    /// that may read the organization.
    #[must_use]
    pub fn new(own: &SdkConfig) -> Self {
        Self::from(Client::from_conf(
            config::Builder::from(own).interceptor(calls::Counter).build(),
        ))
    }

    fn from(client: Client) -> Self {
        Self { client, known: RefCell::default() }
    }

    /// Returns the names of accounts, by
    /// [DescribeAccount](https://docs.aws.amazon.com/organizations/latest/APIReference/API_DescribeAccount.html).
    /// 1 call for each name that is not known yet. A name that cannot be read is left out, because
    /// no alert should wait for it.
    pub async fn of(
        &self,
        accounts: impl IntoIterator<Item = AccountId>,
    ) -> HashMap<AccountId, String> {
        let mut names = HashMap::new();
        for account in accounts.into_iter().take(MOST) {
            let known = self.known.borrow().get(&account).cloned();
            let name = match known {
                None => self.ask(&account).await,
                known => known,
            };
            names.extend(name.map(|name| (account, name)));
        }
        names
    }

    async fn ask(&self, account: &AccountId) -> Option<String> {
        match self.client.describe_account().account_id(account.as_str()).send().await {
            Ok(alerted) => {
                let name = alerted.account?.name?;
                self.known.borrow_mut().insert(account.clone(), name.clone());
                Some(name)
            }
            Err(error) => {
                let error = calls::with_causes(&error);
                tracing::warn!(%account, error, "alert sent without the name of the account: organizations:DescribeAccount failed");
                None
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn for_test(client: Client) -> Self {
        Self::from(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_organizations::{
        operation::describe_account::{DescribeAccountError, DescribeAccountOutput},
        types::{Account, error::AccessDeniedException},
    };
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    #[tokio::test]
    async fn a_name_is_read_once_and_a_refused_name_is_left_out() {
        let named = || {
            DescribeAccountOutput::builder()
                .account(Account::builder().name("payments").build())
                .build()
        };
        let refused = || {
            DescribeAccountError::AccessDeniedException(AccessDeniedException::builder().build())
        };
        let rule = mock!(Client::describe_account)
            .sequence()
            .output(named)
            .times(1)
            .error(refused)
            .times(2)
            .build();
        let names =
            Names::for_test(mock_client!(aws_sdk_organizations, RuleMode::Sequential, [&rule]));
        let accounts =
            ["200000000002", "300000000003"].map(|account| account.parse::<AccountId>().unwrap());
        for _ in 0..2 {
            let found = names.of(accounts.clone()).await;
            assert_eq!(found, [(accounts[0].clone(), "payments".to_owned())].into());
        }
        assert_eq!(rule.num_calls(), 3);
    }
}
