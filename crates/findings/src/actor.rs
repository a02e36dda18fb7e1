//! Who changed the bucket.

use crate::{fields, plain};
use std::collections::BTreeMap;

/// The API call that made cmkwatch look, as CloudTrail reported it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// `PutBucketEncryption`
    pub event_name: String,
    /// The event's GUID.
    pub event_id: Option<String>,
    /// When the call was made, as CloudTrail writes it.
    pub event_time: Option<String>,
    /// The ARN of the principal, or the service on whose behalf the call was made.
    pub principal: Option<String>,
}

impl Actor {
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
