//! An account that left the organization or was closed: its findings are archived if that can still be done, and its state is
//! removed.

use crate::Watch;
use anyhow::Context as _;
use facts::{AccountId, BucketId, NameRange, Place};
use findings::{About, Item};
use queue::MembershipChange;
use state::Row;

/// The account left the organization or was closed, and its state is being removed: what a late message asks for would bring back findings that
/// were archived.
#[derive(Debug, thiserror::Error)]
#[error("account {0} left the organization or was closed")]
pub struct Departed(AccountId);

/// How many findings of a place were archived, and how many were not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retired {
    /// How many are archived now.
    pub archived: usize,
    /// How many stay as they are, as there is no way to them any more. They expire
    /// [90 days](https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-findings.html) after their last update.
    pub left_behind: usize,
}

impl Watch {
    /// Archives the findings of an account in a region, and removes its state there. `has_role` says whether the role in the account
    /// can still be assumed; without it, only the findings that are stored in the hub's own Security Hub are archived. 4 or 5 calls a
    /// bucket.
    ///
    /// # Errors
    /// Returns an error if a call fails. Done again, it does the rest.
    pub async fn retire(
        &self,
        place: &Place,
        has_role: bool,
        because: &str,
    ) -> anyhow::Result<Retired> {
        let home = self.hub_of(self.accounts.home()).await?;
        let own = match has_role {
            true => match self.hub_of(place).await {
                Ok(hub) => Some(hub),
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
                Some(hub) => {
                    self.retire_bucket(&bucket, hub, because)
                        .await
                        .with_context(|| format!("{bucket} not retired"))?;
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

    /// Fails if an account is not watched any more. 1 call.
    ///
    /// # Errors
    /// Returns [`Departed`], or an error if the call fails.
    pub async fn refuse_departed(&self, account: &AccountId) -> anyhow::Result<()> {
        match self.state.departure(&self.accounts.home().account, account).await? {
            Some(_) => Err(Departed(account.clone()).into()),
            None => Ok(()),
        }
    }

    /// Asks that an account be swept again after some seconds, at most 900: its role is not there yet. 1 call.
    ///
    /// # Errors
    /// Returns an error if the queue does not answer.
    pub async fn sweep_later(&self, change: &MembershipChange, seconds: u16) -> anyhow::Result<()> {
        Ok(self.changes.send(&[change.after(seconds)]).await?)
    }
}

/// How many findings Security Hub holds, or may hold.
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
