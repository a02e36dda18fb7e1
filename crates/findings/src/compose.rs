//! The text of a finding: a verdict, written for people.
//!
//! The state before plays no part here. [`plan`](crate::plan()) fills in the history of a finding.

use crate::{
    About, ClassAndKey, ClassField, Compliance, Finding, LevelReached, Observation, ProductFields,
    Reason, RecordState, Resource, Slug, Summary, Workflow,
    evidence::{EvidenceText, LONGEST_FACT},
    fingerprint::{ClassJudged, Judged},
    plain, text,
};
use controls::{Evidence, Exemption, Outcome, Severity, Shortfall, Subject, Verdict};
use facts::{Account, AliasArn, Bucket, Fact, KeyArn, KeyLookup, KeyReference, Place, UsedKey};
use jiff::Timestamp;

/// Writes the finding for a verdict about a bucket, as if there had been no finding before.
///
/// # Errors
/// Returns the reason as an error if the control does not apply.
pub(crate) fn compose(observation: &Observation<'_>, verdict: &Verdict) -> Result<Finding, String> {
    let bucket = observation.bucket;
    let about = About::Bucket(bucket.id.clone());
    let mut finding =
        draft(about, observation.stored_in, verdict, bucket.read_at, &subject_of(observation))?;
    finding.resources = resources(bucket);
    let evidence =
        if let Outcome::Failed { evidence, .. } = &verdict.outcome { &evidence[..] } else { &[] };
    finding.remediation =
        verdict.control.remedy(&statement_subject(observation), evidence).in_short();
    let judgement = observation.judgement;
    let class = judgement.class.known().ok();
    let alias = key_alias(bucket);
    finding.product_fields.class = Some(class.map_or(ClassField::Unreadable, |class| {
        ClassField::Known { name: class.name.to_string(), level: Some(class.level) }
    }));
    finding.product_fields.level_reached =
        Some(judgement.reached.map_or(LevelReached::Undetermined, LevelReached::Level));
    let class = class.map(|class| (class.name.as_str(), class.level));
    let class = ClassJudged::new(class, judgement.reached);
    let judged = Judged::new(status(&finding), &finding.resources, &verdict.outcome);
    finding.fingerprint =
        judged.of_bucket(class, alias.as_ref().map(AliasArn::as_str)).fingerprint();
    finding.product_fields.key_alias = alias;
    Ok(finding)
}

/// Writes the finding for a verdict about an account. The finding is to be stored in `stored_in`.
///
/// # Errors
/// Returns the reason as an error if the control does not apply.
pub(crate) fn compose_account(
    account: &Account,
    stored_in: &Place,
    verdict: &Verdict,
) -> Result<Finding, String> {
    let about = About::Account(account.place.clone());
    let subject = format!("Account {} in region {}", account.place.account, account.place.region);
    let mut finding = draft(about, stored_in, verdict, account.read_at, &subject)?;
    finding.resources = vec![resource_of(&finding.about)];
    let judged = Judged::new(status(&finding), &finding.resources, &verdict.outcome);
    finding.fingerprint = judged.fingerprint();
    Ok(finding)
}

/// Writes the archived finding of a control. `known` is the verdict of its active finding,
/// `because` the reason for the archiving.
pub(crate) fn archived(
    about: &About,
    slug: &Slug,
    stored_in: &Place,
    class_and_key: &ClassAndKey,
    known: &Summary,
    because: &str,
) -> Finding {
    let control = slug.control();
    let subject = match about {
        About::Bucket(bucket) => format!("Bucket {}", bucket.name()),
        About::Account(place) => format!("Account {} in region {}", place.account, place.region),
    };
    let key = class_and_key.key.clone().map(Resource::Key);
    Finding {
        about: about.clone(),
        slug: slug.clone(),
        stored_in: stored_in.clone(),
        title: text::cut(control.map_or(slug.as_str(), |control| control.title), 256),
        description: text::cut(&format!("{subject}: {because}."), 1024),
        severity: known.severity,
        compliance: known.status,
        reasons: Vec::new(),
        requirements: Vec::new(),
        remediation: "Nothing is left to do.".to_owned(),
        reference: control
            .map_or("https://docs.aws.amazon.com/AmazonS3/", |control| control.reference)
            .to_owned(),
        resources: std::iter::once(resource_of(about)).chain(key).collect(),
        product_fields: ProductFields {
            class: class_and_key
                .class
                .clone()
                .map(|name| ClassField::Known { name, level: class_and_key.level }),
            key_alias: class_and_key.alias.clone(),
            gone_because: Some(because.to_owned()),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            ..ProductFields::default()
        },
        fingerprint: known.fingerprint.clone(),
        record_state: RecordState::Archived,
        created_at: Timestamp::UNIX_EPOCH,
        first_observed_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        workflow: Workflow::New,
    }
}

