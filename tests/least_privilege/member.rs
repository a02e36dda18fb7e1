//! The permissions that the role in each account needs: to read its buckets and their keys, and to
//! write to its Security Hub.

use cmkwatch_tests::{KeySetup, MadeKey, Place, progress, sandbox};
use std::collections::BTreeMap;

/// Buckets of one account that need all grants of the member role.
pub(crate) struct Buckets {
    place: Place,
    /// A bucket that fails the controls of encryption until it is encrypted. Then they pass and are
    /// RESOLVED.
    drifted: String,
    key: MadeKey,
    /// A bucket whose key has imported material. Its past rotations decide a control.
    imported: String,
    imported_key: MadeKey,
    /// A bucket that names the AWS-managed key by its alias, and has no tags.
    untagged: String,
    /// A bucket whose policy refuses its tags to cmkwatch.
    hidden: String,
}

impl Buckets {
    /// Makes the bucket and the key that must exist, and be known, before the change.
    pub(crate) async fn new(place: &Place) -> Self {
        let [drifted, imported, untagged, hidden] =
            ["drifted", "imported", "untagged", "hidden"].map(|what| place.bucket_name(what));
        let key = place.create_key(&KeySetup::default(), &drifted).await;
        let setup = KeySetup { imported: true, ..KeySetup::default() };
        let imported_key = place.create_key(&setup, &imported).await;
        place.create_bucket(&drifted, Some("restricted")).await;
        Self { place: place.clone(), drifted, key, imported, imported_key, untagged, hidden }
    }

    /// Makes changes that cause cmkwatch to look at the buckets.
    pub(crate) async fn change(&self) {
        self.place.encrypt(&self.drifted, "aws:kms", Some(&self.key.arn)).await;
        self.place.create_bucket(&self.imported, None).await;
        self.place.encrypt(&self.imported, "aws:kms", Some(&self.imported_key.arn)).await;
        self.place.create_bucket(&self.untagged, None).await;
        self.place.encrypt(&self.untagged, "aws:kms", Some("alias/aws/s3")).await;
        self.place.create_bucket(&self.hidden, None).await;
        let refused = format!(
            r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Deny", "Principal": "*", "Action": "s3:GetBucketTagging",
               "Resource": "arn:aws:s3:::{}", "Condition": {{"ArnLike": {{"aws:PrincipalArn": "arn:aws:iam::*:role/cmkwatch-member"}}}}}}}}"#,
            self.hidden
        );
        self.place.put_policy(&self.hidden, &refused).await;
        self.place.tag(&self.hidden, "internal").await;
    }

    /// Returns true if the policy of a `hidden` bucket refuses the call. No grant of the role could
    /// allow that call.
    pub(crate) fn refuse(action: &str, resource: &str) -> bool {
        action == "s3:GetBucketTagging" && resource.starts_with("arn:aws:s3:::hidden-")
    }

    /// Returns status and workflow of each finding about the buckets and the account.
    pub(crate) async fn said(&self) -> BTreeMap<String, String> {
        let mut said = BTreeMap::new();
        for (name, bucket) in [
            ("drifted", &self.drifted),
            ("imported", &self.imported),
            ("untagged", &self.untagged),
            ("hidden", &self.hidden),
        ] {
            for (control, finding) in self.place.findings(bucket).await {
                said.extend(
                    progress(&finding).map(|progress| (format!("{name} {control}"), progress)),
                );
            }
        }
        let id =
            format!("cmkwatch/aws/{}/{}/account-readable", self.place.account, self.place.region);
        let of_hub = sandbox().hub().await.own_findings().await;
        let readable =
            of_hub.iter().find(|finding| finding.id.as_ref() == Some(&id)).and_then(progress);
        said.extend(readable.map(|progress| ("account".to_owned(), progress)));
        said
    }
}
