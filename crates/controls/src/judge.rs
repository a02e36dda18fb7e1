//! All controls applied to one bucket, by what its class requires.

use crate::{ALL, Class, Control, Level, Outcome, Settings, class::classify};
use facts::{Bucket, Fact, Unreadable};

/// What is to be said of one bucket.
#[derive(Debug)]
pub struct Judgement {
    /// The bucket's class.
    pub class: Fact<Class>,
    /// The highest level whose controls all hold, whatever the class requires; none where that cannot be said.
    pub reached: Option<Level>,
    /// A verdict for each of [`ALL`], in that order.
    pub verdicts: Vec<Verdict>,
}

/// What one control says of the bucket.
#[derive(Debug)]
pub struct Verdict {
    /// The control.
    pub control: &'static Control,
    /// What it says, given the class.
    pub outcome: Outcome,
}

/// Judges a bucket by its facts and the settings.
#[must_use]
pub fn judge(bucket: &Bucket, settings: &Settings) -> Judgement {
    let class = classify(&bucket.tags, settings);
    let outcomes: Vec<_> = ALL.iter().map(|control| (*control, (control.check)(bucket))).collect();
    let reached = level_reached(&outcomes);
    let verdicts = outcomes
        .into_iter()
        .map(|(control, outcome)| Verdict { control, outcome: required(control, outcome, &class, settings) })
        .collect();
    Judgement { class, reached, verdicts }
}

/// Narrows an outcome to what the class requires. Where the class could not be read, only a control that every class
/// requires is sure to apply.
fn required(control: &Control, outcome: Outcome, class: &Fact<Class>, settings: &Settings) -> Outcome {
    let applies = |class: &Class| class.level >= control.level;
    match class {
        Fact::Known(class) if applies(class) => outcome,
        Fact::Known(class) => {
            Outcome::NotApplicable(format!("class {} requires level {} only", class.name, class.level))
        }
        Fact::Unreadable(_) if settings.classes.values().all(applies) => outcome,
        Fact::Unreadable(why) => undetermined_class(outcome, why),
    }
}

fn undetermined_class(outcome: Outcome, why: &Unreadable) -> Outcome {
    match outcome {
        Outcome::NotApplicable(_) => outcome,
        Outcome::Passed(_) | Outcome::Failed { .. } | Outcome::Undetermined(_) => Outcome::unreadable(why),
    }
}

/// Goes up the levels until something fails (that level is not reached) or cannot be told. A level that has no controls
/// is not reached.
fn level_reached(outcomes: &[(&Control, Outcome)]) -> Option<Level> {
    let mut reached = Level::SseS3;
    for level in Level::ALL.into_iter().filter(|level| *level > Level::SseS3) {
        let here: Vec<_> = outcomes.iter().filter(|(control, _)| control.level == level).map(|(_, o)| o).collect();
        if here.is_empty() || here.iter().any(|outcome| matches!(outcome, Outcome::Failed { .. })) {
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
    use facts::{DefaultEncryption, ResolvedKey, Tags};

    const SETTINGS: &str = r#"
        classification = { tag = "data-classification", default = "confidential" }
        class.public.level = "sse-s3"
        class.internal.level = "kms"
        class.confidential.level = "cmk"
        class.restricted.level = "enforced"
    "#;

    fn cmk() -> Fact<DefaultEncryption> {
        Fact::Known(DefaultEncryption::Kms(kms(KEY_ARN, Fact::Known(ResolvedKey::Found(key(KEY_ARN))))))
    }

    fn aws_managed() -> Fact<DefaultEncryption> {
        Fact::Known(DefaultEncryption::Kms(kms("", Fact::Known(ResolvedKey::AwsManagedDefault))))
    }

    fn sse_s3() -> Fact<DefaultEncryption> {
        Fact::Known(DefaultEncryption::SseS3)
    }

    fn unreadable() -> Fact<DefaultEncryption> {
        Fact::Unreadable(denied("s3:GetEncryptionConfiguration"))
    }

    /// `P`assed, `F`ailed, `-` not applicable, `?` undetermined: one letter for each control.
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
        for (class, encryption, expected) in [
            ("public", sse_s3(), "---"),
            ("public", cmk(), "---"),
            ("public", unreadable(), "---"),
            ("internal", sse_s3(), "F--"),
            ("internal", aws_managed(), "P--"),
            ("internal", unreadable(), "?--"),
            ("confidential", sse_s3(), "FF-"),
            ("confidential", aws_managed(), "PF-"),
            ("confidential", cmk(), "PPP"),
            ("confidential", unreadable(), "???"),
            ("restricted", cmk(), "PPP"),
            ("no such class", sse_s3(), "FF-"),
            ("Public", sse_s3(), "FF-"),
        ] {
            assert_eq!(letters(&judged(encryption.clone(), tagged(class))), expected, "{class} {encryption:?}");
        }
    }

    #[test]
    fn without_the_tag_the_default_holds() {
        assert_eq!(letters(&judged(sse_s3(), Fact::Known(Tags::new()))), "FF-");
    }

    #[test]
    fn with_tags_unread_nothing_passes_and_nothing_fails() {
        let tags = || Fact::Unreadable(denied("s3:GetBucketTagging"));
        for (encryption, expected) in [(sse_s3(), "??-"), (cmk(), "???"), (unreadable(), "???")] {
            assert_eq!(letters(&judged(encryption, tags())), expected);
        }
    }

    #[test]
    fn what_every_class_requires_is_judged_even_with_tags_unread() {
        let settings = SETTINGS.replace("\"sse-s3\"", "\"kms\"").parse().unwrap();
        let tags = Fact::Unreadable(denied("s3:GetBucketTagging"));
        assert_eq!(letters(&judge(&Bucket { tags, ..bucket(sse_s3()) }, &settings)), "F?-");
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
}