fn resource_of(about: &About) -> Resource {
    match about {
        About::Bucket(bucket) => Resource::Bucket(bucket.arn()),
        About::Account(place) => Resource::Account(format!("AWS::::Account:{}", place.account)),
    }
}

fn status(finding: &Finding) -> (Compliance, Severity) {
    (finding.compliance, finding.severity)
}

/// Writes the parts that findings about buckets and findings about accounts share. The description
/// begins with `subject`.
fn draft(
    about: About,
    stored_in: &Place,
    verdict: &Verdict,
    read_at: Timestamp,
    subject: &str,
) -> Result<Finding, String> {
    let (compliance, severity) = match &verdict.outcome {
        Outcome::Passed(_) => (Compliance::Passed, Severity::Informational),
        Outcome::Failed { severity, .. } => (Compliance::Failed, *severity),
        Outcome::Undetermined(_) => (Compliance::Warning, verdict.control.severity),
        Outcome::NotApplicable(why) => return Err(why.clone()),
    };
    let control = verdict.control;
    Ok(Finding {
        about,
        slug: control.into(),
        stored_in: stored_in.clone(),
        title: text::cut(control.title, 256),
        description: description(subject, verdict),
        severity,
        compliance,
        reasons: reasons(&verdict.outcome),
        requirements: control
            .requirements
            .iter()
            .map(|&requirement| requirement.to_owned())
            .collect(),
        remediation: text::cut(control.remediation, 512),
        reference: control.reference.to_owned(),
        resources: Vec::new(),
        product_fields: ProductFields {
            exemption_ended: lapsed(verdict).map(|exemption| exemption.until),
            evidence: EvidenceText::all(&verdict.outcome),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            ..ProductFields::default()
        },
        fingerprint: String::new(),
        record_state: RecordState::Active,
        created_at: read_at,
        first_observed_at: read_at,
        updated_at: read_at,
        workflow: if compliance == Compliance::Passed { Workflow::Resolved } else { Workflow::New },
    })
}

/// Returns what a remedy is filled in with: the bucket, its key, and the trusted accounts and
/// organizations.
fn statement_subject(observation: &Observation<'_>) -> Subject {
    let subject = Subject::of(observation.bucket);
    match &observation.judgement.class {
        Fact::Known(class) => subject.trusting(class),
        Fact::Unreadable(_) => subject,
    }
}

fn subject_of(observation: &Observation<'_>) -> String {
    let name = observation.bucket.id.name();
    match &observation.judgement.class {
        Fact::Known(class) => {
            format!("Bucket {name} (class {}, which requires level {})", class.name, class.level)
        }
        Fact::Unreadable(_) => format!("Bucket {name} (its class could not be read)"),
    }
}

fn description(subject: &str, verdict: &Verdict) -> String {
    let said = match &verdict.outcome {
        Outcome::Passed(evidence) => {
            join(evidence, |e| format!("{} is {}, as required.", e.fact(), value(e)))
        }
        Outcome::Failed { evidence, .. } => {
            format!("{}. {}", join(evidence, sentence), verdict.control.why)
        }
        Outcome::Undetermined(shortfalls) => format!(
            "the control `{}` is undetermined: {}.",
            verdict.control.slug,
            join(shortfalls, |shortfall| reason(shortfall).description)
        ),
        Outcome::NotApplicable(why) => why.clone(),
    };
    text::cut(&format!("{subject}: {}{said}", lapsed(verdict).map(ended).unwrap_or_default()), 1024)
}

