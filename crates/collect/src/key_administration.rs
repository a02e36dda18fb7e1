//! Reads the policy and the rotation of a customer-managed key.

use crate::{
    Accounts, CollectError,
    error::{Question, code},
};
use aws_sdk_kms::Client;
use facts::{
    AccountId, BucketId, Fact, KeyAdministration, KeyArn, Place, PolicyDocument, Rotation,
    Unreadable,
};

/// Reads policy and rotation of a key in the key's own account, with the role of cmkwatch there. If
/// that account gives cmkwatch no role, the rotation is read from the bucket's account. Takes 2
/// calls, or 3 without the role.
pub(crate) async fn of_key(
    accounts: &Accounts,
    bucket: &BucketId,
    key: &KeyArn,
) -> Result<KeyAdministration, CollectError> {
    let place =
        |account: &AccountId| Place { account: account.clone(), region: key.region().clone() };
    let kms = accounts.clients(&place(key.account())).await.kms;
    let (policy, rotation) = tokio::join!(policy(&kms, key), rotation(&kms, key));
    let is_foreign = key.account() != bucket.account();
    let policy = match policy {
        Err(error) if is_foreign && error.is_refused_role() => Fact::Unreadable(outside(key)),
        policy => policy?,
    };
    let rotation = match rotation {
        Err(error) if is_foreign && error.is_refused_role() => {
            let own = accounts.clients(&place(bucket.account())).await.kms;
            self::rotation(&own, key).await?
        }
        rotation => rotation?,
    };
    Ok(KeyAdministration { policy, rotation })
}

/// The reason why a key policy is unreadable from another account.
/// [GetKeyPolicy](https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyPolicy.html):
/// "Cross-account use: No".
fn outside(key: &KeyArn) -> Unreadable {
    let code = format!(
        "no role in account {}, within which alone a key policy can be read",
        key.account()
    );
    Unreadable { permission: "kms:GetKeyPolicy", subject: format!("key {key}"), code }
}

async fn policy(kms: &Client, key: &KeyArn) -> Result<Fact<PolicyDocument>, CollectError> {
    let question = Question { permission: "kms:GetKeyPolicy", subject: format!("key {key}") };
    match kms.get_key_policy().key_id(key.as_str()).send().await {
        Ok(answer) => {
            let text = answer.policy.ok_or_else(|| question.incomplete("a policy"))?;
            Ok(Fact::Known(text.parse()))
        }
        Err(error) => question.classify(error),
    }
}

/// Reads the rotation of a key with
/// [GetKeyRotationStatus](https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyRotationStatus.html).
async fn rotation(kms: &Client, key: &KeyArn) -> Result<Fact<Rotation>, CollectError> {
    const DEFAULT_DAYS: u32 = 365;
    let question =
        Question { permission: "kms:GetKeyRotationStatus", subject: format!("key {key}") };
    match kms.get_key_rotation_status().key_id(key.as_str()).send().await {
        Ok(answer) if answer.key_rotation_enabled => {
            let days = answer.rotation_period_in_days.and_then(|days| u32::try_from(days).ok());
            Ok(Fact::Known(Rotation::Every(days.unwrap_or(DEFAULT_DAYS))))
        }
        Ok(_) => Ok(Fact::Known(Rotation::Off)),
        Err(error) => match code(&error) {
            Some("UnsupportedOperationException") => Ok(Fact::Known(Rotation::Unsupported)),
            _ => question.classify(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{answer, kms_error};
    use aws_sdk_kms::config::http::HttpResponse;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    const KEY: &str = "arn:aws:kms:us-east-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    async fn policy_of(
        response: fn() -> HttpResponse,
    ) -> Result<Fact<PolicyDocument>, CollectError> {
        let rule = mock!(Client::get_key_policy)
            .match_requests(|request| request.key_id() == Some(KEY))
            .then_http_response(response);
        policy(&mock_client!(aws_sdk_kms, RuleMode::MatchAny, [&rule]), &KEY.parse().unwrap()).await
    }

    async fn rotation_of(response: fn() -> HttpResponse) -> Result<Fact<Rotation>, CollectError> {
        let rule = mock!(Client::get_key_rotation_status).then_http_response(response);
        rotation(&mock_client!(aws_sdk_kms, RuleMode::MatchAny, [&rule]), &KEY.parse().unwrap())
            .await
    }

    #[tokio::test]
    async fn a_key_policy_is_read_malformed_refused_or_an_error() {
        let policy = policy_of(|| answer(200, include_str!("../tests/answers/key-policy.json")))
            .await
            .unwrap();
        let Fact::Known(Ok(policy)) = policy else { panic!("{policy:?}") };
        assert_eq!(policy.name(0), "Enable IAM User Permissions");
        let unclear = policy_of(|| answer(200, r#"{"Policy":"{}"}"#)).await.unwrap();
        assert!(matches!(unclear, Fact::Known(Err(_))), "{unclear:?}");
        let refused = policy_of(|| kms_error(400, "AccessDeniedException")).await.unwrap();
        assert_eq!(refused.known().unwrap_err().permission, "kms:GetKeyPolicy");
        assert!(policy_of(|| kms_error(400, "ThrottlingException")).await.is_err());
        assert!(policy_of(|| answer(200, "{}")).await.is_err());
    }

    #[tokio::test]
    async fn rotation_is_on_off_unsupported_or_unreadable() {
        let on = rotation_of(|| answer(200, include_str!("../tests/answers/key-rotation.json")))
            .await
            .unwrap();
        assert_eq!(on, Fact::Known(Rotation::Every(180)));
        let without_period =
            rotation_of(|| answer(200, r#"{"KeyRotationEnabled":true}"#)).await.unwrap();
        assert_eq!(without_period, Fact::Known(Rotation::Every(365)));
        let off = rotation_of(|| answer(200, r#"{"KeyRotationEnabled":false}"#)).await.unwrap();
        assert_eq!(off, Fact::Known(Rotation::Off));
        let unsupported =
            rotation_of(|| kms_error(400, "UnsupportedOperationException")).await.unwrap();
        assert_eq!(unsupported, Fact::Known(Rotation::Unsupported));
        let refused = rotation_of(|| kms_error(400, "AccessDeniedException")).await.unwrap();
        assert_eq!(refused.known().unwrap_err().permission, "kms:GetKeyRotationStatus");
    }

    /// The error for a key whose material is missing, or whose store is disconnected: [Key
    /// states](https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html).
    #[tokio::test]
    async fn an_invalid_key_state_makes_rotation_and_policy_unreadable() {
        let rotation = rotation_of(|| kms_error(400, "KMSInvalidStateException")).await.unwrap();
        assert_eq!(rotation.known().unwrap_err().code, "KMSInvalidStateException");
        let policy = policy_of(|| kms_error(400, "KMSInvalidStateException")).await.unwrap();
        assert_eq!(policy.known().unwrap_err().code, "KMSInvalidStateException");
    }
}
