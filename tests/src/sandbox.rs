//! The sandbox, which starts once for all tests of a run.

use crate::{Place, root};
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_sqs::types::QueueAttributeName;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

/// The description that `python -m sandbox` writes of itself.
#[derive(Debug, Deserialize)]
pub struct Sandbox {
    /// The URL of every service.
    pub endpoint: String,
    /// The account that cmkwatch is deployed in.
    pub hub_account: String,
    /// The other accounts that are watched.
    pub member_accounts: Vec<String>,
    /// The region that cmkwatch is deployed in.
    pub home_region: String,
    /// The regions that are watched.
    pub regions: Vec<String>,
    /// The id of the organization.
    pub organization: String,
    /// An account that can join the organization.
    pub joining_account: String,
    /// The ARN of the hub's event bus.
    pub bus_arn: String,
    /// The number of seconds by which Security Hub answers late.
    pub security_hub_lag_seconds: u64,
    /// The number of seconds until a second look at a bucket.
    pub second_look_seconds: u64,
    /// The queue of on-change.
    pub changes_queue_url: String,
    /// The dead-letter queue of on-change.
    pub changes_dead_queue_url: String,
    /// The queue of sweep-account.
    pub sweep_queue_url: String,
    /// The dead-letter queue of sweep-account.
    pub sweep_dead_queue_url: String,
    /// The queue that is subscribed to the topic.
    pub alerts_queue_url: String,
    /// The dead-letter queue of alert.
    pub alerts_dead_queue_url: String,
    /// The name of the function sweep-planner.
    pub sweep_planner_function: String,
}

/// A process of a function.
#[derive(Debug, Deserialize)]
pub struct Worker {
    /// The function's name.
    pub function: String,
    /// The process's id.
    pub pid: u32,
    /// True if the process is handling an invocation.
    pub busy: bool,
}

/// A call that was refused to a role, or to an AWS service that acted in its own name.
#[derive(Debug, Deserialize)]
pub struct Denied {
    /// The name of the role, or of the service.
    pub principal: String,
    /// The account of the principal.
    pub account: String,
    /// The IAM action.
    pub action: String,
    /// The resource of the call.
    pub resource: String,
}

/// An error that the next calls of roles get.
#[derive(Debug, Serialize)]
pub struct Fault {
    /// The account in which the call is made.
    pub account: String,
    /// The region in which the call is made.
    pub region: String,
    /// The IAM action of the call.
    pub action: &'static str,
    /// The error code of the answer.
    pub code: &'static str,
    /// The HTTP status of the answer.
    pub status: u16,
    /// The number of calls that fail, or -1 for all.
    pub times: i32,
}

/// A call at which all busy processes of a function die.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Kill {
    /// The name of the function.
    pub function: &'static str,
    /// The IAM action of the call.
    pub action: &'static str,
    /// The number of the call among the calls of this action, counted from 1.
    pub nth: u32,
    /// `before` if the processes die before the call takes effect, `after` if they die after it
    /// did.
    pub when: &'static str,
}

/// Returns the sandbox of this run of the tests. The first test that calls this function starts it.
/// The sandbox watches the pipe that is its standard input, so it stops with the test process.
///
/// # Panics
/// Panics if the sandbox does not start. `make test` installs what it needs.
pub fn sandbox() -> &'static Sandbox {
    static SANDBOX: LazyLock<(Child, Sandbox)> = LazyLock::new(start);
    &SANDBOX.1
}

/// Returns the folder in which the sandbox of these tests keeps its log and files. Each suite has a
/// folder of its own, so that two suites can run at once.
///
/// # Panics
/// Panics if the operating system does not say which program runs.
pub fn folder() -> PathBuf {
    let program = env::current_exe().unwrap();
    let name = program.file_stem().unwrap().to_string_lossy();
    let suite = name.rsplit_once('-').map_or(&*name, |(suite, _)| suite);
    root().join("target/local-aws-tests").join(suite)
}

