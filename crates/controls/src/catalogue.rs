//! The catalogue of controls: every control, with its texts and its rule.

use crate::{Class, Evidence, Level, OrganizationId, Outcome, Remedy, Severity, control};
use facts::{Account, AccountId, Admission, Bucket, KeyArn, PolicyDocument};
use iam_policy::{Pattern, Policy};
use serde_json::Value;

/// A rule that a bucket or an account must keep.
#[derive(Debug)]
pub struct Control {
    /// The name of the control everywhere: `encrypted-with-cmk`.
    pub slug: &'static str,
    /// The lowest level that requires the control. A control about accounts has the lowest level of
    /// all, because it applies to every class.
    pub level: Level,
    /// The severity of a failure, unless the evidence makes it worse or better.
    pub severity: Severity,
    /// The title of the finding: the expected state, in one line. At most 256 characters.
    pub title: &'static str,
    /// The condition under which the control holds, in half a sentence.
    pub holds_when: &'static str,
    /// The reason why the control matters, in a sentence or two.
    pub why: &'static str,
    /// The AWS page that the control follows.
    pub reference: &'static str,
    /// The requirements that the control is evidence for, as Security Hub spells them. At most 32.
    /// An example is `PCI DSS v4.0.1/3.5.1`.
    pub requirements: &'static [&'static str],
    /// The remedy of a failure, in words. At most 512 characters.
    pub remediation: &'static str,
    /// The API calls that change what the control looks at. Calls that change the class of the
    /// bucket are listed only by a control that compares classes.
    ///
    /// If several calls are behind a change, the finding names one of these.
    pub calls: &'static [&'static [&'static str]],
    /// Builds a policy statement that makes the control hold. `None` if no statement does.
    pub statement: Option<fn(&Subject) -> Option<Value>>,
    /// Adapts the remedy to a failure. `None` if the remedy is always the same.
    pub adapt: Option<Adapt>,
    /// True if the control exempts a bucket that receives logs which cannot be written with a
    /// customer-managed key.
    pub exempts_log_buckets: bool,
    /// The function that decides the control.
    pub rule: Rule,
}

/// Adapts the remedy of a control to a subject and to the evidence of the failure.
pub type Adapt = fn(Remedy, &Subject, &[Evidence]) -> Remedy;

/// The function that decides a control.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// Judges a bucket and its class.
    Bucket(fn(&Bucket, &Class) -> Outcome),
    /// Judges an account in a region.
    Account(fn(&Account) -> Outcome),
}

/// The resources and trusted parties that a statement is filled in for.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    /// The ARN of the bucket.
    pub bucket: Option<String>,
    /// The key of the bucket's default encryption.
    pub key: Option<KeyArn>,
    /// The accounts that the bucket's class trusts, besides the key's own.
    pub trusted_accounts: Vec<AccountId>,
    /// The organizations that the bucket's class trusts.
    pub trusted_organizations: Vec<OrganizationId>,
    /// The ARNs of the other keys that uploads may name, with wildcards.
    pub allowed_keys: Vec<Pattern>,
    /// The policy of the bucket, if it is known.
    pub bucket_policy: Option<Policy>,
    /// The policy of the key, if it is known.
    pub key_policy: Option<Policy>,
}

impl Subject {
    /// Returns the subject of a bucket, with its key if the key was found, and with the policies
    /// that could be read.
    #[must_use]
    pub fn of(bucket: &Bucket) -> Self {
        let key = control::found_key(bucket);
        let of_key = key.and_then(|key| {
            let mut admissions = key.administration.as_ref()?.admissions.all();
            admissions.find_map(|admission| match admission {
                Admission::KeyPolicy(policy) => policy.known().ok(),
                Admission::SharedPolicy(_) | Admission::Grants(_) | Admission::RelatedKey(_) => {
                    None
                }
            })
        });
        let of_bucket = bucket.policy.known().ok().and_then(Option::as_ref);
        let read = |document: &PolicyDocument| document.clone().ok();
        Self {
            bucket: Some(bucket.id.arn()),
            key: key.map(|key| key.arn.clone()),
            bucket_policy: of_bucket.and_then(read),
            key_policy: of_key.and_then(read),
            ..Self::default()
        }
    }

    /// Returns the subject with the accounts, organizations and keys that a class trusts.
    #[must_use]
    pub fn trusting(self, class: &Class) -> Self {
        let Class { trusted_accounts, trusted_organizations, allowed_keys, .. } = class.clone();
        Self { trusted_accounts, trusted_organizations, allowed_keys, ..self }
    }
}

impl Control {
    /// True if an API call with this name changes what the control looks at.
    #[must_use]
    pub fn is_changed_by(&self, call: &str) -> bool {
        self.calls.iter().any(|calls| calls.contains(&call))
    }
}

/// Every control, lowest level first: the control about accounts, then [those about
/// buckets](OF_BUCKETS).
pub const ALL: [&Control; OF_BUCKETS.len() + 1] = {
    let mut all = [&control::ACCOUNT_READABLE; OF_BUCKETS.len() + 1];
    let (_, buckets) = all.split_at_mut(1);
    buckets.copy_from_slice(OF_BUCKETS);
    all
};

/// Every control that is about a bucket, lowest level first.
pub const OF_BUCKETS: &[&Control] = &[
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
    use crate::remedy::LONGEST_REMEDY;
    use std::collections::BTreeSet;

    #[test]
    fn texts_keep_the_limits_of_asff() {
        // https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_AwsSecurityFinding.html
        for control in ALL {
            assert!(control.title.len() <= 256, "{}", control.slug);
            assert!(control.remediation.len() <= LONGEST_REMEDY, "{}", control.slug);
            assert!(control.requirements.len() <= 32, "{}", control.slug);
        }
    }

    #[test]
    fn texts_are_written() {
        for control in ALL {
            let Control { title, holds_when, why, reference, remediation, .. } = control;
            let texts = [title, holds_when, why, reference, remediation];
            assert!(texts.iter().all(|text| !text.contains("TODO")), "{}", control.slug);
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
            let remedy = control.remedy(&subject, &[]).in_short();
            assert!(remedy.contains(" Statement: {"), "{}: {remedy}", control.slug);
            assert!(remedy.len() <= LONGEST_REMEDY, "{}", control.slug);
        }
    }

    #[test]
    fn slugs_are_unique_and_levels_rise() {
        let slugs: BTreeSet<_> = ALL.iter().map(|control| control.slug).collect();
        assert_eq!(slugs.len(), ALL.len());
        assert!(ALL.is_sorted_by_key(|control| control.level));
    }
}
