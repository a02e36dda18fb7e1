//! Applies all controls to one bucket, by the requirements of its class.

use crate::{
    Class, Control, Exemption, Level, LogBuckets, OF_BUCKETS, Outcome, Rule, Settings,
    class::classify, control, log_delivery,
};
use facts::{Account, Bucket, Fact, Unreadable};
use jiff::tz::TimeZone;

/// The class of a bucket, the level it reaches and its verdicts.
#[derive(Debug)]
pub struct Judgement {
    /// The class of the bucket.
    pub class: Fact<Class>,
    /// The highest level whose controls all hold, regardless of the class. `None` if that is not
    /// known.
    pub reached: Option<Level>,
    /// A verdict for each of [`OF_BUCKETS`], in that order.
    pub verdicts: Vec<Verdict>,
    /// True if a verdict or the level is open, and [`Bucket::key_users`], which were not looked up,
    /// may decide it.
    pub wants_key_users: bool,
}

/// The verdict of one control.
#[derive(Debug)]
pub struct Verdict {
    /// The control.
    pub control: &'static Control,
    /// The outcome of the control, given the class.
    pub outcome: Outcome,
    /// The last exemption of the bucket from this control, if it has ended.
    pub lapsed: Option<Exemption>,
}

/// Judges a bucket by its facts and the settings.
#[must_use]
pub fn judge(bucket: &Bucket, settings: &Settings) -> Judgement {
    let class = classify(&bucket.tags, settings);
    let (reached, outcomes) = match &class {
        Fact::Known(class) => judge_as(bucket, class),
        Fact::Unreadable(why) => judge_as_any(bucket, settings, why),
    };
    let wants_key_users = wants_key_users(bucket, &class, reached, &outcomes);
    let verdicts = OF_BUCKETS
        .iter()
        .zip(outcomes)
        .map(|(control, outcome)| excepted(bucket, control, outcome, settings));
    Judgement { reached, verdicts: verdicts.collect(), class, wants_key_users }
}

/// Judges whether an account can be watched in a region.
#[must_use]
pub fn judge_account(account: &Account) -> Verdict {
    let control = &control::ACCOUNT_READABLE;
    Verdict { control, outcome: control::account_readable(account), lapsed: None }
}

pub(crate) fn apply(control: &Control, bucket: &Bucket, class: &Class) -> Outcome {
    match control.rule {
        Rule::Bucket(check) => check(bucket, class),
        Rule::Account(_) => Outcome::NotApplicable("it is about accounts".into()),
    }
}

/// True if the key users should be looked up and the bucket judged again. A missing lookup is no
/// reason to leave a verdict or the level open.
fn wants_key_users(
    bucket: &Bucket,
    class: &Fact<Class>,
    reached: Option<Level>,
    outcomes: &[Outcome],
) -> bool {
    let open = reached.is_none()
        || outcomes.last().is_some_and(|last| matches!(last, Outcome::Undetermined(_)));
    let is_customers = control::found_key(bucket).is_some_and(|key| key.administration.is_some());
    bucket.key_users.is_none() && is_customers && open && class.known().is_ok()
}

/// Returns the level that a bucket of this class reaches, and an outcome for each of
/// [`OF_BUCKETS`].
fn judge_as(bucket: &Bucket, class: &Class) -> (Option<Level>, Vec<Outcome>) {
    let outcomes: Vec<_> =
        OF_BUCKETS.iter().map(|control| (*control, apply(control, bucket, class))).collect();
    let reached = level_reached(&outcomes);
    let required = |(control, outcome)| required(bucket, control, outcome, class);
    (reached, outcomes.into_iter().map(required).collect())
}

/// Judges a bucket whose class is not known. A result is certain only if it is the same for every
/// class.
fn judge_as_any(
    bucket: &Bucket,
    settings: &Settings,
    why: &Unreadable,
) -> (Option<Level>, Vec<Outcome>) {
    let judged = settings.classes.values().map(|class| judge_as(bucket, class));
    let agreed = judged.reduce(|(reached, outcomes), (other, others)| {
        let outcomes = outcomes.into_iter().zip(others).map(|(one, two)| agreed(one, &two, why));
        (reached.filter(|_| reached == other), outcomes.collect())
    });
    agreed.unwrap_or_else(|| (None, OF_BUCKETS.iter().map(|_| Outcome::unreadable(why)).collect()))
}

