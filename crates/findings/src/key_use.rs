//! Which buckets use a key, as their findings tell.

use crate::{About, fields};
use controls::Level;
use facts::{BucketId, KeyUser};
use std::collections::BTreeMap;

/// A bucket that uses a key, by one of its findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// The bucket and its class.
    pub user: KeyUser,
    /// True where the bucket's own verdict depends on who else uses the key: its class requires that the key serves one
    /// class, or could not be read.
    pub depends_on_others: bool,
}

impl KeyUse {
    /// What a finding tells; none for one that is not ours or not about a bucket.
    #[must_use]
    pub fn of_finding(id: &str, product_fields: &BTreeMap<String, String>) -> Option<Self> {
        let About::Bucket(bucket) = About::of_id(id)? else { return None };
        let required = product_fields.get(fields::LEVEL_REQUIRED).map_or(fields::UNREADABLE, String::as_str);
        let is_known = required != fields::UNREADABLE;
        let class = product_fields.get(fields::CLASS).filter(|_| is_known).cloned();
        let depends_on_others = !is_known || required == Level::Enforced.as_str();
        Some(Self { user: KeyUser { bucket, class }, depends_on_others })
    }
}

/// One entry a bucket, in order, of all findings about a key.
#[must_use]
pub fn key_uses(found: impl IntoIterator<Item = KeyUse>) -> Vec<KeyUse> {
    let by_bucket: BTreeMap<BucketId, KeyUse> =
        found.into_iter().map(|used| (used.user.bucket.clone(), used)).collect();
    by_bucket.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_tells_whose_class_and_whether_it_depends() {
        const ID: &str = "cmkwatch/aws/123456789012/us-east-1/acme/key-usable";
        for (level, class, depends) in
            [("cmk", Some("secret"), false), ("enforced", Some("secret"), true), ("unreadable", None, true)]
        {
            let fields = [(fields::CLASS, "secret"), (fields::LEVEL_REQUIRED, level)];
            let fields = fields.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            let found = KeyUse::of_finding(ID, &fields).unwrap();
            assert_eq!((found.user.class.as_deref(), found.depends_on_others), (class, depends));
            assert_eq!(key_uses([found.clone(), found]).len(), 1);
        }
        assert_eq!(KeyUse::of_finding("cmkwatch/aws/123456789012/us-east-1/account-readable", &BTreeMap::new()), None);
    }
}
