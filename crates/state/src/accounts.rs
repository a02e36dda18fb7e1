//! The rows about accounts as a whole and about the organization: regions, audits and departures.

use crate::{
    State, StateError,
    row::KEPT_WHEN_GONE,
    table::{Attributes, key},
};
use aws_sdk_dynamodb::types::AttributeValue;
use facts::{AccountId, Place, Region};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// The sort key of the row that holds the time of an account's last audit.
const AUDITED: &str = "audited";

/// The state of an account as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountState {
    /// The regions in which the account has or had buckets.
    pub regions: BTreeSet<Region>,
    /// The time at which a sweep last compared all that Security Hub holds for the account with the
    /// state.
    ///
    /// The first such sweep adopted what Security Hub held. `None` if there was none yet.
    pub audited_at: Option<Timestamp>,
}

/// The progress of retiring an account that left the organization or was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// The findings of the account are being archived.
    Begun,
    /// The findings are archived, and the state of the account is removed.
    Retired,
}

impl State {
    /// Records that an account has or had buckets in a region. 1 call.
    ///
    /// # Errors
    /// Returns an error if the call fails.
    pub async fn note_region(&self, place: &Place) -> Result<(), StateError> {
        let request = self.client.put_item().table_name(&self.table);
        let request = request
            .item("place", AttributeValue::S(partition_of_account(&place.account, &place.region)))
            .item("item", AttributeValue::S(format!("region/{}", place.region)));
        request.send().await.map(drop).map_err(|error| self.failed("dynamodb:PutItem", error))
    }

    /// Records that a sweep has adopted all that Security Hub holds for an account, or compared it
    /// with the state.
    ///
    /// `home` is a region of the same partition. 1 call.
    ///
    /// # Errors
    /// Returns an error if the call fails.
    pub async fn note_audited(
        &self,
        account: &AccountId,
        home: &Region,
        at: Timestamp,
    ) -> Result<(), StateError> {
        let request = self.client.put_item().table_name(&self.table);
        let request = request
            .item("place", AttributeValue::S(partition_of_account(account, home)))
            .item("item", AttributeValue::S(AUDITED.to_owned()))
            .item("audited_at", AttributeValue::S(at.to_string()));
        request.send().await.map(drop).map_err(|error| self.failed("dynamodb:PutItem", error))
    }

    /// Returns the state of an account as a whole. `home` is a region of the same partition. 1
    /// call.
    ///
    /// # Errors
    /// Returns an error if the call fails.
    pub async fn account(
        &self,
        account: &AccountId,
        home: &Region,
    ) -> Result<AccountState, StateError> {
        // The regions of an account always fit on one page.
        let query = self.client.query().table_name(&self.table).consistent_read(true);
        let query = query
            .key_condition_expression("#place = :place")
            .expression_attribute_names("#place", "place")
            .expression_attribute_values(
                ":place",
                AttributeValue::S(partition_of_account(account, home)),
            );
        let page = query.send().await.map_err(|error| self.failed("dynamodb:Query", error))?;
        let rows = page.items.unwrap_or_default();
        let text = |row: &Attributes, name: &str| {
            row.get(name).and_then(|value| value.as_s().ok().cloned())
        };
        let mut account = AccountState::default();
        for row in &rows {
            let Some(name) = text(row, "item") else { continue };
            account
                .regions
                .extend(name.strip_prefix("region/").and_then(|region| region.parse().ok()));
            if name == AUDITED {
                account.audited_at = text(row, "audited_at").and_then(|moment| moment.parse().ok());
            }
        }
        Ok(account)
    }

    /// Removes the state of an account as a whole. `home` is a region of the same partition. 1 call
    /// for each region, and 1 more.
    ///
    /// # Errors
    /// Returns an error if a call fails.
    pub async fn remove_account(
        &self,
        account: &AccountId,
        home: &Region,
        regions: &BTreeSet<Region>,
    ) -> Result<(), StateError> {
        // A run that is repeated needs the regions to begin with, so they are removed last.
        let regions = regions.iter().map(|region| format!("region/{region}"));
        for item in std::iter::once(AUDITED.to_owned()).chain(regions) {
            self.delete(key(partition_of_account(account, home), item)).await?;
        }
        Ok(())
    }

