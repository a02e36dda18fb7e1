//! Reads the items of the table, and commits each over the version that was read.

use crate::{Row, StateError, row::Written};
use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client, config,
    operation::put_item::PutItemError,
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure},
};
use facts::{BucketId, BucketName, NameRange, Place};
use findings::{About, Item};
use std::collections::{BTreeMap, HashMap};

/// The attributes of a row.
pub(crate) type Attributes = HashMap<String, AttributeValue>;

/// The table that holds the state of an organization.
#[derive(Debug, Clone)]
pub struct State {
    pub(crate) client: Client,
    pub(crate) table: String,
}

impl State {
    /// Makes a client of the table.
    ///
    /// `own` is the configuration of the function itself, which may read and write the table in its
    /// own region.
    #[must_use]
    pub fn new(own: &SdkConfig, table: String) -> Self {
        let config = config::Builder::from(own).interceptor(calls::Counter).build();
        Self { client: Client::from_conf(config), table }
    }

    /// Reads the item of a bucket or of an account in a region, with a [consistent
    /// read](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.ReadConsistency.html).
    ///
    /// Returns `None` if there is no item. 1 call.
    ///
    /// # Errors
    /// Returns an error if the call fails.
    pub async fn read(&self, about: &About) -> Result<Option<Row>, StateError> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let answer = request.set_key(Some(key_of(about))).send().await;
        Ok(answer.map_err(|error| self.failed("dynamodb:GetItem", error))?.item.map(row))
    }

    /// Reads the items of the buckets of a place whose names are in a range. 1 call for each MB:
    /// some 300 buckets.
    ///
    /// # Errors
    /// Returns an error if a call fails.
    pub async fn buckets(
        &self,
        place: &Place,
        range: &NameRange,
    ) -> Result<BTreeMap<BucketName, Row>, StateError> {
        let (mut buckets, mut start) = (BTreeMap::new(), None);
        // "0" follows "/", so the range ends with the last bucket.
        let from = range
            .from
            .as_ref()
            .map_or_else(|| "bucket/".to_owned(), |name| format!("bucket/{name}"));
        let before = range
            .before
            .as_ref()
            .map_or_else(|| "bucket0".to_owned(), |name| format!("bucket/{name}"));
        loop {
            let query = self.client.query().table_name(&self.table).consistent_read(true);
            let query = query
                .key_condition_expression("#place = :place AND #item BETWEEN :from AND :before")
                .expression_attribute_names("#place", "place")
                .expression_attribute_names("#item", "item")
                .expression_attribute_values(":place", AttributeValue::S(partition(place)))
                .expression_attribute_values(":from", AttributeValue::S(from.clone()))
                .expression_attribute_values(":before", AttributeValue::S(before.clone()))
                .set_exclusive_start_key(start);
            let page = query.send().await.map_err(|error| self.failed("dynamodb:Query", error))?;
            for attributes in page.items.unwrap_or_default() {
                let name = attributes.get("item").and_then(|value| value.as_s().ok());
                let name = name.and_then(|item| item.strip_prefix("bucket/")?.parse().ok());
                // BETWEEN includes the end of the range.
                if let Some(name) = name.filter(|name| range.contains(name)) {
                    buckets.insert(name, row(attributes));
                }
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(buckets);
            }
        }
    }

    /// Writes an item if the table still holds the version `over`, which is 0 for no item.
    ///
    /// Returns false if another run has written meanwhile. 1 call.
    ///
    /// If the answer to the first attempt was lost, the item is written twice. It counts as
    /// written.
    ///
    /// # Errors
    /// Returns an error if the call fails.
    pub async fn commit(&self, about: &About, item: &Item, over: u64) -> Result<bool, StateError> {
        let mut attributes: Attributes = serde_dynamo::to_item(Written::of(item))?;
        attributes.extend(key_of(about));
        let request = self.client.put_item().table_name(&self.table).set_item(Some(attributes));
        let request = request
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .expression_attribute_names("#version", "version");
        let request = match over {
            // An attribute of another type is damaged, and is no version.
            0 => request
                .condition_expression(
                    "attribute_not_exists(#version) OR NOT attribute_type(#version, :number)",
                )
                .expression_attribute_values(":number", AttributeValue::S("N".to_owned())),
            over => request
                .condition_expression("#version = :over")
                .expression_attribute_values(":over", AttributeValue::N(over.to_string())),
        };
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                    let found = failed.item().cloned().map(row);
                    Ok(found.is_some_and(|found| found == Row::Item(Box::new(item.clone()))))
                }
                _ => Err(self.failed("dynamodb:PutItem", error)),
            },
        }
    }

    /// Removes the item of a bucket or of an account in a region. 1 call.
    ///
    /// # Errors
    /// Returns an error if the call fails.
    pub async fn remove(&self, about: &About) -> Result<(), StateError> {
        self.delete(key_of(about)).await
    }

    pub(crate) async fn delete(&self, key: Attributes) -> Result<(), StateError> {
        let request = self.client.delete_item().table_name(&self.table).set_key(Some(key));
        request.send().await.map(drop).map_err(|error| self.failed("dynamodb:DeleteItem", error))
    }

    pub(crate) fn failed(
        &self,
        permission: &'static str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> StateError {
        StateError::Call { permission, table: self.table.clone(), source: Box::new(source) }
    }
}

