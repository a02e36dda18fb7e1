//! The example that shows what an answer means: one possible request.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// A possible request: one caller, one action, one resource, and a value for each condition key
/// that matters.
///
/// A key matters if a statement about the request, or the question, is about it. Other condition
/// keys can have any value, or be absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The caller: the ARN of an identity, the name of an identity provider, or a canonical user
    /// id.
    pub principal: String,
    /// The action with its service, such as `kms:Decrypt`.
    pub action: String,
    /// The ARN of the resource.
    pub resource: String,
    /// The condition keys of the request, each with its values. Most keys have one value.
    pub condition_keys: BTreeMap<String, Vec<String>>,
    /// The condition keys that the policy or the question is about, and that the request lacks.
    pub absent_keys: BTreeSet<String>,
}

/// Writes the request as a sentence without its full stop.
impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { principal, action, resource, condition_keys, absent_keys } = self;
        write!(f, "{principal} calls {action} on {resource}")?;
        let with = condition_keys.iter().map(|(key, values)| format!("{key} {}", values.join("+")));
        for (number, with) in with.enumerate() {
            write!(f, "{} {with}", if number == 0 { " with" } else { "," })?;
        }
        for (number, without) in absent_keys.iter().enumerate() {
            write!(f, "{} {without}", if number == 0 { " without" } else { "," })?;
        }
        Ok(())
    }
}
