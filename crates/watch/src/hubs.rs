//! In which Security Hub findings stand.

use crate::Watch;
use controls::{Outcome, judge_account};
use facts::{Account, BucketId, Fact, Place, Unreadable};
use findings::{About, Finding, Plan, plan_account};
use jiff::Timestamp;
use publish::{Closed, Ids, PublishError, SecurityHub};
use std::sync::{Arc, PoisonError};

/// How many are kept; past it all are forgotten, and with them how far they were throttled.
const KEPT: usize = 1024;

/// The Security Hub in which the findings of a place are to stand, and the state of the one of the place.
#[derive(Debug, Clone)]
pub struct Hub {
    /// Where findings are imported.
    pub security_hub: Arc<SecurityHub>,
    /// Whether Security Hub is enabled in the place itself.
    pub enabled: Fact<bool>,
}

impl Watch {
    /// The Security Hub of an account and region, whether or not it is enabled.
    pub async fn security_hub(&self, place: &Place) -> Arc<SecurityHub> {
        if let Some(known) = self.hubs.lock().unwrap_or_else(PoisonError::into_inner).get(place) {
            return Arc::clone(known);
        }
        let made = Arc::new(SecurityHub::new(&self.accounts.config(place).await, place));
        let mut hubs = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        if hubs.len() >= KEPT {
            hubs.clear();
        }
        Arc::clone(hubs.entry(place.clone()).or_insert(made))
    }

    /// The hub's own Security Hub in its home region, which sees all others.
    pub async fn home_hub(&self) -> Arc<SecurityHub> {
        self.security_hub(self.accounts.home()).await
    }

    /// Where the findings of a place stand, and those that have such ids. 1 call for each 100
    /// findings; 1 more where the place's own Security Hub is off.
    ///
    /// # Errors
    /// A call that failed for another reason; a refusal, too, since what stands behind it still stands.
    pub async fn hub_of(&self, place: &Place, ids: &Ids) -> Result<(Hub, Vec<Finding>), PublishError> {
        self.hub_by(place, async |hub| hub.standing_under(ids).await).await
    }

    /// Like [`Watch::hub_of`], of many buckets: see [`SecurityHub::standing_of_many`].
    ///
    /// # Errors
    /// See [`Watch::hub_of`].
    pub async fn hub_of_many(&self, place: &Place, ids: &Ids) -> Result<(Hub, Vec<Finding>), PublishError> {
        self.hub_by(place, async |hub| hub.standing_of_many(ids).await).await
    }

    async fn hub_by(
        &self,
        place: &Place,
        read: impl AsyncFn(&SecurityHub) -> Result<Vec<Finding>, PublishError>,
    ) -> Result<(Hub, Vec<Finding>), PublishError> {
        let own = self.security_hub(place).await;
        match read(&own).await {
            Ok(standing) => Ok((Hub { security_hub: own, enabled: Fact::Known(true) }, standing)),
            Err(error) if error.closed() == Some(&Closed::Off) && place != self.accounts.home() => {
                let home = self.home_hub().await;
                let standing = read(&home).await?;
                Ok((Hub { security_hub: home, enabled: Fact::Known(false) }, standing))
            }
            Err(error) => Err(error),
        }
    }

    /// Tells that the Security Hub of a place refuses us, if that is what an error says: then nothing more can be done there,
    /// now or when it is tried again. What stands there is left as it is.
    ///
    /// # Errors
    /// See [`Watch::tell_account`].
    pub async fn tell_refusal(&self, error: &anyhow::Error, place: &Place, read_at: Timestamp) -> anyhow::Result<bool> {
        let Some(PublishError::Call { permission, place: there, closed: Some(Closed::Refused(code)), .. }) =
            error.downcast_ref()
        else {
            return Ok(false);
        };
        let subject = format!("Security Hub of {there}");
        let security_hub = Fact::Unreadable(Unreadable { permission, subject, code: code.clone() });
        let account = Account { place: place.clone(), read_at, buckets: Fact::Known(()), security_hub };
        self.tell_account(&account).await?;
        Ok(true)
    }

    /// Tells whether an account can be watched; what happened to the finding, where anything did. 1 call, and 1 or 2 more where
    /// there is something to tell.
    ///
    /// # Errors
    /// The hub's own Security Hub that cannot be read, or does not take the finding.
    pub async fn tell_account(&self, account: &Account) -> anyhow::Result<Option<String>> {
        let (home, verdict) = (self.home_hub().await, judge_account(account));
        if matches!(verdict.outcome, Outcome::Failed { .. } | Outcome::Undetermined(_)) {
            metrics::counter!("AccountsUnreadable").increment(1);
        }
        let id = About::Account(account.place.clone()).id(verdict.control.slug);
        let standing = home.standing_under(&Ids::under(id)).await?;
        let plan = plan_account(account, &verdict, &self.settings, home.place(), &standing);
        self.carry_out(&home, &plan).await?;
        Ok(crate::follow::transitions(&plan).next())
    }

    /// Carries out a plan, in `hub` first; then whatever is to be said where the findings stood until now.
    pub(crate) async fn carry_out(&self, hub: &SecurityHub, plan: &Plan) -> Result<(), PublishError> {
        hub.carry_out(plan).await?;
        let others = plan.import.iter().filter(|finding| finding.place != *hub.place());
        let mut elsewhere: Vec<_> = others.map(|finding| finding.place.clone()).collect();
        elsewhere.sort();
        elsewhere.dedup();
        for place in elsewhere {
            let left = plan.import.iter().filter(|finding| finding.place == place).cloned().collect();
            self.security_hub(&place).await.carry_out(&Plan { import: left, ..Plan::default() }).await?;
        }
        Ok(())
    }
}

/// The ids of the findings of a bucket.
pub(crate) fn ids_of(bucket: &BucketId) -> Ids {
    Ids::under(About::Bucket(bucket.clone()).id_prefix())
}
