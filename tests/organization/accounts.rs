//! Accounts that cannot be read, that have Security Hub off, or that throttle. Each is reported,
//! and delays no other account.

use crate::{
    calls_that_publish, expected_of_new, metric, organization, said, settled, switch_events,
};
use cmkwatch_tests::{Alerts, Fault, Place, progress, sandbox, state, verdict};
use std::{collections::BTreeMap, time::Duration};

/// Returns status and workflow of the finding that the hub stores about an account in a region, or
/// `None` if it stores no active one.
async fn account_readable(account: &str, region: &str) -> Option<String> {
    let id = format!("cmkwatch/aws/{account}/{region}/account-readable");
    let found = sandbox().hub().await.own_findings().await;
    found.iter().find(|finding| finding.id.as_ref() == Some(&id)).and_then(progress)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_without_the_role_is_reported_and_the_others_are_complete() {
    let _one = organization().await;
    switch_events(false).await;
    let alerts = Alerts::new().await;
    let places = sandbox().all_places().await;
    let (closed, open) = (&places[4], &places[0]);
    let buckets = [closed.bucket_name("closed"), open.bucket_name("open")];
    closed.create_bucket(&buckets[0], None).await;
    open.create_bucket(&buckets[1], None).await;
    let hub = sandbox().hub_account.as_str();
    let role = ["--role-name", "cmkwatch-member"];
    let trust = trust_of(closed);
    let nobody = trust.replace(&format!("{hub}:role/cmkwatch"), &format!("{hub}:role/nobody"));
    assert_ne!(trust, nobody);
    closed.aws(
        "iam",
        &[&["update-assume-role-policy"][..], &role, &["--policy-document", &nobody]].concat(),
    );
    // The credentials that a running process holds would still work.
    restart_functions().await;

    sandbox().sweep(&[]).await;
    assert_eq!(account_readable(&closed.account, "us-east-1").await.as_deref(), Some("FAILED NEW"));
    assert!(said(closed, &buckets[0], verdict).await.is_empty());
    assert_eq!(
        account_readable(&open.account, "us-east-1").await.as_deref(),
        Some("PASSED RESOLVED")
    );
    assert_eq!(said(open, &buckets[1], verdict).await.len(), 3);
    assert!(metric("AccountsUnreadable") >= 1.0);
    // The finding is stored in the hub. Its alert still names the account that the finding is
    // about.
    alerts.wait_until_alerted(0).await;
    let answer: Vec<_> =
        alerts.take().await.iter().map(|answer| answer["content"].to_string()).collect();
    let name = format!("`account {}` ({})", &closed.account[..1], closed.account);
    assert!(
        answer.iter().any(|answer| answer.contains("account-readable") && answer.contains(&name)),
        "{name}: {answer:?}"
    );

    closed.aws(
        "iam",
        &[&["update-assume-role-policy"][..], &role, &["--policy-document", &trust]].concat(),
    );
    sandbox().sweep(&[]).await;
    assert_eq!(
        account_readable(&closed.account, "us-east-1").await.as_deref(),
        Some("PASSED RESOLVED")
    );
    assert_eq!(said(closed, &buckets[0], verdict).await.len(), 3);
    switch_events(true).await;
}

fn trust_of(place: &Place) -> String {
    let answer =
        place.aws("iam", &["get-role", "--role-name", "cmkwatch-member", "--output", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    answer["Role"]["AssumeRolePolicyDocument"].to_string()
}

/// Ends the processes of the functions, and so drops the credentials that they hold.
async fn restart_functions() {
    sandbox().wait_until_idle(Duration::from_secs(60)).await;
    sandbox().restart(&["cmkwatch-sweep-account", "cmkwatch-on-change"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn findings_are_stored_in_the_hub_while_security_hub_is_off_and_move_when_it_is_on() {
    let _one = organization().await;
    let (alerts, place) = (Alerts::new().await, &sandbox().all_places().await[5]);
    let earlier = place.bucket_name("before-hub-was-off");
    place.create_bucket(&earlier, None).await;
    settled().await;
    alerts.wait_until_alerted(0).await;
    alerts.take().await;
    place.aws("securityhub", &["disable-security-hub"]);
    let bucket = place.bucket_name("hub-is-off");
    place.create_bucket(&bucket, None).await;
    settled().await;
    let hub = sandbox().hub().await;
    let held = || async {
        let found = hub.own_findings().await.into_iter();
        let about =
            found.filter(|finding| finding.id.as_ref().is_some_and(|id| id.contains(&bucket)));
        about
            .map(|finding| (finding.generator_id.clone().unwrap(), finding))
            .collect::<BTreeMap<_, _>>()
    };
    let found = held().await;
    assert_eq!(found.len(), 3, "{found:?}");
    let opened = &found["cmkwatch/encrypted-with-cmk"];
    assert_eq!(
        (progress(opened).as_deref(), opened.aws_account_id.as_ref()),
        (Some("FAILED NEW"), Some(&hub.account))
    );
    let fields = opened.product_fields.as_ref().unwrap();
    assert_eq!(
        (&fields["cmkwatch/owner-account"], &fields["cmkwatch/owner-region"]),
        (&place.account, &place.region)
    );
    assert_eq!(
        account_readable(&place.account, &place.region).await.as_deref(),
        Some("FAILED NEW")
    );
    sandbox().sweep(&[&place.account]).await;
    let imports = calls_that_publish();
    sandbox().sweep(&[&place.account]).await;
    assert_eq!(calls_that_publish(), imports, "a second sweep published something");
    // The bucket that was known before has not changed. Its findings have moved.
    let all = hub.own_findings().await;
    let moved =
        all.iter().filter(|finding| finding.id.as_ref().is_some_and(|id| id.contains(&earlier)));
    assert_eq!(moved.clone().count(), 3);
    assert!(
        moved
            .clone()
            .all(|finding| finding.product_fields.as_ref().unwrap()["cmkwatch/transition"]
                == "unchanged")
    );
    alerts.wait_until_alerted(0).await;
    let alerted: Vec<_> =
        alerts.take().await.iter().map(|answer| answer["content"].to_string()).collect();
    assert!(!alerted.iter().any(|answer| answer.contains(&earlier)), "{alerted:?}");

    place.aws("securityhub", &["enable-security-hub"]);
    sandbox().sweep(&[&place.account]).await;
    let own = place.findings(&bucket).await;
    assert_eq!(said(place, &bucket, progress).await["encrypted-with-cmk"], "FAILED NEW");
    let moved = &own["encrypted-with-cmk"];
    assert_eq!(moved.first_observed_at, opened.first_observed_at);
    assert_eq!(moved.product_fields.as_ref().unwrap()["cmkwatch/transition"], "unchanged");
    assert!(held().await.values().all(|finding| state(finding).as_deref() == Some("ARCHIVED")));
    assert_eq!(
        account_readable(&place.account, &place.region).await.as_deref(),
        Some("PASSED RESOLVED")
    );
    let imports = calls_that_publish();
    sandbox().sweep(&[&place.account]).await;
    assert_eq!(calls_that_publish(), imports, "a second sweep published something");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttled_account_holds_up_no_other_and_is_done_in_the_end() {
    let _one = organization().await;
    switch_events(false).await;
    let places = sandbox().all_places().await;
    let (slow, quick) = (&places[2], &places[0]);
    let buckets = [slow.bucket_name("slow"), quick.bucket_name("quick")];
    slow.create_bucket(&buckets[0], None).await;
    quick.create_bucket(&buckets[1], None).await;
    let fault = |action, code, times| Fault {
        account: slow.account.clone(),
        region: slow.region.clone(),
        action,
        code,
        status: 400,
        times,
    };
    // If tags cannot be read in bulk, they are read bucket by bucket.
    sandbox().fail(&[
        fault("securityhub:GetFindings", "ThrottlingException", 3),
        fault("s3:GetEncryptionConfiguration", "SlowDown", 3),
        fault("tag:GetResources", "AccessDeniedException", -1),
    ]);
    sandbox().begin_sweep(&[&slow.account, &quick.account]).await;
    quick.wait_for(&buckets[1], verdict, &expected_of_new()).await;
    sandbox().wait_until_idle(Duration::from_secs(120)).await;
    sandbox().fail(&[]);
    assert_eq!(said(slow, &buckets[0], verdict).await, expected_of_new());
    assert!(
        metric("Throttles") >= 3.0 && metric("ApiCalls") > 10.0 && metric("BucketsJudged") >= 2.0
    );
    switch_events(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_that_cannot_be_read_in_any_way_is_a_warning() {
    let _one = organization().await;
    let place = &sandbox().all_places().await[3];
    let bucket = place.bucket_name("no-tags");
    let refuse = |action, times| Fault {
        account: place.account.clone(),
        region: place.region.clone(),
        action,
        code: "AccessDenied",
        status: 403,
        times,
    };
    sandbox().fail(&[refuse("s3:GetBucketTagging", -1), refuse("tag:GetResources", -1)]);
    place.create_bucket(&bucket, Some("public")).await;
    let warnings = [
        ("encrypted-with-kms", "WARNING MEDIUM"),
        ("encrypted-with-cmk", "WARNING HIGH"),
        ("ssec-blocked", "WARNING LOW"),
        ("tls-only", "WARNING MEDIUM"),
    ];
    let warnings = warnings.map(|(slug, said)| (slug.to_owned(), said.to_owned())).into();
    place.wait_for(&bucket, verdict, &warnings).await;
    // If one of the two calls is allowed, the class is known. The class `public` requires nothing.
    sandbox().fail(&[refuse("s3:GetBucketTagging", -1)]);
    place.tag(&bucket, "public").await;
    place.wait_for(&bucket, verdict, &BTreeMap::new()).await;
    sandbox().fail(&[]);
}
