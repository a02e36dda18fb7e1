//! One bucket, or one account: read, judged, told.
//!
//! Whatever makes cmkwatch look at a bucket, an event, an event of its key or the sweep, [`Watch::follow`] is how it does. The
//! sweep, which finds most buckets as they were, asks [`Watch::is_settled`] first: that takes 2 calls where the rest is known.
//! Findings go to the Security Hub of the bucket's account and region, or, where that is off, to the hub's own
//! ([`Watch::hub_of`]).

mod follow;
mod hubs;
mod sharing;
mod uses;

pub use follow::{Standing, Told};
pub use hubs::Hub;
pub use sharing::Shared;
pub use uses::KeysChanged;

use collect::Accounts;
use controls::Settings;
use facts::Place;
use jiff::Timestamp;
use publish::SecurityHub;
use queue::Queue;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

/// What looking takes, made once.
#[derive(Debug)]
pub struct Watch {
    accounts: Accounts,
    settings: Settings,
    changes: Queue,
    now: fn() -> Timestamp,
    hubs: Mutex<HashMap<Place, Arc<SecurityHub>>>,
}

impl Watch {
    /// `changes` is the queue of what is to be judged anew, `now` tells the time.
    #[must_use]
    pub fn new(accounts: Accounts, settings: Settings, changes: Queue, now: fn() -> Timestamp) -> Self {
        Self { accounts, settings, changes, now, hubs: Mutex::default() }
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

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }
}
