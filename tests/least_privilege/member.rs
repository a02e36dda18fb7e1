//! What the role in each account is needed for: to read its buckets and their keys, and to tell its Security Hub.

use cmkwatch_tests::{KeySetup, MadeKey, Place, progress, sandbox};
use std::collections::BTreeMap;

/// Buckets of one account that need all that the role is granted.
pub(crate) struct Buckets {
    place: Place,
    /// Fails, until it is encrypted: then it passes and is RESOLVED.
    drifted: String,
    key: MadeKey,
    /// Names the AWS-managed key by its alias, and has no tags.
    untagged: String,
    /// Its policy keeps its tags from cmkwatch.
    hidden: String,
}

impl Buckets {
    /// What must be there, and be known, before.
    pub(crate) async fn new(place: &Place) -> Self {
        let [drifted, untagged, hidden] =
            ["drifted", "untagged", "hidden"].map(|what| place.bucket_name(what));
        let key = place.create_key(&KeySetup::default(), &drifted).await;
        place.create_bucket(&drifted, Some("restricted")).await;
        Self { place: place.clone(), drifted, key, untagged, hidden }
    }

    /// Changes that make cmkwatch look.
    pub(crate) async fn change(&self) {
        self.place.encrypt(&self.drifted, "aws:kms", Some(&self.key.arn)).await;
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

    /// True for what the policy of such a bucket refuses, whatever the role is granted.
    pub(crate) fn refuse(action: &str, resource: &str) -> bool {
        action == "s3:GetBucketTagging" && resource.starts_with("arn:aws:s3:::hidden-")
    }

    /// What is said of them, and of the account.
    pub(crate) async fn said(&self) -> BTreeMap<String, String> {
        let mut said = BTreeMap::new();
        for (name, bucket) in
            [("drifted", &self.drifted), ("untagged", &self.untagged), ("hidden", &self.hidden)]
        {
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
