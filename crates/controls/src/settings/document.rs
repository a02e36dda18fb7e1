//! Reads the settings from the text of `cmkwatch.toml`, and names the line and the key of a
//! mistake.

use super::{
    Class, ClassName, Exemption, LogBuckets, OrganizationId, RootDelegation, Settings,
    SettingsError, alerts::AlertsTable, is_tag_text, mistake::Mistake,
};
use crate::{Level, OF_BUCKETS};
use facts::AccountId;
use iam_policy::Pattern;
use jiff::civil::Date;
use serde::Deserialize;
use std::{collections::BTreeMap, ops::Range, str::FromStr};
use toml::{Spanned, value::Datetime};

impl FromStr for Settings {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let error = |span: Option<Range<usize>>, message: String| {
            let start = span.map_or(0, |span| span.start);
            let line = 1 + text.bytes().take(start).filter(|b| *b == b'\n').count();
            let source = text.lines().nth(line - 1).filter(|_| start > 0).map(str::trim);
            let message =
                source.map_or_else(|| message.clone(), |source| format!("`{source}`: {message}"));
            SettingsError { line, message }
        };
        let document: Document =
            toml::from_str(text).map_err(|e| error(e.span(), e.message().to_owned()))?;
        document.decided().map_err(|(span, message)| error(Some(span), message))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Document {
    #[serde(default)]
    organization: Organization,
    classification: Classification,
    class: BTreeMap<ClassName, ClassTable>,
    #[serde(default)]
    key_policy: KeyPolicy,
    #[serde(default)]
    findings: Findings,
    #[serde(default)]
    alerts: AlertsTable,
    #[serde(default)]
    exempt: Vec<Exempt>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Organization {
    excluded_accounts: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Classification {
    tag: Spanned<String>,
    default: Spanned<ClassName>,
    #[serde(default)]
    log_buckets: LogBuckets,
}

/// A class. Keys that it does not set are taken from `[classification]` and `[key-policy]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ClassTable {
    level: Level,
    log_buckets: Option<LogBuckets>,
    root_delegation: Option<RootDelegation>,
    trusted_accounts: Option<Vec<Spanned<String>>>,
    trusted_organizations: Option<Vec<OrganizationId>>,
    trust_own_organization: Option<bool>,
    max_rotation_days: Option<Spanned<u32>>,
    #[serde(default)]
    allowed_keys: Vec<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct KeyPolicy {
    root_delegation: RootDelegation,
    trusted_accounts: Vec<Spanned<String>>,
    trusted_organizations: Vec<OrganizationId>,
    trust_own_organization: Option<bool>,
    max_rotation_days: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Findings {
    passed: bool,
    refresh_after_days: Spanned<u8>,
    audit_every_days: Spanned<u8>,
}

impl Default for Findings {
    fn default() -> Self {
        Self {
            passed: true,
            refresh_after_days: Spanned::new(0..0, 30),
            audit_every_days: Spanned::new(0..0, 7),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Exempt {
    buckets: Spanned<String>,
    #[serde(default)]
    accounts: Vec<Spanned<String>>,
    #[serde(default)]
    controls: Vec<Spanned<String>>,
    reason: Spanned<String>,
    until: Spanned<Datetime>,
}

impl Document {
    /// Checks the values, alone and together, and returns the settings.
    fn decided(self) -> Result<Settings, Mistake> {
        let Self { organization, classification, class, key_policy, findings, alerts, exempt } =
            self;
        let Classification { tag, default, log_buckets } = classification;
        if !is_tag_text(tag.get_ref(), 128) {
            let message = "a tag key has 1 to 128 letters, digits, spaces and + - = . _ : / @";
            return Err((tag.span(), message.into()));
        }
        let days = findings.refresh_after_days;
        if !(1..=89).contains(days.get_ref()) {
            let message = "refresh-after-days is 1 to 89, as Security Hub drops what is not updated for 90 days";
            return Err((days.span(), message.into()));
        }
        let audit_every_days = findings.audit_every_days;
        if !(1..=89).contains(audit_every_days.get_ref()) {
            return Err((audit_every_days.span(), "audit-every-days is 1 to 89".into()));
        }
        let settled = |(name, table): (ClassName, ClassTable)| {
            Ok((name.clone(), table.decided(name, log_buckets, &key_policy)?))
        };
        let classes: BTreeMap<_, _> =
            class.into_iter().map(settled).collect::<Result<_, Mistake>>()?;
        let Some(fallback) = classes.get(default.get_ref()).cloned() else {
            return Err((
                default.span(),
                format!("default names no class; `[class.{}]` is missing", default.get_ref()),
            ));
        };
        Ok(Settings {
            excluded_accounts: accounts(&organization.excluded_accounts)?,
            tag: tag.into_inner(),
            default: fallback,
            classes,
            exemptions: exempt.into_iter().map(Exempt::decided).collect::<Result<_, _>>()?,
            import_passed: findings.passed,
            refresh_after_days: days.into_inner(),
            audit_every_days: audit_every_days.into_inner(),
            alerts: alerts.decided()?,
        })
    }
}

impl ClassTable {
    fn decided(
        self,
        name: ClassName,
        log_buckets: LogBuckets,
        common: &KeyPolicy,
    ) -> Result<Class, Mistake> {
        let trusted = self.trusted_accounts.as_ref().unwrap_or(&common.trusted_accounts);
        let days = self.max_rotation_days.or_else(|| common.max_rotation_days.clone());
        Ok(Class {
            name,
            level: self.level,
            log_buckets: self.log_buckets.unwrap_or(log_buckets),
            root_delegation: self.root_delegation.unwrap_or(common.root_delegation),
            trusted_accounts: accounts(trusted)?,
            organization: None,
            trusted_organizations: self
                .trusted_organizations
                .unwrap_or_else(|| common.trusted_organizations.clone()),
            trust_own_organization: self
                .trust_own_organization
                .or(common.trust_own_organization)
                .unwrap_or(true),
            max_rotation_days: rotation_days(days)?,
            allowed_keys: self.allowed_keys.iter().map(allowed_key).collect::<Result<_, _>>()?,
        })
    }
}

/// Reads the ARN of a key in which `*` and `?` are wildcards. S3 compares the ARN that an upload
/// names, so an alias or a bare id would allow nothing.
fn allowed_key(text: &Spanned<String>) -> Result<Pattern, Mistake> {
    match text.get_ref().splitn(6, ':').collect::<Vec<_>>()[..] {
        ["arn", _, "kms", _, _, resource] if resource.starts_with("key/") => {
            Ok(Pattern::wildcard(text.get_ref()))
        }
        _ => Err((
            text.span(),
            format!(
                "allowed-keys has ARNs of keys (arn:aws:kms:REGION:ACCOUNT:key/ID, * matches any characters), unlike `{}`",
                text.get_ref()
            ),
        )),
    }
}

fn accounts(texts: &[Spanned<String>]) -> Result<Vec<AccountId>, Mistake> {
    let account = |text: &Spanned<String>| {
        text.get_ref().parse().map_err(|error: facts::Malformed| (text.span(), error.to_string()))
    };
    texts.iter().map(account).collect()
}

/// Checks a rotation period against [the periods that KMS
/// accepts](https://docs.aws.amazon.com/kms/latest/APIReference/API_EnableKeyRotation.html). The
/// default is 365 days.
fn rotation_days(days: Option<Spanned<u32>>) -> Result<u32, Mistake> {
    match days {
        None => Ok(365),
        Some(days) if (90..=2560).contains(days.get_ref()) => Ok(days.into_inner()),
        Some(days) => Err((
            days.span(),
            "max-rotation-days is 90 to 2560, as KMS takes no other period".into(),
        )),
    }
}

impl Exempt {
    fn decided(self) -> Result<Exemption, Mistake> {
        let Self { buckets, accounts: of, controls, reason, until } = self;
        for (text, name) in [(&buckets, "buckets"), (&reason, "reason")] {
            if text.get_ref().trim().is_empty() {
                return Err((text.span(), format!("{name} is empty")));
            }
        }
        let slug = |text: &Spanned<String>| {
            let known =
                OF_BUCKETS.iter().map(|control| control.slug).find(|slug| *slug == text.get_ref());
            known.ok_or_else(|| (text.span(), format!("there is no control `{}`", text.get_ref())))
        };
        Ok(Exemption {
            buckets: Pattern::wildcard(buckets.get_ref()),
            accounts: accounts(&of)?,
            controls: controls.iter().map(slug).collect::<Result<_, _>>()?,
            reason: reason.into_inner(),
            until: day(&until)?,
        })
    }
}

fn day(until: &Spanned<Datetime>) -> Result<Date, Mistake> {
    let mistake = || (until.span(), "until is a day, such as 2027-06-30".to_owned());
    let written = match until.get_ref() {
        Datetime { date: Some(date), time: None, offset: None } => date,
        _ => return Err(mistake()),
    };
    let small = |number: u8| i8::try_from(number).unwrap_or(i8::MAX);
    let year = i16::try_from(written.year).unwrap_or(i16::MAX);
    Date::new(year, small(written.month), small(written.day)).map_err(|_| mistake())
}

#[cfg(test)]
mod tests;
