//! The permissions that the role of each function needs, and that the role of the schedule needs.

use cmkwatch_tests::{Alerts, Fault, KeySetup, MadeKey, Place, progress, sandbox};
use serde_json::{Value, json};
use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime},
};

/// Returns true if a function has logged, since some moment, a line with all these words.
pub(crate) fn has_logged(hub: &Place, function: &str, since: SystemTime, words: &[&str]) -> bool {
    let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis().to_string();
    let group = format!("/aws/lambda/{function}");
    let arguments = [
        "filter-log-events",
        "--log-group-name",
        &group,
        "--start-time",
        &since,
        "--output",
        "json",
    ];
    let logged: Value = serde_json::from_str(&hub.aws("logs", &arguments)).unwrap();
    let lines =
        logged["events"].as_array().unwrap().iter().filter_map(|event| event["message"].as_str());
    lines.into_iter().any(|line| words.iter().all(|word| line.contains(word)))
}

/// An account that is not in the organization and has a bucket.
const STRANGER: &str = "700000000007";
/// An account that is not in the organization any more and has no state.
const UNKNOWN: &str = "770000000008";
/// An account that is not in the organization any more and has state.
const DEPARTED: &str = "770000000009";

/// Returns true if the refused call assumes a role in an account outside the organization. No grant
/// could allow that call, because the account has no such role.
pub(crate) fn is_outside(action: &str, resource: &str) -> bool {
    action == "sts:AssumeRole"
        && [STRANGER, UNKNOWN, DEPARTED].iter().any(|account| resource.contains(account))
}

/// Changes for on-change: a new bucket, the key of a second bucket, and the alias by which a third
/// one names its key. Changes outside the organization: a stranger's bucket, and an account that
/// left.
pub(crate) struct OnChange {
    place: Place,
    /// The stranger's bucket, or `None` if nothing outside the organization changes.
    strangers: Option<String>,
    key: MadeKey,
    user: String,
    alias: MadeKey,
    named: String,
    fresh: String,
}

impl OnChange {
    pub(crate) async fn new(place: &Place, outside: bool) -> Self {
        let [user, named, fresh] = ["user", "named", "fresh"].map(|what| place.bucket_name(what));
        let key = place.create_key(&KeySetup::default(), &user).await;
        let alias = place.create_key(&KeySetup::default(), &named).await;
        for (bucket, spelled) in [(&user, &key.arn), (&named, &alias.alias)] {
            place.create_bucket(bucket, None).await;
            place.encrypt(bucket, "aws:kms", Some(spelled)).await;
        }
        let strangers = if outside { Some(strangers_bucket(place).await) } else { None };
        Self { place: place.clone(), strangers, key, user, alias, named, fresh }
    }

    pub(crate) async fn change(&self) {
        self.place.create_bucket(&self.fresh, None).await;
        self.place.aws("kms", &["disable-key", "--key-id", &self.key.id]);
        let other = ["--alias-name", &self.alias.alias, "--target-key-id", &self.key.id];
        self.place.aws("kms", &[&["update-alias"][..], &other].concat());
        let Some(strangers) = &self.strangers else { return };
        self.place.encrypt(strangers, "aws:kms", None).await;
        let detail = json!({"account": UNKNOWN, "changed_at": "2026-11-01T00:00:00Z"});
        let left =
            json!({"source": "cmkwatch", "detail-type": "Account To Be Swept", "detail": detail});
        let changes = sandbox().changes_queue_url.as_str();
        sandbox()
            .sqs()
            .await
            .send_message()
            .queue_url(changes)
            .message_body(left.to_string())
            .send()
            .await
            .unwrap();
    }

    /// Returns true if the findings of all three buckets are published and the function has logged
    /// its work.
    pub(crate) async fn is_done(&self, since: SystemTime) -> bool {
        for bucket in [&self.user, &self.named] {
            let usable = self.place.findings(bucket).await.remove("key-usable");
            if usable.as_ref().and_then(progress).as_deref() != Some("FAILED NEW") {
                return false;
            }
        }
        let hub = sandbox().hub().await;
        let logged = |words: &[&str]| has_logged(&hub, "cmkwatch-on-change", since, words);
        self.place.findings(&self.fresh).await.len() == 3
            && logged(&["evaluated"])
            && (self.strangers.is_none()
                || (logged(&["bucket ignored: its account is not in the organization", STRANGER])
                    && logged(&["sweep of the account queued", UNKNOWN])))
    }
}

