//! Differences between Security Hub and the state: second looks and the audit repair them, and
//! nobody is alerted.

use crate::{nothing_was_refused, organization, said, settled};
use aws_sdk_securityhub::types::{
    AwsSecurityFinding, AwsSecurityFindingIdentifier, ComplianceStatus, RecordState,
    WorkflowStatus, WorkflowUpdate,
};
use cmkwatch_tests::{Alerts, KeySetup, Place, progress, sandbox, state};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// The evaluation that notices a difference.
#[derive(Debug, Clone, Copy)]
enum By {
    /// The second look that follows an event of the bucket.
    SecondLook,
    /// The audit of the bucket's account.
    Audit,
}

impl By {
    async fn notice(self, bucket: &Place, name: &str) {
        match self {
            Self::SecondLook => bucket.tag(name, "confidential").await,
            Self::Audit => {
                let hub = sandbox().hub().await;
                let row = json!({
                    "place": {"S": format!("aws/{}", bucket.account)}, "item": {"S": "audited"},
                    "audited_at": {"S": "2026-01-01T00:00:00Z"},
                });
                // The row says that the last audit was long ago.
                hub.aws(
                    "dynamodb",
                    &["put-item", "--table-name", "cmkwatch-state", "--item", &row.to_string()],
                );
                sandbox().sweep(&[&bucket.account]).await;
            }
        }
        settled().await;
    }
}

async fn set_workflow(place: &Place, finding: &AwsSecurityFinding, status: WorkflowStatus) {
    let identifier = AwsSecurityFindingIdentifier::builder().id(finding.id.clone().unwrap());
    let identifier = identifier.product_arn(finding.product_arn.clone().unwrap()).build();
    let workflow = WorkflowUpdate::builder().status(status).build();
    let request = place
        .security_hub()
        .batch_update_findings()
        .finding_identifiers(identifier)
        .workflow(workflow);
    request.send().await.unwrap();
}

/// Imports a finding as any principal of its account may. The update time is an hour later than it
/// was.
async fn import(
    place: &Place,
    change: impl FnOnce(&mut AwsSecurityFinding),
    mut finding: AwsSecurityFinding,
) {
    let updated_at: jiff::Timestamp = finding.updated_at.as_deref().unwrap().parse().unwrap();
    finding.updated_at = Some((updated_at + jiff::SignedDuration::from_hours(1)).to_string());
    // BatchImportFindings does not accept the fields that Security Hub adds.
    (finding.region, finding.company_name, finding.product_name) = (None, None, None);
    (finding.finding_provider_fields, finding.processed_at, finding.aws_account_name) =
        (None, None, None);
    finding.product_fields.as_mut().unwrap().retain(|name, _| !name.starts_with("aws/"));
    change(&mut finding);
    let answer =
        place.security_hub().batch_import_findings().findings(finding).send().await.unwrap();
    assert_eq!(answer.failed_count, Some(0), "{answer:?}");
}

