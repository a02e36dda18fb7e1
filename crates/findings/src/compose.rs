//! The text of a finding: a verdict, written for people.
//!
//! The state before plays no part here. [`plan`](crate::plan()) fills in the history of a finding.

use crate::{
    About, ClassAndKey, Compliance, Finding, Observation, Reason, RecordState, Resource, Summary,
    Workflow,
    evidence::{EvidenceText, LONGEST_FACT},
    fields,
    fingerprint::{ClassJudged, Judged},
    plain, text,
};
use controls::{Evidence, Exemption, Judgement, Outcome, Severity, Shortfall, Subject, Verdict};
use facts::{Account, Bucket, Fact, KeyLookup, KeyReference, Place, UsedKey};
use jiff::Timestamp;
use std::collections::BTreeMap;

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
    finding.remediation = text::cut(&verdict.control.remedy(&statement_subject(observation)), 512);
    finding.product_fields.extend(bucket_fields(observation));
    let class = match &observation.judgement.class {
        Fact::Known(class) => Some((class.name.as_str(), class.level)),
        Fact::Unreadable(_) => None,
    };
    let class = ClassJudged::new(class, observation.judgement.reached);
    let alias = key_alias(bucket);
    let judged = Judged::new(status(&finding), &finding.resources, &verdict.outcome);
    finding.fingerprint = judged.of_bucket(class, alias.as_deref()).fingerprint();
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
    slug: &str,
    stored_in: &Place,
    class_and_key: &ClassAndKey,
    known: &Summary,
    because: &str,
) -> Finding {
    let control = controls::ALL.into_iter().find(|control| control.slug == slug);
    let subject = match about {
        About::Bucket(bucket) => format!("Bucket {}", bucket.name()),
        About::Account(place) => format!("Account {} in region {}", place.account, place.region),
    };
    let level = class_and_key.level.map(|level| level.as_str().to_owned());
    let told = [
        (fields::CLASS, class_and_key.class.clone()),
        (fields::LEVEL_REQUIRED, level),
        (fields::KEY_ALIAS, class_and_key.alias.clone()),
        (fields::GONE_BECAUSE, Some(text::cut(because, fields::LONGEST_VALUE))),
        (fields::VERSION, Some(env!("CARGO_PKG_VERSION").to_owned())),
    ];
    let key = class_and_key.key.clone().map(Resource::Key);
    Finding {
        id: about.id(slug),
        about: about.clone(),
        stored_in: stored_in.clone(),
        generator_id: format!("cmkwatch/{slug}"),
        title: text::cut(control.map_or(slug, |control| control.title), 256),
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
        product_fields: told
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)))
            .collect(),
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
    let evidence =
        (fields::EVIDENCE.to_owned(), EvidenceText::write(EvidenceText::all(&verdict.outcome)));
    let version = (fields::VERSION.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let ended = lapsed(verdict)
        .map(|exemption| (fields::EXEMPTION_ENDED.to_owned(), exemption.until.to_string()));
    Ok(Finding {
        id: about.id(control.slug),
        about,
        stored_in: stored_in.clone(),
        generator_id: format!("cmkwatch/{}", control.slug),
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
        product_fields: [evidence, version].into_iter().chain(ended).collect(),
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
fn key_arn(key: &UsedKey, place: &Place) -> Option<String> {
    match (&key.resolved, key.reference.within(place)) {
        (Fact::Known(KeyLookup::Found(found)), _) => Some(found.arn.to_string()),
        (_, KeyReference::Arn(arn)) => Some(arn.to_string()),
        _ => None,
    }
}

fn key_alias(bucket: &Bucket) -> Option<String> {
    match used_key(bucket)?.reference.within(&bucket.id.place()) {
        KeyReference::AliasArn(arn) => Some(arn.to_string()),
        _ => None,
    }
}

fn bucket_fields(observation: &Observation<'_>) -> BTreeMap<String, String> {
    let (class, required) = class_of(observation.judgement);
    let reached = observation.judgement.reached.map_or("undetermined", |level| level.as_str());
    let known = [
        (fields::CLASS, class),
        (fields::LEVEL_REQUIRED, required),
        (fields::LEVEL_REACHED, reached),
    ];
    let alias = key_alias(observation.bucket).map(|alias| (fields::KEY_ALIAS.to_owned(), alias));
    known.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().chain(alias).collect()
}

/// Returns the class and its level as the fields of a finding write them.
fn class_of(judgement: &Judgement) -> (&str, &str) {
    match &judgement.class {
        Fact::Known(class) => (class.name.as_str(), class.level.as_str()),
        Fact::Unreadable(_) => (fields::UNREADABLE, fields::UNREADABLE),
    }
}
