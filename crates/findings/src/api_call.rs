//! The API call behind a change, and the caller that a finding names for it.
//!
//! CloudTrail reports the calls. A call is reported in a finding, and decides no verdict.

use crate::Slug;

/// An API call that caused an evaluation, as CloudTrail reported it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiCall {
    /// The name of the call: `PutBucketEncryption`.
    pub event_name: String,
    /// The GUID of the event.
    pub event_id: Option<String>,
    /// The time of the call, as CloudTrail writes it.
    pub event_time: Option<String>,
    /// The ARN of the caller. If CloudTrail gives none: another name of the caller, or the service
    /// that acted for itself.
    pub principal: Option<String>,
    /// The service that made the call for the caller, such as `cloudformation.amazonaws.com`.
    pub invoked_by: Option<String>,
}

impl ApiCall {
    /// Keeps the better one of two records: `self` or `other`.
    ///
    /// Of two calls, the later one is kept. A call that [crosses
    /// accounts](https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html)
    /// has two records. Of those, the record with the ARN of the caller is kept. Only the caller's
    /// account receives that ARN.
    pub fn keep_better(&mut self, other: Self) {
        let has_arn = |call: &Self| {
            call.principal.as_ref().is_some_and(|principal| principal.starts_with("arn:"))
        };
        if (&self.event_time, has_arn(self)) < (&other.event_time, has_arn(&other)) {
            *self = other;
        }
    }

    /// Returns the calls of `known`, with the callers that `others` name better for the same calls.
    /// Returns `None` if no caller changes.
    pub(crate) fn renamed(known: &[Self], others: &[Self]) -> Option<Vec<Self>> {
        let mut renamed = known.to_vec();
        for call in &mut renamed {
            let is_same = |other: &&Self| {
                (&other.event_name, &other.event_time) == (&call.event_name, &call.event_time)
            };
            if let Some(other) = others.iter().find(is_same).cloned() {
                call.keep_better(other);
            }
        }
        (renamed != known).then_some(renamed)
    }

    /// Returns the latest call that changes what the control looks at. If no call does, returns the
    /// latest call of all.
    pub(crate) fn of<'a>(api_calls: &'a [Self], slug: &Slug) -> Option<&'a Self> {
        let control = slug.control();
        let is_its = |api_call: &&Self| {
            control.is_some_and(|control| control.is_changed_by(&api_call.event_name))
        };
        let its = api_calls.iter().filter(is_its).max_by_key(|api_call| &api_call.event_time);
        its.or_else(|| Self::latest(api_calls))
    }

    /// Returns the latest call.
    #[must_use]
    pub fn latest(api_calls: &[Self]) -> Option<&Self> {
        api_calls.iter().max_by_key(|api_call| &api_call.event_time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api_call(event_name: &str, second: u32) -> ApiCall {
        let event_time = Some(format!("2026-11-01T00:00:{second:02}Z"));
        ApiCall {
            event_name: event_name.to_owned(),
            event_id: None,
            event_time,
            principal: None,
            invoked_by: None,
        }
    }

    #[test]
    fn the_record_with_the_callers_arn_is_kept() {
        let by = |second, principal: &str| ApiCall {
            principal: Some(principal.to_owned()),
            ..api_call("PutBucketEncryption", second)
        };
        let (owners, callers) =
            (by(1, "AROA:jane of account 222222222222"), by(1, "arn:aws:sts::222222222222:x"));
        for (mut first, second) in [(owners.clone(), callers.clone()), (callers.clone(), owners)] {
            first.keep_better(second);
            assert_eq!(first, callers);
        }
        let mut earlier = callers;
        earlier.keep_better(by(2, "another"));
        assert_eq!(earlier.principal.as_deref(), Some("another"));
    }

    #[test]
    fn a_control_names_the_call_that_changes_what_it_looks_at() {
        let [encrypted, rotated, policy, tagged] = [
            api_call("PutBucketEncryption", 1),
            api_call("DisableKeyRotation", 2),
            api_call("DeleteBucketPolicy", 3),
            api_call("PutBucketTagging", 4),
        ];
        let all = [policy, tagged, encrypted, rotated];
        for (slug, expected) in [
            ("encrypted-with-cmk", "PutBucketEncryption"),
            ("key-rotates", "DisableKeyRotation"),
            ("tls-only", "DeleteBucketPolicy"),
            ("ssec-blocked", "DeleteBucketPolicy"),
            ("key-serves-one-class", "PutBucketTagging"),
            // No call here changes this control. The latest call may have changed the class.
            ("account-readable", "PutBucketTagging"),
        ] {
            assert_eq!(ApiCall::of(&all, &slug.into()).unwrap().event_name, expected, "{slug}");
        }
        assert_eq!(
            ApiCall::of(&all[1..2], &"key-rotates".into()).unwrap().event_name,
            "PutBucketTagging"
        );
        assert_eq!(ApiCall::of(&[], &"key-rotates".into()), None);
    }
}
