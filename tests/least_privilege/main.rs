//! Least privilege: does cmkwatch need each permission that its roles and resource policies grant?
//!
//! Each permission is taken away once, and then something does not work any more. With all
//! permissions, nothing is refused.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may stop at the first thing that is not as expected"
)]

mod functions;
mod grant;
mod member;
mod resources;

use cmkwatch_tests::{Place, RULES, sandbox};
use functions::{Alert, OnChange, SweepAccount};
use futures_util::future::join_all;
use grant::{Grant, grants};
use member::Buckets;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

/// The longest time that something may take if it works.
const PATIENCE: Duration = Duration::from_secs(40);
/// The time after which something does not work without a grant, if a refusal shows the reason.
const PATIENCE_WITHOUT: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_grant_is_needed_and_with_all_of_them_nothing_is_refused() {
    let hub = sandbox().hub().await;
    let mut accounts = vec![hub.clone()];
    for account in &sandbox().member_accounts {
        accounts.push(sandbox().place(account, &hub.region).await);
    }
    let all: Vec<Grant> =
        grants(&hub).into_iter().chain(accounts[1..].iter().flat_map(grants)).collect();
    let of = |role: &str, account: &Place| -> Vec<Grant> {
        let matching = |grant: &&Grant| grant.role == role && grant.account() == account.account;
        let found: Vec<_> = all.iter().filter(matching).cloned().collect();
        assert!(!found.is_empty(), "{role} of {} is granted nothing", account.account);
        found
    };
    let forward = format!("cmkwatch-forward-{}", hub.region);
    let functions = OfFunctions {
        sweep_account: [of("cmkwatch-sweep-account", &hub), of("cmkwatch-retire", &hub)].concat(),
        alert: of("cmkwatch-alert", &hub),
        on_change: [of("cmkwatch-on-change", &hub), of(&forward, &accounts[1])].concat(),
    };
    let tried = [
        plans(&hub, of("cmkwatch-sweep-planner", &hub), of("cmkwatch-schedule", &hub)).await,
        members(&accounts, &of).await,
        run_functions(&accounts, functions).await,
    ];
    // Each grant must have been tried. A role that exists in several accounts or regions is tried
    // in at least one of them.
    let tried = tried.concat();
    let tried: BTreeSet<_> = tried.iter().map(Grant::anywhere).collect();
    let untried: Vec<_> = all.iter().filter(|grant| !tried.contains(&grant.anywhere())).collect();
    assert!(untried.is_empty(), "{untried:?}");
    println!("{} grants were taken away, one by one", tried.len());
}

/// Ends the processes of functions and forgets what was refused. Returns the time.
async fn begin(functions: &[&str]) -> SystemTime {
    sandbox().restart(functions);
    sandbox().forget_denied();
    SystemTime::now()
}

/// Panics unless each grant that was taken away was missed. If no grant was taken away, panics if
/// anything was refused.
fn check_refusals(taken: &[&Grant]) {
    let mut denied = sandbox().denied();
    denied.retain(|denied| !Buckets::refuse(&denied.action, &denied.resource));
    denied.retain(|denied| !functions::is_outside(&denied.action, &denied.resource));
    for grant in taken {
        assert!(
            denied.iter().any(|denied| grant.is_missed(denied)),
            "{grant:?} was not missed: {denied:?}"
        );
    }
    assert!(!taken.is_empty() || denied.is_empty(), "{denied:?}");
}

