//! Looks up the key that a bucket names: its ARN, its manager, its state and, if a customer manages
//! it, its access and rotation.

use crate::{
    Accounts, CollectError, KeyCache,
    error::{Question, code},
    key_administration, multi_region,
};
use aws_sdk_kms::{
    Client,
    primitives::DateTime,
    types::{ExpirationModelType, KeyMetadata},
};
use facts::{
    AccountId, BucketId, Fact, Key, KeyLookup, KeyManager, KeyReference, KeyState, Place, Region,
    Unreadable, UsedKey,
};
use jiff::Timestamp;

/// Looks up a key that a bucket names. A bare id and an alias name belong to the bucket's own
/// account and region. An ARN names account and region.
///
/// Takes no call if `keys` has the key, or if the reference leaves nothing to look up. Otherwise:
///
/// - 1 call for an id, an alias or an ARN, or at most 2 for a key of another account;
/// - for an alias that AWS reserves, 1 call for each 50 aliases of the account, and 1 for its key;
/// - the calls of [`key_administration::of_key`] if a customer manages the key.
pub(crate) async fn look_up(
    accounts: &Accounts,
    bucket: &BucketId,
    reference: KeyReference,
    keys: &KeyCache,
) -> Result<UsedKey, CollectError> {
    let known = keys.resolved(&reference.within(&bucket.place()));
    let resolved =
        known.get_or_try_init(|| resolve(accounts, bucket, &reference, keys)).await?.clone();
    Ok(UsedKey { reference, resolved })
}

async fn resolve(
    accounts: &Accounts,
    bucket: &BucketId,
    reference: &KeyReference,
    keys: &KeyCache,
) -> Result<Fact<KeyLookup>, CollectError> {
    let (account, _) = place(reference, bucket);
    let resolved = match reference {
        KeyReference::Absent => Fact::Known(KeyLookup::AwsManagedDefault),
        KeyReference::Unrecognised(_) => Fact::Known(KeyLookup::Missing),
        // Only AWS creates a reserved alias, and only the account of its key can use the key. So
        // there is nothing to look up.
        _ if reference.is_reserved_alias() && account != bucket.account() => {
            Fact::Known(KeyLookup::AwsManagedDefault)
        }
        _ => ask(accounts, bucket, reference).await?,
    };
    governed(accounts, bucket, resolved, keys).await
}

/// Adds access and rotation to a customer-managed key. Other keys stay as they are.
async fn governed(
    accounts: &Accounts,
    bucket: &BucketId,
    resolved: Fact<KeyLookup>,
    keys: &KeyCache,
) -> Result<Fact<KeyLookup>, CollectError> {
    match resolved {
        Fact::Known(KeyLookup::Found(mut key)) if key.manager == KeyManager::Customer => {
            let known = keys.governed.cell(key.arn.clone());
            let read = || key_administration::of_key(accounts, bucket, &key, keys);
            key.administration = Some(known.get_or_try_init(read).await?.clone());
            Ok(Fact::Known(KeyLookup::Found(key)))
        }
        resolved => Ok(resolved),
    }
}

/// Asks KMS for the key. S3 accepts any region in an ARN, even a region that does not exist. If
/// another region than the bucket's does not answer, the key is unreadable, and the bucket is still
/// judged.
async fn ask(
    accounts: &Accounts,
    bucket: &BucketId,
    reference: &KeyReference,
) -> Result<Fact<KeyLookup>, CollectError> {
    let (account, region) = place(reference, bucket);
    let kms = kms_of(accounts, account, region).await;
    let answer = if reference.is_reserved_alias() {
        // DescribeKey with a reserved alias would create the key.
        reserved(&kms, reference).await
    } else if account == bucket.account() {
        describe(&kms, &reference.to_string()).await
    } else {
        foreign(accounts, bucket, reference, &kms).await
    };
    match answer {
        Err(error) if error.is_unanswered() && region != bucket.region() => {
            Ok(Fact::Unreadable(Unreadable {
                permission: "kms:DescribeKey",
                subject: format!("key {reference}"),
                code: format!("no answer from region {region}"),
            }))
        }
        answer => answer,
    }
}

/// Returns the account and region of a reference: those of its ARN, or else those of the bucket.
fn place<'a>(reference: &'a KeyReference, bucket: &'a BucketId) -> (&'a AccountId, &'a Region) {
    reference.place().unwrap_or((bucket.account(), bucket.region()))
}

async fn kms_of(accounts: &Accounts, account: &AccountId, region: &Region) -> Client {
    accounts.clients(&Place { account: account.clone(), region: region.clone() }).await.kms
}

