//! Accounts that join the organization, leave it, or are closed.

use crate::{count, metric, nothing_was_refused, organization, said, settled, state_rows};
use cmkwatch_tests::{Place, sandbox, state, verdict};
use std::{fs, time::Duration};

/// Makes what StackSets and the central configuration of Security Hub make in an account that
/// joins. Returns the account in each region.
async fn prepare(account: &str) -> Vec<Place> {
    let template = fs::read_to_string(cmkwatch_tests::root().join("infra/member.yaml")).unwrap();
    let mut places = Vec::new();
    for region in &sandbox().regions {
        let place = sandbox().place(account, region).await;
        place.aws("securityhub", &["enable-security-hub"]);
        let parameter =
            |name: &str, value: &str| format!("ParameterKey={name},ParameterValue={value}");
        let parameters = [
            parameter("HubBusArn", &sandbox().bus_arn),
            parameter("OrganizationId", &sandbox().organization),
            parameter("HomeRegion", &sandbox().home_region),
        ];
        let mut arguments =
            vec!["create-stack", "--stack-name", "cmkwatch-member", "--template-body", &template];
        arguments.extend(["--capabilities", "CAPABILITY_NAMED_IAM", "--parameters"]);
        arguments.extend(parameters.iter().map(String::as_str));
        place.aws("cloudformation", &arguments);
        places.push(place);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    places
}

/// Returns the ids of the active findings about an account, in its own Security Hubs and in that of
/// the hub.
async fn active(account: &str, places: &[Place]) -> Vec<String> {
    let mut found = sandbox().hub().await.own_findings().await;
    for place in places {
        found.extend(place.own_findings().await);
    }
    let about = |id: &String| id.contains(&format!("/{account}/"));
    let active = found.iter().filter(|finding| state(finding).as_deref() == Some("ACTIVE"));
    active.filter_map(|finding| finding.id.clone()).filter(about).collect()
}

async fn archived(place: &Place, bucket: &str) -> bool {
    let states = said(place, bucket, state).await;
    !states.is_empty() && states.values().all(|state| state == "ARCHIVED")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_joins_is_judged_at_once_and_one_that_leaves_has_no_active_finding() {
    let _one = organization().await;
    let account = sandbox().joining_account.as_str();
    let departed = [format!("organization/{}/departed/{account}", sandbox().hub_account)];
    let places = prepare(account).await;
    let bucket = places[1].bucket_name("joins");
    places[1].create_bucket(&bucket, None).await;
    settled().await;
    assert!(
        said(&places[1], &bucket, verdict).await.is_empty(),
        "its account is not in the organization"
    );

    // An event that the hub's bus refuses becomes a dead letter in its own account.
    let dead = format!("{}/{account}/cmkwatch-forward-dead", sandbox().endpoint);
    let receive = ["receive-message", "--queue-url", &dead, "--message-attribute-names", "All"];
    assert!(places[1].aws("sqs", &receive).contains("NO_PERMISSIONS"));

    // The account is judged without a sweep of the organization.
    sandbox().change_organization(account, "join", true);
    settled().await;
    assert_eq!(said(&places[1], &bucket, verdict).await.len(), 3);
    assert!(!state_rows(account).await.is_empty());

    sandbox().change_organization(account, "leave", true);
    settled().await;
    assert_eq!(active(account, &places).await, Vec::<String>::new());
    assert_eq!(state_rows(account).await, departed);
    // A late message brings nothing back, though on-change could still enter the account.
    let late = format!(
        r#"{{"source":"cmkwatch","detail-type":"Buckets To Be Evaluated","detail":{{"account":"{account}",
            "region":"{}","second_look":true,"buckets":[{{"bucket":"{bucket}"}}]}}}}"#,
        places[1].region
    );
    let changes = sandbox().sqs().await.send_message().queue_url(&sandbox().changes_queue_url);
    changes.message_body(late).send().await.unwrap();
    settled().await;
    assert_eq!(active(account, &places).await, Vec::<String>::new());

    // No event reports that the account is back, or that it is closed. The sweep finds both. By the
    // time the account is closed, its role is gone.
    sandbox().change_organization(account, "join", false);
    sandbox().sweep(&[]).await;
    assert!(!archived(&places[1], &bucket).await);
    let (left_behind, asked) =
        (metric("FindingsLeftBehind"), count("organizations:DescribeAccount"));
    places[0].aws("cloudformation", &["delete-stack", "--stack-name", "cmkwatch-member"]);
    sandbox().restart(&["cmkwatch-sweep-account", "cmkwatch-on-change"]);
    sandbox().change_organization(account, "close", false);
    sandbox().sweep(&[]).await;
    settled().await;
    assert!(!archived(&places[1], &bucket).await, "there is no way into the account");
    assert!(metric("FindingsLeftBehind") >= left_behind + 3.0);
    assert_eq!(state_rows(account).await, departed);
    assert_eq!(count("organizations:DescribeAccount") - asked, 1);
    // A later sweep does not find the closed account again.
    sandbox().sweep(&[]).await;
    assert_eq!(count("organizations:DescribeAccount") - asked, 1);
    sandbox().change_organization(account, "leave", false);
    // The account's role is gone. An account outside the organization may not put events onto the
    // hub's bus.
    nothing_was_refused(&[
        "cmkwatch-retire",
        "cmkwatch-sweep-account",
        "cmkwatch-on-change",
        "cmkwatch-forward-eu-west-1",
    ]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_of_a_stranger_opens_no_finding() {
    let _one = organization().await;
    let member = &sandbox().all_places().await[0];
    let stranger = sandbox().place("700000000007", "us-east-1").await;
    let bucket = stranger.bucket_name("of-a-stranger");
    stranger.create_bucket(&bucket, None).await;
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"AWS":"{}"}},
            "Action":"s3:PutEncryptionConfiguration","Resource":"arn:aws:s3:::{bucket}"}}}}"#,
        member.account
    );
    stranger.put_policy(&bucket, &policy).await;
    // The member's own account receives a CloudTrail record, which names the stranger's bucket.
    member.encrypt(&bucket, "aws:kms", None).await;
    settled().await;
    let found = sandbox().hub().await.own_findings().await;
    assert!(!found.iter().any(|finding| finding.id.as_ref().unwrap().contains("/700000000007/")));
}
