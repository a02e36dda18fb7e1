//! Is each permission in the policies of the key, the queues, the topic and the bus needed? As with
//! the roles, each is taken away once.

use crate::{functions::has_logged, grant::list};
use cmkwatch_tests::{Alerts, Denied, Place, sandbox};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant, SystemTime},
};

/// The longest time that something may take if it works.
const PATIENCE: Duration = Duration::from_secs(40);

/// The resources whose policies are tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Attached {
    Key,
    Changes,
    Findings,
    Topic,
    Bus,
}

/// Events with a visible result. Each shows that some statements are needed, because it fails
/// without them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Story {
    /// A new bucket is judged.
    Changed,
    /// A change that may not be sent to its queue becomes a dead letter of EventBridge.
    ChangeLost,
    /// A finding that may not be sent to its queue becomes a dead letter of EventBridge.
    FindingLost,
    /// An imported finding reaches the queue of alert, and so the subscriber.
    Found,
    /// An event in the queue of alert becomes an alert.
    Alerted,
    /// A sweep is begun.
    Planned,
    /// An alarm reaches the subscriber.
    Alarmed,
    /// A function's log is kept.
    Logged,
}

impl Story {
    /// Returns the dead-letter queue of a story about a dead letter, or `None` for other stories.
    fn dead_letters(self) -> Option<&'static str> {
        match self {
            Self::ChangeLost => Some(&sandbox().changes_dead_queue_url),
            Self::FindingLost => Some(&sandbox().alerts_dead_queue_url),
            _ => None,
        }
    }
}

/// The story that shows that each statement is needed. The fields are: the resource, the statement
/// and action, one value of the condition or one resource, and the story. A statement of
/// `Administer` has no story. Such statements are for people and CloudFormation, and the root of an
/// account needs none of them in the sandbox.
const STORIES: [(Attached, &str, &str, Option<Story>); 16] = [
    (Attached::Key, "UseThroughQueuesAndTopic kms:Decrypt", "sqs.", Some(Story::Alerted)),
    (Attached::Key, "UseThroughQueuesAndTopic kms:GenerateDataKey", "sqs.", Some(Story::Planned)),
    (Attached::Key, "UseThroughQueuesAndTopic kms:Decrypt", "sns.", Some(Story::Alerted)),
    (Attached::Key, "UseThroughQueuesAndTopic kms:GenerateDataKey", "sns.", Some(Story::Alerted)),
    // The principal that makes the table needs this statement. In the sandbox, that is the root of
    // an account.
    (Attached::Key, "UseThroughTable kms:CreateGrant", "", None),
    (Attached::Key, "UseThroughTable ", "", Some(Story::Changed)),
    (Attached::Key, "Logs ", "", Some(Story::Logged)),
    (Attached::Key, "Rules ", "", Some(Story::Changed)),
    (Attached::Key, "Alarms ", "", Some(Story::Alarmed)),
    (Attached::Changes, "ChangesRule sqs:SendMessage", "cmkwatch-changes", Some(Story::Changed)),
    (
        Attached::Changes,
        "ChangesRule sqs:SendMessage",
        "cmkwatch-changes-dead",
        Some(Story::ChangeLost),
    ),
    (Attached::Findings, "FindingsRule sqs:SendMessage", "cmkwatch-alerts", Some(Story::Found)),
    (
        Attached::Findings,
        "FindingsRule sqs:SendMessage",
        "cmkwatch-alerts-dead",
        Some(Story::FindingLost),
    ),
    (Attached::Topic, "Alarms sns:Publish", "", Some(Story::Alarmed)),
    (Attached::Bus, "organization events:PutEvents", "", Some(Story::Changed)),
    (Attached::Key, "Administer ", "", None),
];

/// A part of a statement: one action on one resource, for one value of its condition.
#[derive(Debug)]
struct Part {
    sid: String,
    action: String,
    /// The name of the resource, or the value of the condition.
    only: String,
    statement: Value,
}

/// Takes each part that has a story away, one by one, and checks that it is missed. Returns the
/// number of those parts.
pub(crate) async fn each_is_needed(hub: &Place, member: &Place) -> usize {
    all_show(hub, member).await;
    let (mut taken, mut shown) = (0, [0; STORIES.len()]);
    for attached in
        [Attached::Key, Attached::Changes, Attached::Findings, Attached::Topic, Attached::Bus]
    {
        let whole = read(hub, attached).await;
        let (parts, refusals) = split(&whole);
        for (number, part) in parts.iter().enumerate() {
            let (at, story) = story_of(attached, part);
            shown[at] += 1;
            let Some(story) = story else { continue };
            // EventBridge leaves a dead letter only if it may not send to the queue itself. So a
            // story about a dead letter loses both parts of its statement.
            let is_left = |other: usize, of: &Part| {
                other != number && (story.dead_letters().is_none() || of.sid != part.sid)
            };
            let left = parts.iter().enumerate().filter(|(other, of)| is_left(*other, of));
            let left: Vec<_> = left
                .map(|(_, part)| part.statement.clone())
                .chain(refusals.iter().cloned())
                .collect();
            put(hub, attached, &document(&left)).await;
            let answer = StoryRun::begin(hub, member, story).await;
            let is_missed = answer.is_missed(&part.action).await;
            put(hub, attached, &whole).await;
            assert!(
                is_missed,
                "without {attached:?} {part:?} all is as it was, or nothing was refused"
            );
            if part.action == "sqs:SendMessage" && story.dead_letters().is_none() {
                assert!(
                    answer.is_dead_letter().await,
                    "{part:?} was taken, and no dead letter is left"
                );
            }
            taken += 1;
        }
    }
    let unused: Vec<_> = STORIES.iter().zip(shown).filter(|(_, shown)| *shown == 0).collect();
    assert!(unused.is_empty(), "{unused:?}");
    all_show(hub, member).await;
    taken
}

