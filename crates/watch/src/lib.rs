//! One bucket, or one account: read, judged, committed, published.
//!
//! Whatever makes cmkwatch look at a bucket, an event, an event of its key or the sweep, the steps are the same (`protocol`):
//! read the state, read AWS and judge, commit the new state if nobody else has, look once more, publish, and mark as published. The
//! sweep, which finds most buckets as they were, compares them first with what is known of many
//! ([`Watch::reconcile_in_sweep`]). Findings go to the Security Hub of the bucket's account and region, or, if that is off, to
//! the hub's own ([`Watch::hub_of`]).

mod account;
mod bucket;
mod compare;
mod hubs;
mod key_users;
#[cfg(test)]
mod model;
mod protocol;
mod retirement;
mod sharing;

pub use account::is_refused_role;
pub use bucket::{Sweeping, Swept};
pub use compare::{Compared, Depth};
pub use hubs::{Hub, Hubs};
pub use protocol::{Next, Reconciled, Superseded};
pub use retirement::{Departed, Retired};
pub use sharing::Shared;

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

/// Everything that evaluating buckets needs.
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
    hubs: Mutex<HashMap<Place, Arc<SecurityHub>>>,
    noted: Mutex<BTreeSet<Place>>,
}

/// The deployment, as its template numbers it and sets its delays.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// A number that grows with each deployment.
    pub generation: u64,
    /// How long after an evaluation the second look comes.
    pub second_look: SignedDuration,
    /// The regions whose events come to the hub; empty if that is not known.
    pub regions: BTreeSet<Region>,
}

impl Watch {
    /// `changes` is the queue of on-change, `now` tells the time.
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
        let (hubs, noted) = (Mutex::default(), Mutex::default());
        Self {
            accounts,
            settings,
            state,
            changes,
            generation,
            second_look,
            regions,
            now,
            hubs,
            noted,
        }
    }

    /// The way into the member accounts.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// What the organization requires.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The table of states.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Returns true if the events of a region come to the hub.
    pub(crate) fn has_events(&self, region: &Region) -> bool {
        self.regions.is_empty() || self.regions.contains(region)
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// Notes that an account has buckets in a region. 1 call for each region, and process.
    ///
    /// # Errors
    /// Returns an error if the call fails.
    pub async fn note_region(&self, place: &Place) -> anyhow::Result<()> {
        if self.noted.lock().unwrap_or_else(PoisonError::into_inner).contains(place) {
            return Ok(());
        }
        self.state.note_region(place).await?;
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).insert(place.clone());
        Ok(())
    }
}
