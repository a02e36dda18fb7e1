//! The control `uploads-use-cmk`: the bucket policy refuses every upload that asks for another
//! encryption than the bucket's own customer-managed key.
//!
//! An upload names its encryption in
//! [headers](https://docs.aws.amazon.com/AmazonS3/latest/userguide/specifying-kms-encryption.html),
//! which override the bucket's default. For every caller and every object, the policy must refuse
//!
//! - SSE-S3;
//! - a KMS encryption without a key, which means `aws/s3`;
//! - a KMS encryption with any key but the bucket's, and but those that the class allows.
//!
//! An upload without such headers gets the default and may pass, because refusing it would break
//! the delivery of logs. "The key ID must be a key ARN", as the condition key always holds an ARN
//! ([SSE-KMS](https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html)).

use crate::{
    BucketPolicyVerdict, Class, Control, Evidence, Level, Outcome, ProbedRequest, Remedy, Rule,
    Severity, Subject, UploadKey, call,
    control::{customer_key, decided, policy_of},
    log_delivery,
    unrefused::{self, Owned, Probe},
};
use facts::{AccountId, Bucket, KeyArn};
use iam_policy::{
    Comparison, Condition, Effect, Given, Operator, Pattern, Policy, Request, Statement,
};
use serde_json::{Value, json};

/// The control `uploads-use-cmk`.
pub(crate) const UPLOADS_USE_CMK: Control = Control {
    slug: "uploads-use-cmk",
    level: Level::Enforced,
    severity: Severity::Medium,
    title: "S3 bucket policies should refuse uploads that ask for another key",
    holds_when: "the bucket policy refuses every upload that asks for another key than the \
          bucket's own CMK",
    why: "A header of the upload overrides the bucket's default encryption. Without a Deny, \
          every principal that can write chooses the key that protects the object.",
    reference: "https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html",
    requirements: &["AWS Well-Architected SEC08-BP02", "NIST.800-53.r5 SC-28(1)"],
    remediation: "Add a Deny to the bucket policy (s3:PutBucketPolicy).",
    calls: &[call::BUCKET_POLICY, call::ENCRYPTION, call::ALIAS],
    statement: Some(statement),
    adapt: Some(adapt),
    exempts_log_buckets: true,
    rule: Rule::Bucket(check),
};

const ALGORITHM: &str = "s3:x-amz-server-side-encryption";
const KEY: &str = "s3:x-amz-server-side-encryption-aws-kms-key-id";
/// The ARNs of keys. S3 compares the ARN of the key with the condition. The upload itself may
/// name an id or an alias.
const KEY_ARNS: &str = "arn:*:kms:*:*:key/*";
const SSE_C_ALGORITHM: &str = "s3:x-amz-server-side-encryption-customer-algorithm";

fn check(bucket: &Bucket, class: &Class) -> Outcome {
    let judged = customer_key(bucket).and_then(|(key, _)| {
        Ok(of_policy(
            policy_of(bucket)?,
            Owned { bucket: &bucket.id.arn(), owner: bucket.id.account() },
            &key.arn,
            &class.allowed_keys,
        )
        .outcome)
    });
    decided(judged)
}

/// Judges a bucket policy. `allowed` are the ARNs of the other keys that an upload may name.
pub(crate) fn of_policy(
    policy: Option<&Policy>,
    of: Owned<'_>,
    key: &KeyArn,
    allowed: &[Pattern],
) -> BucketPolicyVerdict {
    let bucket = of.bucket;
    if let Some(outcome) = policy.and_then(|policy| no_key_arn(policy, of, key)) {
        return BucketPolicyVerdict { control: &UPLOADS_USE_CMK, outcome };
    }
    let own = Pattern::wildcard(&format!("*{}", key.id()));
    let another = Given::like(Pattern::wildcard(KEY_ARNS))
        .except(allowed.iter().cloned().chain([own]))
        .such_as(examples_of_keys(key, of.owner));
    let probes = [
        ("AES256", UploadKey::NotApplicable, Given::absent()),
        ("aws:kms", UploadKey::Absent, Given::absent()),
        ("aws:kms", UploadKey::Another, another.clone()),
        ("aws:kms:dsse", UploadKey::Absent, Given::absent()),
        ("aws:kms:dsse", UploadKey::Another, another),
    ];
    let probes = probes.map(|(algorithm, key, given)| upload(bucket, algorithm, key, given));
    unrefused::verdict(&UPLOADS_USE_CMK, policy, of, &probes, |unrefused| Evidence::Upload {
        unrefused,
    })
}

