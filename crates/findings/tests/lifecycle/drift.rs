//! The changes that a sweep finds, and the events that announce them.

use crate::example::{Story, api_call, at, cmk, sse_s3};
use facts::{KeyState, Tags};
use findings::{ApiCall, Looking, Plan};
use jiff::SignedDuration;
use std::collections::BTreeMap;

const SWEEP: Looking = Looking::Sweep { is_new: false };
const SECOND_LOOK: Looking = Looking::SecondLook { delay: SignedDuration::from_mins(5) };

/// Returns a bucket that passed when a sweep looked at its account for the first time.
fn known_to_be_good() -> Story {
    let mut story = Story::default();
    let seen = story.see(Tags::new(), cmk(KeyState::Enabled), 0);
    let plan = story.look(Looking::Sweep { is_new: true }, &seen, &[], 0);
    assert!(plan.changed && plan.missed == 0);
    assert_eq!(story.unannounced(), 0);
    story
}

impl Story {
    fn unannounced(&self) -> u32 {
        self.item.unannounced.as_ref().map_or(0, |unannounced| unannounced.transitions)
    }

    fn look(
        &mut self,
        looking: Looking,
        seen: &findings::Seen,
        api_calls: &[ApiCall],
        minute: i64,
    ) -> Plan {
        self.looking = looking;
        self.carry_out(seen, api_calls, &BTreeMap::new(), minute)
    }

    /// Evaluates the bucket with SSE-S3.
    fn drifted(&mut self, looking: Looking, api_calls: &[ApiCall], minute: i64) -> Plan {
        let seen = self.see(Tags::new(), sse_s3(), minute);
        self.look(looking, &seen, api_calls, minute)
    }
}

/// Returns an API call that was made at a minute.
fn call(minute: i64) -> ApiCall {
    ApiCall { event_time: Some(at(minute).to_string()), ..api_call() }
}

#[test]
fn a_change_without_an_event_is_missed_once_the_delay_is_over() {
    let mut story = known_to_be_good();
    let found = story.drifted(SWEEP, &[], 60);
    assert!(found.missed == 0 && !found.import.is_empty());
    assert_eq!(story.unannounced(), found.transitions().len() as u32);
    assert_eq!(story.drifted(SECOND_LOOK, &[], 64).missed, 0);
    assert_eq!(story.drifted(SECOND_LOOK, &[], 65).missed, found.transitions().len() as u32);
    assert_eq!(story.drifted(SECOND_LOOK, &[], 70).missed, 0);
    // Another sweep finds nothing new.
    story.drifted(SWEEP, &[], 1440);
    assert_eq!(story.unannounced(), 0);
}

#[test]
fn a_late_event_announces_only_a_change_before_the_sweep() {
    let mut story = known_to_be_good();
    story.drifted(SWEEP, &[], 60);
    story.drifted(Looking::Message, &[call(61)], 62);
    assert!(story.unannounced() > 0, "the event is of a later change");
    story.drifted(Looking::Message, &[call(59)], 63);
    assert_eq!(story.unannounced(), 0);
    assert_eq!(story.drifted(SECOND_LOOK, &[], 70).missed, 0);
}

/// The later event commits, and has its own second look.
#[test]
fn the_event_of_a_later_change_does_not_announce_the_change_before() {
    let mut story = known_to_be_good();
    let found = story.drifted(SWEEP, &[], 60).transitions().len() as u32;
    let tagged = Tags::from([("data-classification".to_owned(), "public".to_owned())]);
    let seen = story.see(tagged.clone(), sse_s3(), 62);
    assert!(story.look(Looking::Message, &seen, &[call(61)], 62).changed);
    let seen = story.see(tagged, sse_s3(), 67);
    assert_eq!(story.look(SECOND_LOOK, &seen, &[call(61)], 67).missed, found);
}

/// The owner's record of a call from another account arrives first, and alone.
#[test]
fn the_callers_arn_is_published_when_its_record_arrives() {
    let mut story = known_to_be_good();
    let by = |principal: &str| ApiCall { principal: Some(principal.to_owned()), ..call(1) };
    let opened = story.drifted(Looking::Message, &[by("AROA:bob of account 222222222222")], 2);
    let (changed_by, state_version) = ("cmkwatch/changed-by", "cmkwatch/state-version");
    let before = opened.import[0].product_fields.to_map();
    assert_eq!(before[changed_by], "AROA:bob of account 222222222222");
    let named =
        story.drifted(Looking::Message, &[by("arn:aws:sts::222222222222:assumed-role/etl/bob")], 3);
    let after = named.import[0].product_fields.to_map();
    assert_eq!(named.import[0].id(), opened.import[0].id());
    assert_eq!(after[changed_by], "arn:aws:sts::222222222222:assumed-role/etl/bob");
    assert_eq!(
        (&after[state_version], &after["cmkwatch/transition"]),
        (&before[state_version], &before["cmkwatch/transition"])
    );
    // Both records arrive once more.
    assert!(!story.drifted(Looking::Message, &[by("AROA:bob of account 222222222222")], 4).changed);
    assert!(
        !story
            .drifted(Looking::Message, &[by("arn:aws:sts::222222222222:assumed-role/etl/bob")], 5)
            .changed
    );
}

#[test]
fn a_deleted_bucket_and_one_that_a_sweep_sees_first_are_found_too() {
    let mut story = known_to_be_good();
    let gone = findings::Seen::gone(&crate::example::bucket_id(), at(60));
    story.look(SWEEP, &gone, &[], 60);
    assert!(story.unannounced() > 0);
    let mut new = Story::default();
    new.drifted(SWEEP, &[], 0);
    assert!(new.unannounced() > 0);
}

#[test]
fn new_settings_and_exemptions_that_ended_are_not_drift() {
    for (setting, other) in [
        ("class.confidential.level = \"cmk\"", "class.confidential.level = \"enforced\""),
        ("buckets = \"*\"", "buckets = \"none\""),
        ("until = 9999-12-31", "until = 2026-10-01"),
    ] {
        let mut story = known_to_be_good();
        story.settings = story.settings.replace(setting, other);
        let seen = story.see(Tags::new(), cmk(KeyState::Enabled), 60);
        let plan = story.look(SWEEP, &seen, &[], 60);
        assert!(!plan.import.is_empty(), "{setting}");
        assert_eq!(story.unannounced(), 0, "{setting}");
    }
}

/// Otherwise a later verdict, changed by new settings, would seem to have changed because of the
/// fact.
#[test]
fn a_fact_that_changes_no_verdict_is_committed() {
    let mut story = known_to_be_good();
    let tagged = Tags::from([("data-classification".to_owned(), "confidential".to_owned())]);
    let seen = story.see(tagged.clone(), cmk(KeyState::Enabled), 60);
    let plan = story.look(Looking::Message, &seen, &[call(59)], 60);
    assert!(plan.changed && plan.import.is_empty());
    story.settings = story.settings.replace("buckets = \"*\"", "buckets = \"none\"");
    let seen = story.see(tagged, cmk(KeyState::Enabled), 1440);
    assert!(!story.look(SWEEP, &seen, &[], 1440).import.is_empty());
    assert_eq!(story.unannounced(), 0);
}

#[test]
fn a_tag_that_names_no_class_is_not_a_change() {
    let mut story = known_to_be_good();
    let seen =
        story.see(Tags::from([("team".to_owned(), "blue".to_owned())]), cmk(KeyState::Enabled), 60);
    assert!(!story.look(SWEEP, &seen, &[], 60).changed);
}
