//! The sandbox, started once for all tests of a run.

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

/// What `python -m sandbox` says of itself.
#[derive(Debug, Deserialize)]
pub struct Sandbox {
    /// The URL of every service.
    pub endpoint: String,
    /// The account that cmkwatch is deployed in.
    pub hub_account: String,
    /// The accounts that are watched besides.
    pub member_accounts: Vec<String>,
    /// The region that cmkwatch is deployed in.
    pub home_region: String,
    /// The regions that are watched.
    pub regions: Vec<String>,
    /// The id of the organization.
    pub organization: String,
    /// An account that can join it.
    pub joining_account: String,
    /// The bus of the hub.
    pub bus_arn: String,
    /// How many seconds Security Hub answers late.
    pub security_hub_lag_seconds: u64,
    /// After how many seconds a second look at a bucket comes.
    pub second_look_seconds: u64,
    /// The queue of on-change.
    pub changes_queue_url: String,
    /// Its dead-letter queue.
    pub changes_dead_queue_url: String,
    /// The queue of sweep-account.
    pub sweep_queue_url: String,
    /// Its dead-letter queue.
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
    /// Whether it is running for somebody just now.
    pub busy: bool,
}

/// What a role, or a service of AWS in its own name, was refused.
#[derive(Debug, Deserialize)]
pub struct Denied {
    /// The name of the role, or of the service.
    pub principal: String,
    /// Its account.
    pub account: String,
    /// The IAM action.
    pub action: String,
    /// What it was to act on.
    pub resource: String,
}

/// Calls of roles that are to fail.
#[derive(Debug, Serialize)]
pub struct Fault {
    /// The account that is called.
    pub account: String,
    /// The region that is called.
    pub region: String,
    /// The IAM action of the call.
    pub action: &'static str,
    /// The code of the answer.
    pub code: &'static str,
    /// Its HTTP status.
    pub status: u16,
    /// How many of the next calls; -1 for all.
    pub times: i32,
}

/// A call at which all busy processes of a function die.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Kill {
    /// The function.
    pub function: &'static str,
    /// The IAM action of the call.
    pub action: &'static str,
    /// Which of these calls, from 1 on.
    pub nth: u32,
    /// `before` the call takes effect, or `after` it did.
    pub when: &'static str,
}

/// The sandbox of this run of the tests: started by the first test that asks, stopped with the process, since it watches
/// the pipe that is its standard input.
///
/// # Panics
/// Where it does not start; `make test` installs what it needs.
pub fn sandbox() -> &'static Sandbox {
    static SANDBOX: LazyLock<(Child, Sandbox)> = LazyLock::new(start);
    &SANDBOX.1
}