    /// Records that an account left.
    ///
    /// The record is kept for 35 days: longer than any message about the account can be on its way.
    /// `hub` is the account that cmkwatch runs in. 1 call.
    ///
    /// # Errors
    /// Returns an error if the call fails.
    pub async fn note_departure(
        &self,
        hub: &AccountId,
        account: &AccountId,
        departure: Departure,
        at: Timestamp,
    ) -> Result<(), StateError> {
        let expires_at = at.checked_add(KEPT_WHEN_GONE).unwrap_or(Timestamp::MAX).as_second();
        let request = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(key_of_departure(hub, account)));
        let request = request
            .item("expires_at", AttributeValue::N(expires_at.to_string()))
            .item("retired", AttributeValue::Bool(departure == Departure::Retired));
        request.send().await.map(drop).map_err(|error| self.failed("dynamodb:PutItem", error))
    }

    /// Removes the record that an account left, because the account is watched again. 1 call.
    ///
    /// # Errors
    /// Returns an error if the call fails.
    pub async fn forget_departure(
        &self,
        hub: &AccountId,
        account: &AccountId,
    ) -> Result<(), StateError> {
        self.delete(key_of_departure(hub, account)).await
    }

    /// Returns how far an account that left is retired, or `None` if the account is watched. 1
    /// call.
    ///
    /// # Errors
    /// Returns an error if the call fails.
    pub async fn departure(
        &self,
        hub: &AccountId,
        account: &AccountId,
    ) -> Result<Option<Departure>, StateError> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let answer = request.set_key(Some(key_of_departure(hub, account))).send().await;
        let row = answer.map_err(|error| self.failed("dynamodb:GetItem", error))?.item;
        let is_retired = |row: Attributes| {
            row.get("retired").and_then(|retired| retired.as_bool().ok().copied())
        };
        let departure =
            |row| if is_retired(row) == Some(true) { Departure::Retired } else { Departure::Begun };
        Ok(row.map(departure))
    }

    /// Returns the active accounts of the organization as they were last recorded, or `None` if
    /// they never were.
    ///
    /// `hub` is the account that cmkwatch runs in. 1 call.
    ///
    /// # Errors
    /// Returns an error if the call fails.
    pub async fn noted_accounts(
        &self,
        hub: &AccountId,
    ) -> Result<Option<BTreeSet<AccountId>>, StateError> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let answer = request.set_key(Some(key_of_organization(hub))).send().await;
        let row = answer.map_err(|error| self.failed("dynamodb:GetItem", error))?.item;
        let accounts = row.as_ref().and_then(|row| row.get("accounts")?.as_ss().ok());
        Ok(accounts
            .map(|accounts| accounts.iter().filter_map(|account| account.parse().ok()).collect()))
    }

    /// Records the active accounts of the organization, unless there are none. 1 call.
    ///
    /// Up to about 25,000 accounts fit: a row has at most [400
    /// KB](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html).
    ///
    /// # Errors
    /// Returns an error if the call fails.
    pub async fn note_accounts(
        &self,
        hub: &AccountId,
        accounts: &BTreeSet<AccountId>,
    ) -> Result<(), StateError> {
        // A set in DynamoDB cannot be empty.
        if accounts.is_empty() {
            return Ok(());
        }
        let accounts = accounts.iter().map(ToString::to_string).collect();
        let request =
            self.client.put_item().table_name(&self.table).set_item(Some(key_of_organization(hub)));
        let request = request.item("accounts", AttributeValue::Ss(accounts));
        request.send().await.map(drop).map_err(|error| self.failed("dynamodb:PutItem", error))
    }
}

fn partition_of_account(account: &AccountId, region: &Region) -> String {
    format!("{}/{account}", region.partition())
}

fn key_of_organization(hub: &AccountId) -> Attributes {
    key(format!("organization/{hub}"), "accounts".to_owned())
}