/// Makes a bucket of the stranger whose encryption `place` may change.
async fn strangers_bucket(place: &Place) -> String {
    let stranger = sandbox().place(STRANGER, &place.region).await;
    let bucket = stranger.bucket_name("strangers");
    stranger.create_bucket(&bucket, None).await;
    let policy = json!({"Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Principal": {"AWS": place.account}, "Action": "s3:PutEncryptionConfiguration",
        "Resource": format!("arn:aws:s3:::{bucket}"),
    }});
    stranger.put_policy(&bucket, &policy.to_string()).await;
    bucket
}

/// A sweep that finds a bucket that no event announced, and is requeued once. If `fails` is true,
/// the sweep instead leaves a bucket that fails to on-change.
pub(crate) struct SweepAccount {
    place: Place,
    missed: String,
    /// A bucket of the class whose keys must not serve other classes.
    restricted: String,
    fails: bool,
    /// True if an account has left the organization as well.
    outside: bool,
}

impl SweepAccount {
    pub(crate) fn new(place: &Place, fails: bool, outside: bool) -> Self {
        let [missed, restricted] = ["missed", "restricted"].map(|what| place.bucket_name(what));
        Self { place: place.clone(), missed, restricted, fails, outside }
    }

    pub(crate) async fn change(&self) {
        self.place.create_bucket(&self.missed, None).await;
        let key = self.place.create_key(&KeySetup::default(), &self.restricted).await;
        self.place.create_bucket(&self.restricted, Some("restricted")).await;
        self.place.encrypt(&self.restricted, "aws:kms", Some(&key.arn)).await;
        let (action, code, times) = match self.fails {
            true => ("s3:GetEncryptionConfiguration", "InvalidRequest", -1),
            false => ("securityhub:GetFindings", "InvalidInputException", 1),
        };
        let (account, region) = (self.place.account.clone(), self.place.region.clone());
        sandbox().fail(&[Fault { account, region, action, code, status: 400, times }]);
        sandbox().begin_sweep(&[&self.place.account]).await;
        if self.outside {
            leave().await;
        }
    }

