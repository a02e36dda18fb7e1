//! Alerts about each finding: one for each change, never one that repeats the last, and in the end
//! the truth.

use serde_json::Value;
use std::collections::BTreeMap;

/// The messages about each finding, by its id. A message is the state version of the change, and
/// true if it reported the finding as open.
#[derive(Debug, Default)]
pub(crate) struct Alerted(BTreeMap<String, Vec<(u64, bool)>>);

impl Alerted {
    pub(crate) fn of(messages: &[Value]) -> Self {
        let mut alerted = Self::default();
        for message in messages {
            let context = &message["metadata"]["additionalContext"];
            let text = |name: &str| {
                context[name].as_str().unwrap_or_else(|| panic!("no {name}: {message}"))
            };
            let version = text("state-version").parse().unwrap();
            alerted
                .0
                .entry(text("finding").to_owned())
                .or_default()
                .push((version, text("transition") != "resolved"));
        }
        alerted.0.values_mut().for_each(|messages| messages.sort_unstable());
        alerted
    }

    /// Returns the number of messages.
    pub(crate) fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Returns what is wrong with the messages about a finding that `is_open` in the end, or `None`
    /// if nothing is wrong.
    pub(crate) fn wrong(&self, finding: &str, is_open: bool) -> Option<String> {
        let messages = self.0.get(finding).map(Vec::as_slice).unwrap_or_default();
        if messages.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Some(format!("a change was alerted twice: {messages:?}"));
        }
        if messages.windows(2).any(|pair| pair[0].1 == pair[1].1) {
            return Some(format!("people were alerted about what they knew: {messages:?}"));
        }
        let alerted = messages.last().is_some_and(|(_, is_open)| *is_open);
        (alerted != is_open)
            .then(|| format!("people were alerted last that it is open: {alerted}, {messages:?}"))
    }
}
