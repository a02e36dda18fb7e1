//! Evaluates one bucket of a batch, and does what follows: a second look, or the comparison with
//! Security Hub.

use crate::{OnChange, subjects::Group, time::TimeLimits};
use facts::{Account, AccountId, BucketId, Fact, Place, Unreadable};
use findings::{ApiCall, ControlTransition, transitions_in_words};
use jiff::Timestamp;
use organization::{Membership, OrganizationError};
use queue::{Purpose, Visit};
use std::{collections::BTreeMap, fmt};
use tokio::time::{Instant, timeout_at};
use watch::{Compared, Depth, Destinations, Next, WatchError};

/// The result of an evaluation, with what must follow.
pub(crate) enum Evaluated {
    /// Nothing must follow.
    Done,
    /// The bucket could not be evaluated.
    Failed(BucketId, Group),
    /// No time was left to begin with the bucket.
    NotBegun(BucketId, Group),
    /// A second look must follow.
    LookAgain(BucketId, Group),
    /// The bucket must be compared with what Security Hub holds.
    Compare(Box<Compared>, Group),
}

/// The step that must follow an evaluation.
enum Follow {
    Nothing,
    /// A second look. Holds the version that was published before.
    LookAgain(u64),
    Compare(Box<Compared>),
}

/// The changes that an evaluation made.
enum Changed {
    /// Transitions that were published; none if the list is empty.
    Controls(Vec<ControlTransition>),
    /// The finding `account-readable` says that Security Hub of the account refuses cmkwatch.
    SecurityHubRefused,
    /// A later deployment committed meanwhile, so the message was requeued.
    Requeued,
}

impl Changed {
    const NOTHING: Self = Self::Controls(Vec::new());

    fn is_nothing(&self) -> bool {
        matches!(self, Self::Controls(transitions) if transitions.is_empty())
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Controls(transitions) => f.write_str(&transitions_in_words(transitions)),
            Self::SecurityHubRefused => f.write_str("account-readable"),
            Self::Requeued => f.write_str("requeued"),
        }
    }
}

impl OnChange {
    /// Evaluates one bucket, and logs the result.
    pub(crate) async fn attend(
        &self,
        destinations: &Destinations,
        bucket: BucketId,
        mut group: Group,
        time: TimeLimits,
    ) -> Evaluated {
        if Instant::now() >= time.begin_until {
            return Evaluated::NotBegun(bucket, group);
        }
        let latest = ApiCall::latest(&group.api_calls);
        let event = latest.and_then(|api_call| api_call.event_id.as_deref()).unwrap_or_default();
        let (account, region, name) = (bucket.account(), bucket.region(), bucket.name());
        let second_look = group.second_look;
        match in_time(time.evaluate_until, self.evaluate(destinations, &bucket, &group)).await {
            Ok((changed, follow)) => {
                // A second look that finds nothing does not show how long the change took.
                record_age(
                    latest.filter(|_| group.is_event || !changed.is_nothing()),
                    self.watch.now(),
                );
                tracing::info!(%account, %region, bucket = %name, event, second_look, %changed, "evaluated");
                match follow {
                    Follow::Nothing => Evaluated::Done,
                    Follow::Compare(compared) => Evaluated::Compare(compared, group),
                    Follow::LookAgain(since) => {
                        group.since = Some(group.since.map_or(since, |known| known.min(since)));
                        Evaluated::LookAgain(bucket, group)
                    }
                }
            }
            Err(error) => {
                let error = calls::with_causes(&error);
                tracing::error!(%account, %region, bucket = %name, event, second_look, error, "not evaluated");
                Evaluated::Failed(bucket, group)
            }
        }
    }

