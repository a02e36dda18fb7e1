//! The keys of our [ProductFields](https://docs.aws.amazon.com/securityhub/latest/userguide/asff-top-level-attributes.html).

/// The bucket's class, by the settings.
pub const CLASS: &str = "cmkwatch/class";
/// The level that the class requires.
pub const LEVEL_REQUIRED: &str = "cmkwatch/level-required";
/// The highest level whose controls all hold.
pub const LEVEL_REACHED: &str = "cmkwatch/level-reached";
/// What stands for the class and the level of a bucket whose tags could not be read.
pub const UNREADABLE: &str = "unreadable";
/// The ARN of the alias by which the bucket names its key.
pub const KEY_ALIAS: &str = "cmkwatch/key-alias";
/// The account of what the finding is about, where it stands in the Security Hub of another.
pub const OWNER_ACCOUNT: &str = "cmkwatch/owner-account";
/// The region of what the finding is about, where it stands in the Security Hub of another account.
pub const OWNER_REGION: &str = "cmkwatch/owner-region";
/// What happened to the finding since the import before; alerts are made from it.
pub const TRANSITION: &str = "cmkwatch/transition";
/// The version of the state that last changed the finding: milliseconds since 1970, or a little more. A finding that is
/// imported again without a change keeps it, and an alert is sent once for each version.
pub const STATE_VERSION: &str = "cmkwatch/state-version";
/// When that was seen.
pub const TRANSITION_AT: &str = "cmkwatch/transition-at";
/// What the finding was before that: PASSED, FAILED or WARNING; absent where there was none that stood.
pub const STATUS_BEFORE: &str = "cmkwatch/status-before";
/// Its severity then.
pub const SEVERITY_BEFORE: &str = "cmkwatch/severity-before";
/// The worst severity that it had since it last passed, whatever it eased to: how bad it was, once it is resolved.
pub const WORST_SEVERITY: &str = "cmkwatch/worst-severity";
/// Its workflow status then.
pub const WORKFLOW_BEFORE: &str = "cmkwatch/workflow-before";
/// The last day of an exemption that would let the bucket off if it were not over.
pub const EXEMPTION_ENDED: &str = "cmkwatch/exemption-ended";
/// Why the finding no longer stands.
pub const GONE_BECAUSE: &str = "cmkwatch/gone-because";
/// The API call that made cmkwatch look.
pub const EVENT_NAME: &str = "cmkwatch/event-name";
/// Its CloudTrail event id.
pub const EVENT_ID: &str = "cmkwatch/event-id";
/// Its time.
pub const EVENT_TIME: &str = "cmkwatch/event-time";
/// The principal that made it.
pub const CHANGED_BY: &str = "cmkwatch/changed-by";
/// The service that made the call for the principal, such as `cloudformation.amazonaws.com`.
pub const INVOKED_BY: &str = "cmkwatch/invoked-by";
/// The facts that decided: a JSON list of [`EvidenceText`](crate::EvidenceText).
pub const EVIDENCE: &str = "cmkwatch/evidence";
/// A hash of what was judged. A finding is imported again if it differs.
pub const FINGERPRINT: &str = "cmkwatch/fingerprint";
/// The version of cmkwatch.
pub const VERSION: &str = "cmkwatch/version";

/// The longest value that [ASFF](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_AwsSecurityFinding.html)
/// allows, in characters.
pub(crate) const LONGEST_VALUE: usize = 2048;