/// Returns ARNs of other keys: one of the owner of the bucket, and one of an unknown account.
fn examples_of_keys(key: &KeyArn, owner: &AccountId) -> [String; 2] {
    [owner.as_str(), "999999999999"].map(|account| {
        let (partition, region) = (key.region().partition(), key.region());
        format!("arn:{partition}:kms:{region}:{account}:key/0a1b2c3d-0000-4000-8000-000000000000")
    })
}

/// Returns the outcome if the policy refuses the bucket's own key because of a mistake. A Deny then
/// compares the ARN of the key with a text that is no ARN of a key.
fn no_key_arn(policy: &Policy, of: Owned<'_>, key: &KeyArn) -> Option<Outcome> {
    let compares = |condition: &&Condition| {
        condition.key.eq_ignore_ascii_case(KEY)
            && condition.operator.negated
            && condition.values.iter().all(|value| is_no_key_arn(condition.operator, value))
    };
    let statements = policy.statements.iter().enumerate();
    let mistakes: Vec<_> = statements
        .filter(|(_, statement)| statement.effect == Effect::Deny)
        .flat_map(|(at, statement)| {
            let values = statement.conditions.iter().filter(compares).flat_map(|it| &it.values);
            values.map(move |value| (policy.name(at), value.clone()))
        })
        .collect();
    if mistakes.is_empty() {
        return None;
    }
    let (_, own) = upload(of.bucket, "aws:kms", UploadKey::Another, Given::text(key.as_str()));
    let own = [unrefused::owned(&own, of)];
    if policy.gaps(&own).ok()?.pop()?.is_some() {
        return None;
    }
    let witness = Policy::default().gaps(&own).ok()?.pop()??.witness?;
    let evidence = mistakes.into_iter().map(|(statement, value)| Evidence::NoKeyArn {
        statement,
        value,
        expected: key.clone(),
        witness: Box::new(witness.clone()),
    });
    let severity = UPLOADS_USE_CMK.severity;
    Some(Outcome::Failed { severity, evidence: evidence.collect() })
}

/// True for a bare key id, for an alias, and for a wildcard where an operator compares it
/// literally. Elsewhere a text with wildcards may match an ARN, and so may a variable.
fn is_no_key_arn(operator: Operator, value: &str) -> bool {
    let is_literal =
        matches!(operator.comparison, Comparison::String | Comparison::StringIgnoreCase);
    let may_match = value.contains("${") || (!is_literal && value.contains(['*', '?']));
    let is_arn = !value.contains(['*', '?']) && Pattern::wildcard(KEY_ARNS).matches(value);
    !may_match && !is_arn
}

fn upload(bucket: &str, algorithm: &'static str, key: UploadKey, given: Given) -> Probe {
    let request = Request::new("s3:PutObject", format!("{bucket}/?*"))
        .with(ALGORITHM, Given::text(algorithm))
        .with(KEY, given)
        // S3 refuses a request that names a key of the caller's own as well
        // (https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html).
        .with(SSE_C_ALGORITHM, Given::absent());
    (ProbedRequest::Upload { algorithm, key }, request)
}

