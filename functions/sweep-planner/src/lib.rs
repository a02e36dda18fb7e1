//! Begins a sweep: queues one message for each account of the organization.

mod error;

pub use error::PlannerError;

use aws_config::SdkConfig;
use controls::Settings;
use facts::AccountId;
use jiff::Timestamp;
use queue::{Queue, Task};
use serde::{Deserialize, Serialize};
use state::{Departure, State};
use std::collections::BTreeSet;

/// The function with its clients and settings, created once.
#[derive(Debug)]
pub struct SweepPlanner {
    /// The function's own configuration. The account that the function runs in may read the
    /// organization, as a delegated administrator.
    pub own: SdkConfig,
    /// The requirements of the organization, and the accounts that are not watched.
    pub settings: Settings,
    /// The queue of sweep-account.
    pub queue: Queue,
    /// The table of states, which also lists the accounts of the previous sweep.
    pub state: State,
    /// The account that cmkwatch runs in.
    pub hub: AccountId,
}

/// The request to begin a sweep.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepRequest {
    /// The ids of the accounts to sweep. If there is none, every active account of the organization
    /// is swept.
    #[serde(default)]
    pub accounts: Vec<String>,
}

/// The sweep that was begun.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct SweepBegun {
    /// The id of the sweep: the moment at which it began.
    pub sweep: String,
    /// The number of accounts that are swept.
    pub accounts: usize,
    /// The accounts that are not swept, because the settings exclude them.
    pub excluded: Vec<String>,
    /// The accounts that left the organization or were closed since an earlier sweep, and are not
    /// retired yet.
    pub departed: Vec<String>,
}

impl SweepPlanner {
    /// Queues a message for each account that must be swept, and for each that left or was closed
    /// and must be retired. That takes 1 call for each 10 messages. If all accounts are swept, also
    /// 1 for each 20 accounts of the organization, 1 for each that left, and up to 3 more.
    ///
    /// # Errors
    /// Returns an error if an account id is malformed, or if the organization, the table or the
    /// queue does not answer. Messages that were sent before the error remain valid. A sweep that
    /// is begun twice does no harm.
    pub async fn begin(
        &self,
        request: SweepRequest,
        now: Timestamp,
    ) -> Result<SweepBegun, PlannerError> {
        if !request.accounts.is_empty() {
            let accounts =
                request.accounts.iter().map(|account| account.parse()).collect::<Result<_, _>>()?;
            return self.ask(plan(accounts, None, &self.settings, now)).await;
        }
        self.look_back().await;
        let accounts: BTreeSet<_> =
            organization::active_accounts(&self.own).await?.into_iter().collect();
        let before = self.state.noted_accounts(&self.hub).await?;
        let known = self.without_retired(before.clone(), &accounts).await?;
        let sweep = self.ask(plan(accounts.clone(), known.as_ref(), &self.settings, now)).await?;
        // An account that left stays noted until it is retired, so that the next sweep finds it
        // again if that fails.
        let noted: BTreeSet<_> = accounts.into_iter().chain(known.into_iter().flatten()).collect();
        if before.as_ref() != Some(&noted) {
            self.state.note_accounts(&self.hub, &noted).await?;
        }
        Ok(sweep)
    }

    /// Returns the noted accounts without those that left and were retired since. 1 call for each
    /// account that left.
    async fn without_retired(
        &self,
        noted: Option<BTreeSet<AccountId>>,
        active: &BTreeSet<AccountId>,
    ) -> Result<Option<BTreeSet<AccountId>>, PlannerError> {
        let Some(mut noted) = noted else { return Ok(None) };
        let departed: Vec<_> = noted.difference(active).cloned().collect();
        for account in departed {
            if self.state.departure(&self.hub, &account).await? == Some(Departure::Retired) {
                noted.remove(&account);
            }
        }
        Ok(Some(noted))
    }

    async fn ask(
        &self,
        (tasks, sweep): (Vec<Task>, SweepBegun),
    ) -> Result<SweepBegun, PlannerError> {
        let messages = tasks.iter().map(Task::message).collect::<Result<Vec<_>, _>>()?;
        self.queue.send(&messages).await?;
        let (accounts, excluded, departed) =
            (sweep.accounts, sweep.excluded.len(), sweep.departed.join(" "));
        tracing::info!(sweep = sweep.sweep, accounts, excluded, departed, "sweep begun");
        Ok(sweep)
    }

