//! A range of bucket names.

use crate::BucketName;

/// The bucket names from one name on and before another, in the order of their bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameRange {
    /// The first name of the range. `None` if there is no limit.
    pub from: Option<BucketName>,
    /// The first name after the range. `None` if there is no limit.
    pub before: Option<BucketName>,
}

impl NameRange {
    /// Returns true if a name is in the range.
    #[must_use]
    pub fn contains(&self, name: &BucketName) -> bool {
        self.from.as_ref().is_none_or(|from| from <= name)
            && self.before.as_ref().is_none_or(|before| name < before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_includes_its_first_name_and_not_the_one_after_its_last() {
        let name = |text: &str| text.parse::<BucketName>().unwrap();
        let range = NameRange { from: Some(name("acme-2")), before: Some(name("acme-4")) };
        let contained = |range: &NameRange| {
            ["acme-1", "acme-2", "acme-3", "acme-4"].map(|text| range.contains(&name(text)))
        };
        assert_eq!(contained(&range), [false, true, true, false]);
        assert_eq!(contained(&NameRange::default()), [true; 4]);
    }
}
