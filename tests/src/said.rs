//! Findings as short words: status, severity, workflow and record state.

use aws_sdk_securityhub::types::AwsSecurityFinding;

/// Returns status and severity of an active finding, such as `FAILED HIGH`, or `None` if the
/// finding is not active.
#[must_use]
pub fn verdict(finding: &AwsSecurityFinding) -> Option<String> {
    if finding.record_state.as_ref()?.as_str() != "ACTIVE" {
        return None;
    }
    let severity = finding.finding_provider_fields.as_ref()?.severity.as_ref()?.label.as_ref()?;
    Some(format!("{} {severity}", finding.compliance.as_ref()?.status.as_ref()?))
}

/// Returns status and workflow of an active finding, such as `PASSED RESOLVED`, or `None` if the
/// finding is not active.
#[must_use]
pub fn progress(finding: &AwsSecurityFinding) -> Option<String> {
    let status = finding.compliance.as_ref()?.status.as_ref()?;
    verdict(finding).map(|_| {
        format!("{status} {}", finding.workflow.as_ref().unwrap().status.as_ref().unwrap())
    })
}

/// Returns the record state of a finding, such as `ARCHIVED`.
#[must_use]
pub fn state(finding: &AwsSecurityFinding) -> Option<String> {
    finding.record_state.as_ref().map(|state| state.to_string())
}
