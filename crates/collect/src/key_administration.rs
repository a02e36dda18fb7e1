//! Reads who has access to a customer-managed key, and its rotation.

use crate::{
    Accounts, CollectError, KeyCache,
    error::{Question, code},
    key_grants,
};
use aws_sdk_kms::Client;
use facts::{
    AccountId, BucketId, Fact, Key, KeyAdministration, KeyAdmissions, KeyArn, Permissions, Place,
    PolicyDocument, RelatedKey, Rotation, Unreadable,
};
use futures_util::future::try_join_all;
use jiff::Timestamp;
use std::time::Duration;
use tokio::time::timeout;

/// The [policy of a shared
/// key](https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyPolicy.html), beside
/// `default`.
const SHARED: &str = "AWS_RAM";
/// The error of KMS for a key to which an operation does not apply.
const UNSUPPORTED: &str = "UnsupportedOperationException";
/// The time that the region of a related key has to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads access and rotation of a key in the key's own account, with the role of cmkwatch there. If
/// that account gives cmkwatch no role, the automatic rotation is read from the bucket's account.
///
/// Takes 5 calls: 2 for the policies, 1 for each 100 grants, and 1 for each kind of rotation. Takes
/// 1 more without the role, and fewer for keys that cannot be rotated. Each related key takes 2
/// calls, and 1 for each 100 grants.
pub(crate) async fn of_key(
    accounts: &Accounts,
    bucket: &BucketId,
    key: &Key,
    keys: &KeyCache,
) -> Result<KeyAdministration, CollectError> {
    let is_foreign = key.arn.account() != bucket.account();
    let kms = accounts.clients(&place(key.arn.account(), &key.arn)).await.kms;
    let related = key.related.iter().map(|arn| related(accounts, arn, is_foreign, keys));
    let own = keys.permissions.cell(key.arn.clone());
    let own = own.get_or_try_init(|| permissions(&kms, &key.arn, is_foreign));
    let (own, related, rotation, rotated) =
        tokio::join!(own, try_join_all(related), rotation(&kms, key), rotated(&kms, key));
    let rotation = match rotation {
        Err(error) if is_foreign && error.is_refused_role() => {
            let own = accounts.clients(&place(bucket.account(), &key.arn)).await.kms;
            self::rotation(&own, key).await?
        }
        rotation => rotation?,
    };
    let rotated = without_role(rotated, is_foreign, "kms:ListKeyRotations", &key.arn)?;
    let admissions = KeyAdmissions::new(own?.clone(), related?);
    Ok(KeyAdministration { admissions, rotation, rotated })
}

fn place(account: &AccountId, key: &KeyArn) -> Place {
    Place { account: account.clone(), region: key.region().clone() }
}

/// Reads the policies and the grants of another key with the same material. It lies in another
/// region. If that region does not answer, the access is unreadable. The bucket is still judged.
async fn related(
    accounts: &Accounts,
    key: &KeyArn,
    is_foreign: bool,
    keys: &KeyCache,
) -> Result<RelatedKey, CollectError> {
    let read = async || {
        let kms = accounts.clients(&place(key.account(), key)).await.kms;
        match timeout(PATIENCE, permissions(&kms, key, is_foreign)).await {
            Ok(Err(error)) if error.is_unanswered() => Ok(unanswered(key)),
            Ok(permissions) => permissions,
            Err(_) => Ok(unanswered(key)),
        }
    };
    let known = keys.permissions.cell(key.clone());
    let permissions = known.get_or_try_init(read).await?.clone();
    Ok(RelatedKey { arn: key.clone(), permissions })
}

/// Returns the permissions of a key whose region does not answer.
fn unanswered(key: &KeyArn) -> Permissions {
    let why = |permission| Unreadable {
        permission,
        subject: format!("key {key}"),
        code: format!("no answer from region {}", key.region()),
    };
    let policy = "kms:GetKeyPolicy";
    Permissions::new(
        Fact::Unreadable(why(policy)),
        Fact::Unreadable(why(policy)),
        Fact::Unreadable(why("kms:ListGrants")),
    )
}

/// Reads the policies and the grants of one key. `is_foreign` is true if the key belongs to another
/// account than the bucket.
async fn permissions(
    kms: &Client,
    key: &KeyArn,
    is_foreign: bool,
) -> Result<Permissions, CollectError> {
    let (policy, shared, grants) =
        tokio::join!(policy(kms, key), shared_policy(kms, key), key_grants::of_key(kms, key));
    Ok(Permissions::new(
        without_role(policy, is_foreign, "kms:GetKeyPolicy", key)?,
        without_role(shared, is_foreign, "kms:GetKeyPolicy", key)?,
        without_role(grants, is_foreign, "kms:ListGrants", key)?,
    ))
}

