//! Sessions in the member accounts, by the role that cmkwatch has in each.
//!
//! Credentials are kept from one invocation to the next until shortly before they expire; the SDK's identity cache does
//! that, and every client of an account shares it.

use aws_config::{Region as SdkRegion, SdkConfig, identity::IdentityCache, sts::AssumeRoleProvider};
use aws_credential_types::provider::SharedCredentialsProvider;
use facts::{AccountId, Region};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How long before they expire credentials are fetched anew: longer than any run of a function that began with them
/// needs for one bucket.
const BEFORE_EXPIRY: Duration = Duration::from_secs(120);

/// How many accounts are kept at once; past it all are forgotten, which costs each an AssumeRole.
const KEPT: usize = 1024;

/// The accounts of the organization, as far as they were asked about.
#[derive(Debug)]
pub struct Accounts {
    own: SdkConfig,
    partition: &'static str,
    role: String,
    known: Mutex<HashMap<AccountId, SdkConfig>>,
}

impl Accounts {
    /// `own` is the configuration of the function itself, `home` its region, and `role` the name of the role that it may
    /// assume in each account.
    #[must_use]
    pub fn new(own: SdkConfig, home: &Region, role: String) -> Self {
        Self { own, partition: home.partition(), role, known: Mutex::default() }
    }

    /// The configuration for calls within an account and region. Credentials are fetched with the first call, so that is
    /// where an AssumeRole that is refused shows.
    pub async fn config(&self, account: &AccountId, region: &Region) -> SdkConfig {
        let known = self.known().get(account).cloned();
        let config = match known {
            Some(config) => config,
            None => self.enter(account).await,
        };
        config.into_builder().region(SdkRegion::new(region.as_str().to_owned())).build()
    }

    async fn enter(&self, account: &AccountId) -> SdkConfig {
        let role = format!("arn:{}:iam::{account}:role/{}", self.partition, self.role);
        let provider = AssumeRoleProvider::builder(role).session_name("cmkwatch").configure(&self.own).build().await;
        let config = self
            .own
            .clone()
            .into_builder()
            .credentials_provider(SharedCredentialsProvider::new(provider))
            .identity_cache(IdentityCache::lazy().buffer_time(BEFORE_EXPIRY).build())
            .build();
        let mut known = self.known();
        if known.len() >= KEPT {
            known.clear();
        }
        known.entry(account.clone()).or_insert(config).clone()
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<AccountId, SdkConfig>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