/// Waits until something holds, and returns false if it does not in time. The wait is short if a
/// grant is `missing`.
async fn holds_within_time(missing: bool, mut holds: impl AsyncFnMut() -> bool) -> bool {
    let deadline = SystemTime::now() + if missing { PATIENCE_WITHOUT } else { PATIENCE };
    while SystemTime::now() < deadline {
        if holds().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    false
}

/// Takes one grant of the member role away in each account, and checks that the findings of its
/// buckets differ from those with all grants.
async fn members(accounts: &[Place], of: &impl Fn(&str, &Place) -> Vec<Grant>) -> Vec<Grant> {
    let all: Vec<_> = of("cmkwatch-member", &accounts[0]);
    let rounds: Vec<Vec<Grant>> = (0..all.len())
        .step_by(accounts.len())
        .map(|first| {
            let here = accounts.iter().enumerate();
            here.filter_map(|(turn, account)| {
                of("cmkwatch-member", account).into_iter().nth(first + turn)
            })
            .collect()
        })
        .collect();
    let mut prepared = Vec::new();
    for _ in 0..=rounds.len() {
        prepared.push(join_all(accounts.iter().map(Buckets::new)).await);
    }
    sandbox().wait_until_idle(Duration::from_secs(60)).await;
    let complete = look_at(accounts, &prepared[rounds.len()], &[]).await.remove(0);
    assert!(
        complete.len() > 15 && complete.values().all(|said| !said.starts_with("WARNING")),
        "{complete:?}"
    );
    let ids: Vec<_> = accounts.iter().map(|place| place.account.as_str()).collect();
    for (round, buckets) in rounds.iter().zip(&prepared) {
        let taken: Vec<_> = round.iter().collect();
        for (said, grant) in look_at(accounts, buckets, &taken).await.iter().zip(round) {
            assert_ne!(
                said, &complete,
                "without {} on {} all is as it was",
                grant.action, grant.resource
            );
        }
        // With the grants back, the findings become complete. So the missing grants were the cause,
        // and not a lack of time.
        sandbox().sweep(&ids).await;
        for said in join_all(buckets.iter().map(Buckets::said)).await {
            assert_eq!(said, complete, "with all that was taken given back");
        }
    }
    rounds.concat()
}

/// Returns the findings of the buckets of each account after a change and a sweep, without the
/// grants in `taken`.
async fn look_at(
    accounts: &[Place],
    buckets: &[Buckets],
    taken: &[&Grant],
) -> Vec<BTreeMap<String, String>> {
    begin(&[]).await;
    taken.iter().for_each(|grant| grant.take());
    join_all(buckets.iter().map(Buckets::change)).await;
    let ids: Vec<_> = accounts.iter().map(|place| place.account.as_str()).collect();
    sandbox().begin_sweep(&ids).await;
    let patience = if taken.is_empty() { PATIENCE } else { PATIENCE_WITHOUT };
    let quiet =
        tokio::time::timeout(patience, sandbox().wait_until_idle(Duration::from_secs(60))).await;
    assert!(
        quiet.is_ok() || !taken.is_empty(),
        "with all grants it takes longer than {patience:?}"
    );
    let said = join_all(buckets.iter().map(Buckets::said)).await;
    check_refusals(taken);
    taken.iter().for_each(|grant| grant.give_back());
    if taken.is_empty() {
        assert!(said.iter().all(|one| one == &said[0]), "{said:?}");
    }
    said
}

/// The grants of functions that are tried at the same time. No function needs the role of another
/// one.
struct OfFunctions {
    sweep_account: Vec<Grant>,
    alert: Vec<Grant>,
    on_change: Vec<Grant>,
}

/// Tries the grants of three functions: a sweep in one account, an alert, and changes in another
/// account.
async fn run_functions(accounts: &[Place], grants: OfFunctions) -> Vec<Grant> {
    // No event announces the changes in the account that is swept.
    let (changed, swept) = (&accounts[1], &accounts[2]);
    switch_events(swept, false);
    let leaves = |grant: &Grant| {
        grant.action == "sqs:SendMessage" && grant.resource.ends_with(":cmkwatch-changes")
    };
    // The first two rounds have all grants. In the second round and the last ones, the sweep leaves
    // a bucket to on-change.
    let OfFunctions { sweep_account, alert: of_alert, on_change: of_on_change } = grants;
    let (last, others): (Vec<_>, Vec<_>) = sweep_account.iter().cloned().partition(leaves);
    let rounds =
        [others.len(), of_alert.len(), of_on_change.len()].into_iter().max().unwrap_or_default();
    let mut of_sweep = vec![None, None];
    of_sweep.extend((0..rounds).map(|number| others.get(number).cloned()));
    of_sweep.extend(last.into_iter().map(Some));
    for (round, no_sweep) in of_sweep.iter().enumerate() {
        let fails = round == 1 || no_sweep.as_ref().is_some_and(leaves);
        let no_change = round.checked_sub(2).and_then(|number| of_on_change.get(number));
        // Accounts outside the organization take time, and most grants do not concern them.
        let outside =
            |grant: Option<&Grant>| round == 0 || grant.is_some_and(Grant::is_of_accounts);
        let sweep = SweepAccount::new(swept, fails, outside(no_sweep.as_ref()));
        let alert = Alert::new(&accounts[0]).await;
        let on_change =
            if fails { None } else { Some(OnChange::new(changed, outside(no_change)).await) };
        tokio::time::sleep(Duration::from_secs(1)).await;
        sandbox().wait_until_idle(Duration::from_secs(60)).await;
        let since =
            begin(&["cmkwatch-sweep-account", "cmkwatch-alert", "cmkwatch-on-change"]).await;
        let no_alert = round.checked_sub(2).and_then(|number| of_alert.get(number));
        let taken: Vec<_> = no_sweep.iter().chain(no_alert).chain(no_change).collect();
        taken.iter().for_each(|grant| grant.take());
        let change = async {
            if let Some(on_change) = &on_change {
                on_change.change().await;
            }
        };
        tokio::join!(sweep.change(), alert.change(), change);
        let (swept, answer, evaluated) = tokio::join!(
            holds_within_time(no_sweep.is_some(), async || sweep.is_done(since).await),
            holds_within_time(no_alert.is_some(), async || alert.is_done(since).await),
            holds_within_time(no_change.is_some(), async || match &on_change {
                Some(on_change) => on_change.is_done(since).await,
                None => no_change.is_none(),
            })
        );
        check_refusals(&taken);
        taken.iter().for_each(|grant| grant.give_back());
        sandbox().fail(&[]);
        let expected = (no_sweep.is_none(), no_alert.is_none(), no_change.is_none());
        assert_eq!((swept, answer, evaluated), expected, "without {taken:?}");
    }
    switch_events(swept, true);
    [sweep_account, of_alert, of_on_change].concat()
}

fn switch_events(place: &Place, on: bool) {
    for rule in RULES {
        place.aws("events", &[if on { "enable-rule" } else { "disable-rule" }, "--name", rule]);
    }
}

async fn plans(hub: &Place, planner: Vec<Grant>, schedule: Vec<Grant>) -> Vec<Grant> {
    let invoke = schedule.iter().find(|grant| grant.action == "lambda:InvokeFunction").unwrap();
    for round in 0..=planner.len() {
        let missing = round.checked_sub(1).map(|number| &planner[number]);
        let since = begin(&["cmkwatch-sweep-planner"]).await;
        missing.iter().for_each(|grant| grant.take());
        let done = functions::plan(hub, since).await;
        check_refusals(missing.as_slice());
        missing.iter().for_each(|grant| grant.give_back());
        assert_eq!(done.is_ok(), missing.is_none(), "without {missing:?}: {done:?}");
    }
    for round in 0..=schedule.len() {
        let missing = round.checked_sub(1).map(|number| &schedule[number]);
        begin(&[]).await;
        while functions::dead_letter(Duration::ZERO).await.is_ok() {}
        missing.iter().for_each(|grant| grant.take());
        let fired = functions::fire().await;
        check_refusals(missing.filter(|grant| grant.action == invoke.action).as_slice());
        // A sweep that the schedule may not begin becomes a dead letter.
        missing.unwrap_or(invoke).take_with(invoke);
        let _refused = functions::fire().await;
        let dead = functions::dead_letter(Duration::from_secs(1)).await;
        if let Some(missing) = missing {
            check_refusals(&[missing]);
        }
        invoke.give_back();
        assert_eq!(
            fired.is_ok() && dead.is_ok(),
            missing.is_none(),
            "without {missing:?}: {fired:?} {dead:?}"
        );
    }
    [planner, schedule].concat()
}

/// The shared policies are those of the key, the queues, the topic and the bus.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_statement_of_the_shared_policies_is_needed() {
    let (hub, member) = (sandbox().hub().await, sandbox().places().await[0].clone());
    let taken = resources::each_is_needed(&hub, &member).await;
    println!("{taken} parts of statements were taken away, one by one");
}

