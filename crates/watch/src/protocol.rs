//! Orders the steps of an evaluation so that the last state wins over concurrent evaluations.
//!
//! Evaluations of one bucket overlap, and may die at any step. A commit takes place only over the
//! version that was read before AWS was read. So the order of versions is the order in which AWS
//! was read.
//!
//! An evaluation without a change ends without a commit, and has no place in that order. So each
//! evaluation that commits looks once more before it publishes. The module `model` tests these
//! steps in random orders.
//!
//! `findings::plan` decides what to commit and to publish.

use crate::{Superseded, WatchError};
use facts::Place;
use findings::{
    ControlTransition, Finding, Item, Plan, Repairs, Seen, Slug, Terms, Workflow, plan,
};
use jiff::{SignedDuration, Timestamp};
use publish::PublishError;
use std::collections::BTreeMap;

/// The number of tries of an evaluation. After the last one its message fails and is delivered
/// again.
const MOST_TRIES: usize = 5;

/// The time for which an item of a later deployment must not be overwritten.
///
/// After that a deployment that was rolled back works again.
const SUPERSEDED_FOR: SignedDuration = SignedDuration::from_hours(1);

/// The calls to the outside that the evaluation of one bucket or of one account makes.
pub(crate) trait World {
    /// Returns the current time.
    fn now(&self) -> Timestamp;
    /// Reads the item. An item that is new or lost is rebuilt from what Security Hub holds.
    async fn read(&self) -> Result<Item, WatchError>;
    /// Reads AWS and judges what it returns.
    async fn see(&self) -> Result<Seen, WatchError>;
    /// Writes the item over a version; returns false if another run has written meanwhile.
    async fn commit(&self, item: &Item, over: u64) -> Result<bool, WatchError>;
    /// Reads the workflow statuses that a Security Hub holds, by the id of the finding.
    async fn workflows(&self, of: &Place) -> Result<BTreeMap<String, Workflow>, WatchError>;
    /// Imports findings into one Security Hub; returns the findings that it refuses.
    async fn import(&self, to: &Place, findings: &[Finding]) -> Result<Vec<Refusal>, WatchError>;
    /// Sets the workflow status of findings.
    async fn set_workflow(&self, ids: &[String], workflow: Workflow) -> Result<(), WatchError>;
    /// Reports transitions that sweeps found and no event announced in time.
    fn report_missed(&self, transitions: u32);
    /// Queues an evaluation of the other users of the keys in `item.neighbours`.
    async fn ask_neighbours(&self, item: &Item) -> Result<(), WatchError>;
}

/// A finding that Security Hub refuses.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The id of the finding.
    pub(crate) id: String,
    /// The reason for the refusal.
    pub(crate) why: PublishError,
}

/// The result of an evaluation.
#[derive(Debug)]
pub struct Reconciled {
    /// The transitions that were published.
    pub transitions: Vec<ControlTransition>,
    /// True if a finding changed.
    pub changed: bool,
    /// The version that was published before the evaluation.
    pub since: u64,
    /// The state, which is committed and published.
    pub item: Item,
}

/// Evaluates until the state is what AWS says and Security Hub has received it. `known` is the
/// item, if it was read just now.
///
/// # Errors
/// Returns an error if a call fails, if Security Hub refuses a finding, or if the bucket differs at
/// each of several looks. The next evaluation does what is missing.
pub(crate) async fn evaluate(
    world: &impl World,
    terms: &Terms<'_>,
    known: Option<Item>,
) -> Result<Reconciled, WatchError> {
    let mut item = match known {
        Some(item) => item,
        None => world.read().await?,
    };
    let (mut seen, since) = (None, item.published);
    for _ in 0..MOST_TRIES {
        refuse_if_superseded(&item, terms, world.now())?;
        let now = match seen.take() {
            Some(seen) => seen,
            None => world.see().await?,
        };
        let plan = plan(&item, &now, terms, world.now());
        if plan.is_done() {
            return Ok(Reconciled {
                transitions: Vec::new(),
                changed: false,
                since,
                item: plan.item,
            });
        }
        if plan.changed && !world.commit(&plan.item, item.version).await? {
            item = world.read().await?;
            continue;
        }
        world.report_missed(plan.missed);
        let again = world.see().await?;
        if differs(&plan.item, &again, terms, world.now()) {
            // This look came after the commit, so it is the first look of the next try.
            item = plan.item;
            seen = Some(again);
            continue;
        }
        let changed = plan.changed && !plan.import.is_empty();
        let (transitions, item) = publish(world, plan, terms).await?;
        return Ok(Reconciled { transitions, changed, since, item });
    }
    Err(WatchError::Unsettled { looks: MOST_TRIES })
}

