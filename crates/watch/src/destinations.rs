//! Finds the Security Hub that stores the findings of a place.
//!
//! Findings are stored in the Security Hub of the bucket's account and region. If that one is off,
//! they are stored in the hub's own.
//! [DescribeHub](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_DescribeHub.html)
//! says whether a Security Hub is on.

use crate::{Watch, WatchError, protocol::Refusal};
use facts::{Account, Fact, Place};
use findings::{About, Finding, StoredIn, place_prefix};
use jiff::Timestamp;
use publish::{Closed, PublishError, SecurityHub};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::OnceCell;

/// The number of clients that are kept. Past it all are forgotten, and with them how far they were
/// throttled.
const KEPT: usize = 1024;

/// The Security Hub that stores the findings of a place, and whether that of the place itself is
/// on.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The client of the Security Hub into which findings are imported.
    pub security_hub: Arc<SecurityHub>,
    /// The place of that Security Hub, and since when it is on.
    pub stored_in: StoredIn,
    /// True if Security Hub is enabled in the place itself.
    pub enabled: Fact<bool>,
}

/// The Security Hubs of the places that one run evaluates. Each is asked once whether it is on.
#[derive(Debug, Default)]
pub struct Destinations(Mutex<BTreeMap<Place, Arc<OnceCell<Destination>>>>);

impl Destinations {
    fn of(&self, place: &Place) -> Arc<OnceCell<Destination>> {
        Arc::clone(
            self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(place.clone()).or_default(),
        )
    }
}

impl Watch {
    /// Returns the client of the Security Hub of an account and region, whether or not it is
    /// enabled.
    pub async fn security_hub(&self, place: &Place) -> Arc<SecurityHub> {
        if let Some(known) =
            self.destinations.lock().unwrap_or_else(PoisonError::into_inner).get(place)
        {
            return Arc::clone(known);
        }
        let made = Arc::new(SecurityHub::new(&self.accounts.config(place).await, place));
        let mut destinations = self.destinations.lock().unwrap_or_else(PoisonError::into_inner);
        if destinations.len() >= KEPT {
            destinations.clear();
        }
        Arc::clone(destinations.entry(place.clone()).or_insert(made))
    }

    /// Returns the client of the hub's own Security Hub in its home region, which sees all others.
    pub async fn home_security_hub(&self) -> Arc<SecurityHub> {
        self.security_hub(self.accounts.home()).await
    }

    /// Returns the Security Hub that stores the findings of a place: its own or, if that is off,
    /// that of the hub.
    ///
    /// 1 call, or 2 if it is off.
    ///
    /// # Errors
    /// Returns an error if a call fails or is refused for another reason. Findings that are stored
    /// there stay there.
    pub async fn destination_of(&self, place: &Place) -> Result<Destination, PublishError> {
        let own = self.security_hub(place).await;
        match own.on_since().await {
            Ok(since) => Ok(Destination {
                stored_in: stored_in(&own, since),
                security_hub: own,
                enabled: Fact::Known(true),
            }),
            Err(error) if error.closed() == Some(&Closed::Off) && place != self.accounts.home() => {
                let home = self.home_security_hub().await;
                let since = home.on_since().await?;
                Ok(Destination {
                    stored_in: stored_in(&home, since),
                    security_hub: home,
                    enabled: Fact::Known(false),
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the buckets and accounts that the active findings of a place are about.
    ///
    /// If `and_home`, includes those in the hub's own Security Hub. Returns nothing if Security Hub
    /// refuses cmkwatch there. 1 call, and 1 for each 100 findings.
    ///
    /// # Errors
    /// Returns an error if a call fails for another reason.
    pub async fn subjects_held(
        &self,
        place: &Place,
        and_home: bool,
    ) -> Result<BTreeSet<About>, PublishError> {
        let held = async {
            let destination = self.destination_of(place).await?;
            let mut held = destination.security_hub.subjects(place_prefix(place)).await?;
            if and_home && destination.security_hub.place() != self.accounts.home() {
                held.extend(self.home_security_hub().await.subjects(place_prefix(place)).await?);
            }
            Ok::<_, PublishError>(held)
        };
        match held.await {
            Err(error) if error.closed().is_some() => {
                let error = calls::with_causes(&error);
                tracing::warn!(%place, error, "findings of deleted buckets not read: Security Hub refuses");
                Ok(BTreeSet::new())
            }
            held => held,
        }
    }

    /// Returns true if the Security Hub of a place is switched off. 1 call.
    pub(crate) async fn is_off(&self, place: &Place) -> Result<bool, PublishError> {
        match self.security_hub(place).await.on_since().await {
            Ok(_) => Ok(false),
            Err(error) if error.closed() == Some(&Closed::Off) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Reads the destination of a place. If Security Hub is off there, publishes that. A run does
    /// either once for each place.
    ///
    /// # Errors
    /// See [`Watch::destination_of`] and [`Watch::reconcile_account`].
    pub async fn prepare_destination(
        &self,
        destinations: &Destinations,
        place: &Place,
    ) -> Result<Destination, WatchError> {
        let cell = destinations.of(place);
        let prepared = cell.get_or_try_init(|| async {
            let read_at = self.now();
            let destination = self.destination_of(place).await?;
            // Boxed, because it evaluates the account, which prepares no destination.
            Box::pin(self.publish_if_off(&destination, place, read_at)).await?;
            Ok(destination)
        });
        prepared.await.cloned()
    }

    async fn publish_if_off(
        &self,
        destination: &Destination,
        place: &Place,
        read_at: Timestamp,
    ) -> Result<(), WatchError> {
        if destination.enabled == Fact::Known(true) {
            return Ok(());
        }
        let security_hub = destination.enabled.clone();
        let account =
            Account { place: place.clone(), read_at, buckets: Fact::Known(()), security_hub };
        let published = self.reconcile_account(&account).await;
        published.map(drop).map_err(|error| WatchError::OffUnpublished(Box::new(error)))
    }

    /// Reads the findings whose ids begin with one of `prefixes`.
    ///
    /// A finding that is not as cmkwatch writes it is logged and left out: the next import replaces
    /// it.
    pub(crate) async fn findings_held(
        &self,
        security_hub: &SecurityHub,
        prefixes: &[String],
    ) -> Result<Vec<Finding>, WatchError> {
        let mut held = Vec::new();
        for finding in security_hub.held(prefixes).await? {
            match finding {
                Ok(finding) => held.push(finding),
                Err(error) => tracing::warn!(error = calls::with_causes(&error), "finding ignored"),
            }
        }
        Ok(held)
    }

    pub(crate) async fn import(
        &self,
        to: &Place,
        findings: &[Finding],
    ) -> Result<Vec<Refusal>, WatchError> {
        let refused = self.security_hub(to).await.import(findings).await?;
        let refusal = |error: PublishError| Refusal {
            id: error.finding().unwrap_or_default().to_owned(),
            why: error,
        };
        Ok(refused.into_iter().map(refusal).collect())
    }
}

fn stored_in(security_hub: &SecurityHub, since: String) -> StoredIn {
    StoredIn { place: security_hub.place().clone(), since }
}