fn row(attributes: Attributes) -> Row {
    let version = attributes
        .get("version")
        .and_then(|value| value.as_n().ok()?.parse().ok())
        .unwrap_or_default();
    let read = serde_dynamo::from_item::<_, Written>(attributes).map_err(|error| error.to_string());
    match read.and_then(Written::read) {
        Ok(item) => Row::Item(Box::new(item)),
        Err(why) => Row::Unreadable { version, why },
    }
}

fn partition(Place { account, region }: &Place) -> String {
    format!("{}/{account}/{region}", region.partition())
}

fn key_of(about: &About) -> Attributes {
    let item = match about {
        About::Bucket(bucket) => return key_of_bucket(bucket),
        About::Account(_) => "place".to_owned(),
    };
    key(partition(&about.place()), item)
}

pub(crate) fn key_of_bucket(bucket: &BucketId) -> Attributes {
    key(partition(&bucket.place()), format!("bucket/{}", bucket.name()))
}

pub(crate) fn key(place: String, item: String) -> Attributes {
    [("place".to_owned(), AttributeValue::S(place)), ("item".to_owned(), AttributeValue::S(item))]
        .into()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::row;
    use aws_sdk_dynamodb::{
        operation::{get_item::GetItemOutput, put_item::PutItemOutput, query::QueryOutput},
        types::error::ConditionalCheckFailedException,
    };
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
    use facts::KeySubject;
    use proptest::{strategy::Strategy, strategy::ValueTree, test_runner::TestRunner};

    pub(crate) fn state(rules: &[&Rule]) -> State {
        State {
            client: mock_client!(aws_sdk_dynamodb, RuleMode::Sequential, rules),
            table: "cmkwatch-state".into(),
        }
    }

    pub(crate) fn bucket(name: &str) -> BucketId {
        let (account, region) = ("123456789012".parse().unwrap(), "eu-west-1".parse().unwrap());
        BucketId::new(account, region, name.parse().unwrap()).unwrap()
    }

    fn item() -> Item {
        row::tests::item().new_tree(&mut TestRunner::deterministic()).unwrap().current()
    }

    fn attributes(name: &str, item: &Item) -> Attributes {
        let mut attributes: Attributes = serde_dynamo::to_item(Written::of(item)).unwrap();
        attributes.extend(key_of_bucket(&bucket(name)));
        attributes
    }

    #[tokio::test]
    async fn an_item_is_read_consistently_by_its_keys() {
        let known = item();
        let answer = attributes("acme", &known);
        let rule = mock!(Client::get_item)
            .match_requests(|request| {
                let key = request.key().unwrap();
                let text = |name: &str| key[name].as_s().unwrap().as_str();
                request.consistent_read() == Some(true)
                    && (text("place"), text("item"))
                        == ("aws/123456789012/eu-west-1", "bucket/acme")
            })
            .then_output(move || GetItemOutput::builder().set_item(Some(answer.clone())).build());
        let read = state(&[&rule]).read(&About::Bucket(bucket("acme"))).await.unwrap();
        assert_eq!(read, Some(Row::Item(Box::new(known))));
        let none = mock!(Client::get_item).then_output(|| GetItemOutput::builder().build());
        assert_eq!(
            state(&[&none]).read(&About::Account(bucket("acme").place())).await.unwrap(),
            None
        );
    }

    #[tokio::test]
    async fn an_unreadable_row_keeps_its_version() {
        let damage = |change: fn(&mut Attributes)| {
            let mut damaged = attributes("acme", &Item { version: 7, ..Item::unknown() });
            change(&mut damaged);
            row(damaged)
        };
        for (damaged, expected) in [
            (damage(|row| drop(row.insert("schema".into(), AttributeValue::N("2".into())))), 7),
            (damage(|row| drop(row.remove("read_at"))), 7),
            (damage(|row| drop(row.insert("controls".into(), AttributeValue::S("x".into())))), 7),
            (damage(|row| drop(row.insert("version".into(), AttributeValue::S("x".into())))), 0),
        ] {
            assert!(
                matches!(damaged, Row::Unreadable { version, .. } if version == expected),
                "{damaged:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_commit_requires_the_version_that_was_read() {
        let about = About::Bucket(bucket("acme"));
        let over = mock!(Client::put_item)
            .match_requests(|request| {
                let values = request.expression_attribute_values().unwrap();
                request.condition_expression() == Some("#version = :over")
                    && values[":over"] == AttributeValue::N("5".into())
            })
            .then_output(|| PutItemOutput::builder().build());
        let new = mock!(Client::put_item)
            .match_requests(|request| {
                request.condition_expression().unwrap().starts_with("attribute_not_exists")
            })
            .then_output(|| PutItemOutput::builder().build());
        let state = state(&[&over, &new]);
        assert!(state.commit(&about, &item(), 5).await.unwrap());
        assert!(state.commit(&about, &item(), 0).await.unwrap());
    }

    #[tokio::test]
    async fn a_late_commit_is_refused_and_a_repeated_commit_counts_as_written() {
        let about = About::Bucket(bucket("acme"));
        let refused = |found: Option<Attributes>| {
            mock!(Client::put_item).then_error(move || {
                let error =
                    ConditionalCheckFailedException::builder().set_item(found.clone()).build();
                PutItemError::ConditionalCheckFailedException(error)
            })
        };
        let mine = item();
        let other = Item { version: mine.version + 1, ..mine.clone() };
        for (found, expected) in [
            (Some(attributes("acme", &other)), false),
            (None, false),
            (Some(attributes("acme", &mine)), true),
        ] {
            assert_eq!(state(&[&refused(found)]).commit(&about, &mine, 5).await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn the_buckets_of_a_range_are_read_page_by_page() {
        let known = item();
        let page = |names: &'static [&'static str], next: Option<&'static str>, known: Item| {
            let rows = names.iter().map(|name| attributes(name, &known)).collect();
            let next = next.map(|name| key_of_bucket(&bucket(name)));
            QueryOutput::builder().set_items(Some(rows)).set_last_evaluated_key(next).build()
        };
        let (one, two) = (known.clone(), known.clone());
        let first = mock!(Client::query)
            .match_requests(|request| {
                let values = request.expression_attribute_values().unwrap();
                values[":from"] == AttributeValue::S("bucket/acme".into())
                    && values[":before"] == AttributeValue::S("bucket/bcme".into())
            })
            .then_output(move || page(&["acme"], Some("acme"), one.clone()));
        let second = mock!(Client::query)
            .match_requests(|request| request.exclusive_start_key().is_some())
            .then_output(move || page(&["admin", "bcme"], None, two.clone()));
        let range = NameRange {
            from: Some("acme".parse().unwrap()),
            before: Some("bcme".parse().unwrap()),
        };
        let found =
            state(&[&first, &second]).buckets(&bucket("acme").place(), &range).await.unwrap();
        assert_eq!(found.keys().map(BucketName::as_str).collect::<Vec<_>>(), ["acme", "admin"]);
    }

    #[tokio::test]
    async fn the_buckets_of_a_key_have_class_and_level() {
        let mut known = item();
        known.class_and_key.class = Some("secret".into());
        known.class_and_key.level = Some(controls::Level::Enforced);
        let answer = attributes("acme", &known);
        let rule = mock!(Client::query)
            .match_requests(|request| {
                request.index_name() == Some("by-alias") && request.consistent_read().is_none()
            })
            .then_output(move || QueryOutput::builder().items(answer.clone()).build());
        let alias: KeySubject = "arn:aws:kms:eu-west-1:123456789012:alias/acme".parse().unwrap();
        let found = state(&[&rule]).all_buckets_of(&alias).await.unwrap();
        let [found] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(found.user.bucket, bucket("acme"));
        assert_eq!(
            (found.user.class.as_deref(), found.level),
            (Some("secret"), Some(controls::Level::Enforced))
        );
    }
}