fn agreed(one: Outcome, two: &Outcome, why: &Unreadable) -> Outcome {
    match (&one, two) {
        (Outcome::NotApplicable(_), Outcome::NotApplicable(_)) => one,
        (one_of, two) if *one_of == *two => one,
        _ => Outcome::unreadable(why),
    }
}

/// Narrows an outcome to the requirements of the class.
fn required(bucket: &Bucket, control: &Control, outcome: Outcome, class: &Class) -> Outcome {
    if class.level < control.level {
        return Outcome::NotApplicable(format!(
            "class {} requires level {} only",
            class.name, class.level
        ));
    }
    unless_log_bucket(bucket, control, outcome, class)
}

/// Exempts a bucket that receives logs which cannot be written with a customer-managed key.
pub(crate) fn unless_log_bucket(
    bucket: &Bucket,
    control: &Control,
    outcome: Outcome,
    class: &Class,
) -> Outcome {
    let exempts = control.exempts_log_buckets && class.log_buckets == LogBuckets::Exempt;
    if !exempts || !matches!(outcome, Outcome::Failed { .. }) {
        return outcome;
    }
    match log_delivery::receives(bucket) {
        Ok(None) => outcome,
        Ok(Some(logs)) => Outcome::NotApplicable(format!("the bucket receives {logs}")),
        // The bucket may receive such logs, and would then be exempt.
        Err(undetermined) => undetermined,
    }
}

/// Applies the exemptions, as of the day on which the bucket was read.
fn excepted(
    bucket: &Bucket,
    control: &'static Control,
    outcome: Outcome,
    settings: &Settings,
) -> Verdict {
    let today = bucket.read_at.to_zoned(TimeZone::UTC).date();
    let concerned =
        || settings.exemptions.iter().filter(|exemption| exemption.concerns(&bucket.id, control));
    match concerned().find(|exemption| today <= exemption.until) {
        Some(Exemption { until, reason, .. }) => {
            let outcome = Outcome::NotApplicable(format!("exempt until {until}: {reason}"));
            Verdict { control, outcome, lapsed: None }
        }
        None => Verdict {
            control,
            outcome,
            lapsed: concerned().max_by_key(|exemption| exemption.until).cloned(),
        },
    }
}

