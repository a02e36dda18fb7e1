//! Findings, each said in a word or two.

use aws_sdk_securityhub::types::AwsSecurityFinding;

/// `FAILED HIGH`, for a finding that stands.
#[must_use]
pub fn verdict(finding: &AwsSecurityFinding) -> Option<String> {
    if finding.record_state.as_ref()?.as_str() != "ACTIVE" {
        return None;
    }
    let severity = finding.finding_provider_fields.as_ref()?.severity.as_ref()?.label.as_ref()?;
    Some(format!("{} {severity}", finding.compliance.as_ref()?.status.as_ref()?))
}

/// `PASSED RESOLVED`, for a finding that stands.
#[must_use]
pub fn progress(finding: &AwsSecurityFinding) -> Option<String> {
    let status = finding.compliance.as_ref()?.status.as_ref()?;
    verdict(finding).map(|_| {
        format!("{status} {}", finding.workflow.as_ref().unwrap().status.as_ref().unwrap())
    })
}

/// `ARCHIVED`
#[must_use]
pub fn state(finding: &AwsSecurityFinding) -> Option<String> {
    finding.record_state.as_ref().map(|state| state.to_string())
}