    /// Evaluates a bucket. Returns what changed, and what must follow.
    async fn evaluate(
        &self,
        destinations: &Destinations,
        bucket: &BucketId,
        group: &Group,
    ) -> Result<(Changed, Follow), WatchError> {
        let read_at = self.watch.now();
        let evaluated = match group.second_look {
            true => self.watch.look_again(destinations, bucket, &group.api_calls).await,
            // A second look follows each evaluation that an event caused, and no other.
            false => {
                let reconciled = self.watch.reconcile(destinations, bucket, &group.api_calls).await;
                reconciled.map(|reconciled| (reconciled, Next::Nothing))
            }
        };
        let (reconciled, next) = match evaluated {
            Ok(evaluated) => evaluated,
            Err(error) => {
                let changed = self.after_failure(error, bucket, group, read_at).await?;
                return Ok((changed, Follow::Nothing));
            }
        };
        let since = group.since.map_or(reconciled.since, |known| known.min(reconciled.since));
        let follow = match next {
            _ if group.is_event => Follow::LookAgain(since),
            Next::LookAgain => Follow::LookAgain(since),
            Next::Nothing => Follow::Nothing,
            Next::Compare => {
                let bucket = bucket.clone();
                Follow::Compare(Box::new(Compared { bucket, item: reconciled.item, since }))
            }
        };
        Ok((Changed::Controls(reconciled.transitions), follow))
    }

    /// Handles an error that another try now would not change. Returns what changed.
    async fn after_failure(
        &self,
        error: WatchError,
        bucket: &BucketId,
        group: &Group,
        read_at: Timestamp,
    ) -> Result<Changed, WatchError> {
        match error.cause() {
            WatchError::Departed(_) => {
                tracing::info!(bucket = %bucket, error = calls::with_causes(&error), "bucket ignored");
                Ok(Changed::NOTHING)
            }
            WatchError::Superseded(_) => {
                tracing::warn!(bucket = %bucket, error = calls::with_causes(&error), "evaluation requeued");
                self.watch.postpone(group.purpose(), [visit(bucket.clone(), group)]).await?;
                Ok(Changed::Requeued)
            }
            _ if error.is_refused_role() => self.report_refused_role(bucket.account()).await,
            _ => {
                if self.watch.reconcile_refusal(&error, &bucket.place(), read_at).await? {
                    return Ok(Changed::SecurityHubRefused);
                }
                Err(error)
            }
        }
    }

    /// Publishes that the role in an account was refused, and returns what changed. Without the
    /// role, nothing about the bucket can be read, neither now nor when its message is delivered
    /// again. The sweep reads the bucket once the role exists. A bucket of an account outside the
    /// organization, which a member called, is ignored.
    async fn report_refused_role(&self, account: &AccountId) -> Result<Changed, WatchError> {
        match self.watch.membership(account).await {
            Ok(Membership::Member) => {}
            Ok(membership) => {
                tracing::info!(%account, ?membership, "bucket ignored: its account is not in the organization, or is closed");
                return Ok(Changed::NOTHING);
            }
            // The sweep knows the accounts of the organization, and reports an account that it
            // cannot read.
            Err(OrganizationError::Refused(why)) => {
                tracing::warn!(%account, %why, "bucket ignored: the membership of its account could not be read");
                return Ok(Changed::NOTHING);
            }
            Err(error) => return Err(error.into()),
        }
        let (subject, read_at) = (format!("the role in account {account}"), self.watch.now());
        let why =
            Unreadable { permission: "sts:AssumeRole", subject, code: "AccessDenied".to_owned() };
        let place =
            Place { account: account.clone(), region: self.watch.accounts().home().region.clone() };
        let account = Account {
            place,
            read_at,
            buckets: Fact::Unreadable(why),
            security_hub: Fact::Known(true),
        };
        let transition = self.watch.reconcile_account(&account).await?;
        Ok(Changed::Controls(transition.into_iter().collect()))
    }

    /// Requeues buckets that were not begun for lack of time, in messages for up to 20. Returns the
    /// buckets for which that failed.
    pub(crate) async fn requeue(
        &self,
        late: Vec<(BucketId, Group)>,
        deadline: Instant,
    ) -> Vec<(BucketId, Group)> {
        let mut failed = Vec::new();
        for purpose in [Purpose::Evaluate, Purpose::SecondLook] {
            let (some, visits): (Vec<_>, Vec<_>) = late
                .iter()
                .filter(|(_, group)| group.purpose() == purpose)
                .map(|it| (it.0.clone(), visit(it.0.clone(), &it.1)))
                .unzip();
            if some.is_empty() {
                continue;
            }
            match in_time(deadline, self.watch.postpone(purpose, visits)).await {
                Ok(()) => tracing::info!(
                    buckets = some.len(),
                    "buckets requeued: time limit reached before they were begun"
                ),
                Err(error) => {
                    tracing::error!(
                        buckets = some.len(),
                        error = calls::with_causes(&error),
                        "buckets not requeued"
                    );
                    failed.extend(some);
                }
            }
        }
        late.into_iter().filter(|(bucket, _)| failed.contains(bucket)).collect()
    }

