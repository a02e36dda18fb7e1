//! The settings of alerts: the table `[alerts]`.

use super::mistake::Mistake;
use crate::Severity;
use serde::Deserialize;
use toml::Spanned;

/// The findings that are worth an alert, and the number above which alerts become one digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alerts {
    /// The least severity that is alerted.
    pub minimum_severity: Severity,
    /// The greatest number of findings at once that have an alert each, 0 to 100. More than that
    /// are sent as one digest.
    pub digest_over: usize,
}

/// The table `[alerts]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct AlertsTable {
    minimum_severity: Spanned<String>,
    digest_over: Spanned<usize>,
}

impl Default for AlertsTable {
    fn default() -> Self {
        Self {
            minimum_severity: Spanned::new(0..0, "MEDIUM".into()),
            digest_over: Spanned::new(0..0, 5),
        }
    }
}

impl AlertsTable {
    pub(super) fn decided(self) -> Result<Alerts, Mistake> {
        let Some(minimum_severity) = Severity::of_label(self.minimum_severity.get_ref()) else {
            let labels = Severity::ALL.map(Severity::as_str).join(", ");
            return Err((
                self.minimum_severity.span(),
                format!("minimum-severity is one of {labels}"),
            ));
        };
        if *self.digest_over.get_ref() > 100 {
            let message = "digest-over is 0 to 100: how many messages at once somebody still reads";
            return Err((self.digest_over.span(), message.into()));
        }
        Ok(Alerts { minimum_severity, digest_over: self.digest_over.into_inner() })
    }
}
