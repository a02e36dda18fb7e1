//! Begins a sweep: one message for each account of the organization.

use aws_config::SdkConfig;
use controls::Settings;
use facts::AccountId;
use jiff::Timestamp;
use queue::{Queue, Task};
use serde::{Deserialize, Serialize};

/// The function: what it needs, made once.
#[derive(Debug)]
pub struct SweepPlanner {
    /// The function's own configuration: the organization is asked as the delegated administrator that it runs in.
    pub own: SdkConfig,
    /// What the organization requires, and which accounts are not watched.
    pub settings: Settings,
    /// The queue of sweep-account.
    pub queue: Queue,
}

/// What is to be swept.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// These accounts; every active account of the organization, if none is named.
    #[serde(default)]
    pub accounts: Vec<String>,
}

/// What was begun.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Sweep {
    /// The sweep, by the moment at which it began.
    pub sweep: String,
    /// How many accounts are swept.
    pub accounts: usize,
    /// Those that are not, because the settings exclude them.
    pub excluded: Vec<String>,
}

impl SweepPlanner {
    /// Asks for each account to be swept. 1 call for each 20 accounts of the organization, 1 for each 10 messages, and 1 where
    /// all are swept.
    ///
    /// # Errors
    /// An account id that is none, the organization or the queue that did not answer. Messages that were sent before stand;
    /// a sweep that is begun twice does no harm.
    pub async fn begin(&self, request: Request, now: Timestamp) -> anyhow::Result<Sweep> {
        let accounts = match request.accounts.is_empty() {
            true => {
                self.look_back().await;
                collect::active_accounts(&self.own).await?
            }
            false => request.accounts.iter().map(|account| account.parse()).collect::<Result<_, _>>()?,
        };
        let (tasks, sweep) = plan(accounts, &self.settings, now);
        let messages = tasks.iter().map(Task::message).collect::<Result<Vec<_>, _>>()?;
        self.queue.send(&messages).await?;
        tracing::info!(sweep = sweep.sweep, accounts = sweep.accounts, excluded = sweep.excluded.len(), "sweep begun");
        Ok(sweep)
    }

    /// `SweepUnfinished`: what the sweep before has left to do when the next begins. No sweep waits for the answer.
    async fn look_back(&self) {
        match self.queue.waiting().await {
            Ok(waiting) => {
                metrics::counter!("SweepUnfinished").increment(waiting);
                if waiting > 0 {
                    tracing::warn!(waiting, "the sweep before has not finished");
                }
            }
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::error!(error = format!("{error:#}"), "not known whether the sweep before has finished");
            }
        }
    }
}

fn plan(mut accounts: Vec<AccountId>, settings: &Settings, now: Timestamp) -> (Vec<Task>, Sweep) {
    accounts.sort();
    accounts.dedup();
    let sweep = now.to_string();
    let (excluded, swept): (Vec<_>, Vec<_>) = accounts.into_iter().partition(|account| settings.excludes(account));
    let excluded = excluded.iter().map(ToString::to_string).collect();
    let tasks: Vec<_> = swept.into_iter().map(|account| Task::Account { sweep: sweep.clone(), account }).collect();
    let begun = Sweep { sweep, accounts: tasks.len(), excluded };
    (tasks, begun)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_account_is_swept_once_unless_it_is_excluded() {
        let settings = "classification = { tag = \"t\", default = \"a\" }\nclass.a.level = \"cmk\"\n\
                        organization.excluded-accounts = [\"222222222222\"]";
        let accounts = ["333333333333", "111111111111", "222222222222", "333333333333"];
        let accounts = accounts.map(|account| account.parse().unwrap()).to_vec();
        let (tasks, sweep) = plan(accounts, &settings.parse().unwrap(), Timestamp::UNIX_EPOCH);
        let swept: Vec<_> = tasks
            .iter()
            .map(|task| match task {
                Task::Account { account, .. } => account.as_str(),
                Task::Buckets(_) => panic!("{task:?}"),
            })
            .collect();
        assert_eq!(swept, ["111111111111", "333333333333"]);
        let sweep_id = "1970-01-01T00:00:00Z".to_owned();
        assert_eq!(sweep, Sweep { sweep: sweep_id, accounts: 2, excluded: vec!["222222222222".into()] });
    }

    #[test]
    fn a_request_names_accounts_or_nothing() {
        let named: Request = serde_json::from_str(r#"{"accounts":["111111111111"]}"#).unwrap();
        assert_eq!(named.accounts, ["111111111111"]);
        assert!(serde_json::from_str::<Request>("{}").unwrap().accounts.is_empty());
        assert!(serde_json::from_str::<Request>(r#"{"account":"111111111111"}"#).is_err());
    }
}
