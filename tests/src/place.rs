//! An account and a region of the sandbox, and what a test does there.

use crate::{
    Encryption, GrantSetup, KeySetup, Refused, Scenario, Spelling, State, made_out, material, root,
    sandbox,
};
use aws_config::SdkConfig;
use aws_sdk_kms::types::{GrantOperation, KeySpec, KeyUsageType, OriginType};
use aws_sdk_s3::types::{
    BlockedEncryptionTypes, BucketLocationConstraint, CreateBucketConfiguration, EncryptionType,
    ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration,
    ServerSideEncryptionRule, Tag, Tagging,
};
use aws_sdk_securityhub::types::{
    AwsSecurityFinding, AwsSecurityFindingFilters, StringFilter, StringFilterComparison,
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::BTreeMap,
    fmt,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// The longest time that a change may take to show in Security Hub.
const PATIENCE: Duration = Duration::from_secs(30);

/// Returns a second since 1970, a number of days from now.
fn in_days(days: i64) -> i64 {
    (Timestamp::now() + SignedDuration::from_hours(24 * days)).as_second()
}

/// An account and a region of the sandbox.
#[derive(Debug, Clone)]
pub struct Place {
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
    pub(crate) config: SdkConfig,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.region)
    }
}

/// A key that a test made, with all its names.
#[derive(Debug, Clone)]
pub struct MadeKey {
    /// The bare id.
    pub id: String,
    /// The ARN.
    pub arn: String,
    /// The alias name.
    pub alias: String,
}

impl Place {
    /// Returns a client of S3 in this account and region.
    #[must_use]
    pub fn s3(&self) -> aws_sdk_s3::Client {
        aws_sdk_s3::Client::new(&self.config)
    }

    /// Returns a client of Security Hub in this account and region.
    #[must_use]
    pub fn security_hub(&self) -> aws_sdk_securityhub::Client {
        aws_sdk_securityhub::Client::new(&self.config)
    }

    pub(crate) fn kms(&self) -> aws_sdk_kms::Client {
        aws_sdk_kms::Client::new(&self.config)
    }

    /// Returns a bucket name that no other bucket of the run has.
    #[must_use]
    pub fn bucket_name(&self, what: &str) -> String {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let what: String = what.chars().take(40).collect();
        format!("{}-{number}-{}", what.trim_end_matches('-'), &self.account[..1])
    }

    /// Makes a bucket, and tags it with a class if one is given.
    pub async fn create_bucket(&self, name: &str, class: Option<&str>) {
        let mut request = self.s3().create_bucket().bucket(name);
        if self.region != "us-east-1" {
            let there = BucketLocationConstraint::from(self.region.as_str());
            let there = CreateBucketConfiguration::builder().location_constraint(there).build();
            request = request.create_bucket_configuration(there);
        }
        request.send().await.unwrap();
        if let Some(class) = class {
            self.tag(name, class).await;
        }
    }

    /// Tags a bucket with a class.
    pub async fn tag(&self, name: &str, class: &str) {
        let tag = Tag::builder().key("data-classification").value(class).build().unwrap();
        let tagging = Tagging::builder().tag_set(tag).build().unwrap();
        self.s3().put_bucket_tagging().bucket(name).tagging(tagging).send().await.unwrap();
    }

    /// Tags a bucket with a class through S3 Control, as the console and CloudFormation do. The SDK
    /// would have to look up the endpoint, because its name has the account's id in it.
    pub fn tag_resource(&self, name: &str, class: &str) {
        let tag =
            format!("<Tags><Tag><Key>data-classification</Key><Value>{class}</Value></Tag></Tags>");
        let body = format!(
            "<TagResourceRequest xmlns=\"http://awss3control.amazonaws.com/doc/2018-08-20/\">{tag}</TagResourceRequest>"
        );
        let url = format!("{}/v20180820/tags/arn%3Aaws%3As3%3A%3A%3A{name}", sandbox().endpoint);
        let credential = format!("{}/20261101/{}/s3/aws4_request", self.account, self.region);
        let signed =
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=00");
        let request = ureq::post(url)
            .header("authorization", signed)
            .header("x-amz-account-id", &self.account);
        request.send(&body).unwrap();
    }

