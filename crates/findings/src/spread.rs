//! The days on which periodic work is due, spread evenly over the subjects.

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

/// The shortest interval. Work that was done within it is not due again, even if a turn begins in
/// between.
const LEAST: SignedDuration = SignedDuration::from_hours(12);

/// Returns true if the work for a subject is due. A turn has `every_days` days, and the work must
/// be done once in each turn.
///
/// Turns begin at midnight UTC, on a day that depends on the subject. So about the same number of
/// many subjects is due each day, even if all were first done on the same day. Work stays due if
/// its day was missed.
#[must_use]
pub fn is_due(subject: &str, every_days: u8, last: Timestamp, now: Timestamp) -> bool {
    let every = u64::from(every_days.max(1));
    let offset = Sha256::digest(subject)
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    let turn = |moment: Timestamp| {
        let day = u64::try_from(moment.as_second()).unwrap_or_default() / (24 * 60 * 60);
        (day + offset % every) / every
    };
    turn(now) > turn(last) && now.duration_since(last) >= LEAST
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: i64) -> Timestamp {
        "2026-11-01T04:00:00Z".parse::<Timestamp>().unwrap()
            + SignedDuration::from_hours(24 * number)
    }

    #[test]
    fn about_the_same_number_of_subjects_is_due_each_day() {
        for every in [1, 7, 30] {
            let mut last = vec![day(0); 3000];
            let mut due_on = Vec::new();
            for today in (1..=60).map(day) {
                let mut due = 0;
                for (number, last) in last.iter_mut().enumerate() {
                    if is_due(&format!("cmkwatch/aws/1/{number}"), every, *last, today) {
                        *last = today;
                        due += 1;
                    }
                }
                due_on.push(due);
            }
            let even = 3000 / u32::from(every);
            assert!(
                due_on.iter().all(|due| (even * 7 / 10..=even * 13 / 10).contains(due)),
                "{every}: {due_on:?}"
            );
        }
    }

    #[test]
    fn a_missed_day_is_made_up_for_and_no_turn_is_longer_than_its_days() {
        for subject in ["a", "b", "c", "d"] {
            let first = (1..8).find(|number| is_due(subject, 7, day(0), day(*number))).unwrap();
            assert!(is_due(subject, 7, day(0), day(first + 3)), "{subject}");
            assert!(!is_due(subject, 7, day(first), day(first + 6)), "{subject}");
            assert!(is_due(subject, 7, day(first), day(first + 7)), "{subject}");
        }
    }

    #[test]
    fn nothing_is_due_twice_within_half_a_day() {
        let before_midnight: Timestamp = "2026-11-01T23:59:00Z".parse().unwrap();
        let after = |hours| before_midnight + SignedDuration::from_hours(hours);
        assert!(!is_due("a", 1, before_midnight, after(1)));
        assert!(is_due("a", 1, before_midnight, after(12)));
    }
}
