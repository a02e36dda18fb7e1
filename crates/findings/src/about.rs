//! What a finding is about, and the id that follows from it.

use facts::{BucketId, Place};

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// A bucket.
    Bucket(BucketId),
    /// An account in a region.
    Account(Place),
}

impl About {
    /// Where it lies. The finding stands in the Security Hub there, if that is enabled.
    #[must_use]
    pub fn place(&self) -> Place {
        match self {
            Self::Bucket(bucket) => bucket.place(),
            Self::Account(place) => place.clone(),
        }
    }

    /// The bucket, where it is one.
    #[must_use]
    pub fn bucket(&self) -> Option<&BucketId> {
        match self {
            Self::Bucket(bucket) => Some(bucket),
            Self::Account(_) => None,
        }
    }

    /// What the ids of all its findings begin with; those of a bucket begin so for no other, as a name holds no slash.
    #[must_use]
    pub fn id_prefix(&self) -> String {
        match self {
            Self::Bucket(bucket) => format!("{}{}/", place_prefix(&bucket.place()), bucket.name()),
            Self::Account(place) => place_prefix(place),
        }
    }

    /// The id of the finding that a control makes: `cmkwatch/aws/123456789012/us-east-1/acme-data/key-usable`, and
    /// `cmkwatch/aws/123456789012/us-east-1/account-readable`.
    #[must_use]
    pub fn id(&self, slug: &str) -> String {
        format!("{}{slug}", self.id_prefix())
    }

    /// What the id of a finding says it is about; none for an id that is not ours.
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

/// What the ids of all findings about an account and region begin with, those of its buckets too.
#[must_use]
pub fn place_prefix(Place { account, region }: &Place) -> String {
    format!("cmkwatch/{}/{account}/{region}/", region.partition())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_what_it_is_about() {
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
    fn other_ids_are_not_ours() {
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
