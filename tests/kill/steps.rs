//! The steps and moments at which functions die.

use crate::{
    Bucket, End, Setting,
    Setting::{Broken, Fixed},
    at_rest, switch_events, until_killed,
};
use cmkwatch_tests::{Alerts, Kill, Worker, sandbox};
use std::{collections::BTreeMap, env, process::Command, time::Duration};

const ON_CHANGE: &str = "cmkwatch-on-change";
const SWEEP_ACCOUNT: &str = "cmkwatch-sweep-account";
const ALERT: &str = "cmkwatch-alert";

const fn after(function: &'static str, action: &'static str, nth: u32) -> Kill {
    Kill { function, action, nth, when: "after" }
}

const fn before(function: &'static str, action: &'static str, nth: u32) -> Kill {
    Kill { function, action, nth, when: "before" }
}

const READ: &str = "dynamodb:GetItem";
const READ_MANY: &str = "dynamodb:Query";
const WRITE: &str = "dynamodb:PutItem";
const OBSERVE: &str = "s3:GetEncryptionConfiguration";
const HELD: &str = "securityhub:GetFindings";
const IMPORT: &str = "securityhub:BatchImportFindings";
const EDIT: &str = "securityhub:BatchUpdateFindings";
const SEND: &str = "sqs:SendMessage";
const PUBLISH: &str = "sns:Publish";

/// A change, and the calls at which on-change, sweep-account and alert die.
type Round = (Setting, [Option<Kill>; 3]);

/// Rounds that break and fix the buckets by turns, and kill functions meanwhile.
///
/// - on-change dies after each step of an evaluation.
/// - sweep-account dies after each of its own steps.
/// - alert dies before or after each step of a message.
const ROUNDS: [Round; 13] = [
    // Nothing is killed. All other rounds must end like these.
    (Broken, [None, None, None]),
    (Fixed, [None, None, None]),
    // The state is read.
    (
        Broken,
        [
            Some(after(ON_CHANGE, READ, 1)),
            Some(after(SWEEP_ACCOUNT, READ_MANY, 2)),
            Some(before(ALERT, WRITE, 1)),
        ],
    ),
    // Security Hub was asked for workflow statuses.
    (
        Fixed,
        [
            Some(after(ON_CHANGE, HELD, 1)),
            Some(after(SWEEP_ACCOUNT, HELD, 1)),
            Some(after(ALERT, WRITE, 1)),
        ],
    ),
    // AWS is read.
    (
        Broken,
        [
            Some(after(ON_CHANGE, OBSERVE, 1)),
            Some(after(SWEEP_ACCOUNT, OBSERVE, 1)),
            Some(after(ALERT, PUBLISH, 1)),
        ],
    ),
    // The findings are imported.
    (
        Fixed,
        [
            Some(after(ON_CHANGE, IMPORT, 1)),
            Some(after(SWEEP_ACCOUNT, IMPORT, 1)),
            Some(before(ALERT, PUBLISH, 2)),
        ],
    ),
    // The new state is committed.
    (Broken, [Some(after(ON_CHANGE, WRITE, 1)), Some(after(SWEEP_ACCOUNT, WRITE, 1)), None]),
    // RESOLVED is set.
    (Fixed, [Some(after(ON_CHANGE, EDIT, 1)), Some(after(SWEEP_ACCOUNT, EDIT, 1)), None]),
    // AWS is read once more.
    (Broken, [Some(after(ON_CHANGE, OBSERVE, 2)), Some(after(SWEEP_ACCOUNT, OBSERVE, 3)), None]),
    // An evaluation of the other users of the key is requested.
    (Fixed, [Some(after(ON_CHANGE, SEND, 1)), None, None]),
    // The version is marked as published.
    (Broken, [Some(after(ON_CHANGE, WRITE, 2)), Some(after(SWEEP_ACCOUNT, WRITE, 2)), None]),
    // The second look is requested.
    (Fixed, [Some(after(ON_CHANGE, SEND, 2)), None, None]),
    // The second look has read the findings from Security Hub.
    (Broken, [Some(after(ON_CHANGE, HELD, 1)), None, None]),
];

/// A bucket that on-change watches and a bucket that only the sweep sees, with the results of
/// rounds without a kill.
struct Play {
    alerts: Alerts,
    watched: Bucket,
    swept: Bucket,
    expected: BTreeMap<bool, [End; 2]>,
}