/// Returns the transition, its time and the state version that each finding of a bucket reports, by
/// control.
async fn changes(place: &Place, bucket: &str) -> BTreeMap<String, [String; 3]> {
    let said = |finding: AwsSecurityFinding| {
        let fields = finding.product_fields.unwrap_or_default();
        ["cmkwatch/transition", "cmkwatch/transition-at", "cmkwatch/state-version"]
            .map(|name| fields.get(name).cloned().unwrap_or_default())
    };
    place.findings(bucket).await.into_iter().map(|(slug, finding)| (slug, said(finding))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_difference_is_repaired_and_nobody_is_alerted() {
    let _one = organization().await;
    let (alerts, place) = (Alerts::new().await, &sandbox().all_places().await[0]);
    for by in [By::SecondLook, By::Audit] {
        let (bucket, gone) = (place.bucket_name("repaired"), place.bucket_name("repaired-gone"));
        place.create_bucket(&bucket, None).await;
        place.create_bucket(&gone, None).await;
        settled().await;
        let left_open = place.findings(&gone).await["encrypted-with-cmk"].clone();
        place.s3().delete_bucket().bucket(&gone).send().await.unwrap();
        settled().await;
        alerts.wait_until_alerted(0).await;
        alerts.take().await;
        let (before, reported) =
            (said(place, &bucket, progress).await, changes(place, &bucket).await);
        assert_eq!(before["encrypted-with-kms"], "FAILED NEW");

        // One finding is missing, one says something else, one that passes is open again, and one
        // has no bucket.
        let findings = place.findings(&bucket).await;
        sandbox().delete_finding(findings["encrypted-with-kms"].id.as_deref().unwrap());
        let passes = |finding: &mut AwsSecurityFinding| {
            finding.compliance.as_mut().unwrap().status = Some(ComplianceStatus::Passed);
            finding
                .product_fields
                .as_mut()
                .unwrap()
                .insert("cmkwatch/fingerprint".to_owned(), "of somebody else".to_owned());
        };
        import(place, passes, findings["encrypted-with-cmk"].clone()).await;
        set_workflow(place, &findings["ssec-blocked"], WorkflowStatus::New).await;
        import(place, |finding| finding.record_state = Some(RecordState::Active), left_open).await;
        alerts.wait_until_alerted(0).await;
        alerts.take().await;

        match by {
            By::SecondLook => {
                by.notice(place, &bucket).await;
                // The bucket does not exist, so its event acts as a second event of its deletion.
                crate::state::evaluate(place, &gone, 0).await;
                settled().await;
            }
            By::Audit => by.notice(place, &bucket).await,
        }
        assert_eq!(said(place, &bucket, progress).await, before, "{by:?}");
        assert_eq!(changes(place, &bucket).await, reported, "{by:?}: a repair is no change");
        assert!(
            said(place, &gone, state).await.values().all(|state| state == "ARCHIVED"),
            "{by:?}"
        );
        alerts.wait_until_alerted(0).await;
        assert_eq!(alerts.take().await, Vec::<Value>::new(), "{by:?}: nobody is alerted");
    }
    nothing_was_refused(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_of_a_person_stay_and_a_late_edit_of_cmkwatch_is_repaired() {
    let _one = organization().await;
    let place = &sandbox().all_places().await[3];
    let bucket = place.bucket_name("by-hand");
    let key = place.create_key(&KeySetup::default(), &bucket).await;
    place.create_bucket(&bucket, None).await;
    settled().await;
    let findings = place.findings(&bucket).await;
    set_workflow(place, &findings["encrypted-with-kms"], WorkflowStatus::Suppressed).await;
    set_workflow(place, &findings["encrypted-with-cmk"], WorkflowStatus::Notified).await;
    set_workflow(place, &findings["ssec-blocked"], WorkflowStatus::Suppressed).await;
    let by_hand = said(place, &bucket, progress).await;
    for by in [By::SecondLook, By::Audit] {
        by.notice(place, &bucket).await;
        assert_eq!(said(place, &bucket, progress).await, by_hand, "{by:?}");
    }
    set_workflow(place, &findings["encrypted-with-cmk"], WorkflowStatus::Resolved).await;
    let by_hand = said(place, &bucket, progress).await;
    assert_eq!(by_hand["encrypted-with-cmk"], "FAILED RESOLVED");
    for by in [By::SecondLook, By::Audit] {
        by.notice(place, &bucket).await;
        assert_eq!(said(place, &bucket, progress).await, by_hand, "{by:?}");
    }

    // The bucket passes, and fails again before RESOLVED takes effect.
    sandbox().set_lag("batch_update_findings", 5);
    place.encrypt(&bucket, "aws:kms", Some(&key.arn)).await;
    while said(place, &bucket, progress)
        .await
        .get("key-usable")
        .is_none_or(|it| it != "PASSED RESOLVED")
    {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    place.encrypt(&bucket, "AES256", None).await;
    settled().await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(said(place, &bucket, progress).await["encrypted-with-cmk"], "FAILED NEW");
    sandbox().set_lag("batch_update_findings", 0);
    nothing_was_refused(&[]);
}