fn key_of_departure(hub: &AccountId, account: &AccountId) -> Attributes {
    key(format!("organization/{hub}"), format!("departed/{account}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::{bucket, state};
    use aws_sdk_dynamodb::{
        Client,
        operation::{
            delete_item::DeleteItemOutput, get_item::GetItemOutput, put_item::PutItemOutput,
            query::QueryOutput,
        },
    };
    use aws_smithy_mocks::mock;
    use findings::About;

    #[tokio::test]
    async fn the_accounts_of_the_organization_are_one_row() {
        let hub: AccountId = "999999999999".parse().unwrap();
        let accounts: BTreeSet<AccountId> =
            ["111111111111", "222222222222"].map(|id| id.parse().unwrap()).into();
        let written = mock!(Client::put_item)
            .match_requests(|request| {
                let row = request.item().unwrap();
                row["place"] == AttributeValue::S("organization/999999999999".into())
                    && row["accounts"].as_ss().unwrap().len() == 2
            })
            .then_output(|| PutItemOutput::builder().build());
        let set = AttributeValue::Ss(vec!["222222222222".into(), "111111111111".into()]);
        let read = mock!(Client::get_item)
            .then_output(move || GetItemOutput::builder().item("accounts", set.clone()).build());
        let none = mock!(Client::get_item).then_output(|| GetItemOutput::builder().build());
        let state = state(&[&written, &read, &none]);
        state.note_accounts(&hub, &BTreeSet::new()).await.unwrap();
        state.note_accounts(&hub, &accounts).await.unwrap();
        assert_eq!(state.noted_accounts(&hub).await.unwrap(), Some(accounts));
        assert_eq!(state.noted_accounts(&hub).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_departure_is_begun_or_retired_and_expires() {
        let [hub, account]: [AccountId; 2] =
            ["999999999999", "111111111111"].map(|id| id.parse().unwrap());
        let written = mock!(Client::put_item)
            .match_requests(|request| {
                let row = request.item().unwrap();
                row["item"] == AttributeValue::S("departed/111111111111".into())
                    && row["retired"] == AttributeValue::Bool(false)
                    && row["expires_at"] == AttributeValue::N("3024000".into())
            })
            .then_output(|| PutItemOutput::builder().build());
        let read = |retired: Option<bool>| {
            mock!(Client::get_item).then_output(move || {
                let row = retired
                    .map(|retired| [("retired".to_owned(), AttributeValue::Bool(retired))].into());
                GetItemOutput::builder().set_item(row).build()
            })
        };
        let rules = [written, read(Some(false)), read(Some(true)), read(None)];
        let state = state(&rules.iter().collect::<Vec<_>>());
        state
            .note_departure(&hub, &account, Departure::Begun, Timestamp::UNIX_EPOCH)
            .await
            .unwrap();
        for expected in [Some(Departure::Begun), Some(Departure::Retired), None] {
            assert_eq!(state.departure(&hub, &account).await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn an_account_is_removed_with_its_regions_last() {
        let removed = |item: &'static str| {
            mock!(Client::delete_item)
                .match_requests(move |request| {
                    request.key().unwrap()["item"] == AttributeValue::S(item.into())
                })
                .then_output(|| DeleteItemOutput::builder().build())
        };
        let place = bucket("acme").place();
        let rules = [removed("audited"), removed("region/eu-west-1"), removed("bucket/acme")];
        let state = state(&rules.iter().collect::<Vec<_>>());
        state
            .remove_account(&place.account, &place.region, &[place.region.clone()].into())
            .await
            .unwrap();
        state.remove(&About::Bucket(bucket("acme"))).await.unwrap();
    }

    #[tokio::test]
    async fn each_region_of_an_account_has_its_own_row() {
        let text = |name: &str, value: &str| (name.to_owned(), AttributeValue::S(value.into()));
        let audited =
            Attributes::from([text("item", "audited"), text("audited_at", "2026-11-01T00:00:00Z")]);
        let rows = vec![audited, [text("item", "region/eu-west-1")].into()];
        let rule = mock!(Client::query)
            .match_requests(|request| {
                request.expression_attribute_values().unwrap()[":place"]
                    == AttributeValue::S("aws/123456789012".into())
            })
            .then_output(move || QueryOutput::builder().set_items(Some(rows.clone())).build());
        let place = bucket("acme").place();
        let account = state(&[&rule]).account(&place.account, &place.region).await.unwrap();
        let audited_at = Some("2026-11-01T00:00:00Z".parse().unwrap());
        assert_eq!(account, AccountState { regions: [place.region].into(), audited_at });
    }
}