    pub(crate) async fn is_done(&self, since: SystemTime) -> bool {
        if self.fails {
            return sandbox().waiting(&sandbox().sweep_queue_url).await == 0
                && sandbox().waiting(&sandbox().changes_queue_url).await > 0;
        }
        let restricted = self.place.findings(&self.restricted).await.remove("key-serves-one-class");
        self.place.findings(&self.missed).await.len() == 3
            && (!self.outside || is_forgotten().await)
            && restricted.as_ref().and_then(progress).as_deref() == Some("PASSED RESOLVED")
            // The sweep itself must have evaluated the bucket. on-change evaluates the buckets that
            // fail in a sweep.
            && has_logged(&sandbox().hub().await, "cmkwatch-sweep-account", since, &[r#""evaluated""#, &self.restricted])
    }
}

/// Returns the key of the row that shows that the account is known.
fn known() -> Value {
    json!({"place": {"S": format!("aws/{DEPARTED}")}, "item": {"S": "audited"}})
}

/// Makes an account with state leave the organization.
async fn leave() {
    let mut row = known();
    row["audited_at"] = json!({"S": "2026-11-01T00:00:00Z"});
    let put = ["put-item", "--table-name", "cmkwatch-state", "--item", &row.to_string()];
    sandbox().hub().await.aws("dynamodb", &put);
    let task = json!({
        "task": "account", "sweep": "left", "account": DEPARTED, "membership_changed_at": "2026-11-01T00:00:00Z",
    });
    let request = sandbox().sqs().await.send_message().queue_url(&sandbox().sweep_queue_url);
    let request = request
        .message_group_id(DEPARTED)
        .message_deduplication_id(format!("{:?}", SystemTime::now()));
    request.message_body(task.to_string()).send().await.unwrap();
}

/// Returns true if the state of the departed account is removed.
async fn is_forgotten() -> bool {
    let get = [
        "get-item",
        "--table-name",
        "cmkwatch-state",
        "--key",
        &known().to_string(),
        "--output",
        "json",
    ];
    !sandbox().hub().await.aws("dynamodb", &get).contains(DEPARTED)
}

/// A finding that people are alerted about.
pub(crate) struct Alert {
    alerts: Alerts,
    bucket: String,
    /// True once the subscriber has received the alert, which is sent only once.
    answer: AtomicBool,
}

impl Alert {
    pub(crate) async fn new(place: &Place) -> Self {
        Self {
            alerts: Alerts::new().await,
            bucket: place.bucket_name("alerted"),
            answer: AtomicBool::new(false),
        }
    }

    pub(crate) async fn change(&self) {
        let id =
            format!("cmkwatch/aws/{}/us-east-1/{}/tls-only", sandbox().hub_account, self.bucket);
        let finding = json!({
            "Id": id, "AwsAccountId": sandbox().hub_account,
            "ProductArn": format!("arn:aws:securityhub:us-east-1:{0}:product/{0}/default", sandbox().hub_account),
            "UpdatedAt": "2026-11-25T04:00:00Z", "Severity": {"Label": "CRITICAL"}, "Workflow": {"Status": "NEW"},
            "Compliance": {"Status": "FAILED"}, "ProductFields": {"cmkwatch/transition": "opened"},
        });
        let event = json!({"time": "2026-11-25T04:00:01Z", "detail": {"findings": [finding]}});
        self.alerts.send(&event.to_string()).await;
    }

    pub(crate) async fn is_done(&self, since: SystemTime) -> bool {
        // Other findings may be alerted at the same time. Then a digest names this finding too, as
        // the worst. The function must ask for the name of the finding's account.
        let is_it = |answer: &Value| {
            let answer = answer["content"].to_string();
            answer.contains(&self.bucket) && answer.contains("account 1")
        };
        if self.alerts.take().await.iter().any(is_it) {
            self.answer.store(true, Ordering::Relaxed);
        }
        self.answer.load(Ordering::Relaxed)
            && has_logged(&sandbox().hub().await, "cmkwatch-alert", since, &["alert sent"])
    }
}

/// Begins a sweep of the organization by hand, and one that fails. Returns an error if the first
/// does not begin, or if the second leaves no dead letter.
pub(crate) async fn plan(hub: &Place, since: SystemTime) -> Result<(), String> {
    let answer = std::env::temp_dir().join(format!("cmkwatch-plan-{}.json", std::process::id()));
    let function = sandbox().sweep_planner_function.as_str();
    let path = answer.to_str().unwrap();
    // The planner writes the accounts only if they differ from those of the sweep before.
    let noted =
        json!({"place": {"S": format!("organization/{}", hub.account)}, "item": {"S": "accounts"}})
            .to_string();
    hub.aws("dynamodb", &["delete-item", "--table-name", "cmkwatch-state", "--key", &noted]);
    hub.aws("lambda", &["invoke", "--function-name", function, "--payload", "{}", path]);
    let answer: Value = serde_json::from_str(&fs::read_to_string(&answer).unwrap()).unwrap();
    if answer.get("accounts").and_then(Value::as_u64) < Some(4) {
        return Err(format!("no sweep was begun: {answer}"));
    }
    if !has_logged(hub, function, since, &["sweep begun"]) {
        return Err("nothing was logged".into());
    }
    if has_logged(hub, function, since, &["previous sweep: its state could not be read"]) {
        return Err("it is previous sweep: its state could not be read".into());
    }
    let fails = [
        "invoke",
        "--function-name",
        function,
        "--invocation-type",
        "Event",
        "--payload",
        r#"{"accounts":["x"]}"#,
    ];
    hub.aws("lambda", &[&fails[..], &[path]].concat());
    dead_letter(Duration::from_secs(8)).await
}

/// Fires the schedule. Returns an error if no sweep began.
pub(crate) async fn fire() -> Result<(), String> {
    if sandbox().fire("cmkwatch-sweep") {
        Ok(())
    } else {
        Err("the schedule did not begin a sweep".into())
    }
}

/// Takes the dead letter of a sweep that did not begin. Returns an error if there is no dead letter
/// within `patience`.
pub(crate) async fn dead_letter(patience: Duration) -> Result<(), String> {
    let sqs = sandbox().sqs().await;
    let queue = sqs
        .get_queue_url()
        .queue_name("cmkwatch-sweep-planner-dead")
        .send()
        .await
        .unwrap()
        .queue_url
        .unwrap();
    let seconds = i32::try_from(patience.as_secs()).unwrap();
    let received =
        sqs.receive_message().queue_url(&queue).wait_time_seconds(seconds).send().await.unwrap();
    let message =
        received.messages.unwrap_or_default().into_iter().next().ok_or("no dead letter")?;
    sqs.delete_message()
        .queue_url(&queue)
        .receipt_handle(message.receipt_handle.unwrap())
        .send()
        .await
        .unwrap();
    Ok(())
}
