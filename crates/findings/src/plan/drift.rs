//! Changes that sweeps find: how many of them no event announced in time.

use super::{Look, Looking};
use crate::{ApiCall, ControlState, Slug, Unannounced};
use jiff::Timestamp;
use std::collections::BTreeMap;

impl Look<'_> {
    /// Returns the transitions that no event has announced so far, and the number of transitions
    /// that were not announced in time.
    pub(super) fn unannounced(
        &self,
        controls: &BTreeMap<Slug, ControlState>,
    ) -> (Option<Unannounced>, u32) {
        let Self { before, seen, terms, .. } = self;
        if terms.looking == (Looking::Sweep { is_new: false }) {
            return (self.found_by_sweep(controls), 0);
        }
        let Some(known) = &before.unannounced else { return (None, 0) };
        match terms.looking {
            _ if terms.api_calls.iter().any(|call| announces(call, known)) => (None, 0),
            Looking::SecondLook { delay } if seen.read_at.duration_since(known.since) >= delay => {
                (None, known.transitions)
            }
            _ => (Some(known.clone()), 0),
        }
    }

    /// Returns the transitions that sweeps have found so far, this sweep included. Only a change of
    /// what was read from AWS has an event.
    fn found_by_sweep(&self, controls: &BTreeMap<Slug, ControlState>) -> Option<Unannounced> {
        let Self { before, seen, .. } = self;
        let is_created = before.version == 0 && before.controls.is_empty() && !seen.gone;
        let is_of_aws =
            is_created || before.gone != seen.gone || before.reading.differs(&seen.reading);
        let found = controls.iter().filter(|(slug, state)| self.differs(slug, state)).count();
        if !is_of_aws || found == 0 {
            return before.unannounced.clone();
        }
        let known = before.unannounced.as_ref();
        let transitions = known.map_or(0, |known| known.transitions);
        let transitions = transitions.saturating_add(u32::try_from(found).unwrap_or(u32::MAX));
        Some(Unannounced { transitions, since: known.map_or(seen.read_at, |known| known.since) })
    }
}

/// Returns true if a call may have caused what a sweep found: it was made before the sweep. Its
/// message has already said that it is about the bucket or its key.
fn announces(call: &ApiCall, found: &Unannounced) -> bool {
    let made_at = call.event_time.as_ref().and_then(|time| time.parse::<Timestamp>().ok());
    made_at.is_none_or(|made_at| made_at <= found.since)
}