    /// Tags a bucket with a class, in a request without credentials.
    pub fn tag_anonymously(&self, name: &str, class: &str) {
        let tag = format!("<Tag><Key>data-classification</Key><Value>{class}</Value></Tag>");
        let body = format!("<Tagging><TagSet>{tag}</TagSet></Tagging>");
        ureq::put(format!("{}/{name}?tagging", sandbox().endpoint)).send(&body).unwrap();
    }

    /// Sets a bucket's default encryption, and blocks SSE-C. `aws:kms` gets a bucket key.
    pub async fn encrypt(&self, bucket: &str, algorithm: &str, key: Option<&str>) {
        let algorithm = algorithm.to_owned();
        let encryption = Encryption {
            algorithm,
            key: None,
            literal: key.map(str::to_owned),
            bucket_key: true,
            blocks_sse_c: true,
        };
        self.encrypt_as(bucket, &encryption, key).await;
    }

    async fn encrypt_as(&self, bucket: &str, encryption: &Encryption, key: Option<&str>) {
        let algorithm = encryption.algorithm.as_str();
        let default = ServerSideEncryptionByDefault::builder()
            .sse_algorithm(ServerSideEncryption::from(algorithm))
            .set_kms_master_key_id(key.map(str::to_owned))
            .build()
            .unwrap();
        let blocked =
            if encryption.blocks_sse_c { EncryptionType::SseC } else { EncryptionType::None };
        let rule = ServerSideEncryptionRule::builder()
            .apply_server_side_encryption_by_default(default)
            .bucket_key_enabled(encryption.bucket_key && algorithm == "aws:kms")
            .blocked_encryption_types(
                BlockedEncryptionTypes::builder().encryption_type(blocked).build(),
            )
            .build();
        let configuration =
            ServerSideEncryptionConfiguration::builder().rules(rule).build().unwrap();
        let request = self.s3().put_bucket_encryption().bucket(bucket);
        request.server_side_encryption_configuration(configuration).send().await.unwrap();
    }

    /// Puts a bucket policy.
    pub async fn put_policy(&self, bucket: &str, policy: &str) {
        self.s3().put_bucket_policy().bucket(bucket).policy(policy).send().await.unwrap();
    }

    /// Makes a customer-managed key with an alias. The policies of `setup` are filled in for the
    /// bucket that has the alias's name.
    pub async fn create_key(&self, setup: &KeySetup, alias: &str) -> MadeKey {
        let kms = self.kms();
        let origin = if setup.imported { OriginType::External } else { OriginType::AwsKms };
        let made = kms
            .create_key()
            .key_spec(KeySpec::from(setup.spec.as_str()))
            .key_usage(KeyUsageType::from(setup.usage.as_str()))
            .origin(origin)
            .multi_region(setup.replica.is_some());
        let made = made.send().await.unwrap().key_metadata.unwrap();
        let (id, arn) = (made.key_id, made.arn.unwrap());
        let bucket = format!("arn:aws:s3:::{alias}");
        let alias = format!("alias/{alias}");
        kms.create_alias().alias_name(&alias).target_key_id(&id).send().await.unwrap();
        if setup.imported {
            let until = setup.expires_in_days.map(|days| in_days(days.max(1)));
            material::import(&kms, &id, [7; 32], until).await;
            if let Some(days) = setup.expires_in_days.filter(|days| *days < 0) {
                sandbox().set_material_expiry(&arn, in_days(days));
            }
        } else if setup.rotation_days > 0 && setup.spec == "SYMMETRIC_DEFAULT" {
            let rotation =
                kms.enable_key_rotation().key_id(&id).rotation_period_in_days(setup.rotation_days);
            rotation.send().await.unwrap();
        }
        let rotated: Vec<_> = setup.rotated_days_ago.iter().map(|days| in_days(-days)).collect();
        if setup.created_days_ago > 0 || !rotated.is_empty() {
            sandbox().set_key_dates(&arn, in_days(-setup.created_days_ago), &rotated);
        }
        self.admit(&arn, setup.policy.as_deref(), &setup.grants, &bucket).await;
        if let Some(policy) = &setup.shared_policy {
            sandbox().share_key(&arn, Some(&made_out(policy, &bucket, Some(&arn))));
        }
        if let Some(replica) = &setup.replica {
            let there = sandbox().another_region(self).await;
            let request = kms.replicate_key().key_id(&id).replica_region(&there.region);
            request.send().await.unwrap();
            let arn = arn.replace(&self.region, &there.region);
            there.admit(&arn, replica.policy.as_deref(), &replica.grants, &bucket).await;
        }
        match setup.state {
            State::Enabled => {}
            State::Disabled => drop(kms.disable_key().key_id(&id).send().await.unwrap()),
            State::PendingDeletion => {
                drop(kms.schedule_key_deletion().key_id(&id).send().await.unwrap())
            }
        }
        MadeKey { arn, id, alias }
    }