/// Checks that the stories show with all permissions in place. Stories about dead letters need a
/// missing permission, so they are left out.
async fn all_show(hub: &Place, member: &Place) {
    for story in [
        Story::Changed,
        Story::Found,
        Story::Alerted,
        Story::Planned,
        Story::Alarmed,
        Story::Logged,
    ] {
        let (answer, deadline) =
            (StoryRun::begin(hub, member, story).await, Instant::now() + PATIENCE);
        while !answer.shows().await {
            assert!(Instant::now() < deadline, "{story:?} does not show with everything in place");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn story_of(attached: Attached, part: &Part) -> (usize, Option<Story>) {
    let is_it = |(on, what, only, _): &&(Attached, &str, &str, Option<Story>)| {
        let said = format!("{} {}", part.sid, part.action);
        let fits = if only.ends_with('.') {
            part.only.starts_with(only)
        } else {
            only.is_empty() || part.only == **only
        };
        *on == attached && said.starts_with(what) && fits
    };
    let found = STORIES.iter().enumerate().find(|(_, story)| is_it(story));
    let (at, story) =
        found.unwrap_or_else(|| panic!("no story shows that {attached:?} {part:?} is needed"));
    (at, story.3)
}

/// Splits each Allow into one part for each action, resource and `kms:ViaService` value. Returns
/// each Deny unchanged.
fn split(document: &Value) -> (Vec<Part>, Vec<Value>) {
    let (allowed, refused): (Vec<_>, Vec<_>) = list(&document["Statement"])
        .into_iter()
        .partition(|statement| statement["Effect"] == "Allow");
    let mut parts = Vec::new();
    for statement in allowed {
        let sid = statement["Sid"].as_str().unwrap_or("organization").to_owned();
        let through = &statement["Condition"]["StringEquals"]["kms:ViaService"];
        for action in list(&statement["Action"]) {
            for resource in list(&statement["Resource"]) {
                for service in if through.is_null() { vec![Value::Null] } else { list(through) } {
                    let mut alone = statement.clone();
                    (alone["Action"], alone["Resource"]) = (action.clone(), resource.clone());
                    alone.as_object_mut().unwrap().remove("Sid");
                    if !service.is_null() {
                        alone["Condition"]["StringEquals"]["kms:ViaService"] = service.clone();
                    }
                    let name = resource
                        .as_str()
                        .unwrap_or_default()
                        .rsplit(':')
                        .next()
                        .unwrap_or_default();
                    let only = service.as_str().unwrap_or(name).to_owned();
                    let action = action.as_str().unwrap().to_owned();
                    assert!(!action.contains('*'), "{sid}: {action}");
                    parts.push(Part { sid: sid.clone(), action, only, statement: alone });
                }
            }
        }
    }
    (parts, refused)
}

fn document(statements: &[Value]) -> Value {
    // A policy must have a statement, even if no part is left.
    let nothing =
        json!([{"Effect": "Deny", "Principal": "*", "Action": "x:Nothing", "Resource": "*"}]);
    let statements = if statements.is_empty() { nothing } else { json!(statements) };
    json!({"Version": "2012-10-17", "Statement": statements})
}

fn queue(attached: Attached) -> &'static [&'static str] {
    match attached {
        Attached::Changes => &["cmkwatch-changes", "cmkwatch-changes-dead"],
        _ => &["cmkwatch-alerts", "cmkwatch-alerts-dead"],
    }
}

async fn read(hub: &Place, attached: Attached) -> Value {
    let text = match attached {
        Attached::Key => hub.key_policy("alias/cmkwatch").await,
        Attached::Changes | Attached::Findings => hub.queue_policy(queue(attached)[0]).await,
        Attached::Topic => {
            let query =
                ["--topic-arn", &topic(hub), "--query", "Attributes.Policy", "--output", "text"];
            hub.aws("sns", &[&["get-topic-attributes"][..], &query].concat())
        }
        Attached::Bus => hub.aws(
            "events",
            &["describe-event-bus", "--name", "cmkwatch", "--query", "Policy", "--output", "text"],
        ),
    };
    serde_json::from_str(&text).unwrap()
}

async fn put(hub: &Place, attached: Attached, policy: &Value) {
    let text = policy.to_string();
    match attached {
        Attached::Key => hub.put_key_policy("alias/cmkwatch", &text).await,
        Attached::Changes | Attached::Findings => {
            for name in queue(attached) {
                hub.put_queue_policy(name, &text).await;
            }
        }
        Attached::Topic => {
            let arguments =
                ["set-topic-attributes", "--topic-arn", &topic(hub), "--attribute-name", "Policy"];
            hub.aws("sns", &[&arguments[..], &["--attribute-value", &text]].concat());
        }
        Attached::Bus => {
            drop(hub.aws(
                "events",
                &["put-permission", "--event-bus-name", "cmkwatch", "--policy", &text],
            ))
        }
    }
}

fn topic(hub: &Place) -> String {
    format!("arn:aws:sns:{}:{}:cmkwatch-alerts", hub.region, hub.account)
}

/// A story that was begun, with a mark by which its result is recognized.
struct StoryRun {
    hub: Place,
    member: Place,
    alerts: Alerts,
    story: Story,
    mark: String,
    since: SystemTime,
}

impl StoryRun {
    async fn begin(hub: &Place, member: &Place, story: Story) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let mark = format!("story-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        sandbox().forget_denied();
        let (hub, member) = (hub.clone(), member.clone());
        let answer = Self {
            hub,
            member,
            alerts: Alerts::new().await,
            story,
            mark,
            since: SystemTime::now(),
        };
        answer.act().await;
        answer
    }

    async fn act(&self) {
        match self.story {
            Story::Changed | Story::ChangeLost => self.member.create_bucket(&self.mark, None).await,
            Story::Found | Story::FindingLost => self.member.import_opened(&self.mark).await,
            Story::Alerted => self.alerts.send(&opened(&self.hub, &self.mark)).await,
            Story::Planned | Story::Logged => self.invoke_planner(),
            Story::Alarmed => {
                for state in ["OK", "ALARM"] {
                    let alarm = [
                        "set-alarm-state",
                        "--alarm-name",
                        "cmkwatch-alerts-dead",
                        "--state-value",
                        state,
                    ];
                    self.hub
                        .aws("cloudwatch", &[&alarm[..], &["--state-reason", &self.mark]].concat());
                }
            }
        }
    }

    fn invoke_planner(&self) {
        let payload = json!({"accounts": [self.member.account]}).to_string();
        let answer =
            std::env::temp_dir().join(format!("cmkwatch-planned-{}.json", std::process::id()));
        let function = sandbox().sweep_planner_function.as_str();
        let path = answer.to_str().unwrap();
        self.hub
            .aws("lambda", &["invoke", "--function-name", function, "--payload", &payload, path]);
    }

    /// Returns true if the result of the story is visible.
    async fn shows(&self) -> bool {
        match self.story {
            Story::Changed => !self.member.findings(&self.mark).await.is_empty(),
            Story::ChangeLost | Story::FindingLost => self.is_dead_letter().await,
            Story::Found | Story::Alerted | Story::Alarmed => self
                .alerts
                .take_all()
                .await
                .iter()
                .any(|envelope| envelope.message.contains(&self.mark)),
            Story::Planned | Story::Logged => {
                has_logged(&self.hub, "cmkwatch-sweep-planner", self.since, &["sweep begun"])
            }
        }
    }

    /// Returns true if an event of the story is in a dead-letter queue of EventBridge. Takes all
    /// messages of both queues.
    async fn is_dead_letter(&self) -> bool {
        let mut found = false;
        for queue in [&sandbox().changes_dead_queue_url, &sandbox().alerts_dead_queue_url] {
            found |=
                self.hub.take_messages(queue).await.iter().any(|body| body.contains(&self.mark));
        }
        found
    }

    /// Returns true if the action was refused, and the story does not show.
    async fn is_missed(&self, action: &str) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let is_it = |denied: &Denied| denied.action == action;
        while !sandbox().denied().iter().any(is_it) {
            if Instant::now() > deadline || self.shows().await {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        !self.shows().await
    }
}

/// Returns the Security Hub event of a finding that opened.
fn opened(hub: &Place, bucket: &str) -> String {
    let (account, region) = (&hub.account, &hub.region);
    let finding = json!({
        "Id": format!("cmkwatch/aws/{account}/{region}/{bucket}/tls-only"),
        "ProductArn": format!("arn:aws:securityhub:{region}:{account}:product/{account}/default"),
        "AwsAccountId": account, "UpdatedAt": "2026-11-25T04:00:00Z", "Severity": {"Label": "CRITICAL"},
        "Workflow": {"Status": "NEW"}, "Compliance": {"Status": "FAILED"},
        "ProductFields": {"cmkwatch/transition": "opened"},
    });
    json!({"time": "2026-11-25T04:00:01Z", "detail": {"findings": [finding]}}).to_string()
}
