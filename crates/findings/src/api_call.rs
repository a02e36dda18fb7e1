//! Who changed the bucket.

use crate::{fields, plain};
use controls::ALL;
use std::collections::BTreeMap;

/// The API call that made cmkwatch look, as CloudTrail reported it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiCall {
    /// `PutBucketEncryption`
    pub event_name: String,
    /// The event's GUID.
    pub event_id: Option<String>,
    /// When the call was made, as CloudTrail writes it.
    pub event_time: Option<String>,
    /// The ARN of the principal, or the service on whose behalf the call was made.
    pub principal: Option<String>,
}

impl ApiCall {
    /// Who changed what a control looks at: the latest whose call does that, or else the latest of all.
    pub(crate) fn of<'a>(api_calls: &'a [Self], slug: &str) -> Option<&'a Self> {
        let control = ALL.into_iter().find(|control| control.slug == slug);
        let is_its = |api_call: &&Self| control.is_some_and(|control| control.is_changed_by(&api_call.event_name));
        let its = api_calls.iter().filter(is_its).max_by_key(|api_call| &api_call.event_time);
        its.or_else(|| Self::latest(api_calls))
    }

    /// Whose call was the latest.
    #[must_use]
    pub fn latest(api_calls: &[Self]) -> Option<&Self> {
        api_calls.iter().max_by_key(|api_call| &api_call.event_time)
    }

    /// The call that the fields of a finding name; `None` if they name none.
    pub(crate) fn of_fields(product_fields: &BTreeMap<String, String>) -> Option<Self> {
        let field = |key: &str| product_fields.get(key).cloned();
        Some(Self {
            event_name: field(fields::EVENT_NAME)?,
            event_id: field(fields::EVENT_ID),
            event_time: field(fields::EVENT_TIME),
            principal: field(fields::CHANGED_BY),
        })
    }

    pub(crate) fn describe(&self, product_fields: &mut BTreeMap<String, String>) {
        let told = [
            (fields::EVENT_NAME, Some(&self.event_name)),
            (fields::EVENT_ID, self.event_id.as_ref()),
            (fields::EVENT_TIME, self.event_time.as_ref()),
            (fields::CHANGED_BY, self.principal.as_ref()),
        ];
        for (key, value) in told {
            if let Some(value) = value {
                product_fields.insert(key.to_owned(), plain(value, fields::LONGEST_VALUE));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api_call(event_name: &str, second: u32) -> ApiCall {
        let event_time = Some(format!("2026-11-01T00:00:{second:02}Z"));
        ApiCall { event_name: event_name.to_owned(), event_id: None, event_time, principal: None }
    }

    #[test]
    fn of_several_changes_a_control_names_its_own() {
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
            // None of them is its own: it may be the class that they changed.
            ("account-readable", "PutBucketTagging"),
        ] {
            assert_eq!(ApiCall::of(&all, slug).unwrap().event_name, expected, "{slug}");
        }
        assert_eq!(ApiCall::of(&all[1..2], "key-rotates").unwrap().event_name, "PutBucketTagging");
        assert_eq!(ApiCall::of(&[], "key-rotates"), None);
    }
}
