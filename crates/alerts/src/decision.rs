//! The state of a finding that people know from the last message, and the decision if an event
//! needs another message.
//!
//! The crate `claims` stores the table of that knowledge. This module only decides.
//!
//! A run claims a message before it sends it, so that no other run sends it, too. A claim names the
//! time at which its run has ended at the latest. If the run died, another run sends the message
//! after that time.

use crate::{FindingEvent, silence::Silence};
use controls::Severity;
use findings::{Compliance, Transition};
use jiff::{SignedDuration, Timestamp};

/// The longest time between a change and the first import that reports it. A later import only
/// repairs the finding.
const LATEST_REPORT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The state of a finding as the last message reported it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertedState {
    /// The finding passes, or does not exist.
    Closed,
    /// The finding fails, with this severity.
    Open(Severity),
    /// The control cannot be determined.
    Undetermined,
}

impl AlertedState {
    /// Returns the state that a message about an event reports.
    #[must_use]
    pub fn of(event: &FindingEvent) -> Self {
        match (event.transition, event.status) {
            (Transition::Gone, _) | (_, Compliance::Passed) => Self::Closed,
            (_, Compliance::Warning) => Self::Undetermined,
            (_, Compliance::Failed) => Self::Open(event.severity),
        }
    }

    /// Returns true if people who know this state learn nothing from the other.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        match (self, other) {
            (Self::Open(known), Self::Open(now)) => now <= known,
            (known, now) => known == now,
        }
    }
}

/// The latest decision about a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastDecision {
    /// The version of the state that last changed the finding.
    pub version: u64,
    /// The state that people know by the decision; `None` if that cannot be read.
    pub alerted: Option<AlertedState>,
    /// The run that is sending the message; `None` if the message was sent or is not needed.
    pub claim: Option<Claim>,
}

/// A run that is sending a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The id of the request of the run.
    pub owner: String,
    /// The time at which the run has ended at the latest.
    pub lapses_at: Timestamp,
}

/// Rewrites a minor change as a change from the state that was last alerted. If `known` is `None`,
/// that state counts as passed.
#[must_use]
pub fn correction(event: &FindingEvent, known: Option<AlertedState>) -> FindingEvent {
    let (before, severity_before) = match known {
        Some(AlertedState::Open(severity)) => (Compliance::Failed, Some(severity)),
        Some(AlertedState::Undetermined) => (Compliance::Warning, None),
        Some(AlertedState::Closed) | None => (Compliance::Passed, None),
    };
    let transition = match (AlertedState::of(event), before) {
        (AlertedState::Closed, _) => Transition::Resolved,
        (AlertedState::Undetermined, _) => Transition::Unreadable,
        (AlertedState::Open(_), Compliance::Failed) => Transition::Worsened,
        (AlertedState::Open(_), _) => Transition::Opened,
    };
    FindingEvent {
        transition,
        before: Some(before),
        severity_before,
        worst: event.worst.max(severity_before),
        ..event.clone()
    }
}

/// The decision about an event that is worth a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The message must be claimed and sent.
    Alert,
    /// Another run is sending an alert about the finding. The event must be received again.
    Wait,
    /// No message is sent.
    Silent(Silence),
}

/// Decides about an event that is worth a message, given the latest decision about its finding.
/// `owner` is the run that asks, `now` the time.
#[must_use]
pub fn decide(
    known: Option<&LastDecision>,
    event: &FindingEvent,
    owner: &str,
    now: Timestamp,
) -> Decision {
    if event.sent_at.duration_since(version_time(event.state_version)) > LATEST_REPORT {
        return Decision::Silent(Silence::OldChange);
    }
    let Some(known) = known else { return Decision::Alert };
    if known.version > event.state_version {
        return Decision::Silent(Silence::NewerAlerted);
    }
    match &known.claim {
        Some(claim) if claim.owner != owner && now < claim.lapses_at => Decision::Wait,
        // The run died, or the answer to its claim was lost. The message may have been sent or not.
        Some(_) => Decision::Alert,
        None if known.version == event.state_version => Decision::Silent(Silence::AlreadyAlerted),
        None if known.alerted.is_some_and(|alerted| alerted.covers(AlertedState::of(event))) => {
            Decision::Silent(Silence::AlreadyKnown)
        }
        None => Decision::Alert,
    }
}

