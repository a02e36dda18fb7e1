//! A law for any history: the findings follow from the last state alone.

use crate::example::{Story, at, cmk, sse_s3, unreadable, used};
use facts::{DefaultEncryption, Fact, KeyLookup, KeyState};
use proptest::prelude::*;

fn state() -> impl Strategy<Value = Fact<DefaultEncryption>> {
    prop_oneof![
        Just(sse_s3()),
        Just(unreadable()),
        Just(cmk(KeyState::Enabled)),
        Just(cmk(KeyState::Disabled)),
        Just(cmk(KeyState::PendingDeletion(Some(at(1000))))),
        Just(Fact::Known(used("", Fact::Known(KeyLookup::AwsManagedDefault)))),
        Just(Fact::Known(used("alias/gone", Fact::Known(KeyLookup::Missing)))),
    ]
}

proptest! {
    /// After any history, the active findings follow from the last state alone. Judging the last
    /// state again changes nothing.
    #[test]
    fn the_last_state_alone_decides_the_findings(history in proptest::collection::vec(state(), 1..8)) {
        let mut story = Story::default();
        for (minute, encryption) in (0..).zip(&history) {
            story.observe(encryption.clone(), minute);
        }
        let last = history.last().unwrap().clone();
        prop_assert!(story.observe(last.clone(), 100).is_done());

        let mut fresh = Story::default();
        fresh.observe(last, 0);
        prop_assert_eq!(story.standing(), fresh.standing());
    }
}