fn differs(committed: &Item, seen: &Seen, terms: &Terms<'_>, now: Timestamp) -> bool {
    let terms = Terms { repair: &BTreeMap::new(), ..*terms };
    // A fact that decides nothing may change with each look.
    plan(committed, &seen.clone().with_reading_of(committed), &terms, now).changed
}

fn refuse_if_superseded(item: &Item, terms: &Terms<'_>, now: Timestamp) -> Result<(), Superseded> {
    let is_recent = now.duration_since(item.read_at) < SUPERSEDED_FOR;
    match item.generation > terms.generation && is_recent {
        true => Err(Superseded { by: item.generation, at: item.read_at, own: terms.generation }),
        false => Ok(()),
    }
}

/// Publishes what was committed, and marks it as published. Returns the transitions and the item.
async fn publish(
    world: &impl World,
    mut plan: Plan,
    terms: &Terms<'_>,
) -> Result<(Vec<ControlTransition>, Item), WatchError> {
    if let Some(place) = plan.asks_workflows_of().cloned() {
        plan.heed(&world.workflows(&place).await?);
    }
    let transitions = plan.transitions();
    let Plan { item, import, mut set_new, mut set_resolved, .. } = plan;
    // Do not set a finding to NEW if a version committed meanwhile says that it passes.
    if !set_new.is_empty() && !is_latest(world, &item).await? {
        set_new.clear();
    }
    set_workflow(world, &set_new, Workflow::New).await?;
    let (here, elsewhere): (Vec<_>, Vec<_>) =
        import.into_iter().partition(|finding| finding.stored_in == terms.security_hub.place);
    let mut refused = import_to(world, &terms.security_hub.place, &here).await?;
    // A finding that the new Security Hub refuses stays where it is.
    let is_taken = |finding: &Finding| refused.iter().all(|refusal| refusal.id != finding.id());
    let elsewhere: Vec<_> = elsewhere.into_iter().filter(is_taken).collect();
    for finding in elsewhere {
        refused.extend(import_to(world, &finding.stored_in.clone(), &[finding]).await?);
    }
    set_resolved.retain(|id| refused.iter().all(|refusal| refusal.id != *id));
    // A failure that was committed meanwhile must not be hidden.
    if !set_resolved.is_empty() && !is_latest(world, &item).await? {
        set_resolved.clear();
    }
    set_workflow(world, &set_resolved, Workflow::Resolved).await?;
    if !item.neighbours.is_empty() {
        world.ask_neighbours(&item).await?;
    }
    if let Some(Refusal { why, .. }) = refused.into_iter().next() {
        return Err(why.into());
    }
    let item = mark(world, item, &set_new, &set_resolved).await?;
    Ok((transitions, item))
}

async fn is_latest(world: &impl World, item: &Item) -> Result<bool, WatchError> {
    Ok(world.read().await?.version == item.version)
}

/// Marks a version as published.
///
/// If another version was committed meanwhile, takes back the workflow statuses that were set for
/// this one.
async fn mark(
    world: &impl World,
    item: Item,
    reopened: &[String],
    resolved: &[String],
) -> Result<Item, WatchError> {
    let published = item.published();
    if published == item || world.commit(&published, item.version).await? {
        return Ok(published);
    }
    // The run that committed meanwhile also publishes everything that this version was about.
    take_back(world, reopened, resolved).await?;
    Ok(item)
}

