//! Which controls there are, and what is to be said of each.

use crate::{Class, Level, OrganizationId, Outcome, Severity, control};
use facts::{Account, AccountId, Bucket, KeyArn};
use serde_json::Value;

/// The longest text of a remediation, in characters:
/// [ASFF](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_Recommendation.html).
const LONGEST_REMEDIATION: usize = 512;

/// What stands between the words of a remedy and its statement.
const BEFORE_STATEMENT: &str = " Statement: ";

/// One rule that a bucket or an account must keep.
#[derive(Debug)]
pub struct Control {
    /// The control's name everywhere: `encrypted-with-cmk`.
    pub slug: &'static str,
    /// The lowest level that requires it; for a rule about accounts the lowest of all, as it holds whatever the class.
    pub level: Level,
    /// How bad a failure is, unless the evidence makes it worse or better.
    pub severity: Severity,
    /// What should be, in a line: the title of the finding. At most 256 characters.
    pub title: &'static str,
    /// When it holds, in half a sentence.
    pub holds_when: &'static str,
    /// Why it matters, in a sentence or two.
    pub why: &'static str,
    /// The page of AWS that the control follows.
    pub reference: &'static str,
    /// What the control is evidence for, as Security Hub writes it: `PCI DSS v4.0.1/3.5.1`. At most 32.
    pub requirements: &'static [&'static str],
    /// What to do about a failure. At most 512 characters.
    pub remediation: &'static str,
    /// The API calls that change what it looks at, the bucket's class aside: of several changes at once, its own.
    pub calls: &'static [&'static [&'static str]],
    /// A policy statement that makes it hold, where one does.
    pub statement: Option<fn(&Subject) -> Option<Value>>,
    /// Whether a bucket that receives logs which cannot be written with a customer-managed key is let off.
    pub lets_off_log_buckets: bool,
    /// The rule itself.
    pub rule: Rule,
}

/// What a control decides by.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// A bucket, and its class.
    Bucket(fn(&Bucket, &Class) -> Outcome),
    /// An account in a region.
    Account(fn(&Account) -> Outcome),
}

/// What a statement is made out to.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    /// The bucket's ARN.
    pub bucket: Option<String>,
    /// The key of its default encryption.
    pub key: Option<KeyArn>,
    /// The accounts that its class trusts, besides the key's own.
    pub trusted_accounts: Vec<AccountId>,
    /// The organizations that its class trusts.
    pub trusted_organizations: Vec<OrganizationId>,
}

impl Subject {
    /// A bucket, and its key where it is known.
    #[must_use]
    pub fn of(bucket: &Bucket) -> Self {
        let key = control::found_key(bucket).map(|key| key.arn.clone());
        Self { bucket: Some(bucket.id.arn()), key, ..Self::default() }
    }

    /// The same with whom a class trusts.
    #[must_use]
    pub fn trusting(self, class: &Class) -> Self {
        let (trusted_accounts, trusted_organizations) =
            (class.trusted_accounts.clone(), class.trusted_organizations.clone());
        Self { trusted_accounts, trusted_organizations, ..self }
    }
}

impl Control {
    /// True for a call that changes what it looks at.
    #[must_use]
    pub fn is_changed_by(&self, call: &str) -> bool {
        self.calls.iter().any(|calls| calls.contains(&call))
    }

    /// What to do about a failure, with the statement that helps made out to `subject` where both fit into 512 characters.
    #[must_use]
    pub fn remedy(&self, subject: &Subject) -> String {
        let statement = self.statement.and_then(|statement| statement(subject));
        let whole =
            statement.map(|statement| format!("{}{BEFORE_STATEMENT}{statement}", self.remediation));
        whole
            .filter(|whole| whole.chars().count() <= LONGEST_REMEDIATION)
            .unwrap_or_else(|| self.remediation.to_owned())
    }
}

/// What to do in words, and the statement that helps, of a text that [`Control::remedy`] made.
#[must_use]
pub fn parts_of_remedy(remedy: &str) -> (&str, Option<&str>) {
    remedy
        .split_once(BEFORE_STATEMENT)
        .map_or((remedy, None), |(words, statement)| (words, Some(statement)))
}

/// Every control, lowest level first: the one about accounts, and [those about buckets](OF_BUCKETS).
pub const ALL: [&Control; 12] = {
    let mut all = [&control::ACCOUNT_READABLE; 12];
    let (_, buckets) = all.split_at_mut(1);
    buckets.copy_from_slice(&OF_BUCKETS);
    all
};

/// Every control that is about a bucket, lowest level first.
pub const OF_BUCKETS: [&Control; 11] = [
    &control::ENCRYPTED_WITH_KMS,
    &control::ENCRYPTED_WITH_CMK,
    &control::KEY_USABLE,
    &control::KEY_USED_ONLY_VIA_S3,
    &control::KEY_POLICY_CLOSED,
    &control::KEY_ROTATES,
    &control::BUCKET_KEY_ON,
    &control::SSEC_BLOCKED,
    &control::UPLOADS_USE_CMK,
    &control::TLS_ONLY,
    &control::KEY_SERVES_ONE_CLASS,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn texts_keep_the_limits_of_asff() {
        // https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_AwsSecurityFinding.html
        for control in ALL {
            assert!(control.title.len() <= 256, "{}", control.slug);
            assert!(control.remediation.len() <= LONGEST_REMEDIATION, "{}", control.slug);
            assert!(control.requirements.len() <= 32, "{}", control.slug);
        }
    }

    #[test]
    fn a_statement_fits_beside_its_remediation() {
        let bucket = format!("arn:aws:s3:::{}", "b".repeat(63));
        let key =
            "arn:aws:kms:ap-southeast-1:111111111111:key/mrk-1234abcd12ab34cd56ef1234567890ab"
                .parse()
                .unwrap();
        let subject = Subject { bucket: Some(bucket), key: Some(key), ..Subject::default() };
        for control in ALL.iter().filter(|control| control.statement.is_some()) {
            let remedy = control.remedy(&subject);
            assert!(remedy.contains(" Statement: {"), "{}", control.slug);
            assert!(remedy.len() <= LONGEST_REMEDIATION, "{}", control.slug);
        }
    }

    #[test]
    fn slugs_are_unique_and_levels_rise() {
        let slugs: BTreeSet<_> = ALL.iter().map(|control| control.slug).collect();
        assert_eq!(slugs.len(), ALL.len());
        assert!(ALL.is_sorted_by_key(|control| control.level));
    }
}
