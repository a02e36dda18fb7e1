//! Evaluates one bucket or one account: reads, judges, commits and publishes it.
//!
//! An event of a bucket, an event of its key and the sweep all lead to the same steps (`protocol`).
//! An evaluation:
//!
//! - reads the state,
//! - reads AWS and judges,
//! - commits the new state if no other run has committed meanwhile,
//! - looks once more,
//! - publishes, and marks the state as published.
//!
//! The sweep finds most buckets unchanged. So it first compares them with what is known from
//! reading many buckets ([`Watch::reconcile_in_sweep`]). Findings go to the Security Hub of the
//! bucket's account and region. If that one is off, they go to the hub's own
//! ([`Watch::destination_of`]).
//!
//! This crate gives no verdicts (`controls`), and does not decide which findings are imported
//! (`findings`).

mod account;
mod bucket;
mod compare;
mod destinations;
mod error;
mod key_users;
#[cfg(test)]
mod model;
mod protocol;
mod retirement;
mod sweep_cache;

pub use bucket::{Sweeping, Swept};
pub use compare::{Compared, Depth};
pub use destinations::{Destination, Destinations};
pub use error::{Superseded, WatchError};
pub use protocol::{Next, Reconciled};
pub use retirement::Retired;
pub use sweep_cache::SweepCache;

use collect::Accounts;
use controls::Settings;
use facts::{Place, Region};
use jiff::{SignedDuration, Timestamp};
use publish::SecurityHub;
use queue::Queue;
use state::State;
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

/// The settings, clients and caches that evaluating buckets needs.
#[derive(Debug)]
pub struct Watch {
    accounts: Accounts,
    settings: Settings,
    state: State,
    changes: Queue,
    generation: u64,
    second_look: SignedDuration,
    regions: BTreeSet<Region>,
    now: fn() -> Timestamp,
    destinations: Mutex<HashMap<Place, Arc<SecurityHub>>>,
    noted: Mutex<BTreeSet<Place>>,
}

/// The deployment: its number, its delay and its regions, as its template sets them.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// A number that grows with each deployment.
    pub generation: u64,
    /// The time between an evaluation and its second look.
    pub second_look: SignedDuration,
    /// The regions whose events reach the hub; empty if they are not known.
    pub regions: BTreeSet<Region>,
}

impl Watch {
    /// Makes a watch. `changes` is the queue of on-change, and `now` returns the time.
    #[must_use]
    pub fn new(
        accounts: Accounts,
        settings: Settings,
        state: State,
        changes: Queue,
        deployment: Deployment,
        now: fn() -> Timestamp,
    ) -> Self {
        let Deployment { generation, second_look, regions } = deployment;
        let (destinations, noted) = (Mutex::default(), Mutex::default());
        Self {
            accounts,
            settings,
            state,
            changes,
            generation,
            second_look,
            regions,
            now,
            destinations,
            noted,
        }
    }

    /// Returns the accounts, by which the roles in member accounts are assumed.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Returns the settings: what the organization requires.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the table of states.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Returns true if the events of a region reach the hub, or if the regions are not known.
    pub(crate) fn has_events(&self, region: &Region) -> bool {
        self.regions.is_empty() || self.regions.contains(region)
    }

    /// Returns the current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// Records that an account has buckets in a region. 1 call for each region and process.
    ///
    /// # Errors
    /// Returns an error if the call fails.
    pub async fn note_region(&self, place: &Place) -> Result<(), WatchError> {
        if self.noted.lock().unwrap_or_else(PoisonError::into_inner).contains(place) {
            return Ok(());
        }
        self.state.note_region(place).await?;
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).insert(place.clone());
        Ok(())
    }
}
