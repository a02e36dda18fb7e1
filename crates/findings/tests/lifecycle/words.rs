//! The text of a finding.

use crate::example::{SETTINGS, Story, cmk, sse_s3, unreadable, used};
use facts::{DefaultEncryption, Fact, KeyLookup, KeyState, Tags};
use findings::fields;

#[test]
fn descriptions_name_the_facts_and_the_expected_values() {
    let described = |encryption: Fact<DefaultEncryption>, slug: &str| {
        let mut story = Story::default();
        story.observe(encryption, 0);
        story.get(slug).description.clone()
    };
    let subject = "Bucket acme (class confidential, which requires level cmk)";
    let missing = || Fact::Known(used("alias/gone", Fact::Known(KeyLookup::Missing)));
    let absent = || Fact::Known(used("", Fact::Known(KeyLookup::AwsManagedDefault)));
    let date = "2026-12-01T10:00:00Z".parse().unwrap();
    for (encryption, slug, said) in [
        (
            sse_s3(),
            "encrypted-with-kms",
            "default encryption is AES256, expected aws:kms or aws:kms:dsse.",
        ),
        (
            sse_s3(),
            "encrypted-with-cmk",
            "default encryption is AES256, expected a customer-managed key.",
        ),
        (absent(), "encrypted-with-kms", "default encryption is aws:kms, as required."),
        (
            absent(),
            "encrypted-with-cmk",
            "key is aws/s3 (AWS-managed), expected a customer-managed key.",
        ),
        (
            missing(),
            "encrypted-with-cmk",
            "key is alias/gone (no such key), expected a customer-managed key.",
        ),
        (
            missing(),
            "key-usable",
            "key is alias/gone (no such key), expected a key that can be used.",
        ),
        (
            cmk(KeyState::PendingDeletion(Some(date))),
            "key-usable",
            "key is arn:aws:kms:us-east-1:111111111111:key/1234, expected a key that can be used; key state is \
             PendingDeletion (deletion on 2026-12-01T10:00:00Z), expected Enabled.",
        ),
        (
            unreadable(),
            "key-usable",
            "the control `key-usable` is undetermined: s3:GetEncryptionConfiguration on bucket acme was \
             answered with AccessDenied.",
        ),
        (
            Fact::Known(DefaultEncryption::Contradictory),
            "encrypted-with-kms",
            "the control `encrypted-with-kms` is undetermined: default encryption is several rules that \
             differ, which this version of cmkwatch does not understand.",
        ),
    ] {
        let control = controls::ALL.into_iter().find(|control| control.slug == slug).unwrap();
        let why =
            if said.contains("expected") { format!(" {}", control.why) } else { String::new() };
        assert_eq!(described(encryption, slug), format!("{subject}: {said}{why}"));
    }
}

#[test]
fn an_exemption_that_ended_is_named_if_the_control_fails() {
    let settings = SETTINGS
        .replace("9999-12-31", "2026-10-31")
        .replace("\"ssec-blocked\"", "\"encrypted-with-cmk\"");
    let found = |encryption| {
        let mut story = Story::default();
        story.settings.clone_from(&settings);
        story.observe(encryption, 0);
        story.get("encrypted-with-cmk").clone()
    };
    let over =
        "the exemption of `?` (not in the story) ended on 2026-10-31. default encryption is AES256";
    let (fails, passes) = (found(sse_s3()), found(cmk(KeyState::Enabled)));
    assert!(fails.description.contains(over), "{}", fails.description);
    assert_eq!(fails.product_fields.to_map()[fields::EXEMPTION_ENDED], "2026-10-31");
    assert!(
        !passes.description.contains("exemption")
            && passes.product_fields.exemption_ended.is_none()
    );
}

#[test]
fn access_that_a_policy_grants_is_described_with_its_remedy() {
    let mut story = Story::default();
    let tags = Tags::from([("data-classification".to_owned(), "restricted".to_owned())]);
    let settings = format!(
        "{SETTINGS}\n[class.restricted]\nlevel = \"enforced\"\nroot-delegation = \"reject\""
    );
    story.settings = settings.replace("\"key-used-only-via-s3\", ", "");
    story.observe_tagged(tags, cmk(KeyState::Enabled), 0);
    let direct = story.get("key-used-only-via-s3");
    let said = "direct use of the key is open to account 111111111111: kms:Decrypt, kms:Encrypt, kms:GenerateDataKey, \
                kms:GenerateDataKeyWithoutPlaintext, kms:ReEncryptFrom, kms:ReEncryptTo, kms:CreateGrant (statement 0), expected none";
    assert!(direct.description.contains(said), "{}", direct.description);
    // The statement admits grants as well. A Deny would override them, so it is not offered here.
    for words in ["if kms:ViaService is s3.us-east-1.amazonaws.com", "Statement 0 admits such use."]
    {
        assert!(direct.remediation.contains(words), "{}", direct.remediation);
    }
    assert_eq!(story.get("tls-only").reasons[0].code, "UNREFUSED_REQUEST_WITHOUT_TLS");
    for finding in &story.findings {
        assert!(finding.remediation.chars().count() <= 512, "{}", finding.remediation);
    }
}

/// A changed fingerprint imports every finding again. If that is intended, say so in CHANGELOG.md.
#[test]
fn the_fingerprint_does_not_change_from_one_version_to_the_next() {
    let mut story = Story::default();
    story.observe(sse_s3(), 0);
    let fingerprint = &story.get("encrypted-with-kms").fingerprint;
    assert_eq!(fingerprint, "94daf164676b72c55406e3e888569d1e");
}

#[test]
fn text_from_outside_is_made_plain() {
    let mut story = Story::default();
    let evil = "<script>\u{202e}*x*\n".repeat(200);
    story.observe(Fact::Known(used(&evil, Fact::Known(KeyLookup::Missing))), 0);
    for finding in &story.findings {
        let fields = finding.product_fields.to_map();
        let told = fields.values().chain([&finding.description]);
        for text in told.chain(finding.reasons.iter().map(|reason| &reason.description)) {
            assert!(!text.contains(['<', '\n', '\u{202e}', '*']), "{text}");
        }
        assert!(finding.description.chars().count() <= 1024);
        assert!(
            fields.len() <= 50
                && fields.iter().all(|(key, value)| key.len() <= 128 && value.len() <= 2048)
        );
    }
    assert_eq!(
        story.get("encrypted-with-kms").product_fields.to_map()[fields::CHANGED_BY],
        "arn:aws:iam::111111111111:user/?jane?"
    );
}
