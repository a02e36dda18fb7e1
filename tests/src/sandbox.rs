//! The sandbox, started once for all tests of a run.

use crate::{Place, root};
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::LazyLock,
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
    /// The queue of on-change.
    pub changes_queue_url: String,
    /// Its dead-letter queue.
    pub changes_dead_queue_url: String,
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

fn start() -> (Child, Sandbox) {
    let folder = root().join("target/local-aws-tests");
    let json = folder.join("sandbox.json");
    let mut child = Command::new(root().join("target/venv/bin/python"))
        .args(["-m", "sandbox", "--while-stdin-is-open", "--json"])
        .arg(&json)
        .arg("--folder")
        .arg(&folder)
        .env("PYTHONPATH", root().join("tests"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("no target/venv; run `make test`");
    let ready = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).any(|line| line == "ready");
    assert!(ready, "the sandbox did not start; see target/local-aws-tests/server.log");
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

    /// Both members in both regions.
    pub async fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for account in &self.member_accounts {
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
        let url = format!("{}/_sandbox/calls", self.endpoint);
        let all: BTreeMap<String, u64> = ureq::get(url).call().unwrap().body_mut().read_json().unwrap();
        let here = format!("{}/{}/", place.account, place.region);
        all.into_iter().filter_map(|(call, count)| Some((call.strip_prefix(&here)?.to_owned(), count))).collect()
    }

    /// A place that differs from another in the account.
    pub async fn another_account(&self, place: &Place) -> Place {
        let account = self.member_accounts.iter().find(|account| **account != place.account).unwrap();
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
