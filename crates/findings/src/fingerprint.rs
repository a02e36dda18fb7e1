//! The fingerprint of a finding: a hash of what was judged.
//!
//! A finding whose fingerprint differs from the one before is imported again. The fingerprint is
//! made from types and never from prose, so a better wording imports nothing. The time, the API
//! call and the version of cmkwatch are not part of it either.

use crate::{Compliance, Resource};
use controls::{Evidence, Level, Outcome, Severity, Shortfall};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The parts of a verdict that make another finding if they differ.
///
/// A changed name of a field or a variant changes all fingerprints. Then every finding is imported
/// once more.
#[derive(Debug, Serialize)]
pub(crate) struct Judged<'a> {
    status: &'static str,
    severity: &'static str,
    resources: Vec<&'a str>,
    class: Option<ClassJudged<'a>>,
    key_alias: Option<&'a str>,
    grounds: Grounds<'a>,
}

/// The class of a bucket, the required level and the reached level.
#[derive(Debug, Serialize)]
pub(crate) struct ClassJudged<'a> {
    /// The class and the level that the class requires; `None` if the class could not be read.
    pub(crate) required: Option<(&'a str, &'static str)>,
    /// The level that the bucket reaches; `None` if that is undetermined.
    pub(crate) reached: Option<&'static str>,
}

impl<'a> ClassJudged<'a> {
    pub(crate) fn new(class: Option<(&'a str, Level)>, reached: Option<Level>) -> Self {
        Self {
            required: class.map(|(name, level)| (name, level.as_str())),
            reached: reached.map(Level::as_str),
        }
    }
}

/// The reasons for a verdict.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Grounds<'a> {
    Evidence(Vec<&'a Evidence>),
    Shortfalls(&'a [Shortfall]),
}

impl<'a> Judged<'a> {
    /// Creates the parts of a verdict about an account.
    pub(crate) fn new(
        (compliance, severity): (Compliance, Severity),
        resources: &'a [Resource],
        outcome: &'a Outcome,
    ) -> Self {
        Self {
            status: compliance.as_str(),
            severity: severity.as_str(),
            resources: resources.iter().map(Resource::arn).collect(),
            class: None,
            key_alias: None,
            grounds: match outcome {
                Outcome::Passed(evidence) | Outcome::Failed { evidence, .. } => {
                    // Services make and end grants all the time, and no verdict depends on them.
                    let decides = |it: &&Evidence| !it.is_about_services();
                    Grounds::Evidence(evidence.iter().filter(decides).collect())
                }
                Outcome::Undetermined(shortfalls) => Grounds::Shortfalls(shortfalls),
                Outcome::NotApplicable(_) => Grounds::Evidence(Vec::new()),
            },
        }
    }

    /// Adds the class of the bucket and the alias of its key.
    pub(crate) fn of_bucket(self, class: ClassJudged<'a>, key_alias: Option<&'a str>) -> Self {
        Self { class: Some(class), key_alias, ..self }
    }

    /// Returns 32 hexadecimal digits: the first half of a SHA-256.
    pub(crate) fn fingerprint(&self) -> String {
        // Serialization fails only for maps whose keys are not strings. No such map is in the type.
        let json = serde_json::to_vec(self).unwrap_or_default();
        Sha256::digest(json).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use controls::{ExpectedKey, KeyIdentity};
    use facts::Unreadable;

    fn of(outcome: &Outcome) -> String {
        let verdict = (Compliance::Failed, Severity::High);
        let resources = [Resource::Bucket("arn:aws:s3:::acme".into())];
        Judged::new(verdict, &resources, outcome).fingerprint()
    }

    #[test]
    fn other_evidence_makes_another_fingerprint() {
        let evidence = |key| Evidence::Key { key, expected: ExpectedKey::CustomerManaged };
        let failed =
            |key| Outcome::Failed { severity: Severity::High, evidence: vec![evidence(key)] };
        assert_eq!(of(&failed(KeyIdentity::AwsS3)), of(&failed(KeyIdentity::AwsS3)));
        let named = failed(KeyIdentity::Named("alias/a".into()));
        assert_ne!(of(&failed(KeyIdentity::AwsS3)), of(&named));
        assert_ne!(of(&named), of(&failed(KeyIdentity::Missing("alias/a".into()))));
    }

    #[test]
    fn words_are_not_part_of_a_fingerprint() {
        let unreadable = |subject: &str, code: &str| {
            Outcome::unreadable(&Unreadable {
                permission: "kms:DescribeKey",
                subject: subject.to_owned(),
                code: code.to_owned(),
            })
        };
        let denied = of(&unreadable("the key", "AccessDenied"));
        assert_eq!(denied, of(&unreadable("key 1234", "AccessDenied")));
        assert_ne!(denied, of(&unreadable("the key", "NotFoundException")));
    }
}