/// Where the sandbox of these tests keeps its log and files. Each suite has a folder of its own, so that two can run at once.
///
/// # Panics
/// Where the operating system does not say which program runs.
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
        .env("PYTHONPATH", root().join("tests"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("no target/venv; run `make test`");
    let ready = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .any(|line| line == "ready");
    assert!(ready, "the sandbox did not start; see {}", folder.join("server.log").display());
    let told = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    (child, told)
}

impl Sandbox {
    /// A place, seen with the eyes of its account's root.
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

    /// Two members in both regions.
    pub async fn places(&self) -> Vec<Place> {
        self.places_of(&self.member_accounts[..2]).await
    }

    /// Every member in both regions.
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

    /// The hub, which sees the findings of every account and region.
    pub async fn hub(&self) -> Place {
        self.place(&self.hub_account, &self.home_region).await
    }

    /// How many calls of each action were made in a place until now. Asking is none.
    #[must_use]
    pub fn calls(&self, place: &Place) -> BTreeMap<String, u64> {
        let all = self.all_calls();
        let here = format!("{}/{}/", place.account, place.region);
        all.into_iter()
            .filter_map(|(call, count)| Some((call.strip_prefix(&here)?.to_owned(), count)))
            .collect()
    }

    /// How many calls of each action were made until now, by `account/region/action`. Asking is none.
    #[must_use]
    pub fn all_calls(&self) -> BTreeMap<String, u64> {
        self.asked("calls")
    }

    /// The processes of a function.
    #[must_use]
    pub fn workers(&self, function: &str) -> Vec<Worker> {
        let all: Vec<Worker> = self.asked("workers");
        all.into_iter().filter(|worker| worker.function == function).collect()
    }

    /// Lets calls fail from now on, and those that were to fail before no more.
    pub fn fail(&self, faults: &[Fault]) {
        self.put("faults", &faults);
    }

    /// Deletes a finding from the Security Hub that holds it, as nobody can in AWS: it was lost.
    pub fn delete_finding(&self, id: &str) {
        self.put("delete-finding", &BTreeMap::from([("id", id)]));
    }

    /// Lets functions die at chosen calls, and nowhere else.
    pub fn kill(&self, kills: &[Kill]) {
        self.put("kills", &kills);
    }

    /// How many of the chosen calls were not made yet.
    #[must_use]
    pub fn kills_left(&self) -> usize {
        self.asked::<Vec<serde_json::Value>>("kills").len()
    }

    /// Lets an account `join` the organization, `leave` it, or be closed (`close`), which is reported by an event or not.
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

    /// Lets a schedule's moment come; whether it started its target.
    #[must_use]
    pub fn fire(&self, schedule: &str) -> bool {
        let told = self.put("schedule", &BTreeMap::from([("name", schedule)]));
        told["invoked"].as_bool().unwrap()
    }

    /// Sets how many seconds late something answers from now on.
    pub fn set_lag(&self, of: &str, seconds: u32) {
        self.put("lag", &BTreeMap::from([(of, seconds)]));
    }

    /// What was refused since the start, or since it was forgotten.
    #[must_use]
    pub fn denied(&self) -> Vec<Denied> {
        self.asked("denied")
    }

    /// Forgets what was refused.
    pub fn forget_denied(&self) {
        self.put("denied", &());
    }

    /// Ends the processes of functions, and with them the credentials that they have.
    pub fn restart(&self, functions: &[&str]) {
        for worker in functions.iter().flat_map(|function| self.workers(function)) {
            let kill =
                Command::new("kill").args(["-KILL", &worker.pid.to_string()]).status().unwrap();
            assert!(kill.success());
        }
    }

    fn put(&self, what: &str, asked: &impl Serialize) -> serde_json::Value {
        let mut told =
            ureq::put(format!("{}/_sandbox/{what}", self.endpoint)).send_json(asked).unwrap();
        told.body_mut().read_json().unwrap()
    }

    fn asked<T: DeserializeOwned>(&self, what: &str) -> T {
        ureq::get(format!("{}/_sandbox/{what}", self.endpoint))
            .call()
            .unwrap()
            .body_mut()
            .read_json()
            .unwrap()
    }

    /// Begins a sweep, of some accounts or, if none is named, of the organization.
    pub async fn begin_sweep(&self, accounts: &[&str]) {
        let payload = serde_json::json!({ "accounts": accounts }).to_string();
        let answer = folder().join("sweep.json");
        let function = &self.sweep_planner_function;
        let arguments = ["invoke", "--function-name", function, "--payload", &payload];
        self.hub().await.aws("lambda", &[&arguments[..], &[answer.to_str().unwrap()]].concat());
        let told: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(&fs::read_to_string(answer).unwrap()).unwrap();
        assert!(told.contains_key("sweep"), "{told:?}");
    }

    /// Waits until nothing is left to be done in either queue, and nothing has ended with the dead letters.
    ///
    /// # Panics
    /// Where that takes longer than `patience`, or something has.
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

    /// Sweeps some accounts, or the organization, and waits until all is done.
    pub async fn sweep(&self, accounts: &[&str]) {
        self.begin_sweep(accounts).await;
        self.wait_until_idle(Duration::from_secs(180)).await;
    }

    /// How many messages of a queue wait, are delayed or are being handled.
    pub async fn waiting(&self, queue: &str) -> u64 {
        waiting(&self.sqs().await, queue).await
    }

    /// A place that differs from another in the account.
    pub async fn another_account(&self, place: &Place) -> Place {
        let account =
            self.member_accounts.iter().find(|account| **account != place.account).unwrap();
        self.place(account, &place.region).await
    }

    /// A place that differs from another in the region.
    pub async fn another_region(&self, place: &Place) -> Place {
        let region = self.regions.iter().find(|region| **region != place.region).unwrap();
        self.place(&place.account, region).await
    }

    /// The queues of the hub.
    pub async fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.hub().await.config)
    }
}

/// How many messages of a queue wait, are delayed or are being handled.
pub(crate) async fn waiting(sqs: &aws_sdk_sqs::Client, queue: &str) -> u64 {
    let counts = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        QueueAttributeName::ApproximateNumberOfMessagesDelayed,
    ];
    let asked =
        sqs.get_queue_attributes().queue_url(queue).set_attribute_names(Some(counts.to_vec()));
    let told = asked.send().await.unwrap().attributes.unwrap();
    counts.iter().map(|count| told[count].parse::<u64>().unwrap()).sum()
}