/// Returns the highest level up to which no control fails. `None` if a control on the way is
/// undetermined and no control of its level fails.
fn level_reached(outcomes: &[(&Control, Outcome)]) -> Option<Level> {
    let mut reached = Level::SseS3;
    for level in Level::ALL.into_iter().filter(|level| *level > Level::SseS3) {
        let here: Vec<_> =
            outcomes.iter().filter(|(control, _)| control.level == level).map(|(_, o)| o).collect();
        if here.iter().any(|outcome| matches!(outcome, Outcome::Failed { .. })) {
            break;
        }
        if here.iter().any(|outcome| matches!(outcome, Outcome::Undetermined(_))) {
            return None;
        }
        reached = level;
    }
    Some(reached)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{KEY_ARN, bucket, denied, key, kms};
    use expect_test::expect;
    use facts::{DefaultEncryption, KeyLookup, Tags};

    const SETTINGS: &str = r#"
        classification = { tag = "data-classification", default = "confidential" }
        class.public.level = "sse-s3"
        class.internal.level = "kms"
        class.confidential.level = "cmk"
        class.restricted.level = "enforced"
    "#;

    fn cmk() -> Fact<DefaultEncryption> {
        Fact::Known(DefaultEncryption::Kms(kms(
            KEY_ARN,
            Fact::Known(KeyLookup::Found(Box::new(key(KEY_ARN)))),
        )))
    }

    fn aws_managed() -> Fact<DefaultEncryption> {
        Fact::Known(DefaultEncryption::Kms(kms("", Fact::Known(KeyLookup::AwsManagedDefault))))
    }

    fn sse_s3() -> Fact<DefaultEncryption> {
        Fact::Known(DefaultEncryption::SseS3)
    }

    fn unreadable() -> Fact<DefaultEncryption> {
        Fact::Unreadable(denied("s3:GetEncryptionConfiguration"))
    }

    /// Returns one letter for each control: `P` for passed, `F` failed, `-` not applicable, `?`
    /// undetermined.
    fn letters(judgement: &Judgement) -> String {
        let letter = |verdict: &Verdict| match verdict.outcome {
            Outcome::Passed(_) => 'P',
            Outcome::Failed { .. } => 'F',
            Outcome::NotApplicable(_) => '-',
            Outcome::Undetermined(_) => '?',
        };
        judgement.verdicts.iter().map(letter).collect()
    }

    fn judged(encryption: Fact<DefaultEncryption>, tags: Fact<Tags>) -> Judgement {
        let bucket = Bucket { tags, ..bucket(encryption) };
        judge(&bucket, &SETTINGS.parse().unwrap())
    }

    fn tagged(class: &str) -> Fact<Tags> {
        Fact::Known([("data-classification".to_owned(), class.to_owned())].into())
    }

    #[test]
    fn the_class_decides_which_controls_apply() {
        let mut table = String::new();
        for (class, encryption, name) in [
            ("public", sse_s3(), "SSE-S3"),
            ("public", cmk(), "CMK"),
            ("public", unreadable(), "unreadable"),
            ("internal", sse_s3(), "SSE-S3"),
            ("internal", aws_managed(), "aws/s3"),
            ("internal", unreadable(), "unreadable"),
            ("confidential", sse_s3(), "SSE-S3"),
            ("confidential", aws_managed(), "aws/s3"),
            ("confidential", cmk(), "CMK"),
            ("confidential", unreadable(), "unreadable"),
            ("restricted", cmk(), "CMK"),
            ("no such class", sse_s3(), "SSE-S3"),
            ("Public", sse_s3(), "SSE-S3"),
        ] {
            let letters = letters(&judged(encryption, tagged(class)));
            table += &format!("{class:13} {name:10} {letters}\n");
        }
        expect![[r#"
            public        SSE-S3     -----------
            public        CMK        -----------
            public        unreadable -----------
            internal      SSE-S3     F----------
            internal      aws/s3     P----------
            internal      unreadable ?----------
            confidential  SSE-S3     FF-----P---
            confidential  aws/s3     PF----PP---
            confidential  CMK        PPPPPPPP---
            confidential  unreadable ????????---
            restricted    CMK        PPPPPPPPFFP
            no such class SSE-S3     FF-----P---
            Public        SSE-S3     FF-----P---
        "#]]
        .assert_eq(&table);
    }

    #[test]
    fn a_missing_tag_means_the_default_class() {
        let default = judged(sse_s3(), tagged("confidential"));
        assert_eq!(letters(&judged(sse_s3(), Fact::Known(Tags::new()))), letters(&default));
    }

    #[test]
    fn nothing_passes_or_fails_if_the_tags_are_unreadable() {
        let tags = || Fact::Unreadable(denied("s3:GetBucketTagging"));
        let all = [sse_s3(), cmk(), unreadable()];
        let lines = all.map(|encryption| letters(&judged(encryption, tags())));
        expect![[r#"
            ??-----?-?-
            ???????????
            ???????????"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn common_requirements_are_judged_even_if_the_tags_are_unreadable() {
        let settings = SETTINGS.replace("\"sse-s3\"", "\"kms\"").parse().unwrap();
        let tags = Fact::Unreadable(denied("s3:GetBucketTagging"));
        let found = letters(&judge(&Bucket { tags, ..bucket(sse_s3()) }, &settings));
        expect!["F?-----?-?-"].assert_eq(&found);
    }

    #[test]
    fn the_level_reached_does_not_depend_on_the_class() {
        for class in ["public", "restricted"] {
            assert_eq!(judged(sse_s3(), tagged(class)).reached, Some(Level::SseS3));
            assert_eq!(judged(aws_managed(), tagged(class)).reached, Some(Level::Kms));
            assert_eq!(judged(cmk(), tagged(class)).reached, Some(Level::Cmk));
            assert_eq!(judged(unreadable(), tagged(class)).reached, None);
        }
    }

    fn with_policy(encryption: Fact<DefaultEncryption>, policy: &str) -> Bucket {
        Bucket {
            policy: Fact::Known(Some(policy.parse())),
            tags: tagged("restricted"),
            ..bucket(encryption)
        }
    }

    #[test]
    fn a_log_bucket_is_exempt_unless_the_class_checks_it() {
        let load_balancer = r#"{"Statement": {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::127311923021:root"},
            "Action": "s3:PutObject", "Resource": "arn:aws:s3:::acme/AWSLogs/*"}}"#;
        let service = |name: &str| {
            load_balancer.replace(
                "\"AWS\": \"arn:aws:iam::127311923021:root\"",
                &format!("\"Service\": \"{name}\""),
            )
        };
        let checks =
            SETTINGS.replace("\"confidential\" }", "\"confidential\", log-buckets = \"check\" }");
        let mut table = String::new();
        for (name, policy) in [
            ("load balancer, account", load_balancer.to_owned()),
            ("load balancer", service("logdelivery.elasticloadbalancing.amazonaws.com")),
            ("server access", service("logging.s3.amazonaws.com")),
            // These services can write with a customer-managed key.
            ("flow logs", service("delivery.logs.amazonaws.com")),
            ("CloudTrail", service("cloudtrail.amazonaws.com")),
            ("a Deny", load_balancer.replace("Allow", "Deny")),
            ("another action", load_balancer.replace("PutObject", "GetObject")),
            ("another account", load_balancer.replace("127311923021", "111111111111")),
        ] {
            let bucket = with_policy(sse_s3(), &policy);
            let letters = |settings: &str| letters(&judge(&bucket, &settings.parse().unwrap()));
            table += &format!("{name:22} {} {}\n", letters(SETTINGS), letters(&checks));
        }
        expect![[r#"
            load balancer, account -------P-F- FF-----P-F-
            load balancer          -------P-F- FF-----P-F-
            server access          -------P-F- FF-----P-F-
            flow logs              FF-----P-F- FF-----P-F-
            CloudTrail             FF-----P-F- FF-----P-F-
            a Deny                 FF-----P-F- FF-----P-F-
            another action         FF-----P-F- FF-----P-F-
            another account        FF-----P-F- FF-----P-F-
        "#]]
        .assert_eq(&table);
    }

    #[test]
    fn a_failure_is_undetermined_if_an_unreadable_policy_may_exempt_the_bucket() {
        let policy = || Fact::Unreadable(denied("s3:GetBucketPolicy"));
        let unread = |encryption| Bucket {
            policy: policy(),
            tags: tagged("restricted"),
            ..bucket(encryption)
        };
        let letters = |bucket: Bucket| letters(&judge(&bucket, &SETTINGS.parse().unwrap()));
        expect!["??-----P-?-"].assert_eq(&letters(unread(sse_s3())));
        expect!["PPPPPPPP??P"].assert_eq(&letters(unread(cmk())));
    }

    #[test]
    fn an_exemption_applies_until_its_last_day_and_is_reported_as_lapsed_after_it() {
        let exempt = |until: &str, more: &str| {
            let text = format!(
                "{SETTINGS}\n[[exempt]]\nbuckets = \"a*e\"\nreason = \"SEC-142\"\nuntil = {until}\n{more}"
            );
            judge(&bucket(sse_s3()), &text.parse().unwrap())
        };
        // The facts were read on 1970-01-01.
        let cases = [
            ("1970-01-01", ""),
            ("1969-12-31", ""),
            ("1970-01-01", "controls = [\"encrypted-with-cmk\"]"),
            ("1970-01-01", "accounts = [\"222222222222\"]"),
            ("1970-01-01", "accounts = [\"111111111111\"]"),
        ];
        let line = |(until, more)| {
            format!("{} {until} {more}", letters(&exempt(until, more))).trim_end().to_owned()
        };
        expect![[r#"
            ----------- 1970-01-01
            FF-----P--- 1969-12-31
            F------P--- 1970-01-01 controls = ["encrypted-with-cmk"]
            FF-----P--- 1970-01-01 accounts = ["222222222222"]
            ----------- 1970-01-01 accounts = ["111111111111"]"#]]
        .assert_eq(&cases.map(line).join("\n"));
        let over = exempt("1969-12-31", "");
        assert_eq!(over.verdicts[0].lapsed.as_ref().unwrap().reason, "SEC-142");
        let reason = exempt("1970-01-01", "").verdicts.remove(0).outcome;
        assert_eq!(reason, Outcome::NotApplicable("exempt until 1970-01-01: SEC-142".into()));
    }

    #[test]
    fn a_current_exemption_outweighs_a_lapsed_one() {
        let entry = |until: &str| {
            format!("[[exempt]]\nbuckets = \"acme\"\nreason = \"r\"\nuntil = {until}\n")
        };
        let text = format!("{SETTINGS}\n{}{}", entry("1969-01-01"), entry("1971-01-01"));
        let judgement = judge(&bucket(sse_s3()), &text.parse().unwrap());
        assert!(letters(&judgement).chars().all(|letter| letter == '-'));
        assert!(judgement.verdicts.iter().all(|verdict| verdict.lapsed.is_none()));
    }
}