/// Describes a key of another account. `kms` is the client of that account. If its role or the call
/// is refused, the bucket's own account asks. [DescribeKey
/// allows](https://docs.aws.amazon.com/kms/latest/APIReference/API_DescribeKey.html) that if the
/// policy of the key does.
async fn foreign(
    accounts: &Accounts,
    bucket: &BucketId,
    reference: &KeyReference,
    kms: &Client,
) -> Result<Fact<KeyLookup>, CollectError> {
    match describe(kms, &reference.to_string()).await {
        Ok(known @ Fact::Known(_)) => Ok(known),
        Err(error) if !error.is_refused_role() => Err(error),
        Ok(Fact::Unreadable(_)) | Err(_) => {
            let (_, region) = place(reference, bucket);
            describe(&kms_of(accounts, bucket.account(), region).await, &reference.to_string())
                .await
        }
    }
}

async fn describe(kms: &Client, key: &str) -> Result<Fact<KeyLookup>, CollectError> {
    let question = Question { permission: "kms:DescribeKey", subject: format!("key {key}") };
    match kms.describe_key().key_id(key).send().await {
        Ok(answer) => {
            let metadata = answer.key_metadata.and_then(from_metadata);
            let key = metadata
                .map(Box::new)
                .ok_or_else(|| question.incomplete("the metadata of a key"))?;
            Ok(Fact::Known(KeyLookup::Found(key)))
        }
        Err(error) => match code(&error) {
            Some("NotFoundException" | "InvalidArnException") => {
                Ok(Fact::Known(KeyLookup::Missing))
            }
            _ => question.classify(error),
        },
    }
}

/// Finds the key of an alias that AWS reserves, with
/// [ListAliases](https://docs.aws.amazon.com/kms/latest/APIReference/API_ListAliases.html). An
/// alias without a target belongs to a key that was not created yet.
async fn reserved(kms: &Client, reference: &KeyReference) -> Result<Fact<KeyLookup>, CollectError> {
    let question = Question { permission: "kms:ListAliases", subject: format!("key {reference}") };
    let mut pages = kms.list_aliases().into_paginator().items().send();
    while let Some(alias) = pages.next().await {
        match alias {
            Ok(alias) if alias.alias_name.as_deref() == reference.alias() => {
                return match alias.target_key_id {
                    Some(id) => describe(kms, &id).await,
                    None => Ok(Fact::Known(KeyLookup::AwsManagedDefault)),
                };
            }
            Ok(_) => {}
            Err(error) => return question.classify(error),
        }
    }
    Ok(Fact::Known(KeyLookup::AwsManagedDefault))
}

fn from_metadata(metadata: KeyMetadata) -> Option<Key> {
    let deletion = metadata.deletion_date.and_then(moment);
    let arn = metadata.arn?.parse().ok()?;
    let state = state(metadata.key_state?.as_str(), deletion);
    Some(Key {
        manager: manager(metadata.key_manager?.as_str()),
        spec: metadata.key_spec?.as_str().to_owned(),
        usage: metadata.key_usage?.as_str().to_owned(),
        origin: metadata.origin?.as_str().to_owned(),
        created: moment(metadata.creation_date?)?,
        material_expires: expiry(&state, metadata.expiration_model, metadata.valid_to)?,
        related: multi_region::others(metadata.multi_region_configuration, &arn)?,
        administration: None,
        arn,
        state,
    })
}

/// Returns the time at which imported material expires, or the inner `None` if it does not expire.
/// The outer `None` means that the answer lacks the time. A key that cannot be used may have no
/// material, and then has no such time.
fn expiry(
    state: &KeyState,
    model: Option<ExpirationModelType>,
    until: Option<DateTime>,
) -> Option<Option<Timestamp>> {
    let until = until.and_then(moment);
    let is_usable = matches!(state, KeyState::Enabled | KeyState::Updating);
    match model {
        Some(ExpirationModelType::KeyMaterialExpires) if is_usable => until.map(Some),
        Some(ExpirationModelType::KeyMaterialExpires) => Some(until),
        _ => Some(None),
    }
}

fn moment(date: DateTime) -> Option<Timestamp> {
    Timestamp::from_second(date.secs()).ok()
}

fn manager(name: &str) -> KeyManager {
    match name {
        "CUSTOMER" => KeyManager::Customer,
        "AWS" => KeyManager::Aws,
        other => KeyManager::Other(other.to_owned()),
    }
}