    /// Puts the policy of a key and makes its grants. `bucket` is the ARN for the placeholders.
    async fn admit(&self, key: &str, policy: Option<&str>, grants: &[GrantSetup], bucket: &str) {
        if let Some(policy) = policy {
            self.put_key_policy(key, &made_out(policy, bucket, Some(key))).await;
        }
        for GrantSetup { to, operations } in grants {
            self.grant(key, &made_out(to, bucket, Some(key)), operations).await;
        }
    }

    /// Makes a grant of a key, and returns its id.
    pub async fn grant(&self, key: &str, to: &str, operations: &[String]) -> String {
        let operations = operations.iter().map(|it| GrantOperation::from(it.as_str())).collect();
        let request = self.kms().create_grant().key_id(key).grantee_principal(to);
        request.set_operations(Some(operations)).send().await.unwrap().grant_id.unwrap()
    }

    /// Revokes a grant of a key. `service` is the AWS service that makes the call for the caller,
    /// or `None` if no service does.
    pub async fn revoke_grant(&self, key: &str, grant: &str, service: Option<&'static str>) {
        let request = self.kms().revoke_grant().key_id(key).grant_id(grant).customize();
        let request = request.mutate_request(move |request| {
            if let Some(service) = service {
                request.headers_mut().insert("x-sandbox-invoked-by", service);
            }
        });
        request.send().await.unwrap();
    }

    /// Lets another account describe a key, by the key's policy.
    pub async fn let_describe(&self, key: &MadeKey, account: &str) {
        let allow = |account: &str, action: &str| {
            format!(
                r#"{{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{account}:root"}},"Action":"{action}","Resource":"*"}}"#
            )
        };
        let statements =
            [allow(&self.account, "kms:*"), allow(account, "kms:DescribeKey")].join(",");
        let policy = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
        self.kms().put_key_policy().key_id(&key.id).policy(policy).send().await.unwrap();
    }

    /// Makes the bucket of a scenario, with its key and policies, and returns the bucket's name.
    pub async fn set_up(&self, scenario: &Scenario) -> String {
        let bucket = self.bucket_name(&scenario.name);
        let arn = format!("arn:aws:s3:::{bucket}");
        if let Some(refused) = scenario.refused.filter(|refused| !refused.is_of_the_key()) {
            self.refuse(refused, &arn, &bucket);
        }
        self.create_bucket(&bucket, scenario.class.as_deref()).await;
        let key = self.key_for(scenario, &bucket).await;
        if let Some(policy) = &scenario.bucket_policy {
            self.put_policy(
                &bucket,
                &made_out(policy, &arn, key.as_ref().map(|key| key.arn.as_str())),
            )
            .await;
        }
        if let Some(encryption) = &scenario.encryption {
            if let (Some(class), Some(key)) = (&scenario.key_shared_with, &key) {
                let other = self.bucket_name(&format!("{bucket}-other"));
                self.create_bucket(&other, Some(class)).await;
                self.encrypt(&other, "aws:kms", Some(&key.arn)).await;
            }
            let spelled =
                key.and_then(|key| spelled(key, encryption)).or_else(|| encryption.literal.clone());
            self.encrypt_as(&bucket, encryption, spelled.as_deref()).await;
        }
        bucket
    }

    async fn key_for(&self, scenario: &Scenario, bucket: &str) -> Option<MadeKey> {
        let setup = scenario.key.as_ref()?;
        let there = match setup {
            KeySetup { in_another_account: true, .. } => sandbox().another_account(self).await,
            KeySetup { in_another_region: true, .. } => sandbox().another_region(self).await,
            _ => self.clone(),
        };
        let key = there.create_key(setup, bucket).await;
        if let Some(refused) = scenario.refused.filter(|refused| refused.is_of_the_key()) {
            let replica = match scenario.refused_on_replica {
                true => Some(sandbox().another_region(&there).await),
                false => None,
            };
            let region = replica.as_ref().map_or(&there.region, |replica| &replica.region);
            self.refuse(refused, &key.arn.replace(&there.region, region), bucket);
        }
        Some(key)
    }