/// A role that may do everything reaches each queue with TLS, and none without.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_refuse_calls_without_tls() {
    let hub = sandbox().hub().await;
    let role = hub.make_role("insecure", ANYBODY, WHATEVER).await;
    let queues = [
        "changes",
        "changes-dead",
        "sweep.fifo",
        "sweep-dead.fifo",
        "sweep-planner-dead",
        "alerts",
        "alerts-dead",
        "forward-dead",
    ];
    for queue in queues.map(|name| format!("cmkwatch-{name}")) {
        assert!(role.asks_for_queue(&queue, true).await.is_ok(), "{queue}");
        let refused = role.asks_for_queue(&queue, false).await.unwrap_err();
        assert!(refused.contains("AccessDenied"), "{queue}: {refused}");
    }
    let ours: BTreeSet<_> = hub
        .queues("cmkwatch-")
        .await
        .into_iter()
        .filter(|name| !name.contains("sandbox"))
        .collect();
    assert_eq!(ours, queues.map(|name| format!("cmkwatch-{name}")).into());
}

/// Each alarm has one action: the topic. The stack can be given another topic for some alarms, but
/// it has none here.
#[tokio::test]
async fn each_alarm_is_sent_to_the_topic() {
    let hub = sandbox().hub().await;
    let answer = hub.aws("cloudwatch", &["describe-alarms", "--output", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let alarms = answer["MetricAlarms"].as_array().unwrap();
    assert_eq!(alarms.len(), 17);
    let topic =
        serde_json::json!([format!("arn:aws:sns:{}:{}:cmkwatch-alerts", hub.region, hub.account)]);
    for alarm in alarms {
        assert_eq!(alarm["AlarmActions"], topic, "{alarm}");
    }
}

/// Other roles may be allowed to assume any role, or may have the name of a trusted role in another
/// account. The member role refuses them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_member_role_trusts_the_two_functions_that_read_and_the_role_that_retires() {
    let (hub, member) = (sandbox().hub().await, sandbox().places().await[0].clone());
    let role = format!("arn:aws:iam::{}:role/cmkwatch-member", member.account);
    let answer =
        member.aws("iam", &["get-role", "--role-name", "cmkwatch-member", "--output", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let functions = ["on-change", "sweep-account", "retire"]
        .map(|f| format!("arn:aws:iam::{}:role/cmkwatch-{f}", hub.account));
    let trust = serde_json::json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"AWS": hub.account},
        "Action": "sts:AssumeRole",
        "Condition": {
            "ArnEquals": {"aws:PrincipalArn": functions},
            "StringEquals": {"aws:PrincipalOrgID": organization_of(&answer)},
        },
    }]});
    assert_eq!(answer["Role"]["AssumeRolePolicyDocument"], trust);

    let outside = sandbox().place("999999999999", &hub.region).await;
    let elsewhere = sandbox().another_account(&member).await;
    for (place, name) in
        [(&hub, "curious"), (&elsewhere, "cmkwatch-on-change"), (&outside, "cmkwatch-on-change")]
    {
        let curious = place.make_role(name, ANYBODY, WHATEVER).await;
        let refused = curious.assume(&role).await;
        assert!(refused.unwrap_err().contains("AccessDenied"), "{name} of {place}");
    }
    // The role of on-change may assume the member role. So the refusals above are due to the
    // principal.
    let function = format!("arn:aws:iam::{}:role/cmkwatch-on-change", hub.account);
    hub.trust("cmkwatch-on-change", ANYBODY);
    let function = hub.assume(&function).await.unwrap();
    assert!(function.assume(&role).await.is_ok());
    hub.trust(
        "cmkwatch-on-change",
        &ANYBODY.replace(r#"{"AWS":"*"}"#, r#"{"Service":"lambda.amazonaws.com"}"#),
    );
}

const ANYBODY: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}}"#;
const WHATEVER: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;

fn organization_of(role: &serde_json::Value) -> serde_json::Value {
    let trust = &role["Role"]["AssumeRolePolicyDocument"]["Statement"][0];
    let organization = trust["Condition"]["StringEquals"]["aws:PrincipalOrgID"].clone();
    assert!(organization.as_str().is_some_and(|id| id.starts_with("o-")), "{organization}");
    organization
}
