//! The subject of a finding, a bucket or an account in a region, and the id of the finding.

use facts::{BucketId, Place};

/// The subject of a finding: a bucket, or an account in a region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// A bucket.
    Bucket(BucketId),
    /// An account in a region.
    Account(Place),
}

impl About {
    /// Returns the account and the region of the subject. The finding is stored in the Security Hub
    /// of this place, if that is enabled.
    #[must_use]
    pub fn place(&self) -> Place {
        match self {
            Self::Bucket(bucket) => bucket.place(),
            Self::Account(place) => place.clone(),
        }
    }

    /// Returns the bucket; `None` if the subject is an account.
    #[must_use]
    pub fn bucket(&self) -> Option<&BucketId> {
        match self {
            Self::Bucket(bucket) => Some(bucket),
            Self::Account(_) => None,
        }
    }

    /// Returns the prefix of the ids of all findings about the subject. The prefix of a bucket
    /// matches no other bucket, because the name of a bucket holds no slash.
    #[must_use]
    pub fn id_prefix(&self) -> String {
        match self {
            Self::Bucket(bucket) => format!("{}{}/", place_prefix(&bucket.place()), bucket.name()),
            Self::Account(place) => place_prefix(place),
        }
    }

    /// Returns the id of the finding of a control about the subject.
    ///
    /// Examples: `cmkwatch/aws/123456789012/us-east-1/acme-data/key-usable` and
    /// `cmkwatch/aws/123456789012/us-east-1/account-readable`.
    #[must_use]
    pub fn id(&self, slug: &str) -> String {
        format!("{}{slug}", self.id_prefix())
    }

    /// Reads the subject from the id of a finding; `None` if the id is not one of cmkwatch.
    #[must_use]
    pub fn of_id(id: &str) -> Option<Self> {
        let parts: Vec<_> = id.split('/').collect();
        let ["cmkwatch", partition, account, region, rest @ ..] = parts.as_slice() else {
            return None;
        };
        let place = Place { account: account.parse().ok()?, region: region.parse().ok()? };
        if place.region.partition() != *partition {
            return None;
        }
        match rest {
            [_] => Some(Self::Account(place)),
            [name, _] => BucketId::new(place.account, place.region, name.parse().ok()?)
                .ok()
                .map(Self::Bucket),
            _ => None,
        }
    }
}

/// Returns the prefix of the ids of all findings about an account in a region and about its
/// buckets.
#[must_use]
pub fn place_prefix(Place { account, region }: &Place) -> String {
    format!("cmkwatch/{}/{account}/{region}/", region.partition())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_subject() {
        let place = Place {
            account: "123456789012".parse().unwrap(),
            region: "us-gov-west-1".parse().unwrap(),
        };
        let bucket =
            BucketId::new(place.account.clone(), place.region.clone(), "acme".parse().unwrap())
                .unwrap();
        for (about, slug, id) in [
            (
                About::Bucket(bucket),
                "tls-only",
                "cmkwatch/aws-us-gov/123456789012/us-gov-west-1/acme/tls-only",
            ),
            (
                About::Account(place),
                "account-readable",
                "cmkwatch/aws-us-gov/123456789012/us-gov-west-1/account-readable",
            ),
        ] {
            assert_eq!(about.id(slug), id);
            assert_eq!(About::of_id(id), Some(about));
        }
    }

    #[test]
    fn other_ids_have_no_subject() {
        for id in [
            "",
            "cmkwatch/aws/123456789012/us-east-1",
            "cmkwatch/aws/123456789012/us-gov-west-1/acme/tls-only",
            "cmkwatch/aws/1234/us-east-1/acme/tls-only",
            "cmkwatch/aws/123456789012/us-east-1/a/b/c",
            "cmkwatch/aws/123456789012/us-east-1/<>/tls-only",
            "other/aws/123456789012/us-east-1/acme/tls-only",
        ] {
            assert_eq!(About::of_id(id), None, "{id}");
        }
    }
}
