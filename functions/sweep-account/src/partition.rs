//! Parts of a region, if it has more than a few hundred buckets.
//!
//! A part is a range of names, and the ranges together are every name that there may be: so the items of buckets that do not
//! exist any more belong to some part, too.

use facts::{BucketName, NameRange};

/// Some buckets of a region, and the range that all their names are in, and no other part's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) range: NameRange,
    pub(crate) buckets: Vec<BucketName>,
}

/// Divides the buckets of a region into parts of at most `most`.
pub(crate) fn partition(mut buckets: Vec<BucketName>, most: usize) -> Vec<Part> {
    buckets.sort();
    buckets.dedup();
    let mut parts = vec![Part { range: NameRange::default(), buckets: Vec::new() }];
    for some in buckets.chunks(most) {
        match parts.last_mut() {
            Some(last) if last.buckets.is_empty() => last.buckets = some.to_vec(),
            last => {
                let from = some.first().cloned();
                if let Some(last) = last {
                    last.range.before.clone_from(&from);
                }
                parts
                    .push(Part { range: NameRange { from, before: None }, buckets: some.to_vec() });
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

        /// Whichever buckets there are, any name is in one part, and each bucket in its own.
        #[test]
        fn any_name_is_in_one_part(
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
    fn a_region_without_buckets_is_one_part_that_is_everything() {
        assert_eq!(
            partition(Vec::new(), 500),
            [Part { range: NameRange::default(), buckets: Vec::new() }]
        );
    }
}