/// Builds a statement that refuses an upload which names an encryption but not this key. An upload
/// that names no encryption gets the default. AWS services that act for themselves are not refused,
/// because writers of logs name SSE-S3, or KMS without a key.
fn statement(subject: &Subject) -> Option<Value> {
    let (bucket, key) = (subject.bucket.as_ref()?, subject.key.as_ref()?);
    let others: Vec<_> = subject.allowed_keys.iter().map(Pattern::as_str).collect();
    let keys = match others.is_empty() {
        true => json!(key.as_str()),
        false => json!([&[key.as_str()], &others[..]].concat()),
    };
    Some(json!({
        "Sid": "OnlyOurKey", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": format!("{bucket}/*"),
        "Condition": { "Null": { ALGORITHM: "false" }, "ArnNotEquals": { KEY: keys }, "BoolIfExists": { "aws:PrincipalIsAWSService": "false" } },
    }))
}

/// Names the value to correct if the policy refuses the bucket's own key by mistake, and the
/// writers of logs that the statement would refuse.
fn adapt(mut remedy: Remedy, subject: &Subject, evidence: &[Evidence]) -> Remedy {
    let corrected = evidence.iter().find_map(|one| match one {
        Evidence::NoKeyArn { statement, value, expected, .. } => Some(format!(
            "Write {expected} in place of {value} in statement {statement} of the bucket policy \
             (s3:PutBucketPolicy)."
        )),
        _ => None,
    });
    if let Some(words) = corrected {
        return Remedy { words, statement: None, ..remedy };
    }
    let is_ours = |statement: &Statement| statement.sid.as_deref() == Some("OnlyOurKey");
    let statements = subject.bucket_policy.iter().flat_map(|policy| &policy.statements);
    if statements.into_iter().any(is_ours) {
        remedy.words.push_str(" If the old statement OnlyOurKey names another key, remove it.");
    }
    let writers = subject.bucket_policy.as_ref().map(log_delivery::accounts).unwrap_or_default();
    if !writers.is_empty() {
        remedy.words.push_str(&format!(
            " It refuses the logs of load balancers, which account {} writes with SSE-S3: move them \
             to a bucket of their own first.",
            writers.join(" or ")
        ));
    }
    remedy
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{KEY_ARN, bucket, by_class, class, denied, key, kms};
    use facts::{DefaultEncryption, Fact, KeyLookup};

    fn cmk() -> Bucket {
        bucket(Fact::Known(DefaultEncryption::Kms(kms(
            "",
            Fact::Known(KeyLookup::Found(Box::new(key(KEY_ARN)))),
        ))))
    }

    fn with_policy(policy: &str) -> Outcome {
        check(&Bucket { policy: Fact::Known(Some(policy.parse())), ..cmk() }, &class())
    }

    /// The cases of policies are in `tests/cases/`. Here, the offered statement makes the control
    /// pass.
    #[test]
    fn outcomes() {
        let statement = statement(&Subject::of(&cmk())).unwrap();
        let passed = with_policy(&json!({ "Statement": [statement] }).to_string());
        assert!(matches!(passed, Outcome::Passed(_)), "{passed:?}");
        let failed = check(&cmk(), &class());
        assert!(
            matches!(&failed, Outcome::Failed { severity: Severity::Medium, .. }),
            "{failed:?}"
        );
    }

    /// Rows: a bucket policy, and texts that the words of the remedy contain.
    #[test]
    fn the_remedy_depends_on_the_policy() {
        for (statement, texts) in [
            (
                json!({ "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::127311923021:root" },
                    "Action": "s3:PutObject", "Resource": "arn:aws:s3:::acme/*" }),
                &["logs of load balancers", "account 127311923021"][..],
            ),
            (
                json!({ "Sid": "Own", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
                    "Resource": "arn:aws:s3:::acme/*", "Condition": { "StringNotEquals": { KEY: "1234" } } }),
                &[
                    "Write arn:aws:kms:us-east-1:111111111111:key/1234 in place of 1234 in statement Own",
                ],
            ),
            (
                json!({ "Sid": "OnlyOurKey", "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject",
                    "Resource": "arn:aws:s3:::acme/*" }),
                &["If the old statement OnlyOurKey names another key, remove it."],
            ),
        ] {
            let text = json!({ "Statement": [statement] }).to_string();
            let bucket = Bucket { policy: Fact::Known(Some(text.parse())), ..cmk() };
            let Outcome::Failed { evidence, .. } = check(&bucket, &class()) else {
                panic!("{text}")
            };
            let remedy = UPLOADS_USE_CMK.remedy(&Subject::of(&bucket), &evidence);
            for text in texts {
                assert!(remedy.words.contains(text), "{text}: {remedy:?}");
            }
            // The Sid of the new statement is not that of an old one.
            let sid = remedy.statement.map(|it| it["Sid"].clone());
            assert!(sid.is_none_or(|sid| sid != statement["Sid"]), "{text}");
        }
    }

    #[test]
    fn a_class_of_a_lower_level_does_not_require_the_control() {
        assert!(matches!(by_class(&UPLOADS_USE_CMK, &cmk(), "cmk"), Outcome::NotApplicable(_)));
    }

    #[test]
    fn facts_that_were_not_read_or_understood_are_undetermined() {
        let why = denied("s3:GetBucketPolicy");
        let unread = Bucket { policy: Fact::Unreadable(why.clone()), ..cmk() };
        assert_eq!(check(&unread, &class()), Outcome::unreadable(&why));
        assert!(matches!(with_policy("{}"), Outcome::Undetermined(_)));
    }

    #[test]
    fn an_encryption_without_a_customer_managed_key_never_passes_or_fails() {
        let sse_s3 = bucket(Fact::Known(DefaultEncryption::SseS3));
        assert!(matches!(check(&sse_s3, &class()), Outcome::NotApplicable(_)));
        let why = denied("kms:DescribeKey");
        let unread =
            bucket(Fact::Known(DefaultEncryption::Kms(kms("", Fact::Unreadable(why.clone())))));
        assert_eq!(check(&unread, &class()), Outcome::unreadable(&why));
    }
}