fn state(name: &str, deletion: Option<Timestamp>) -> KeyState {
    match name {
        "Enabled" => KeyState::Enabled,
        "Updating" => KeyState::Updating,
        "Disabled" => KeyState::Disabled,
        "PendingDeletion" => KeyState::PendingDeletion(deletion),
        "PendingReplicaDeletion" => KeyState::PendingReplicaDeletion,
        other => KeyState::Other(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{answer, kms_error};
    use aws_sdk_kms::config::http::HttpResponse;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    async fn described(response: fn() -> HttpResponse) -> Result<Fact<KeyLookup>, CollectError> {
        let rule = mock!(Client::describe_key).then_http_response(response);
        describe(&mock_client!(aws_sdk_kms, RuleMode::MatchAny, [&rule]), "alias/acme").await
    }

    #[tokio::test]
    async fn manager_spec_usage_and_state_of_a_key_are_read() {
        let fact =
            described(|| answer(200, include_str!("../tests/answers/key-pending-deletion.json")))
                .await
                .unwrap();
        let Fact::Known(KeyLookup::Found(key)) = fact else { panic!("{fact:?}") };
        assert_eq!(
            (key.manager, key.spec.as_str(), key.usage.as_str()),
            (KeyManager::Customer, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
        );
        assert_eq!(
            key.state,
            KeyState::PendingDeletion(Some("2026-12-01T10:00:00Z".parse().unwrap()))
        );
    }

    /// "ValidTo ... is present only when ExpirationModel is KEY_MATERIAL_EXPIRES":
    /// <https://docs.aws.amazon.com/kms/latest/APIReference/API_KeyMetadata.html>.
    #[test]
    fn the_end_of_imported_material_is_read() {
        let with = |model: &str| -> KeyMetadata {
            let model = ExpirationModelType::from(model);
            let date = DateTime::from_secs(1_796_119_200);
            let key = KeyMetadata::builder().key_id("1234").expiration_model(model).valid_to(date);
            let key = key.arn("arn:aws:kms:us-east-1:111111111111:key/1234").creation_date(date);
            let key = key.key_manager("CUSTOMER".into()).key_state("Enabled".into());
            let key = key.key_spec("SYMMETRIC_DEFAULT".into()).key_usage("ENCRYPT_DECRYPT".into());
            key.origin("EXTERNAL".into()).build().unwrap()
        };
        let until = Some("2026-12-01T10:00:00Z".parse().unwrap());
        for (model, expected) in
            [("KEY_MATERIAL_EXPIRES", until), ("KEY_MATERIAL_DOES_NOT_EXPIRE", None)]
        {
            assert_eq!(from_metadata(with(model)).unwrap().material_expires, expected);
        }
        let mut without = with("KEY_MATERIAL_EXPIRES");
        without.valid_to = None;
        assert!(from_metadata(without.clone()).is_none());
        without.key_state = Some("PendingImport".into());
        assert_eq!(from_metadata(without).unwrap().material_expires, None);
    }

    #[tokio::test]
    async fn unknown_managers_and_states_are_kept() {
        let fact =
            described(|| answer(200, include_str!("../tests/answers/key-of-the-future.json")))
                .await
                .unwrap();
        let Fact::Known(KeyLookup::Found(key)) = fact else { panic!("{fact:?}") };
        assert_eq!(key.manager, KeyManager::Other("PARTNER".into()));
        assert_eq!(key.state, KeyState::Other("Resting".into()));
    }

    #[tokio::test]
    async fn missing_refused_and_failed_keys_are_distinguished() {
        let missing = described(|| kms_error(400, "NotFoundException")).await.unwrap();
        assert_eq!(missing, Fact::Known(KeyLookup::Missing));
        let refused = described(|| kms_error(400, "AccessDeniedException")).await.unwrap();
        assert_eq!(
            refused.known().unwrap_err().to_string(),
            "`kms:DescribeKey` on key alias/acme: AccessDeniedException"
        );
        let failed = described(|| kms_error(400, "ThrottlingException")).await.unwrap_err();
        assert!(matches!(failed, CollectError::Call { answered: true, .. }));
        let incomplete =
            described(|| answer(200, "{\"KeyMetadata\":{\"KeyId\":\"1\"}}")).await.unwrap_err();
        assert!(matches!(incomplete, CollectError::Incomplete { .. }));
    }

    /// DescribeKey with a reserved alias creates the key. No rule answers that call here, so the
    /// call would fail the test.
    #[tokio::test]
    async fn a_reserved_alias_is_listed_and_its_key_described_by_id() {
        let list = mock!(Client::list_aliases)
            .then_http_response(|| answer(200, include_str!("../tests/answers/aliases.json")));
        let by_id = mock!(Client::describe_key)
            .match_requests(|request| {
                request.key_id() == Some("1234abcd-12ab-34cd-56ef-1234567890ab")
            })
            .then_http_response(|| {
                answer(200, include_str!("../tests/answers/key-aws-managed.json"))
            });
        let kms = mock_client!(aws_sdk_kms, RuleMode::MatchAny, [&list, &by_id]);
        let made = reserved(&kms, &"alias/aws/s3".parse().unwrap()).await.unwrap();
        assert!(
            matches!(&made, Fact::Known(KeyLookup::Found(key)) if key.manager == KeyManager::Aws),
            "{made:?}"
        );
        for not_made in ["alias/aws/ebs", "alias/aws/unheard-of"] {
            let fact = reserved(&kms, &not_made.parse().unwrap()).await.unwrap();
            assert_eq!(fact, Fact::Known(KeyLookup::AwsManagedDefault), "{not_made}");
        }
    }
}
