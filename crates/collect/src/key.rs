//! Whose key it is that a bucket names, and in which state.

use crate::{
    Accounts, CollectError,
    error::{Question, code},
};
use aws_sdk_kms::{Client, types::KeyMetadata};
use facts::{AccountId, BucketId, Fact, Key, KeyManager, KeyReference, KeyState, Region, ResolvedKey, UsedKey};
use jiff::Timestamp;

/// Looks up a key that a bucket names. A bare id and an alias name are looked up in the bucket's own account and region,
/// an ARN where it says. Takes no call, 1 call, or 1 call for each 100 aliases of the account.
pub(crate) async fn look_up(
    accounts: &Accounts,
    bucket: &BucketId,
    reference: KeyReference,
) -> Result<UsedKey, CollectError> {
    let (account, region) = place(&reference, bucket);
    let resolved = match &reference {
        KeyReference::Absent => Fact::Known(ResolvedKey::AwsManagedDefault),
        KeyReference::Unrecognised(_) => Fact::Known(ResolvedKey::Missing),
        // DescribeKey with a reserved alias would create the key.
        _ if reference.is_reserved_alias() => reserved(&kms(accounts, account, region).await, &reference).await?,
        _ if account == bucket.account() => {
            describe(&kms(accounts, account, region).await, &reference.to_string()).await?
        }
        _ => foreign(accounts, bucket, &reference).await?,
    };
    Ok(UsedKey { reference, resolved })
}

/// The account and region in which a reference has its meaning.
fn place<'a>(reference: &'a KeyReference, bucket: &'a BucketId) -> (&'a AccountId, &'a Region) {
    match reference {
        KeyReference::Arn(arn) => (arn.account(), arn.region()),
        KeyReference::AliasArn(arn) => (arn.account(), arn.region()),
        KeyReference::Absent | KeyReference::Id(_) | KeyReference::AliasName(_) | KeyReference::Unrecognised(_) => {
            (bucket.account(), bucket.region())
        }
    }
}

async fn kms(accounts: &Accounts, account: &AccountId, region: &Region) -> Client {
    Client::new(&accounts.config(account, region).await)
}

/// A key of another account: asked there, and where cmkwatch has no role in that account or may not ask, from the
/// bucket's own account, which [DescribeKey allows](https://docs.aws.amazon.com/kms/latest/APIReference/API_DescribeKey.html)
/// where the key's policy does.
async fn foreign(
    accounts: &Accounts,
    bucket: &BucketId,
    reference: &KeyReference,
) -> Result<Fact<ResolvedKey>, CollectError> {
    let (account, region) = place(reference, bucket);
    match describe(&kms(accounts, account, region).await, &reference.to_string()).await {
        Ok(known @ Fact::Known(_)) => Ok(known),
        Err(error) if !error.is_credentials() => Err(error),
        Ok(Fact::Unreadable(_)) | Err(_) => {
            describe(&kms(accounts, bucket.account(), region).await, &reference.to_string()).await
        }
    }
}

async fn describe(kms: &Client, key: &str) -> Result<Fact<ResolvedKey>, CollectError> {
    let question = Question { permission: "kms:DescribeKey", subject: format!("key {key}") };
    match kms.describe_key().key_id(key).send().await {
        Ok(answer) => {
            let metadata = answer.key_metadata.and_then(from_metadata);
            let key = metadata.ok_or_else(|| question.incomplete("the metadata of a key"))?;
            Ok(Fact::Known(ResolvedKey::Found(key)))
        }
        Err(error) => match code(&error) {
            Some("NotFoundException" | "InvalidArnException") => Ok(Fact::Known(ResolvedKey::Missing)),
            _ => question.refused(error),
        },
    }
}

/// A key that only AWS can have made, found by [ListAliases](https://docs.aws.amazon.com/kms/latest/APIReference/API_ListAliases.html):
/// an alias without a target belongs to a key that was not created yet.
async fn reserved(kms: &Client, reference: &KeyReference) -> Result<Fact<ResolvedKey>, CollectError> {
    let question = Question { permission: "kms:ListAliases", subject: format!("key {reference}") };
    let mut pages = kms.list_aliases().into_paginator().items().send();
    while let Some(alias) = pages.next().await {
        match alias {
            Ok(alias) if alias.alias_name.as_deref() == reference.alias() => {
                return match alias.target_key_id {
                    Some(id) => describe(kms, &id).await,
                    None => Ok(Fact::Known(ResolvedKey::AwsManagedDefault)),
                };
            }
            Ok(_) => {}
            Err(error) => return question.refused(error),
        }
    }
    Ok(Fact::Known(ResolvedKey::AwsManagedDefault))
}

fn from_metadata(metadata: KeyMetadata) -> Option<Key> {
    let deletion = metadata.deletion_date.and_then(|date| Timestamp::from_second(date.secs()).ok());
    Some(Key {
        arn: metadata.arn?.parse().ok()?,
        manager: manager(metadata.key_manager?.as_str()),
        state: state(metadata.key_state?.as_str(), deletion),
        spec: metadata.key_spec?.as_str().to_owned(),
        usage: metadata.key_usage?.as_str().to_owned(),
    })
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
        "Disabled" => KeyState::Disabled,
        "PendingDeletion" => KeyState::PendingDeletion(deletion),
        "PendingReplicaDeletion" => KeyState::PendingReplicaDeletion,
        other => KeyState::Other(other.to_owned()),
    }
}
