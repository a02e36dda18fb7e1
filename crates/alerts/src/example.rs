//! An example event, shared by the tests.

use crate::{FindingEvent, Parsed, parse};
use facts::AccountId;
use serde_json::{Value, json};

/// Returns the event of a finding that was just imported.
pub(crate) fn imported() -> Value {
    json!({
        "version": "0",
        "id": "d4a1f7e0-0000-4000-8000-000000000001",
        "detail-type": "Security Hub Findings - Imported",
        "source": "aws.securityhub",
        "account": "100000000001",
        "time": "2026-11-25T04:00:20Z",
        "region": "us-east-1",
        "resources": [],
        "detail": {"findings": [{
            "SchemaVersion": "2018-10-08",
            "Id": "cmkwatch/aws/200000000002/eu-west-1/acme-invoices/encrypted-with-cmk",
            "ProductArn": "arn:aws:securityhub:eu-west-1:200000000002:product/200000000002/default",
            "GeneratorId": "cmkwatch/encrypted-with-cmk",
            "AwsAccountId": "200000000002",
            "AwsAccountName": "payments",
            "Title": "S3 bucket default encryption should use a customer-managed KMS key",
            "UpdatedAt": "2026-11-25T04:00:17.123Z",
            "Severity": {"Label": "HIGH", "Normalized": 70},
            "Types": ["Software and Configuration Checks/AWS Security Best Practices"],
            "FindingProviderFields": {
                "Severity": {"Label": "HIGH"},
                "Types": ["Software and Configuration Checks/AWS Security Best Practices"],
            },
            "Workflow": {"Status": "NEW"},
            "RecordState": "ACTIVE",
            "Compliance": {"Status": "FAILED"},
            "Remediation": {"Recommendation": {
                "Text": "Create a customer-managed symmetric KMS key in the bucket's region.",
                "Url": "https://docs.aws.amazon.com/wellarchitected/latest/security-pillar/sec_protect_data_rest_key_mgmt.html",
            }},
            "ProductFields": {
                "aws/securityhub/ProductName": "cmkwatch",
                "cmkwatch/class": "confidential",
                "cmkwatch/level-required": "cmk",
                "cmkwatch/transition": "opened",
                "cmkwatch/state-version": "1795579217123",
                "cmkwatch/transition-at": "2026-11-25T04:00:17.123Z",
                "cmkwatch/event-name": "PutBucketEncryption",
                "cmkwatch/event-time": "2026-11-25T03:59:41Z",
                "cmkwatch/changed-by": "arn:aws:sts::200000000002:assumed-role/Deploy/jane@acme.example",
                "cmkwatch/evidence": r#"[{"fact":"key","value":"aws/s3 (AWS-managed)","expected":"a customer-managed key"}]"#,
            },
        }]},
    })
}

/// Returns the hub account.
pub(crate) fn hub() -> AccountId {
    "100000000001".parse().unwrap()
}

/// Returns the content of the example event.
pub(crate) fn event() -> FindingEvent {
    read(&imported())
}

/// Returns the content of an event.
pub(crate) fn read(imported: &Value) -> FindingEvent {
    match parse(&imported.to_string(), &hub()).unwrap() {
        Parsed::FindingEvent(event) => *event,
        Parsed::Silent(silent) => panic!("{silent:?}"),
    }
}
