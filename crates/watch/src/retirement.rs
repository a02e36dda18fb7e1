//! Archives the findings of an account that left the organization or was closed, and removes its
//! state.
//!
//! Findings that cmkwatch cannot reach any more stay, and expire. `functions/sweep-account` decides
//! which accounts are retired.

use crate::{Watch, WatchError};
use facts::{AccountId, BucketId, NameRange, Place};
use findings::{About, Item};
use organization::{Membership, OrganizationError};
use queue::MembershipChange;
use state::Row;

/// The numbers of findings of a place that were archived, and that were not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retired {
    /// The number of findings that are archived now.
    pub archived: usize,
    /// The number of findings that stay as they are, because cmkwatch cannot reach them any more.
    /// They expire [90
    /// days](https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-findings.html)
    /// after their last update.
    pub left_behind: usize,
}

impl Watch {
    /// Archives the findings of an account in a region, and removes its state there.
    ///
    /// `has_role` says whether the role in the account can still be assumed. Without it, only the
    /// findings in the hub's own Security Hub are archived. Takes 5 or 6 calls for each bucket with
    /// active findings, and 1 for each other bucket.
    ///
    /// # Errors
    /// Returns an error if a call fails. A repeated call does the rest.
    pub async fn retire(
        &self,
        place: &Place,
        has_role: bool,
        because: &str,
    ) -> Result<Retired, WatchError> {
        let home = self.destination_of(self.accounts.home()).await?;
        let own = match has_role {
            true => match self.destination_of(place).await {
                Ok(destination) => Some(destination),
                Err(error) if error.closed().is_some() => None,
                Err(error) => return Err(error.into()),
            },
            false => None,
        };
        let mut retired = Retired::default();
        for (name, row) in self.state.buckets(place, &NameRange::default()).await? {
            let bucket = BucketId::new(place.account.clone(), place.region.clone(), name)?;
            let active = active_findings(&row);
            let is_at_home =
                matches!(&row, Row::Item(item) if is_stored_in(item, self.accounts.home()));
            match own.as_ref().or(Some(&home).filter(|_| is_at_home)) {
                _ if active == 0 => {}
                Some(destination) => {
                    self.retire_bucket(&bucket, destination, because).await.map_err(|error| {
                        WatchError::Unretired { bucket: bucket.clone(), source: Box::new(error) }
                    })?;
                    retired.archived += active;
                }
                None => retired.left_behind += active,
            }
            self.state.remove(&About::Bucket(bucket)).await?;
        }
        let about = About::Account(place.clone());
        if self.state.read(&about).await?.is_some() {
            self.retire_account(place, &home, because).await?;
            self.state.remove(&about).await?;
        }
        Ok(retired)
    }

    /// Reads the relation of an account to the organization. 1 call.
    ///
    /// # Errors
    /// Returns an error if the call fails or is refused.
    pub async fn membership(&self, account: &AccountId) -> Result<Membership, OrganizationError> {
        organization::membership(self.accounts.own(), account).await
    }

    /// Fails if an account is not watched any more. 1 call.
    ///
    /// # Errors
    /// Returns [`WatchError::Departed`], or an error if the call fails.
    pub async fn refuse_departed(&self, account: &AccountId) -> Result<(), WatchError> {
        match self.state.departure(&self.accounts.home().account, account).await? {
            Some(_) => Err(WatchError::Departed(account.clone())),
            None => Ok(()),
        }
    }

    /// Queues another sweep of an account after some seconds, at most 900, because its role or its
    /// Security Hub is not there yet. 1 call.
    ///
    /// # Errors
    /// Returns an error if the queue does not answer.
    pub async fn sweep_later(
        &self,
        change: &MembershipChange,
        seconds: u16,
    ) -> Result<(), WatchError> {
        Ok(self.changes.send(&[change.after(seconds)]).await?)
    }
}

/// Returns the number of active findings that Security Hub holds, or may hold.
fn active_findings(row: &Row) -> usize {
    let Row::Item(item) = row else { return 0 };
    let is_active = |control: &&findings::ControlState| {
        control.published.is_some() || control.planned > item.published
    };
    item.controls.values().filter(is_active).count()
}

fn is_stored_in(item: &Item, place: &Place) -> bool {
    item.stored_in
        .as_ref()
        .or(item.moving_to.as_ref())
        .is_some_and(|stored_in| stored_in.place == *place)
}
