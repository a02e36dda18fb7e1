//! Events as real accounts have them: new ways to tag, callers of every kind, and keys of several
//! regions.

use crate::{organization, said, settled};
use cmkwatch_tests::{Place, progress, sandbox};

const HOME: &str = "us-east-1";
const OTHER_REGION: &str = "eu-west-1";

/// Returns the call that a finding names, and its caller.
async fn changed(place: &Place, bucket: &str, control: &str) -> (String, String) {
    let finding = place.findings(bucket).await.remove(control).unwrap();
    let fields = finding.product_fields.unwrap();
    (
        fields["cmkwatch/event-name"].clone(),
        fields.get("cmkwatch/changed-by").cloned().unwrap_or_default(),
    )
}

async fn class(place: &Place, bucket: &str) -> String {
    let finding = place.findings(bucket).await.remove("encrypted-with-kms").unwrap();
    finding.product_fields.unwrap()["cmkwatch/class"].clone()
}

fn allow(principal: &str, action: &str, bucket: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{principal},"Action":"{action}",
            "Resource":"arn:aws:s3:::{bucket}"}}}}"#
    )
}

/// Makes a multi-Region key. Returns its id, and its ARN in the other region.
fn multi_region_key(place: &Place) -> (String, String) {
    let made = place.aws(
        "kms",
        &["create-key", "--multi-region", "--query", "KeyMetadata.KeyId", "--output", "text"],
    );
    let id = made.trim().to_owned();
    place.aws("kms", &["enable-key-rotation", "--key-id", &id]);
    let replica = format!("arn:aws:kms:{OTHER_REGION}:{}:key/{id}", place.account);
    (id, replica)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_leads_to_the_right_finding_and_names_its_caller() {
    let _one = organization().await;
    let account = sandbox().member_accounts[1].as_str();
    let (home, there) =
        (sandbox().place(account, HOME).await, sandbox().place(account, OTHER_REGION).await);
    let stranger = sandbox().another_account(&home).await;
    let [tagged, open, shared] =
        ["tagged-again", "tagged-by-anyone", "shared"].map(|what| home.bucket_name(what));
    let [early, rotated] =
        ["names-a-replica", "uses-a-replica"].map(|what| there.bucket_name(what));
    for bucket in [&tagged, &open, &shared] {
        home.create_bucket(bucket, None).await;
    }
    home.aws("s3api", &["delete-public-access-block", "--bucket", &open]);
    home.put_policy(&open, &allow("\"*\"", "s3:PutBucketTagging", &open)).await;
    let root = format!(r#"{{"AWS":"arn:aws:iam::{}:root"}}"#, stranger.account);
    home.put_policy(&shared, &allow(&root, "s3:PutEncryptionConfiguration", &shared)).await;
    let ((id, replica), (rotated_id, rotated_replica)) =
        (multi_region_key(&home), multi_region_key(&home));
    home.aws("kms", &["replicate-key", "--key-id", &rotated_id, "--replica-region", OTHER_REGION]);
    for (bucket, key) in [(&early, &replica), (&rotated, &rotated_replica)] {
        there.create_bucket(bucket, None).await;
        there.encrypt(bucket, "aws:kms", Some(key)).await;
    }
    settled().await;
    assert_eq!(said(&there, &early, progress).await["key-usable"], "FAILED NEW");
    assert_eq!(said(&there, &rotated, progress).await["key-rotates"], "PASSED RESOLVED");

    // S3 Control writes the ARN percent-encoded, and CloudTrail names no resource.
    home.tag_resource(&tagged, "internal");
    home.tag_anonymously(&open, "internal");
    stranger.encrypt(&shared, "aws:kms", None).await;
    home.aws("kms", &["replicate-key", "--key-id", &id, "--replica-region", OTHER_REGION]);
    home.aws("kms", &["disable-key-rotation", "--key-id", &rotated_id]);
    settled().await;

    assert_eq!(class(&home, &tagged).await, "internal");
    let root = |place: &Place| format!("arn:aws:iam::{}:root", place.account);
    assert_eq!(
        changed(&home, &tagged, "encrypted-with-kms").await,
        ("TagResource".into(), root(&home))
    );
    assert_eq!(class(&home, &open).await, "internal");
    let anonymous = ("PutBucketTagging".into(), "an anonymous caller".into());
    assert_eq!(changed(&home, &open, "encrypted-with-kms").await, anonymous);
    assert_eq!(said(&home, &shared, progress).await["encrypted-with-kms"], "PASSED RESOLVED");
    assert_eq!(
        changed(&home, &shared, "encrypted-with-kms").await,
        ("PutBucketEncryption".into(), root(&stranger))
    );
    assert_eq!(said(&there, &early, progress).await["key-usable"], "PASSED RESOLVED");
    assert_eq!(changed(&there, &early, "key-usable").await, ("CreateKey".into(), root(&home)));
    assert_eq!(said(&there, &rotated, progress).await["key-rotates"], "FAILED NEW");
    assert_eq!(
        changed(&there, &rotated, "key-rotates").await,
        ("DisableKeyRotation".into(), root(&home))
    );
}
