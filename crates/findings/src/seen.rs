//! The result of an evaluation of a bucket or an account: a draft of a finding for each control.

use crate::{About, ClassAndKey, Finding, Item, Observation, Reading, Slug, compose};
use controls::{Settings, Verdict};
use facts::{Account, BucketId, Place};
use jiff::Timestamp;

/// The verdicts about a bucket or an account, as drafts of findings.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The bucket or the account.
    pub about: About,
    /// The moment just before AWS was read.
    pub read_at: Timestamp,
    /// The class and the key of a bucket.
    pub class_and_key: ClassAndKey,
    /// True if the bucket does not exist, or if the bucket or the account is not watched any more.
    pub gone: bool,
    /// The reason why the subject has no findings any more. `None` if it has findings, or if the
    /// bucket does not exist.
    pub(crate) because: Option<String>,
    /// The digests of the facts that were read of the bucket.
    pub(crate) reading: Reading,
    /// The drafts, one for each control.
    pub(crate) drafts: Vec<DraftFinding>,
}

/// The finding of a control as if there had been none before, or the reason why the control has no
/// finding.
#[derive(Debug, Clone)]
pub(crate) struct DraftFinding {
    pub(crate) slug: Slug,
    pub(crate) finding: Result<Finding, String>,
}

impl Seen {
    /// Drafts the findings of a bucket.
    #[must_use]
    pub fn bucket(observation: &Observation<'_>) -> Self {
        let Observation { bucket, judgement, tag, .. } = observation;
        let drafts = judgement.verdicts.iter().map(|verdict| DraftFinding {
            slug: verdict.control.into(),
            finding: compose::compose(observation, verdict),
        });
        let class = judgement.class.known().ok();
        let class_and_key = ClassAndKey {
            class: class.map(|class| class.name.to_string()),
            level: class.map(|class| class.level),
            ..compose::class_and_key(bucket)
        };
        let about = About::Bucket(bucket.id.clone());
        let reading = Reading::of(bucket, tag);
        Self {
            reading,
            class_and_key,
            gone: false,
            drafts: drafts.collect(),
            ..Self::nothing(about, bucket.read_at)
        }
    }

    /// Describes a bucket that S3 does not know.
    #[must_use]
    pub fn gone(bucket: &BucketId, read_at: Timestamp) -> Self {
        Self::nothing(About::Bucket(bucket.clone()), read_at)
    }

    /// Describes a bucket or an account that is not watched any more.
    #[must_use]
    pub fn retired(about: &About, read_at: Timestamp, because: &str) -> Self {
        Self { because: Some(because.to_owned()), ..Self::nothing(about.clone(), read_at) }
    }

    fn nothing(about: About, read_at: Timestamp) -> Self {
        let (class_and_key, reading) = (ClassAndKey::default(), Reading::default());
        Self {
            about,
            read_at,
            class_and_key,
            gone: true,
            because: None,
            reading,
            drafts: Vec::new(),
        }
    }

    /// Drafts the finding of an account in a region. The finding is to be stored in `stored_in`.
    #[must_use]
    pub fn account(account: &Account, verdict: &Verdict, stored_in: &Place) -> Self {
        let draft = DraftFinding {
            slug: verdict.control.into(),
            finding: compose::compose_account(account, stored_in, verdict),
        };
        let about = About::Account(account.place.clone());
        Self { gone: false, drafts: vec![draft], ..Self::nothing(about, account.read_at) }
    }

    /// Replaces the digests with those of an item, so that only verdicts are compared.
    #[must_use]
    pub fn with_reading_of(self, item: &Item) -> Self {
        Self { reading: item.reading.clone(), ..self }
    }

    /// Returns the ids of the findings of all controls that were judged.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.drafts.iter().map(|draft| self.about.id(draft.slug.as_str())).collect()
    }

    /// Returns the reason why a control of an earlier evaluation has no finding any more.
    pub(crate) fn why_none(&self, slug: &Slug) -> String {
        if let Some(because) = &self.because {
            return because.clone();
        }
        if self.gone
            && let About::Bucket(bucket) = &self.about
        {
            return format!("bucket {} does not exist", bucket.name());
        }
        let draft = self.drafts.iter().find(|draft| draft.slug == *slug);
        match draft.map(|draft| &draft.finding) {
            Some(Err(why)) => why.clone(),
            Some(Ok(_)) => "findings that pass are not imported".to_owned(),
            None => "cmkwatch no longer has this control".to_owned(),
        }
    }
}

/// Returns true if any class has a level that requires each key to serve one class only.
pub(crate) fn keys_matter(settings: &Settings) -> bool {
    settings.classes.values().any(|class| class.level >= controls::Level::Enforced)
}