/// Takes back workflow statuses that are wrong by the latest version.
///
/// Sets a finding NEW that was set RESOLVED and fails. Sets a finding RESOLVED that was opened and
/// passes. Another version may be committed between the read and the edit, and then the edit is
/// wrong itself. So the item is read again after the edit.
async fn take_back(
    world: &impl World,
    reopened: &[String],
    resolved: &[String],
) -> Result<(), WatchError> {
    if reopened.is_empty() && resolved.is_empty() {
        return Ok(());
    }
    let (mut reopened, mut resolved) = (reopened.to_vec(), resolved.to_vec());
    let mut latest = world.read().await?;
    for _ in 0..MOST_TRIES {
        let passes = |id: &String| latest.passes(Slug::of_id(id).as_str());
        let hidden: Vec<_> = resolved.extract_if(.., |id| passes(id) == Some(false)).collect();
        // An archived finding stays as it is. RESOLVED could take effect after the finding has
        // failed again, and would then look like a person's edit.
        let open: Vec<_> = reopened.extract_if(.., |id| passes(id) == Some(true)).collect();
        if hidden.is_empty() && open.is_empty() {
            return Ok(());
        }
        set_workflow(world, &hidden, Workflow::New).await?;
        set_workflow(world, &open, Workflow::Resolved).await?;
        let read = std::mem::replace(&mut latest, world.read().await?);
        if latest.version == read.version {
            return Ok(());
        }
        reopened.extend(hidden);
        resolved.extend(open);
    }
    Err(WatchError::StatusUnsettled { edits: MOST_TRIES })
}

async fn set_workflow(
    world: &impl World,
    ids: &[String],
    workflow: Workflow,
) -> Result<(), WatchError> {
    if ids.is_empty() {
        return Ok(());
    }
    world.set_workflow(ids, workflow).await
}

async fn import_to(
    world: &impl World,
    place: &Place,
    findings: &[Finding],
) -> Result<Vec<Refusal>, WatchError> {
    if findings.is_empty() {
        return Ok(Vec::new());
    }
    world.import(place, findings).await
}

/// The step that must follow a second look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing must follow: the bucket was never evaluated, or another look is coming.
    Nothing,
    /// Another look must follow, because Security Hub may not show the latest version yet.
    LookAgain,
    /// The findings that Security Hub holds must be compared with the state.
    Compare,
}

/// Evaluates again some time after an event, because AWS may have answered with old settings.
/// Returns what must follow.
///
/// An item that was committed less than `delay` ago is not compared: Security Hub may not show it
/// yet. If an event caused that commit, the event has a second look of its own. A commit of the
/// sweep has none, so another look must follow this one.
///
/// # Errors
/// See [`evaluate`].
pub(crate) async fn second_look(
    world: &impl World,
    terms: &Terms<'_>,
    delay: SignedDuration,
) -> Result<(Reconciled, Next), WatchError> {
    let reconciled = evaluate(world, terms, None).await?;
    let is_recent = world.now().duration_since(reconciled.item.read_at) < delay;
    let is_of_sweep = reconciled.item.api_calls.is_empty();
    let next = match () {
        () if reconciled.changed || (is_recent && is_of_sweep) => Next::LookAgain,
        () if is_recent || reconciled.item.version == 0 => Next::Nothing,
        () => Next::Compare,
    };
    Ok((reconciled, next))
}

/// Repairs what Security Hub holds otherwise than the item says.
///
/// A repair is no change: it keeps what the finding reports, and nobody is alerted.
///
/// # Errors
/// See [`evaluate`].
pub(crate) async fn repair(
    world: &impl World,
    terms: &Terms<'_>,
    item: Item,
    repairs: &Repairs,
) -> Result<Item, WatchError> {
    let Repairs { import, set_new, set_resolved } = repairs;
    repair_workflows(world, &item, set_new, set_resolved).await?;
    match import.is_empty() {
        true => Ok(item),
        false => Ok(evaluate(world, &Terms { repair: import, ..*terms }, Some(item)).await?.item),
    }
}

/// Sets the workflow statuses that are wrong. If another version is committed meanwhile, takes them
/// back.
async fn repair_workflows(
    world: &impl World,
    item: &Item,
    set_new: &[String],
    set_resolved: &[String],
) -> Result<(), WatchError> {
    if (set_new.is_empty() && set_resolved.is_empty()) || !is_latest(world, item).await? {
        return Ok(());
    }
    set_workflow(world, set_new, Workflow::New).await?;
    set_workflow(world, set_resolved, Workflow::Resolved).await?;
    match is_latest(world, item).await? {
        true => Ok(()),
        false => take_back(world, set_new, set_resolved).await,
    }
}
