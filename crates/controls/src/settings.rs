//! What the organization requires: `cmkwatch.toml`.
//!
//! One file, reviewed like code, read by everything that judges. What is not understood in it is an error, for a rule
//! that silently does not apply is worse than a function that does not start.

use crate::Level;
use serde::{Deserialize, Deserializer, de};
use std::{borrow::Borrow, collections::BTreeMap, fmt, ops::Range, str::FromStr};
use toml::Spanned;

/// The settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The key of the bucket tag that names the class.
    pub tag: String,
    /// The class of a bucket that has no such tag, or one that names no class.
    pub default: Class,
    /// All classes, by name; the default is one of them.
    pub classes: BTreeMap<ClassName, Class>,
    /// Whether buckets that pass get findings too.
    pub import_passed: bool,
    /// After how many days a finding that did not change is imported again, 1 to 89.
    pub refresh_after_days: u8,
}

/// A class of data and what it requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Its name, which is the value of the tag.
    pub name: ClassName,
    /// What it requires.
    pub level: Level,
}

/// The name of a class: up to 64 of the
/// [characters that a tag may have](https://docs.aws.amazon.com/AmazonS3/latest/userguide/tagging.html) in every service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClassName(String);

impl ClassName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ClassName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClassName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ClassName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if is_tag_text(&text, 64) {
            Ok(Self(text))
        } else {
            Err(de::Error::custom(format_args!(
                "the name of a class has 1 to 64 letters, digits, spaces and + - = . _ : / @, unlike `{text}`"
            )))
        }
    }
}

/// What is wrong with the settings, with the line and the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct SettingsError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there; names the key.
    pub message: String,
}

impl FromStr for Settings {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let error = |span: Option<Range<usize>>, message: String| {
            let start = span.map_or(0, |span| span.start);
            let line = 1 + text.bytes().take(start).filter(|b| *b == b'\n').count();
            let source = text.lines().nth(line - 1).filter(|_| start > 0).map(str::trim);
            let message = source.map_or_else(|| message.clone(), |source| format!("`{source}`: {message}"));
            SettingsError { line, message }
        };
        let document: Document = toml::from_str(text).map_err(|e| error(e.span(), e.message().to_owned()))?;
        document.settle().map_err(|(span, message)| error(Some(span), message))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Document {
    classification: Classification,
    class: BTreeMap<ClassName, ClassTable>,
    #[serde(default)]
    findings: Findings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Classification {
    tag: Spanned<String>,
    default: Spanned<ClassName>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ClassTable {
    level: Level,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Findings {
    passed: bool,
    refresh_after_days: Spanned<u8>,
}

impl Default for Findings {
    fn default() -> Self {
        Self { passed: true, refresh_after_days: Spanned::new(0..0, 30) }
    }
}

impl Document {
    /// What one value alone cannot tell.
    fn settle(self) -> Result<Settings, (Range<usize>, String)> {
        let Self { classification: Classification { tag, default }, class, findings } = self;
        if !is_tag_text(tag.get_ref(), 128) {
            let message = "a tag key has 1 to 128 letters, digits, spaces and + - = . _ : / @";
            return Err((tag.span(), message.into()));
        }
        let days = findings.refresh_after_days;
        if !(1..=89).contains(days.get_ref()) {
            let message = "refresh-after-days is 1 to 89, as Security Hub drops what is not updated for 90 days";
            return Err((days.span(), message.into()));
        }
        let classes: BTreeMap<_, _> =
            class.into_iter().map(|(name, table)| (name.clone(), Class { name, level: table.level })).collect();
        let Some(fallback) = classes.get(default.get_ref()).cloned() else {
            return Err((
                default.span(),
                format!("default names no class; `[class.{}]` is missing", default.get_ref()),
            ));
        };
        Ok(Settings {
            tag: tag.into_inner(),
            default: fallback,
            classes,
            import_passed: findings.passed,
            refresh_after_days: days.into_inner(),
        })
    }
}

fn is_tag_text(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b" +-=._:/@".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[classification]
tag = "data-classification"
default = "confidential"
[class.public]
level = "sse-s3"
[class.confidential]
level = "cmk"
[findings]
refresh-after-days = 7
"#;

    #[test]
    fn reads_what_it_is_told() {
        let settings: Settings = GOOD.parse().unwrap();
        assert_eq!(settings.tag, "data-classification");
        assert_eq!(settings.default.level, Level::Cmk);
        assert_eq!(settings.classes.len(), 2);
        assert!(settings.import_passed);
        assert_eq!(settings.refresh_after_days, 7);
    }

    #[test]
    fn errors_name_line_and_key() {
        for (from, to, line, words) in [
            ("tag = ", "tagg = ", 3, ["tagg", "unknown field"]),
            ("\"cmk\"", "\"cmkk\"", 8, ["level", "unknown variant `cmkk`"]),
            ("default = \"confidential\"", "default = \"secret\"", 4, ["default", "[class.secret]"]),
            ("default = \"confidential\"", "default = 3", 4, ["default", "invalid type"]),
            ("refresh-after-days = 7", "refresh-after-days = 90", 10, ["refresh-after-days", "1 to 89"]),
            ("refresh-after-days = 7", "refresh-after-days = -1", 10, ["refresh-after-days", "invalid value"]),
            ("\"data-classification\"", "\"\"", 3, ["tag", "1 to 128"]),
            ("[class.public]", "[class.\"<b>\"]", 5, ["class", "<b>"]),
            ("[findings]", "[finding]", 9, ["finding", "unknown field"]),
            ("level = \"sse-s3\"", "level", 6, ["level", "expected"]),
            ("level = \"sse-s3\"", "", 5, ["class.public", "missing field `level`"]),
        ] {
            let text = GOOD.replacen(from, to, 1);
            let error = text.parse::<Settings>().unwrap_err();
            assert_eq!(error.line, line, "{error}");
            for word in words {
                assert!(error.to_string().contains(word), "{word}: {error}");
            }
        }
    }

    #[test]
    fn nothing_at_all_is_an_error() {
        let error = "".parse::<Settings>().unwrap_err();
        assert!(error.to_string().contains("classification"), "{error}");
    }
}