/// Returns the time of a version. Versions are milliseconds since 1970, or a little more.
fn version_time(version: u64) -> Timestamp {
    i64::try_from(version)
        .ok()
        .and_then(|version| Timestamp::from_millisecond(version).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    const NOW: i64 = 1_764_000_000_000;

    fn event(version: i64, transition: Transition, severity: Severity) -> FindingEvent {
        let sent_at = Timestamp::from_millisecond(NOW).unwrap();
        let status = match transition {
            Transition::Resolved => Compliance::Passed,
            Transition::Unreadable => Compliance::Warning,
            _ => Compliance::Failed,
        };
        FindingEvent {
            state_version: u64::try_from(version).unwrap(),
            transition,
            status,
            severity,
            sent_at,
            ..example::event()
        }
    }

    #[test]
    fn a_change_is_alerted_once_and_only_if_it_is_new_to_people() {
        use Decision::{Alert, Silent, Wait};
        use Severity::{Critical, High};
        use Silence::{AlreadyAlerted, AlreadyKnown, NewerAlerted};
        let now = Timestamp::from_millisecond(NOW).unwrap();
        let claim = |owner: &str, seconds: i64| {
            Some(Claim { owner: owner.into(), lapses_at: now + SignedDuration::from_secs(seconds) })
        };
        let known = |version: i64, alerted, claim| {
            Some(LastDecision { version: version.try_into().unwrap(), alerted, claim })
        };
        let (open, closed) = (Some(AlertedState::Open(High)), Some(AlertedState::Closed));
        let opened = |severity| event(NOW, Transition::Opened, severity);
        for (name, known, event, expected) in [
            ("nothing is known", None, opened(High), Alert),
            ("the same event again", known(NOW, open, None), opened(High), Silent(AlreadyAlerted)),
            ("an older event", known(NOW + 1, closed, None), opened(High), Silent(NewerAlerted)),
            (
                "an older event, and the newer is being sent",
                known(NOW + 1, closed, claim("other", 9)),
                opened(High),
                Silent(NewerAlerted),
            ),
            ("opened twice", known(NOW - 1, open, None), opened(High), Silent(AlreadyKnown)),
            ("opened again", known(NOW - 1, closed, None), opened(High), Alert),
            ("worse", known(NOW - 1, open, None), opened(Critical), Alert),
            (
                "undetermined",
                known(NOW - 1, open, None),
                event(NOW, Transition::Unreadable, High),
                Alert,
            ),
            ("resolved", known(NOW - 1, open, None), event(NOW, Transition::Resolved, High), Alert),
            (
                "resolved twice",
                known(NOW - 1, closed, None),
                event(NOW, Transition::Resolved, High),
                Silent(AlreadyKnown),
            ),
            ("another run sends it", known(NOW, open, claim("other", 9)), opened(High), Wait),
            (
                "another run sends the one before",
                known(NOW - 1, open, claim("other", 9)),
                opened(High),
                Wait,
            ),
            ("another run died with it", known(NOW, open, claim("other", 0)), opened(High), Alert),
            (
                "another run died with the one before",
                known(NOW - 1, open, claim("other", -1)),
                opened(High),
                Alert,
            ),
            (
                "its own claim, of which the answer was lost",
                known(NOW, open, claim("me", 9)),
                opened(High),
                Alert,
            ),
            ("the row is damaged", known(NOW - 1, None, None), opened(High), Alert),
        ] {
            assert_eq!(decide(known.as_ref(), &event, "me", now), expected, "{name}");
        }
    }

    #[test]
    fn a_minor_change_corrects_what_people_know() {
        use Severity::{High, Low};
        let passes = FindingEvent {
            status: Compliance::Passed,
            ..event(NOW, Transition::Changed, Severity::Informational)
        };
        let fails = event(NOW, Transition::Changed, High);
        for (event, known, transition, alert_severity) in [
            (&passes, AlertedState::Open(High), Transition::Resolved, High),
            (&passes, AlertedState::Undetermined, Transition::Resolved, Severity::Informational),
            (&fails, AlertedState::Closed, Transition::Opened, High),
            (&fails, AlertedState::Open(Low), Transition::Worsened, High),
        ] {
            let corrected = correction(event, Some(known));
            assert_eq!(
                (corrected.transition, corrected.alert_severity()),
                (transition, alert_severity),
                "{known:?}"
            );
        }
    }

    #[test]
    fn a_change_older_than_thirty_days_is_not_alerted() {
        let days = |days: i64| NOW - days * 24 * 60 * 60 * 1000;
        for (age, expected) in [
            (0, Decision::Alert),
            (30, Decision::Alert),
            (31, Decision::Silent(Silence::OldChange)),
        ] {
            let event = event(days(age), Transition::Opened, Severity::High);
            assert_eq!(decide(None, &event, "me", Timestamp::UNIX_EPOCH), expected, "{age}");
        }
    }
}
