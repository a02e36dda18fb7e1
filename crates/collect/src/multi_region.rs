//! Finds the keys that share id and material with a multi-Region key.

use crate::{Accounts, CollectError, error::Question};
use aws_sdk_kms::{
    Client,
    types::{MultiRegionConfiguration, MultiRegionKey},
};
use facts::{Fact, KeyArn, Place};

/// Returns the primary and the replicas of a key, without the key itself.
/// [DescribeKey](https://docs.aws.amazon.com/kms/latest/APIReference/API_MultiRegionConfiguration.html)
/// is called in the account and region of the key. The list is empty for a key of one region, and
/// for a key that does not exist. 1 call.
///
/// # Errors
/// Returns an error if the call fails without a refusal, or if the account of the key gives
/// cmkwatch no role.
pub async fn related_keys(
    accounts: &Accounts,
    key: &KeyArn,
) -> Result<Fact<Vec<KeyArn>>, CollectError> {
    let place = Place { account: key.account().clone(), region: key.region().clone() };
    ask(&accounts.clients(&place).await.kms, key).await
}

async fn ask(kms: &Client, key: &KeyArn) -> Result<Fact<Vec<KeyArn>>, CollectError> {
    let question = Question { permission: "kms:DescribeKey", subject: format!("key {key}") };
    let answer = match kms.describe_key().key_id(key.as_str()).send().await {
        Ok(answer) => answer,
        Err(error) if crate::error::code(&error) == Some("NotFoundException") => {
            return Ok(Fact::Known(Vec::new()));
        }
        Err(error) => return question.classify(error),
    };
    let configuration =
        answer.key_metadata.and_then(|metadata| metadata.multi_region_configuration);
    let others = others(configuration, key);
    others.map(Fact::Known).ok_or_else(|| question.incomplete("the ARN of a related key"))
}

/// Returns the primary and the replicas that a key's metadata lists, without the key itself. `None`
/// if one of them has no ARN: a key that is left out would not be judged.
pub(crate) fn others(
    configuration: Option<MultiRegionConfiguration>,
    key: &KeyArn,
) -> Option<Vec<KeyArn>> {
    let all = configuration.into_iter().flat_map(|configuration| {
        let replicas = configuration.replica_keys.unwrap_or_default();
        configuration.primary_key.into_iter().chain(replicas)
    });
    let arn = |key: MultiRegionKey| key.arn?.parse().ok();
    let mut others = all.map(arn).collect::<Option<Vec<KeyArn>>>()?;
    others.retain(|related| related != key);
    others.sort_unstable();
    Some(others)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{answer, kms_error};
    use aws_sdk_kms::config::http::HttpResponse;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    async fn related(response: fn() -> HttpResponse) -> Result<Fact<Vec<KeyArn>>, CollectError> {
        let key = "arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab"
            .parse()
            .unwrap();
        let rule = mock!(Client::describe_key).then_http_response(response);
        ask(&mock_client!(aws_sdk_kms, RuleMode::MatchAny, [&rule]), &key).await
    }

    #[tokio::test]
    async fn related_keys_leave_out_the_key_itself() {
        let Fact::Known(keys) =
            related(|| answer(200, include_str!("../tests/answers/key-multi-region.json")))
                .await
                .unwrap()
        else {
            panic!()
        };
        let regions: Vec<_> = keys.iter().map(|key| key.region().as_str()).collect();
        assert_eq!(regions, ["ap-southeast-2", "eu-west-1"]);
    }

    #[tokio::test]
    async fn a_related_key_without_an_arn_makes_the_answer_incomplete() {
        let unnamed = related(|| {
            let text = include_str!("../tests/answers/key-multi-region.json");
            answer(200, &text.replace("arn:aws:kms:eu-west-1", "arn:aws:s3:eu-west-1"))
        });
        assert!(matches!(unnamed.await, Err(CollectError::Incomplete { .. })));
    }

    #[tokio::test]
    async fn a_missing_key_has_no_related_keys_and_a_refused_one_is_unreadable() {
        let gone = related(|| kms_error(400, "NotFoundException")).await.unwrap();
        assert_eq!(gone, Fact::Known(Vec::new()));
        let single =
            related(|| answer(200, include_str!("../tests/answers/key-pending-deletion.json")))
                .await
                .unwrap();
        assert_eq!(single, Fact::Known(Vec::new()));
        assert!(matches!(
            related(|| kms_error(400, "AccessDeniedException")).await.unwrap(),
            Fact::Unreadable(_)
        ));
    }
}
