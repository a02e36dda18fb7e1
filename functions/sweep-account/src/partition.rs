//! Divides a region of more than a few hundred buckets into parts.
//!
//! A part is a range of names. Together, the ranges contain every possible name. So the items of
//! deleted buckets belong to a part, too.

use facts::{BucketName, NameRange};

/// The buckets of a part of a region, and the range of their names. The ranges of two parts do not
/// overlap.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BucketRange {
    pub(crate) range: NameRange,
    pub(crate) buckets: Vec<BucketName>,
}

/// Divides the buckets of a region into parts of at most `most`.
pub(crate) fn partition(mut buckets: Vec<BucketName>, most: usize) -> Vec<BucketRange> {
    buckets.sort();
    buckets.dedup();
    let mut parts = vec![BucketRange { range: NameRange::default(), buckets: Vec::new() }];
    for some in buckets.chunks(most) {
        match parts.last_mut() {
            Some(last) if last.buckets.is_empty() => last.buckets = some.to_vec(),
            last => {
                let from = some.first().cloned();
                if let Some(last) = last {
                    last.range.before.clone_from(&from);
                }
                parts.push(BucketRange {
                    range: NameRange { from, before: None },
                    buckets: some.to_vec(),
                });
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn names(texts: &BTreeSet<String>) -> Vec<BucketName> {
        texts.iter().filter_map(|text| text.parse().ok()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        /// Every name is in the range of exactly one part, and each bucket is listed in that part.
        #[test]
        fn every_name_is_in_one_part(
            texts in proptest::collection::btree_set("[-.0-2Aa-c_]{3,5}", 0..60),
            other in "[-.0-3Aa-d_]{3,6}",
            most in 1_usize..12,
        ) {
            let there = names(&texts);
            let parts = partition(there.clone(), most);
            let other = other.parse::<BucketName>().ok();
            for name in there.iter().chain(&other) {
                let of: Vec<_> = parts.iter().filter(|part| part.range.contains(name)).collect();
                prop_assert_eq!(of.len(), 1, "{} in {:?}", name, parts);
                prop_assert!(!texts.contains(name.as_str()) || of[0].buckets.contains(name));
            }
            prop_assert!(parts.iter().all(|part| part.buckets.len() <= most));
        }
    }

    #[test]
    fn a_region_without_buckets_is_one_part_with_every_name() {
        assert_eq!(
            partition(Vec::new(), 500),
            [BucketRange { range: NameRange::default(), buckets: Vec::new() }]
        );
    }
}