    /// Counts `SweepUnfinished`: the messages of the previous sweep that are left when the next
    /// begins. If the queue does not answer, the sweep begins all the same.
    async fn look_back(&self) {
        match self.queue.waiting().await {
            Ok(waiting) => {
                metrics::counter!("SweepUnfinished").increment(waiting);
                if waiting > 0 {
                    tracing::warn!(waiting, "previous sweep not finished");
                }
            }
            Err(error) => {
                tracing::error!(
                    error = calls::with_causes(&error),
                    "previous sweep: its state could not be read"
                );
            }
        }
    }
}

/// Returns the tasks of a sweep. `before` are the accounts of the previous sweep, or `None` if they
/// are not known or do not matter.
fn plan(
    accounts: BTreeSet<AccountId>,
    before: Option<&BTreeSet<AccountId>>,
    settings: &Settings,
    now: Timestamp,
) -> (Vec<Task>, SweepBegun) {
    let sweep = now.to_string();
    let text = |accounts: &[AccountId]| accounts.iter().map(ToString::to_string).collect();
    let departed: Vec<_> = before
        .into_iter()
        .flatten()
        .filter(|account| !accounts.contains(*account))
        .cloned()
        .collect();
    let (excluded, swept): (Vec<_>, Vec<_>) =
        accounts.into_iter().partition(|account| settings.excludes(account));
    let has_joined = |account: &AccountId| before.is_some_and(|before| !before.contains(account));
    let task = |account: &AccountId, has_changed: bool| Task::Account {
        sweep: sweep.clone(),
        account: account.clone(),
        membership_changed_at: has_changed.then_some(now),
    };
    let tasks: Vec<_> = swept
        .iter()
        .map(|account| task(account, has_joined(account)))
        .chain(departed.iter().map(|account| task(account, true)))
        .collect();
    let (accounts, excluded, departed) = (swept.len(), text(&excluded), text(&departed));
    (tasks, SweepBegun { sweep: sweep.clone(), accounts, excluded, departed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_account_is_swept_once_unless_it_is_excluded() {
        let settings = "classification = { tag = \"t\", default = \"a\" }\nclass.a.level = \"cmk\"\n\
                        organization.excluded-accounts = [\"222222222222\"]";
        let accounts = ["333333333333", "111111111111", "222222222222", "333333333333"];
        let accounts = accounts.map(|account| account.parse().unwrap()).into();
        let (tasks, sweep) =
            plan(accounts, None, &settings.parse().unwrap(), Timestamp::UNIX_EPOCH);
        let swept: Vec<_> = tasks
            .iter()
            .map(|task| match task {
                Task::Account { account, membership_changed_at: None, .. } => account.as_str(),
                Task::Account { .. } | Task::Buckets(_) => panic!("{task:?}"),
            })
            .collect();
        assert_eq!(swept, ["111111111111", "333333333333"]);
        let (sweep_id, excluded) = ("1970-01-01T00:00:00Z".to_owned(), vec!["222222222222".into()]);
        assert_eq!(
            sweep,
            SweepBegun { sweep: sweep_id, accounts: 2, excluded, departed: Vec::new() }
        );
    }

    #[test]
    fn accounts_that_joined_or_left_since_the_previous_sweep_are_found() {
        let settings = "classification = { tag = \"t\", default = \"a\" }\nclass.a.level = \"cmk\""
            .parse()
            .unwrap();
        let accounts = |ids: &[&str]| {
            ids.iter().map(|id| id.parse().unwrap()).collect::<BTreeSet<AccountId>>()
        };
        let (now, before) = (
            accounts(&["111111111111", "333333333333"]),
            accounts(&["111111111111", "222222222222"]),
        );
        let (tasks, sweep) = plan(now, Some(&before), &settings, Timestamp::UNIX_EPOCH);
        let changed: Vec<_> = tasks
            .iter()
            .map(|task| match task {
                Task::Account { account, membership_changed_at, .. } => {
                    (account.as_str(), membership_changed_at.is_some())
                }
                Task::Buckets(_) => panic!("{task:?}"),
            })
            .collect();
        assert_eq!(
            changed,
            [("111111111111", false), ("333333333333", true), ("222222222222", true)]
        );
        assert_eq!((sweep.accounts, sweep.departed), (2, vec!["222222222222".to_owned()]));
    }

    #[test]
    fn a_request_names_accounts_or_nothing() {
        let named: SweepRequest = serde_json::from_str(r#"{"accounts":["111111111111"]}"#).unwrap();
        assert_eq!(named.accounts, ["111111111111"]);
        assert!(serde_json::from_str::<SweepRequest>("{}").unwrap().accounts.is_empty());
        assert!(serde_json::from_str::<SweepRequest>(r#"{"account":"111111111111"}"#).is_err());
    }
}
