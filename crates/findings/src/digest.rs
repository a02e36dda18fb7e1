//! A digest of what was judged, to tell whether anything changed.

use crate::{Finding, fields};
use sha2::{Digest, Sha256};

/// The fields that a digest covers besides status, severity and resources: facts and no prose. The moment, the API call and
/// the version are not among them, so that the same state judged again is the same, by a later version too.
const COVERED: [&str; 4] =
    [fields::CLASS, fields::LEVEL_REQUIRED, fields::LEVEL_REACHED, fields::EVIDENCE];

/// 32 hexadecimal digits, the same for the same state.
pub(crate) fn digest(finding: &Finding) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    };
    add(finding.compliance.as_str());
    add(finding.severity.as_str());
    for resource in &finding.resources {
        add(resource.arn());
    }
    for key in COVERED {
        add(finding.product_fields.get(key).map_or("", String::as_str));
    }
    // The alias, where there is one: so that the digests of those before it was covered stay what they were.
    if let Some(alias) = finding.product_fields.get(fields::KEY_ALIAS) {
        add(alias);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