fn start() -> (Child, Sandbox) {
    let folder = folder();
    let json = folder.join("sandbox.json");
    let mut child = Command::new(root().join("target/venv/bin/python"))
        .args(["-m", "sandbox", "--while-stdin-is-open", "--json"])
        .arg(&json)
        .arg("--folder")
        .arg(&folder)
        .args(env::var("SANDBOX_ARGUMENTS").unwrap_or_default().split_whitespace())
        .env("PYTHONPATH", env::join_paths([root(), root().join("tests")]).unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("no target/venv; run `make test`");
    let ready = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .any(|line| line == "ready");
    assert!(ready, "the sandbox did not start; see {}", folder.join("server.log").display());
    let answer = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    (child, answer)
}

impl Sandbox {
    /// Returns a place, seen with the credentials of its account's root.
    pub async fn place(&self, account: &str, region: &str) -> Place {
        let root = Credentials::from_keys(account, "sandbox", None);
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(&self.endpoint)
            .region(Region::new(region.to_owned()))
            .credentials_provider(root)
            .load()
            .await;
        Place { account: account.to_owned(), region: region.to_owned(), config }
    }

    /// Returns two members in both regions.
    pub async fn places(&self) -> Vec<Place> {
        self.places_of(&self.member_accounts[..2]).await
    }

    /// Returns every member in both regions.
    pub async fn all_places(&self) -> Vec<Place> {
        self.places_of(&self.member_accounts).await
    }

    async fn places_of(&self, accounts: &[String]) -> Vec<Place> {
        let mut places = Vec::new();
        for account in accounts {
            for region in &self.regions {
                places.push(self.place(account, region).await);
            }
        }
        places
    }

    /// Returns the hub, which sees the findings of every account and region.
    pub async fn hub(&self) -> Place {
        self.place(&self.hub_account, &self.home_region).await
    }

    /// Counts the calls of each action that were made in a place until now. Reading the counts is
    /// not counted.
    #[must_use]
    pub fn calls(&self, place: &Place) -> BTreeMap<String, u64> {
        let all = self.all_calls();
        let here = format!("{}/{}/", place.account, place.region);
        all.into_iter()
            .filter_map(|(call, count)| Some((call.strip_prefix(&here)?.to_owned(), count)))
            .collect()
    }

    /// Counts the calls of each action that were made until now, by `account/region/action`.
    /// Reading the counts is not counted.
    #[must_use]
    pub fn all_calls(&self) -> BTreeMap<String, u64> {
        self.asked("calls")
    }

    /// Returns the processes of a function.
    #[must_use]
    pub fn workers(&self, function: &str) -> Vec<Worker> {
        let all: Vec<Worker> = self.asked("workers");
        all.into_iter().filter(|worker| worker.function == function).collect()
    }

    /// Makes calls fail from now on. Replaces the faults that were set before.
    pub fn fail(&self, faults: &[Fault]) {
        self.put("faults", &faults);
    }

    /// Deletes a finding from the Security Hub that holds it, as if it were lost. Nobody can do
    /// that in AWS.
    pub fn delete_finding(&self, id: &str) {
        self.put("delete-finding", &BTreeMap::from([("id", id)]));
    }

    /// Makes functions die at these calls. Replaces the calls that were chosen before.
    pub fn kill(&self, kills: &[Kill]) {
        self.put("kills", &kills);
    }

    /// Returns how many of the chosen calls were not made yet.
    #[must_use]
    pub fn kills_left(&self) -> usize {
        self.asked::<Vec<serde_json::Value>>("kills").len()
    }

    /// Makes an account `join` the organization, `leave` it, or be closed (`close`). The change is
    /// reported if `event` is true.
    pub fn change_organization(&self, account: &str, change: &str, event: bool) {
        self.put(
            "organization",
            &serde_json::json!({ "account": account, "change": change, "event": event }),
        );
    }

    /// Deletes a key as if its waiting period were over.
    pub fn delete_key(&self, arn: &str) {
        self.put("delete-key", &BTreeMap::from([("key", arn)]));
    }

    /// Sets the second in which a key was created, and those of its rotations, as if time had
    /// passed.
    pub fn set_key_dates(&self, arn: &str, created: i64, rotations: &[i64]) {
        let rotations: Vec<_> = rotations.iter().map(|at| (at, "ON_DEMAND")).collect();
        let asked = serde_json::json!({ "key": arn, "created": created, "rotations": rotations });
        self.put("key-dates", &asked);
    }

    /// Sets the second in which the material of a key expires, as if time had passed.
    pub fn set_material_expiry(&self, arn: &str, until: i64) {
        self.put("key-dates", &serde_json::json!({ "key": arn, "valid_to": until }));
    }

    /// Sets the policy `AWS_RAM` of a key, as a resource share does. `None` ends the share.
    pub fn share_key(&self, arn: &str, policy: Option<&str>) {
        self.put("share-key", &serde_json::json!({ "key": arn, "policy": policy }));
    }

    /// Fires a schedule now. Returns true if the schedule started its target.
    #[must_use]
    pub fn fire(&self, schedule: &str) -> bool {
        let answer = self.put("schedule", &BTreeMap::from([("name", schedule)]));
        answer["invoked"].as_bool().unwrap()
    }

    /// Sets by how many seconds answers are late from now on. `of` names the kind of answers, such
    /// as `batch_update_findings`.
    pub fn set_lag(&self, of: &str, seconds: u32) {
        self.put("lag", &BTreeMap::from([(of, seconds)]));
    }

    /// Returns the calls that were refused since the start, or since `forget_denied`.
    #[must_use]
    pub fn denied(&self) -> Vec<Denied> {
        self.asked("denied")
    }

    /// Forgets the calls that were refused.
    pub fn forget_denied(&self) {
        self.put("denied", &());
    }

    /// Ends the processes of functions, and so drops the credentials that they hold.
    pub fn restart(&self, functions: &[&str]) {
        for worker in functions.iter().flat_map(|function| self.workers(function)) {
            let kill =
                Command::new("kill").args(["-KILL", &worker.pid.to_string()]).status().unwrap();
            assert!(kill.success());
        }
    }

    fn put(&self, what: &str, asked: &impl Serialize) -> serde_json::Value {
        let mut answer =
            ureq::put(format!("{}/_sandbox/{what}", self.endpoint)).send_json(asked).unwrap();
        answer.body_mut().read_json().unwrap()
    }

    fn asked<T: DeserializeOwned>(&self, what: &str) -> T {
        ureq::get(format!("{}/_sandbox/{what}", self.endpoint))
            .call()
            .unwrap()
            .body_mut()
            .read_json()
            .unwrap()
    }

    /// Begins a sweep of some accounts, or of the organization if `accounts` is empty.
    pub async fn begin_sweep(&self, accounts: &[&str]) {
        let payload = serde_json::json!({ "accounts": accounts }).to_string();
        let answer = folder().join("sweep.json");
        let function = &self.sweep_planner_function;
        let arguments = ["invoke", "--function-name", function, "--payload", &payload];
        self.hub().await.aws("lambda", &[&arguments[..], &[answer.to_str().unwrap()]].concat());
        let answer: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(&fs::read_to_string(answer).unwrap()).unwrap();
        assert!(answer.contains_key("sweep"), "{answer:?}");
    }

    /// Waits until the queues of on-change and sweep-account are empty.
    ///
    /// # Panics
    /// Panics if that takes longer than `patience`, or if one of the queues has a dead letter.
    pub async fn wait_until_idle(&self, patience: Duration) {
        let (sqs, deadline) = (self.sqs().await, Instant::now() + patience);
        let mut quiet = 0;
        while quiet < 3 {
            let left = waiting(&sqs, &self.sweep_queue_url).await
                + waiting(&sqs, &self.changes_queue_url).await;
            quiet = if left == 0 { quiet + 1 } else { 0 };
            assert!(Instant::now() < deadline, "{left} messages are left after {patience:?}");
            for dead in [&self.sweep_dead_queue_url, &self.changes_dead_queue_url] {
                assert_eq!(waiting(&sqs, dead).await, 0, "{dead}");
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// Sweeps some accounts, or the organization if `accounts` is empty, and waits until the queues
    /// are empty.
    pub async fn sweep(&self, accounts: &[&str]) {
        self.begin_sweep(accounts).await;
        self.wait_until_idle(Duration::from_secs(180)).await;
    }

    /// Returns how many messages of a queue wait, are delayed or are being handled.
    pub async fn waiting(&self, queue: &str) -> u64 {
        waiting(&self.sqs().await, queue).await
    }

    /// Returns a place in another member account and the same region.
    pub async fn another_account(&self, place: &Place) -> Place {
        let account =
            self.member_accounts.iter().find(|account| **account != place.account).unwrap();
        self.place(account, &place.region).await
    }

    /// Returns a place in the same account and another region.
    pub async fn another_region(&self, place: &Place) -> Place {
        let region = self.regions.iter().find(|region| **region != place.region).unwrap();
        self.place(&place.account, region).await
    }

    /// Returns a client of SQS in the hub.
    pub async fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.hub().await.config)
    }
}

/// Returns how many messages of a queue wait, are delayed or are being handled.
pub(crate) async fn waiting(sqs: &aws_sdk_sqs::Client, queue: &str) -> u64 {
    let counts = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        QueueAttributeName::ApproximateNumberOfMessagesDelayed,
    ];
    let asked =
        sqs.get_queue_attributes().queue_url(queue).set_attribute_names(Some(counts.to_vec()));
    let answer = asked.send().await.unwrap().attributes.unwrap();
    counts.iter().map(|count| answer[count].parse::<u64>().unwrap()).sum()
}
