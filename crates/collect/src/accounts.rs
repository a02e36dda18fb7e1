//! Configurations and clients for calls in the member accounts, with the role of cmkwatch in each.
//!
//! Credentials are kept from one invocation to the next, until shortly before they expire. The
//! identity cache of the SDK keeps them, and all clients of an account share it. Clients are kept
//! too, because they remember how far they were throttled.

use aws_config::{
    Region as SdkRegion, SdkConfig, identity::IdentityCache, sts::AssumeRoleProvider,
};
use aws_credential_types::provider::SharedCredentialsProvider;
use facts::{AccountId, Place};
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The time before their expiry at which credentials are fetched again. A run of a function that
/// began with old credentials needs less time for one bucket.
const BEFORE_EXPIRY: Duration = Duration::from_secs(120);

/// The most accounts and the most places that are kept at once. At the limit, all are forgotten,
/// and each account costs an AssumeRole again.
const KEPT: usize = 1024;

/// The sessions and clients of the accounts of the organization. Those of an account are created
/// when it is first called.
#[derive(Debug)]
pub struct Accounts {
    own: SdkConfig,
    home: Place,
    role: String,
    session: String,
    known: Mutex<HashMap<AccountId, SdkConfig>>,
    clients: Mutex<HashMap<Place, Clients>>,
}

/// The clients of one account and region.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) kms: aws_sdk_kms::Client,
    pub(crate) tagging: aws_sdk_resourcegroupstagging::Client,
}

impl Accounts {
    /// Creates the sessions; makes no call. `own` is the configuration of the function itself, and
    /// `home` is where it runs. `role` is the name of the role that it may assume in each account.
    /// `session` names its sessions there. CloudTrail shows that name with each call.
    #[must_use]
    pub fn new(own: SdkConfig, home: Place, role: String, session: String) -> Self {
        Self { own, home, role, session, known: Mutex::default(), clients: Mutex::default() }
    }

    /// Returns the account and region in which cmkwatch itself runs.
    #[must_use]
    pub fn home(&self) -> &Place {
        &self.home
    }

    /// Returns the configuration of the function itself.
    #[must_use]
    pub fn own(&self) -> &SdkConfig {
        &self.own
    }

    /// Returns the configuration for calls within an account and region. The first call fetches the
    /// credentials. So a refused AssumeRole is an error of that call.
    pub async fn config(&self, place: &Place) -> SdkConfig {
        let config = match kept(&self.known, &place.account) {
            Some(config) => config,
            None => keep(&self.known, &place.account, self.enter(&place.account).await),
        };
        config.into_builder().region(SdkRegion::new(place.region.as_str().to_owned())).build()
    }

    pub(crate) async fn clients(&self, place: &Place) -> Clients {
        match kept(&self.clients, place) {
            Some(clients) => clients,
            None => keep(&self.clients, place, Clients::new(&self.config(place).await, place)),
        }
    }

    async fn enter(&self, account: &AccountId) -> SdkConfig {
        let role =
            format!("arn:{}:iam::{account}:role/{}", self.home.region.partition(), self.role);
        let provider = AssumeRoleProvider::builder(role)
            .session_name(&self.session)
            .configure(&self.own)
            .build()
            .await;
        self.own
            .clone()
            .into_builder()
            .credentials_provider(SharedCredentialsProvider::new(provider))
            .identity_cache(IdentityCache::lazy().buffer_time(BEFORE_EXPIRY).build())
            .build()
    }
}

impl Clients {
    fn new(config: &SdkConfig, place: &Place) -> Self {
        let s3 = aws_sdk_s3::config::Builder::from(config)
            .retry_partition(calls::partition("s3", place));
        let kms = aws_sdk_kms::config::Builder::from(config)
            .retry_partition(calls::partition("kms", place));
        let tagging = aws_sdk_resourcegroupstagging::config::Builder::from(config)
            .retry_partition(calls::partition("tagging", place));
        Self {
            s3: aws_sdk_s3::Client::from_conf(s3.interceptor(calls::Counter).build()),
            kms: aws_sdk_kms::Client::from_conf(kms.interceptor(calls::Counter).build()),
            tagging: aws_sdk_resourcegroupstagging::Client::from_conf(
                tagging.interceptor(calls::Counter).build(),
            ),
        }
    }
}

fn kept<K: Hash + Eq, V: Clone>(known: &Mutex<HashMap<K, V>>, key: &K) -> Option<V> {
    known.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
}

fn keep<K: Hash + Eq + Clone, V: Clone>(known: &Mutex<HashMap<K, V>>, key: &K, value: V) -> V {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= KEPT {
        known.clear();
    }
    known.entry(key.clone()).or_insert(value).clone()
}
