//! Tests of the settings file: what its keys mean, and which line an error names.

use super::*;
use crate::Severity;

const GOOD: &str = r#"
[classification]
tag = "data-classification"
default = "confidential"
[class.public]
level = "sse-s3"
[class.confidential]
level = "cmk"
[class.restricted]
level = "enforced"
root-delegation = "reject"
max-rotation-days = 180
trusted-accounts = []
log-buckets = "check"
[key-policy]
trusted-accounts = ["222222222222"]
trusted-organizations = ["o-exampleorg"]
[findings]
refresh-after-days = 7
[alerts]
minimum-severity = "HIGH"
[[exempt]]
buckets = "*-cdn-cache"
controls = ["encrypted-with-cmk"]
reason = "public assets, see SEC-142"
until = 2027-06-30
"#;

#[test]
fn the_own_organization_is_trusted_unless_the_settings_forbid_it() {
    let own: OrganizationId = "o-ownorg00000".parse().unwrap();
    let trusted = |text: &str| {
        let settings = text.parse::<Settings>().unwrap().within(&own);
        let of = |class: &Class| {
            class.trusted_organizations.iter().map(|id| id.as_str().to_owned()).collect()
        };
        let (restricted, default): (Vec<_>, Vec<_>) =
            (of(&settings.classes["restricted"]), of(&settings.default));
        (restricted, default)
    };
    let (both, one) =
        (["o-exampleorg", "o-ownorg00000"].map(str::to_owned), ["o-exampleorg".to_owned()]);
    assert_eq!(trusted(GOOD), (both.to_vec(), both.to_vec()));
    let by_class = GOOD.replace("log-buckets = \"check\"", "trust-own-organization = false");
    assert_eq!(trusted(&by_class), (one.to_vec(), both.to_vec()));
    let nowhere = GOOD.replace("[key-policy]", "[key-policy]\ntrust-own-organization = false");
    assert_eq!(trusted(&nowhere), (one.to_vec(), one.to_vec()));
    let named = GOOD.replace("o-exampleorg", "o-ownorg00000");
    assert_eq!(trusted(&named).1, ["o-ownorg00000"]);
}

#[test]
fn the_settings_are_read_as_they_are_written() {
    let settings: Settings = GOOD.parse().unwrap();
    assert_eq!(settings.tag, "data-classification");
    assert_eq!(settings.default.level, Level::Cmk);
    assert_eq!(settings.classes.len(), 3);
    assert!(settings.import_passed);
    assert_eq!((settings.refresh_after_days, settings.audit_every_days), (7, 7));
    let monthly: Settings =
        GOOD.replace("[alerts]", "audit-every-days = 28\n[alerts]").parse().unwrap();
    assert_eq!(monthly.audit_every_days, 28);
    assert_eq!(
        (settings.alerts.minimum_severity, settings.alerts.digest_over),
        (Severity::High, 5)
    );
    let [exemption] = &settings.exemptions[..] else { panic!() };
    assert_eq!(
        (exemption.until.to_string().as_str(), &exemption.controls[..]),
        ("2027-06-30", &["encrypted-with-cmk"][..])
    );
}

#[test]
fn a_class_overrides_the_common_settings() {
    let settings: Settings = GOOD.parse().unwrap();
    let common = &settings.classes["confidential"];
    assert_eq!((common.root_delegation, common.max_rotation_days), (RootDelegation::Accept, 365));
    assert_eq!((common.log_buckets, common.trusted_accounts.len()), (LogBuckets::Exempt, 1));
    let own = &settings.classes["restricted"];
    assert_eq!((own.root_delegation, own.max_rotation_days), (RootDelegation::Reject, 180));
    assert_eq!((own.log_buckets, own.trusted_accounts.len()), (LogBuckets::Check, 0));
    assert_eq!(own.trusted_organizations[0].as_str(), "o-exampleorg");
}

#[test]
fn errors_name_line_and_key() {
    for (from, to, line, words) in [
        ("tag = ", "tagg = ", 3, ["tagg", "unknown field"]),
        ("\"cmk\"", "\"cmkk\"", 8, ["level", "unknown variant `cmkk`"]),
        ("default = \"confidential\"", "default = \"secret\"", 4, ["default", "[class.secret]"]),
        ("default = \"confidential\"", "default = 3", 4, ["default", "invalid type"]),
        (
            "refresh-after-days = 7",
            "refresh-after-days = 90",
            19,
            ["refresh-after-days", "1 to 89"],
        ),
        (
            "refresh-after-days = 7",
            "refresh-after-days = -1",
            19,
            ["refresh-after-days", "invalid value"],
        ),
        ("refresh-after-days = 7", "audit-every-days = 0", 19, ["audit-every-days", "1 to 89"]),
        ("\"data-classification\"", "\"\"", 3, ["tag", "1 to 128"]),
        ("[class.public]", "[class.\"<b>\"]", 5, ["class", "<b>"]),
        ("[findings]", "[finding]", 18, ["finding", "unknown field"]),
        ("level = \"sse-s3\"", "level", 6, ["level", "expected"]),
        ("level = \"sse-s3\"", "", 5, ["class.public", "missing field `level`"]),
        ("\"reject\"", "\"refuse\"", 11, ["root-delegation", "unknown variant `refuse`"]),
        (
            "max-rotation-days = 180",
            "max-rotation-days = 30",
            12,
            ["max-rotation-days", "90 to 2560"],
        ),
        (
            "[\"222222222222\"]",
            "[\"2222\"]",
            16,
            ["trusted-accounts", "`2222` is not an account id"],
        ),
        ("o-exampleorg", "exampleorg", 17, ["trusted-organizations", "o- and 10 to 32"]),
        (
            "max-rotation-days = 180",
            "allowed-keys = [\"alias/acme\"]",
            12,
            ["allowed-keys", "ARNs of keys"],
        ),
        ("log-buckets = \"check\"", "log-buckets = true", 14, ["log-buckets", "wanted string"]),
        ("\"encrypted-with-cmk\"]", "\"encrypted\"]", 24, ["controls", "no control `encrypted`"]),
        ("\"public assets, see SEC-142\"", "\" \"", 25, ["reason", "empty"]),
        ("reason = \"public assets, see SEC-142\"", "", 22, ["exempt", "missing field `reason`"]),
        ("2027-06-30", "2027-06-30T00:00:00Z", 26, ["until", "is a day"]),
        ("2027-06-30", "2027-06-31", 26, ["until", ""]),
        ("2027-06-30", "\"2027-06-30\"", 26, ["until", ""]),
        ("until = 2027-06-30", "", 22, ["exempt", "missing field `until`"]),
        (
            "[findings]",
            "[organization]\nexcluded-accounts = [\"1\"]\n[findings]",
            19,
            ["excluded-accounts", "`1` is not an account id"],
        ),
        ("\"HIGH\"", "\"high\"", 21, ["minimum-severity", "INFORMATIONAL, LOW"]),
        ("\"HIGH\"", "\"HIGH\"\ndigest-over = 101", 22, ["digest-over", "0 to 100"]),
        ("minimum-severity", "minimal-severity", 21, ["minimal-severity", "unknown field"]),
        ("\"*-cdn-cache\"", "\"\"", 23, ["buckets", "empty"]),
    ] {
        let text = GOOD.replacen(from, to, 1);
        let error = text.parse::<Settings>().unwrap_err();
        assert_eq!(error.line, line, "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "{word}: {error}");
        }
    }
}

#[test]
fn an_empty_text_is_an_error() {
    let error = "".parse::<Settings>().unwrap_err();
    assert!(error.to_string().contains("classification"), "{error}");
}