/// Returns the exemption that ended, if the control does not pass now.
fn lapsed(verdict: &Verdict) -> Option<&Exemption> {
    verdict.lapsed.as_ref().filter(|_| !matches!(verdict.outcome, Outcome::Passed(_)))
}

/// Writes that an exemption ended, for readers who relied on it.
fn ended(Exemption { buckets, reason, until, .. }: &Exemption) -> String {
    let (buckets, reason) = (plain(buckets.as_str(), LONGEST_FACT), plain(reason, LONGEST_FACT));
    format!("the exemption of `{buckets}` ({reason}) ended on {until}. ")
}

fn join<T>(parts: &[T], say: impl Fn(&T) -> String) -> String {
    parts.iter().map(say).collect::<Vec<_>>().join("; ")
}

fn sentence(evidence: &Evidence) -> String {
    format!("{} is {}, expected {}", evidence.fact(), value(evidence), evidence.expected())
}

fn value(evidence: &Evidence) -> String {
    plain(&evidence.value(), LONGEST_FACT)
}

fn reasons(outcome: &Outcome) -> Vec<Reason> {
    match outcome {
        Outcome::Failed { evidence, .. } => evidence
            .iter()
            .map(|evidence| Reason {
                code: evidence.fact().to_ascii_uppercase().replace(' ', "_"),
                description: sentence(evidence),
            })
            .collect(),
        Outcome::Undetermined(shortfalls) => shortfalls.iter().map(reason).collect(),
        Outcome::Passed(_) | Outcome::NotApplicable(_) => Vec::new(),
    }
}

fn reason(shortfall: &Shortfall) -> Reason {
    let (code, description) = match shortfall {
        Shortfall::Unreadable(why) => {
            let subject = plain(&why.subject, LONGEST_FACT);
            let answer = plain(&why.code, LONGEST_FACT);
            ("UNREADABLE", format!("{} on {subject} was answered with {answer}", why.permission))
        }
        Shortfall::NoWitness(evidence) => (
            "NO_WITNESS",
            format!(
                "{} may be {}, but no request was found that gets through",
                evidence.fact(),
                value(evidence)
            ),
        ),
        Shortfall::NotUnderstood(evidence) => (
            "NOT_UNDERSTOOD",
            format!(
                "{} is {}, which this version of cmkwatch does not understand",
                evidence.fact(),
                value(evidence)
            ),
        ),
    };
    Reason { code: code.to_owned(), description }
}

fn resources(bucket: &Bucket) -> Vec<Resource> {
    let key = class_and_key(bucket).key.map(Resource::Key);
    std::iter::once(Resource::Bucket(bucket.id.arn())).chain(key).collect()
}

/// Returns the key of a bucket and the alias that names the key. The class is left empty.
pub(crate) fn class_and_key(bucket: &Bucket) -> ClassAndKey {
    let key = used_key(bucket).and_then(|key| key_arn(key, &bucket.id.place()));
    ClassAndKey { key, alias: key_alias(bucket), ..ClassAndKey::default() }
}

fn used_key(bucket: &Bucket) -> Option<&UsedKey> {
    bucket.encryption.known().ok()?.default.key()
}

/// Returns the ARN of a key that was found, or that the bucket names by its ARN. An event of a key
/// that was not found must lead to the bucket, too.
fn key_arn(key: &UsedKey, place: &Place) -> Option<KeyArn> {
    match (&key.resolved, key.reference.within(place)) {
        (Fact::Known(KeyLookup::Found(found)), _) => Some(found.arn.clone()),
        (_, KeyReference::Arn(arn)) => Some(arn.clone()),
        _ => None,
    }
}

fn key_alias(bucket: &Bucket) -> Option<AliasArn> {
    match used_key(bucket)?.reference.within(&bucket.id.place()) {
        KeyReference::AliasArn(arn) => Some(arn.clone()),
        _ => None,
    }
}
