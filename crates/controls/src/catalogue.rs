//! Which controls there are, and what is to be said of each.

use crate::{Level, Outcome, Severity, control};
use facts::Bucket;

/// One rule that a bucket must keep.
#[derive(Debug)]
pub struct Control {
    /// The control's name everywhere: `encrypted-with-cmk`.
    pub slug: &'static str,
    /// The lowest level that requires it.
    pub level: Level,
    /// How bad a failure is, unless the evidence makes it worse.
    pub severity: Severity,
    /// What should be, in a line: the title of the finding. At most 256 characters.
    pub title: &'static str,
    /// Why it matters, in a sentence or two.
    pub why: &'static str,
    /// The page of AWS that the control follows.
    pub reference: &'static str,
    /// What the control is evidence for, as Security Hub writes it: `PCI DSS v4.0.1/3.5.1`. At most 32.
    pub requirements: &'static [&'static str],
    /// What to do about a failure. At most 512 characters.
    pub remediation: &'static str,
    /// The rule itself.
    pub check: fn(&Bucket) -> Outcome,
}

/// Every control, lowest level first.
pub const ALL: [&Control; 3] = [&control::ENCRYPTED_WITH_KMS, &control::ENCRYPTED_WITH_CMK, &control::KEY_USABLE];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn texts_keep_the_limits_of_asff() {
        // https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_AwsSecurityFinding.html
        for control in ALL {
            assert!(control.title.len() <= 256, "{}", control.slug);
            assert!(control.remediation.len() <= 512, "{}", control.slug);
            assert!(control.requirements.len() <= 32, "{}", control.slug);
        }
    }

    #[test]
    fn slugs_are_unique_and_levels_rise() {
        let slugs: BTreeSet<_> = ALL.iter().map(|control| control.slug).collect();
        assert_eq!(slugs.len(), ALL.len());
        assert!(ALL.is_sorted_by_key(|control| control.level));
    }
}
