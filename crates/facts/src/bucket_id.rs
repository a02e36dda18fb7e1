//! A bucket with its account and region.

use crate::{AccountId, BucketName, Malformed, Place, Region};
use std::fmt;

/// A bucket with the account that owns it and the region that it lies in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketId {
    account: AccountId,
    region: Region,
    name: BucketName,
}

impl BucketId {
    /// Creates the id of a bucket from its account, region and name.
    ///
    /// # Errors
    /// Returns an error if the name has the form that only us-east-1 allowed, and the region is
    /// another one.
    pub fn new(account: AccountId, region: Region, name: BucketName) -> Result<Self, Malformed> {
        if name.is_legacy() && region.as_str() != "us-east-1" {
            return Err(Malformed::new("a bucket name outside us-east-1", name.as_str()));
        }
        Ok(Self { account, region, name })
    }

    /// Returns the account that owns the bucket.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// Returns the region that the bucket lies in.
    #[must_use]
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Returns the account and the region of the bucket.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { account: self.account.clone(), region: self.region.clone() }
    }

    /// Returns the bucket's name.
    #[must_use]
    pub fn name(&self) -> &BucketName {
        &self.name
    }

    /// Returns the bucket's
    /// [ARN](https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-arn-format.html), which names
    /// neither account nor region.
    #[must_use]
    pub fn arn(&self) -> String {
        format!("arn:{}:s3:::{}", self.region.partition(), self.name)
    }
}

/// Writes account, region and name: `123456789012/us-east-1/acme-data`.
impl fmt::Display for BucketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.account, self.region, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(region: &str, name: &str) -> Result<BucketId, Malformed> {
        BucketId::new("123456789012".parse()?, region.parse()?, name.parse()?)
    }

    #[test]
    fn an_old_bucket_name_is_valid_in_us_east_1_only() {
        assert_eq!(id("us-east-1", "Acme_Data").unwrap().arn(), "arn:aws:s3:::Acme_Data");
        assert!(id("eu-west-1", "Acme_Data").is_err());
        assert_eq!(id("us-gov-west-1", "acme").unwrap().arn(), "arn:aws-us-gov:s3:::acme");
    }
}
