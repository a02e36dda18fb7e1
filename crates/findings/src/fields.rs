//! The keys of the
//! [ProductFields](https://docs.aws.amazon.com/securityhub/latest/userguide/asff-top-level-attributes.html)
//! of a finding.

/// The class of the bucket, by the settings.
pub const CLASS: &str = "cmkwatch/class";
/// The level that the class requires.
pub const LEVEL_REQUIRED: &str = "cmkwatch/level-required";
/// The highest level that the bucket reaches: all controls of the level hold.
pub const LEVEL_REACHED: &str = "cmkwatch/level-reached";
/// The value of class and level if the tags of the bucket could not be read.
pub const UNREADABLE: &str = "unreadable";
/// The ARN of the alias by which the bucket names its key.
pub const KEY_ALIAS: &str = "cmkwatch/key-alias";
/// The account of the subject, if the finding is stored in the Security Hub of another account.
pub const OWNER_ACCOUNT: &str = "cmkwatch/owner-account";
/// The region of the subject, if the finding is stored in the Security Hub of another account.
pub const OWNER_REGION: &str = "cmkwatch/owner-region";
/// The transition: what happened to the finding since the import before. Alerts are made from it.
pub const TRANSITION: &str = "cmkwatch/transition";
/// The version of the state that last changed the finding: milliseconds since 1970, or a little
/// more.
///
/// A finding that is imported again without a change keeps the version. An alert is sent once for
/// each version.
pub const STATE_VERSION: &str = "cmkwatch/state-version";
/// The time of the transition: the `UpdatedAt` that was planned for the change.
pub const TRANSITION_AT: &str = "cmkwatch/transition-at";
/// The compliance status before the transition: PASSED, FAILED or WARNING. Absent if there was no
/// active finding.
pub const STATUS_BEFORE: &str = "cmkwatch/status-before";
/// The severity before the transition.
pub const SEVERITY_BEFORE: &str = "cmkwatch/severity-before";
/// The worst severity since the control last passed. A resolved finding shows by it how severe the
/// failure was.
pub const WORST_SEVERITY: &str = "cmkwatch/worst-severity";
/// The workflow status before the import.
pub const WORKFLOW_BEFORE: &str = "cmkwatch/workflow-before";
/// The last day of an exemption that ended. Absent if the control passes without the exemption.
pub const EXEMPTION_ENDED: &str = "cmkwatch/exemption-ended";
/// The reason why the finding was archived.
pub const GONE_BECAUSE: &str = "cmkwatch/gone-because";
/// The name of the API call that caused the evaluation.
pub const EVENT_NAME: &str = "cmkwatch/event-name";
/// The CloudTrail event id of the API call.
pub const EVENT_ID: &str = "cmkwatch/event-id";
/// The time of the API call.
pub const EVENT_TIME: &str = "cmkwatch/event-time";
/// The principal that made the API call.
pub const CHANGED_BY: &str = "cmkwatch/changed-by";
/// The service that made the API call for the principal, such as `cloudformation.amazonaws.com`.
pub const INVOKED_BY: &str = "cmkwatch/invoked-by";
/// The facts that decided the verdict: a JSON list of [`EvidenceText`](crate::EvidenceText).
pub const EVIDENCE: &str = "cmkwatch/evidence";
/// A hash of what was judged. A finding whose hash differs is imported again.
pub const FINGERPRINT: &str = "cmkwatch/fingerprint";
/// The version of cmkwatch that wrote the finding.
pub const VERSION: &str = "cmkwatch/version";

/// The longest value that
/// [ASFF](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_AwsSecurityFinding.html)
/// allows, in characters.
pub(crate) const LONGEST_VALUE: usize = 2048;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// Returns the names of fields in a text, each between two `mark`s.
    fn names(text: &str, mark: char) -> BTreeSet<&str> {
        text.split(mark).filter(|part| part.starts_with("cmkwatch/")).collect()
    }

    #[test]
    fn the_docs_list_every_field() {
        let docs = include_str!("../../../docs/finding-lifecycle.md");
        let (_, table) = docs.split_once("## The fields of a finding").expect("the section exists");
        let (code, _) = include_str!("fields.rs").split_once("#[cfg(test)]").expect("this module");
        assert_eq!(names(table, '`'), names(code, '"'));
    }
}