impl Play {
    async fn new() -> Self {
        let places = sandbox().all_places().await;
        let (watched, swept) = (
            Bucket::new(&places[0], "restricted").await,
            Bucket::new(&places[2], "confidential").await,
        );
        let alerts = Alerts::new().await;
        watched.set(Fixed).await;
        swept.set(Fixed).await;
        at_rest(&alerts).await;
        switch_events(&swept.place, false);
        sandbox().sweep(&[]).await;
        at_rest(&alerts).await;
        Self { alerts, watched, swept, expected: BTreeMap::new() }
    }

    /// Changes both buckets, and begins a sweep of the second one's account.
    async fn begin(&self, setting: Setting) {
        self.swept.set(setting).await;
        self.watched.set(setting).await;
        sandbox().begin_sweep(&[&self.swept.place.account]).await;
    }

    async fn ends(&self) -> [End; 2] {
        let messages = at_rest(&self.alerts).await;
        [self.watched.end(&messages).await, self.swept.end(&messages).await]
    }

    /// Compares the results with those of the rounds without a kill. `repeated` is the number of
    /// messages that may be sent twice, because alert died between sending and recording.
    fn check(&mut self, setting: Setting, mut ends: [End; 2], repeated: usize, what: &str) {
        let Some(expected) = self.expected.get(&(setting == Broken)) else {
            assert!(ends.iter().all(|end| end.messages.len() >= 2), "{ends:?}");
            self.expected.insert(setting == Broken, ends);
            return;
        };
        if repeated > 0 {
            let sent: usize = ends.iter().flat_map(|end| end.messages.values()).sum();
            let once: usize = expected.iter().flat_map(|end| end.messages.values()).sum();
            assert!(
                (once..=once + repeated).contains(&sent),
                "{what}: {repeated} may be repeated, {ends:?}"
            );
            ends.iter_mut().flat_map(|end| end.messages.values_mut()).for_each(|count| *count = 1);
        }
        assert_eq!(&ends, expected, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_that_die_at_any_step_end_the_same() {
    let mut play = Play::new().await;
    for (setting, kills) in ROUNDS {
        let [.., alert] = kills;
        let kills: Vec<_> = kills.into_iter().flatten().collect();
        println!("{setting:?}: {kills:?}");
        sandbox().kill(&kills);
        play.begin(setting).await;
        until_killed().await;
        let ends = play.ends().await;
        let repeated =
            usize::from(alert.is_some_and(|kill| kill.action == PUBLISH && kill.when == "after"));
        play.check(setting, ends, repeated, &format!("{setting:?} {kills:?}"));
    }
}

/// `KILL_MOMENTS` sets the number of random moments. The default is 20.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes five minutes; `make test-lag` runs it"]
async fn functions_that_die_at_random_moments_end_the_same() {
    let mut play = Play::new().await;
    for setting in [Broken, Fixed] {
        play.begin(setting).await;
        let ends = play.ends().await;
        play.check(setting, ends, 0, "without a kill");
    }
    let mut killed = 0;
    let moments: u64 =
        env::var("KILL_MOMENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    for moment in 0..moments {
        let setting = if moment % 2 == 0 { Broken } else { Fixed };
        play.begin(setting).await;
        tokio::time::sleep(Duration::from_millis(moment * 577 % 4000)).await;
        for worker in some_busy().await {
            let kill =
                Command::new("kill").args(["-KILL", &worker.pid.to_string()]).status().unwrap();
            assert!(kill.success());
            killed += 1;
        }
        let ends = play.ends().await;
        // Two processes of alert may run at once.
        play.check(setting, ends, 2, &format!("moment {moment}"));
    }
    println!("{killed} processes were killed");
    assert!(killed >= moments / 2, "{killed}");
}

/// Waits up to five seconds until a process is busy. Returns all processes that are busy then.
async fn some_busy() -> Vec<Worker> {
    for _ in 0..250 {
        let all = [ON_CHANGE, SWEEP_ACCOUNT, ALERT]
            .iter()
            .flat_map(|function| sandbox().workers(function));
        let busy: Vec<_> = all.filter(|worker| worker.busy).collect();
        if !busy.is_empty() {
            return busy;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Vec::new()
}
