//! Parts of a region, if it has more than a few hundred buckets.
//!
//! Findings can be asked for by the beginnings of their ids
//! ([string filters](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_StringFilter.html)), and not by a range. So
//! a part is made of beginnings of names; and together they are every name that there may be, so that the findings of buckets
//! that are gone belong to some part, too.

use facts::{BucketName, NamePrefix, Region};
use queue::Cell;

/// Some buckets of a region, and the cells that all their names lie in, and no other part's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) cells: Vec<Cell>,
    pub(crate) buckets: Vec<BucketName>,
}

/// How many beginnings a cell has at most: what GetFindings takes.
const MOST_BEGINNINGS: usize = publish::MOST_VALUES;
/// The [characters of a name](https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html), and the slash that
/// follows it in an id.
const CURRENT: &str = "/-.0123456789abcdefghijklmnopqrstuvwxyz";
/// Those of names that were made in us-east-1 before March 2018.
const LEGACY: &str = "/-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

/// Divides the buckets of a region into parts of at most `most`.
pub(crate) fn partition(region: &Region, mut buckets: Vec<BucketName>, most: usize) -> Vec<Part> {
    buckets.sort();
    buckets.dedup();
    let alphabet = if region.as_str() == "us-east-1" { LEGACY } else { CURRENT };
    let mut parts = Vec::new();
    divide("", buckets, &Rules { alphabet, most }, &mut parts);
    parts
}

struct Rules {
    alphabet: &'static str,
    most: usize,
}

/// Divides the names that begin with `beginning`, those that there are and those that there may be.
fn divide(beginning: &str, names: Vec<BucketName>, rules: &Rules, parts: &mut Vec<Part>) {
    if names.len() <= rules.most {
        parts.push(Part { cells: vec![cell(vec![beginning.to_owned()], None)], buckets: names });
        return;
    }
    let common = common_beginning(&names);
    let mut vacant: Vec<_> = rules.alphabet.chars().map(|next| format!("{common}{next}")).collect();
    let mut open = Part { cells: Vec::new(), buckets: Vec::new() };
    let mut gathered = Vec::new();
    for (start, group) in groups(&common, names) {
        vacant.retain(|beginning| *beginning != start);
        if group.len() > rules.most {
            divide(&start, group, rules, parts);
            continue;
        }
        if open.buckets.len() + group.len() > rules.most || gathered.len() == MOST_BEGINNINGS {
            open.cells.push(cell(std::mem::take(&mut gathered), None));
            parts.push(std::mem::replace(&mut open, Part { cells: Vec::new(), buckets: Vec::new() }));
        }
        gathered.push(start);
        open.buckets.extend(group);
    }
    if !gathered.is_empty() {
        open.cells.push(cell(gathered, None));
    }
    // Where no bucket is, one may have been.
    if common != beginning {
        open.cells.push(cell(vec![beginning.to_owned()], Some(common)));
    }
    open.cells.extend(vacant.chunks(MOST_BEGINNINGS).map(|some| cell(some.to_vec(), None)));
    parts.push(open);
}

/// Names by what they begin with, one character longer than what they have in common; the slash counts as one.
fn groups(common: &str, names: Vec<BucketName>) -> Vec<(String, Vec<BucketName>)> {
    let mut groups = Vec::<(String, Vec<BucketName>)>::new();
    for name in names {
        let next = name.as_str().get(common.len()..).and_then(|rest| rest.chars().next()).unwrap_or('/');
        let start = format!("{common}{next}");
        match groups.last_mut() {
            Some((last, group)) if *last == start => group.push(name),
            _ => groups.push((start, vec![name])),
        }
    }
    groups
}

/// What all names of a sorted list begin with: what the first and the last do.
fn common_beginning(names: &[BucketName]) -> String {
    let (first, last) = (names.first().map_or("", BucketName::as_str), names.last().map_or("", BucketName::as_str));
    first.chars().zip(last.chars()).take_while(|(one, other)| one == other).map(|(one, _)| one).collect()
}

fn cell(begin_with: Vec<String>, but_not: Option<String>) -> Cell {
    // Beginnings of names, and characters of names: each has the form of one.
    let prefix = |text: &String| text.parse::<NamePrefix>().ok();
    Cell { begin_with: begin_with.iter().filter_map(prefix).collect(), but_not: but_not.as_ref().and_then(prefix) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn region() -> Region {
        "us-east-1".parse().unwrap()
    }

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
            let parts = partition(&region(), there.clone(), most);
            let Ok(other) = other.parse::<BucketName>() else { return Ok(()) };
            for name in there.iter().chain([&other]) {
                let of: Vec<_> = parts.iter().filter(|part| part.cells.iter().any(|cell| cell.contains(name))).collect();
                prop_assert_eq!(of.len(), 1, "{} in {:?}", name, parts);
                prop_assert!(!texts.contains(name.as_str()) || of[0].buckets.contains(name));
                let cells = of[0].cells.iter().filter(|cell| cell.contains(name)).count();
                prop_assert_eq!(cells, 1, "{} in {:?}", name, of[0]);
            }
            for part in &parts {
                prop_assert!(part.buckets.len() <= most);
                prop_assert!(part.cells.iter().all(|cell| (1..=MOST_BEGINNINGS).contains(&cell.begin_with.len())));
            }
        }
    }

    #[test]
    fn a_few_hundred_buckets_are_one_part_that_is_everything() {
        let parts = partition(&region(), names(&["acme".to_owned()].into()), 500);
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].cells, [cell(vec![String::new()], None)]);
    }

    /// Each cell is at least 1 call: alike names, as long as they may be, make few.
    #[test]
    fn alike_names_make_few_cells() {
        let common = "b".repeat(57);
        let texts = (0..10_000).map(|number| format!("{common}{number:05}")).collect();
        let parts = partition(&"eu-west-1".parse().unwrap(), names(&texts), 500);
        let cells: usize = parts.iter().map(|part| part.cells.len()).sum();
        assert!(parts.len() <= 30 && cells <= 70, "{} parts, {cells} cells", parts.len());
    }
}