    /// Denies the member role an action on one resource, by a role policy called `name`.
    pub fn refuse(&self, refused: Refused, resource: &str, name: &str) {
        let action = refused.action();
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Deny","Action":"{action}","Resource":"{resource}"}}}}"#
        );
        let arguments = [
            "put-role-policy",
            "--role-name",
            "cmkwatch-member",
            "--policy-name",
            name,
            "--policy-document",
        ];
        self.aws("iam", &[&arguments[..], &[policy.as_str()]].concat());
    }

    /// Runs the AWS CLI in this account and region, and returns its standard output.
    ///
    /// # Panics
    /// Panics if the command fails.
    pub fn aws(&self, service: &str, arguments: &[&str]) -> String {
        let done = Command::new(root().join("target/venv/bin/python"))
            .args(["-m", "awscli", "--endpoint-url", &sandbox().endpoint, service])
            .args(arguments)
            .env("AWS_ACCESS_KEY_ID", &self.account)
            .env("AWS_SECRET_ACCESS_KEY", "sandbox")
            .env("AWS_DEFAULT_REGION", &self.region)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "aws {service} {arguments:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8(done.stdout).unwrap()
    }

    /// Returns the findings of a bucket that Security Hub of this account and region holds, by
    /// control.
    pub async fn findings(&self, bucket: &str) -> BTreeMap<String, AwsSecurityFinding> {
        let prefix = format!("cmkwatch/aws/{}/{}/{bucket}/", self.account, self.region);
        let mine = StringFilter::builder()
            .comparison(StringFilterComparison::Prefix)
            .value(&prefix)
            .build();
        let found = self.select(AwsSecurityFindingFilters::builder().id(mine).build()).await;
        found.into_iter().map(|f| (f.id.as_ref().unwrap().replace(&prefix, ""), f)).collect()
    }

    /// Returns the findings about a resource that Security Hub of this account and region shows.
    pub async fn findings_about(&self, arn: &str) -> Vec<AwsSecurityFinding> {
        let it =
            StringFilter::builder().comparison(StringFilterComparison::Equals).value(arn).build();
        self.select(AwsSecurityFindingFilters::builder().resource_id(it).build()).await
    }

    /// Returns every finding that was imported into Security Hub of this account and region.
    pub async fn own_findings(&self) -> Vec<AwsSecurityFinding> {
        let product =
            format!("arn:aws:securityhub:{0}:{1}:product/{1}/default", self.region, self.account);
        let own = StringFilter::builder()
            .comparison(StringFilterComparison::Equals)
            .value(product)
            .build();
        self.select(AwsSecurityFindingFilters::builder().product_arn(own).build()).await
    }

    async fn select(&self, filters: AwsSecurityFindingFilters) -> Vec<AwsSecurityFinding> {
        let hub = self.security_hub();
        let mut pages = hub.get_findings().filters(filters).into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(finding) = pages.next().await {
            found.push(finding.unwrap());
        }
        found
    }

    /// Waits until the findings of a bucket are as expected. `say` writes a finding as a line, or
    /// leaves it out.
    ///
    /// # Panics
    /// Panics if the findings differ after 30 seconds.
    pub async fn wait_for(
        &self,
        bucket: &str,
        say: fn(&AwsSecurityFinding) -> Option<String>,
        expected: &BTreeMap<String, String>,
    ) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let findings = self.findings(bucket).await;
            let said: BTreeMap<_, _> =
                findings.into_iter().filter_map(|(slug, f)| Some((slug, say(&f)?))).collect();
            if said == *expected {
                return;
            }
            let place = format!("{}/{}/{bucket}", self.account, self.region);
            assert!(Instant::now() < deadline, "{place}: found {said:?}, expected {expected:?}");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

/// Returns the key as the encryption of a scenario names it, or `None` if the encryption names no
/// key of the scenario.
fn spelled(key: MadeKey, encryption: &Encryption) -> Option<String> {
    Some(match encryption.key? {
        Spelling::Id => key.id,
        Spelling::Arn => key.arn,
        Spelling::Alias => key.alias,
        Spelling::AliasArn => key.arn.replace(&format!("key/{}", key.id), &key.alias),
    })
}