    /// Requests second looks at buckets. Returns all of them if that fails.
    pub(crate) async fn ask_second_looks(
        &self,
        looks: Vec<(BucketId, Group)>,
        deadline: Instant,
    ) -> Vec<(BucketId, Group)> {
        if looks.is_empty() {
            return Vec::new();
        }
        let visits: Vec<_> =
            looks.iter().map(|(bucket, group)| visit(bucket.clone(), group)).collect();
        match in_time(deadline, self.watch.ask_second_looks(visits)).await {
            Ok(()) => Vec::new(),
            Err(error) => {
                let (buckets, error) = (looks.len(), calls::with_causes(&error));
                tracing::error!(
                    buckets,
                    error,
                    "second looks not queued: their messages will be delivered again"
                );
                looks
            }
        }
    }

    /// Compares the buckets of each place with what Security Hub holds. Returns the buckets that
    /// failed.
    pub(crate) async fn compare(
        &self,
        destinations: &Destinations,
        compared: Vec<(Box<Compared>, Group)>,
        deadline: Instant,
    ) -> Vec<(BucketId, Group)> {
        let mut by_place = BTreeMap::<Place, Vec<Compared>>::new();
        let mut groups = BTreeMap::new();
        for (compared, group) in compared {
            groups.insert(compared.bucket.clone(), group);
            by_place.entry(compared.bucket.place()).or_default().push(*compared);
        }
        let mut failed = Vec::new();
        for (place, buckets) in by_place {
            let all: Vec<_> = buckets.iter().map(|compared| compared.bucket.clone()).collect();
            let Err(error) =
                in_time(deadline, self.compare_place(destinations, &place, buckets, &mut groups))
                    .await
            else {
                continue;
            };
            tracing::error!(%place, error = calls::with_causes(&error), "Security Hub was not compared with the state");
            failed.extend(all.into_iter().filter_map(|bucket| groups.remove_entry(&bucket)));
        }
        failed
    }

    /// Compares the buckets of one place with its Security Hub. Removes those that are done from
    /// `groups`.
    async fn compare_place(
        &self,
        destinations: &Destinations,
        place: &Place,
        buckets: Vec<Compared>,
        groups: &mut BTreeMap<BucketId, Group>,
    ) -> Result<(), WatchError> {
        let destination = self.watch.prepare_destination(destinations, place).await?;
        let mut first = None;
        for (bucket, repaired) in self.watch.compare(&destination, buckets, Depth::OneCall).await {
            match repaired {
                Ok(_) => drop(groups.remove(&bucket)),
                Err(error) => first = first.or(Some(error)),
            }
        }
        first.map_or(Ok(()), Err)
    }
}

fn visit(bucket: BucketId, group: &Group) -> Visit {
    Visit { bucket, api_calls: group.api_calls.clone(), since: group.since }
}

/// The error of work that a run had to do in time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EvaluationError {
    /// The work failed.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// The run had no time left.
    #[error("time limit reached")]
    TimeLimit,
}

/// Does some work until `deadline`.
pub(crate) async fn in_time<T>(
    deadline: Instant,
    done: impl Future<Output = Result<T, WatchError>>,
) -> Result<T, EvaluationError> {
    Ok(timeout_at(deadline, done).await.map_err(|_| EvaluationError::TimeLimit)??)
}

/// Records `EventAge`: the seconds from the API call until now.
fn record_age(api_call: Option<&ApiCall>, now: Timestamp) {
    let happened =
        api_call.and_then(|api_call| api_call.event_time.as_ref()?.parse::<Timestamp>().ok());
    if let Some(happened) = happened {
        metrics::histogram!("EventAge").record(now.duration_since(happened).as_secs_f64());
    }
}
