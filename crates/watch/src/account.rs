//! Publishes whether an account can be watched in a region.
//!
//! The finding is stored in the hub's own Security Hub. The crate `controls` judges the account.

use crate::{
    Destination, Watch, WatchError,
    protocol::{self, Refusal, World},
};
use controls::{Outcome, judge_account};
use facts::{Account, Fact, Place, Unreadable};
use findings::{About, ControlTransition, Finding, Item, Seen, Workflow};
use jiff::Timestamp;
use publish::{Closed, PublishError};
use state::Row;
use std::collections::BTreeMap;

/// An account in a region, as an evaluation reads and writes it.
struct AccountWorld<'a> {
    watch: &'a Watch,
    about: About,
    home: &'a Destination,
    seen: &'a Seen,
}

impl Watch {
    /// Publishes whether an account can be watched in a region; returns the transition, if there is
    /// one.
    ///
    /// 2 calls, and up to 6 more if something changed. 1 more if the account has no item.
    ///
    /// # Errors
    /// Returns an error if a call fails, or if the hub's own Security Hub refuses the finding.
    pub async fn reconcile_account(
        &self,
        account: &Account,
    ) -> Result<Option<ControlTransition>, WatchError> {
        let verdict = judge_account(account);
        if matches!(verdict.outcome, Outcome::Failed { .. } | Outcome::Undetermined(_)) {
            metrics::counter!("AccountsUnreadable").increment(1);
        }
        let home = self.destination_of(self.accounts.home()).await?;
        self.publish_account(&home, &Seen::account(account, &verdict, &home.stored_in.place)).await
    }

    /// Archives the finding of an account that is not watched any more. `home` is the hub's own
    /// Security Hub.
    pub(crate) async fn retire_account(
        &self,
        place: &Place,
        home: &Destination,
        because: &str,
    ) -> Result<(), WatchError> {
        let about = About::Account(place.clone());
        self.publish_account(home, &Seen::retired(&about, self.now(), because)).await.map(drop)
    }

    async fn publish_account(
        &self,
        home: &Destination,
        seen: &Seen,
    ) -> Result<Option<ControlTransition>, WatchError> {
        let world = AccountWorld { watch: self, about: seen.about.clone(), home, seen };
        match protocol::evaluate(&world, &self.terms(home, &[]), None).await {
            Ok(reconciled) => Ok(reconciled.transitions.into_iter().next()),
            Err(WatchError::Outdated) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Publishes that the Security Hub of a place refuses cmkwatch, if that is what an error says.
    ///
    /// Returns true in that case: nothing more can be done there, and trying again does not help.
    /// The findings that this Security Hub holds stay as they are.
    ///
    /// # Errors
    /// See [`Watch::reconcile_account`].
    pub async fn reconcile_refusal(
        &self,
        error: &WatchError,
        place: &Place,
        read_at: Timestamp,
    ) -> Result<bool, WatchError> {
        let Some(PublishError::Call { permission, place: there, closed: Some(closed), .. }) =
            error.of_security_hub()
        else {
            return Ok(false);
        };
        let (why, buckets) = match closed {
            Closed::Off => return Ok(false),
            Closed::Refused(code) => {
                let subject = format!("Security Hub of {there}");
                (Unreadable { permission, subject, code: code.clone() }, Fact::Known(()))
            }
            Closed::NoRole => {
                let subject = format!("the role in account {}", there.account);
                let why = Unreadable {
                    permission: "sts:AssumeRole",
                    subject,
                    code: "AccessDenied".to_owned(),
                };
                (why.clone(), Fact::Unreadable(why))
            }
        };
        let account =
            Account { place: place.clone(), read_at, buckets, security_hub: Fact::Unreadable(why) };
        self.reconcile_account(&account).await?;
        Ok(true)
    }
}

impl World for AccountWorld<'_> {
    fn now(&self) -> Timestamp {
        self.watch.now()
    }

    async fn read(&self) -> Result<Item, WatchError> {
        let row = match self.watch.state.read(&self.about).await? {
            Some(Row::Item(item)) if item.read_at > self.seen.read_at => {
                // The account is read before its state.
                return Err(WatchError::Outdated);
            }
            Some(Row::Item(item)) => return Ok(*item),
            row => row,
        };
        // Searched by the id, because the id prefix of an account is also that of its buckets.
        let held = self.watch.findings_held(&self.home.security_hub, &self.seen.ids()).await?;
        let adopted = Item::adopt(&held, &self.home.stored_in, self.now());
        Ok(match row {
            Some(Row::Unreadable { version, why }) => {
                self.watch.rebuilt(&self.about, adopted, version, &why)
            }
            _ => adopted,
        })
    }

    async fn see(&self) -> Result<Seen, WatchError> {
        Ok(self.seen.clone())
    }

    async fn commit(&self, item: &Item, over: u64) -> Result<bool, WatchError> {
        Ok(self.watch.state.commit(&self.about, item, over).await?)
    }

    async fn workflows(&self, of: &Place) -> Result<BTreeMap<String, Workflow>, WatchError> {
        let id = self.seen.ids().into_iter().next().unwrap_or_default();
        Ok(self.watch.security_hub(of).await.workflows(id).await?)
    }

    async fn import(&self, to: &Place, findings: &[Finding]) -> Result<Vec<Refusal>, WatchError> {
        self.watch.import(to, findings).await
    }

    async fn set_workflow(&self, ids: &[String], workflow: Workflow) -> Result<(), WatchError> {
        Ok(self.home.security_hub.set_workflow(ids, workflow).await?)
    }

    fn report_missed(&self, _transitions: u32) {}

    async fn ask_neighbours(&self, _item: &Item) -> Result<(), WatchError> {
        Ok(())
    }
}