/// Makes a fact unreadable that can be read only within the account of a key, if that account gives
/// cmkwatch no role. [GetKeyPolicy](https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyPolicy.html)
/// and ListKeyRotations: "Cross-account use: No". ListGrants works across accounts, but without the
/// policies the grants decide nothing.
fn without_role<T>(
    read: Result<Fact<T>, CollectError>,
    is_foreign: bool,
    permission: &'static str,
    key: &KeyArn,
) -> Result<Fact<T>, CollectError> {
    match read {
        Err(error) if is_foreign && error.is_refused_role() => {
            let code = format!("no role in account {}, where alone it can be read", key.account());
            let subject = format!("key {key}");
            Ok(Fact::Unreadable(Unreadable { permission, subject, code }))
        }
        read => read,
    }
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

/// Reads the policy of a key that is shared through AWS Resource Access Manager. `None` if the key
/// is not shared.
async fn shared_policy(
    kms: &Client,
    key: &KeyArn,
) -> Result<Fact<Option<PolicyDocument>>, CollectError> {
    let subject = format!("policy {SHARED} of key {key}");
    let question = Question { permission: "kms:GetKeyPolicy", subject };
    match kms.get_key_policy().key_id(key.as_str()).policy_name(SHARED).send().await {
        Ok(answer) => {
            let text = answer.policy.ok_or_else(|| question.incomplete("a policy"))?;
            Ok(Fact::Known(Some(text.parse())))
        }
        Err(error) => match code(&error) {
            Some("NotFoundException") => Ok(Fact::Known(None)),
            _ => question.classify(error),
        },
    }
}

/// Reads the automatic rotation of a key with
/// [GetKeyRotationStatus](https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyRotationStatus.html).
/// Only keys whose material KMS generated have one. For others there is no call.
async fn rotation(kms: &Client, key: &Key) -> Result<Fact<Rotation>, CollectError> {
    const DEFAULT_DAYS: u32 = 365;
    if key.origin != "AWS_KMS" {
        return Ok(Fact::Known(Rotation::Unsupported));
    }
    let question =
        Question { permission: "kms:GetKeyRotationStatus", subject: format!("key {}", key.arn) };
    match kms.get_key_rotation_status().key_id(key.arn.as_str()).send().await {
        Ok(answer) if answer.key_rotation_enabled => {
            let days = answer.rotation_period_in_days.and_then(|days| u32::try_from(days).ok());
            Ok(Fact::Known(Rotation::Every(days.unwrap_or(DEFAULT_DAYS))))
        }
        Ok(_) => Ok(Fact::Known(Rotation::Off)),
        Err(error) => match code(&error) {
            Some(UNSUPPORTED) => Ok(Fact::Known(Rotation::Unsupported)),
            _ => question.classify(error),
        },
    }
}

/// Reads the times of the rotations that took place, latest first, with
/// [ListKeyRotations](https://docs.aws.amazon.com/kms/latest/APIReference/API_ListKeyRotations.html).
/// Only symmetric keys outside of custom key stores are ever rotated. For others there is no call.
async fn rotated(kms: &Client, key: &Key) -> Result<Fact<Vec<Timestamp>>, CollectError> {
    /// The most entries of a page. A key is rotated far less often.
    const PAGE: i32 = 1000;
    if key.spec != "SYMMETRIC_DEFAULT" || !["AWS_KMS", "EXTERNAL"].contains(&key.origin.as_str()) {
        return Ok(Fact::Known(Vec::new()));
    }
    let question =
        Question { permission: "kms:ListKeyRotations", subject: format!("key {}", key.arn) };
    let request = kms.list_key_rotations().key_id(key.arn.as_str()).limit(PAGE);
    let mut pages = request.into_paginator().items().send();
    let mut dates = Vec::new();
    while let Some(rotation) = pages.next().await {
        match rotation {
            // The first material has no date, and neither has one that is not used yet.
            Ok(rotation) => dates.extend(rotation.rotation_date),
            Err(error) => {
                let refused = Unreadable {
                    permission: question.permission,
                    subject: question.subject.clone(),
                    code: UNSUPPORTED.to_owned(),
                };
                return match code(&error) {
                    Some(UNSUPPORTED) => Ok(Fact::Unreadable(refused)),
                    _ => question.classify(error),
                };
            }
        }
    }
    let mut dates: Vec<_> =
        dates.into_iter().filter_map(|date| Timestamp::from_second(date.secs()).ok()).collect();
    dates.sort_unstable_by(|one, two| two.cmp(one));
    Ok(Fact::Known(dates))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{answer, kms_error};
    use aws_sdk_kms::config::http::HttpResponse;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};
    use facts::{KeyManager, KeyState};

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
        rotation(&mock_client!(aws_sdk_kms, RuleMode::MatchAny, [&rule]), &key("AWS_KMS")).await
    }

    async fn rotated_of(
        origin: &str,
        response: fn() -> HttpResponse,
    ) -> Result<Fact<Vec<Timestamp>>, CollectError> {
        let rule = mock!(Client::list_key_rotations).then_http_response(response);
        rotated(&mock_client!(aws_sdk_kms, RuleMode::MatchAny, [&rule]), &key(origin)).await
    }

    async fn shared_policy_of(
        response: fn() -> HttpResponse,
    ) -> Result<Fact<Option<PolicyDocument>>, CollectError> {
        let rule = mock!(Client::get_key_policy)
            .match_requests(|request| request.policy_name() == Some("AWS_RAM"))
            .then_http_response(response);
        let kms = mock_client!(aws_sdk_kms, RuleMode::MatchAny, [&rule]);
        shared_policy(&kms, &KEY.parse().unwrap()).await
    }

    fn key(origin: &str) -> Key {
        Key {
            arn: KEY.parse().unwrap(),
            manager: KeyManager::Customer,
            state: KeyState::Enabled,
            spec: "SYMMETRIC_DEFAULT".into(),
            usage: "ENCRYPT_DECRYPT".into(),
            origin: origin.into(),
            created: Timestamp::UNIX_EPOCH,
            material_expires: None,
            related: Vec::new(),
            administration: None,
        }
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

    /// "`AWS_RAM` ... If no such policy exists: NotFoundException".
    #[tokio::test]
    async fn the_policy_of_a_shared_key_is_read_and_may_be_missing_or_refused() {
        let shared =
            shared_policy_of(|| answer(200, include_str!("../tests/answers/key-policy.json")))
                .await;
        assert!(matches!(shared.unwrap(), Fact::Known(Some(Ok(_)))));
        let none = shared_policy_of(|| kms_error(400, "NotFoundException")).await.unwrap();
        assert_eq!(none, Fact::Known(None));
        let refused = shared_policy_of(|| kms_error(400, "AccessDeniedException")).await.unwrap();
        assert_eq!(
            refused.known().unwrap_err().to_string(),
            format!("`kms:GetKeyPolicy` on policy AWS_RAM of key {KEY}: AccessDeniedException")
        );
        assert!(shared_policy_of(|| kms_error(400, "ThrottlingException")).await.is_err());
        assert!(shared_policy_of(|| answer(200, "{}")).await.is_err());
    }

    #[tokio::test]
    async fn rotations_that_took_place_are_read_latest_first() {
        let dates = ["2025-06-15T15:06:40Z", "2024-03-09T16:00:00Z"].map(|it| it.parse().unwrap());
        for origin in ["AWS_KMS", "EXTERNAL"] {
            let read = || answer(200, include_str!("../tests/answers/rotations.json"));
            assert_eq!(rotated_of(origin, read).await.unwrap(), Fact::Known(dates.to_vec()));
        }
        let unsupported = rotated_of("EXTERNAL", || kms_error(400, UNSUPPORTED)).await.unwrap();
        assert_eq!(unsupported.known().unwrap_err().code, UNSUPPORTED);
        let refused = rotated_of("AWS_KMS", || kms_error(400, "AccessDeniedException")).await;
        assert_eq!(refused.unwrap().known().unwrap_err().permission, "kms:ListKeyRotations");
        assert!(rotated_of("AWS_KMS", || kms_error(400, "ThrottlingException")).await.is_err());
    }

    /// No rule answers the calls, so a call would fail the test.
    #[tokio::test]
    async fn keys_that_cannot_be_rotated_are_not_asked_about() {
        let kms = mock_client!(aws_sdk_kms, []);
        let store = key("AWS_CLOUDHSM");
        assert_eq!(rotated(&kms, &store).await.unwrap(), Fact::Known(Vec::new()));
        let asymmetric = Key { spec: "RSA_2048".into(), ..key("AWS_KMS") };
        assert_eq!(rotated(&kms, &asymmetric).await.unwrap(), Fact::Known(Vec::new()));
        for origin in ["AWS_CLOUDHSM", "EXTERNAL"] {
            let rotation = rotation(&kms, &key(origin)).await.unwrap();
            assert_eq!(rotation, Fact::Known(Rotation::Unsupported));
        }
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
