//! Runs the command as people and pipelines run it.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at the first thing that is not as expected"
)]

use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

const KEY: &str = "arn:aws:kms:us-east-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// Runs the command with these arguments and this standard input.
fn run(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cmkwatch"));
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The command does not read its input if an option is wrong.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn key_policy(more: &[&str], policy: &Value) -> Output {
    run(&[&["key-policy", "-", "--key-arn", KEY], more].concat(), &policy.to_string())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn allow(principal: &str, condition: &Value) -> Value {
    json!({ "Version": "2012-10-17", "Statement": [{
        "Sid": "App", "Effect": "Allow", "Principal": { "AWS": principal }, "Action": ["kms:Decrypt", "kms:Encrypt"],
        "Resource": "*", "Condition": condition,
    }] })
}

const ROLE: &str = "arn:aws:iam::111111111111:role/app";

#[test]
fn a_key_policy_is_reported_as_json() {
    let output = key_policy(&["--output", "json"], &allow(ROLE, &json!({})));
    assert_eq!(output.status.code(), Some(2));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let verdict = &report["verdicts"][0];
    let expected = json!([{ "statement": "App", "principal": ROLE, "operations": ["kms:Decrypt", "kms:Encrypt"], "how": "direct" }]);
    assert_eq!(verdict["control"], "key-used-only-via-s3");
    assert_eq!((&verdict["outcome"], &verdict["severity"]), (&json!("failed"), &json!("MEDIUM")));
    assert_eq!((&verdict["uses"], &verdict["delegates_to_iam"]), (&expected, &json!(false)));
    let witness = json!({
        "principal": ROLE, "action": "kms:Decrypt", "resource": KEY, "condition_keys": {},
        "absent_keys": ["kms:ViaService"], "refused": false,
    });
    assert_eq!(verdict["witness"], witness);
    assert_eq!(
        verdict["remediation"]["statement"]["Condition"]["StringNotEquals"]["kms:ViaService"],
        "s3.us-east-1.amazonaws.com"
    );
    let closed = &report["verdicts"][1];
    assert_eq!(
        (&closed["control"], &closed["outcome"], &closed["uses"]),
        (&json!("key-policy-closed"), &json!("passed"), &json!([]))
    );
}

#[test]
fn the_exit_code_reports_the_result() {
    let via = json!({ "StringEquals": { "kms:ViaService": "s3.us-east-1.amazonaws.com" } });
    assert_eq!(key_policy(&[], &allow(ROLE, &via)).status.code(), Some(0));
    assert_eq!(key_policy(&[], &allow(ROLE, &json!({}))).status.code(), Some(2));
    assert_eq!(key_policy(&[], &json!({})).status.code(), Some(1));
    let undetermined = key_policy(&[], &involved());
    assert_eq!(undetermined.status.code(), Some(3), "{}", text(&undetermined.stderr));
    assert!(text(&undetermined.stdout).contains("too many ways to be analysed"));
    assert_eq!(run(&[], "").status.code(), Some(1));
    assert_eq!(run(&["--help"], "").status.code(), Some(0));
}

/// Returns a policy that is too complex: the pigeonhole problem.
///
/// Each of 11 pigeons needs one of 10 holes, and no hole may hold two of them. The proof that this
/// is impossible takes long.
fn involved() -> Value {
    let key = |pigeon: usize, hole: usize| format!("aws:PrincipalTag/{pigeon}-{hole}");
    let refuse = |conditions: Value| json!({ "Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*", "Condition": conditions });
    let mut statements = vec![allow(ROLE, &json!({}))["Statement"][0].clone()];
    for pigeon in 0..11 {
        let nowhere: serde_json::Map<_, _> =
            (0..10).map(|hole| (key(pigeon, hole), json!("no"))).collect();
        statements.push(refuse(json!({ "StringEquals": nowhere })));
        for other in 0..pigeon {
            for hole in 0..10 {
                statements
                    .push(refuse(json!({ "StringNotEquals": { key(pigeon, hole): "no", key(other, hole): "no" } })));
            }
        }
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

#[test]
fn an_invalid_policy_is_reported_with_place_and_reason() {
    let wrong = |policy: &str| {
        let output = run(&["key-policy", "-", "--key-arn", KEY], policy);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
        text(&output.stderr)
    };
    assert!(wrong("{\"Statement\": [").starts_with("cmkwatch: standard input is not a policy: "));
    let statement = r#"{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}, {"Effect": "Alow"}]}"#;
    let error = wrong(statement);
    assert!(error.contains("Statement[1].Effect: unknown variant `Alow`"), "{error}");
    assert!(wrong(&" ".repeat(1 << 20)).contains("longer than 131072 bytes"));
    let missing = run(&["key-policy", "/no/such/file", "--key-arn", KEY], "");
    assert!(
        text(&missing.stderr).contains("cannot read `/no/such/file`: No such file"),
        "{}",
        text(&missing.stderr)
    );
    let arn = run(&["key-policy", "-", "--key-arn", "alias/acme"], "");
    assert!(
        text(&arn.stderr).contains("`alias/acme` is not the ARN of a KMS key"),
        "{}",
        text(&arn.stderr)
    );
    assert_eq!((missing.status.code(), arn.status.code()), (Some(1), Some(1)));
}

#[test]
fn settings_and_class_decide_the_requirements() {
    let root = allow("111111111111", &json!({}));
    let accepted = key_policy(&["--output", "json"], &root);
    let report: Value = serde_json::from_slice(&accepted.stdout).unwrap();
    assert_eq!(
        (accepted.status.code(), &report["verdicts"][0]["delegates_to_iam"]),
        (Some(0), &json!(true))
    );
    assert_eq!(key_policy(&["--class", "restricted"], &root).status.code(), Some(2));
    let unknown = key_policy(&["--class", "secret"], &root);
    assert!(
        text(&unknown.stderr)
            .contains("there is no class `secret`; the settings have confidential, internal")
    );

    let file = std::env::temp_dir().join(format!("cmkwatch-settings-{}.toml", std::process::id()));
    let file = file.to_str().unwrap();
    let settings = "classification = { tag = \"t\", default = \"a\" }\nclass.a.level = \"cmk\"\nkey-policy.trusted-accounts = [\"222222222222\"]\n";
    let foreign =
        allow("222222222222", &json!({ "StringLike": { "kms:ViaService": "s3.*.amazonaws.com" } }));
    fs::write(file, settings).unwrap();
    assert_eq!(key_policy(&[], &foreign).status.code(), Some(2));
    assert_eq!(key_policy(&["--settings", file], &foreign).status.code(), Some(0));
    fs::write(file, settings.replace("level", "lvl")).unwrap();
    let wrong = key_policy(&["--settings", file], &foreign);
    assert!(text(&wrong.stderr).contains("is not understood: line 2: "), "{}", text(&wrong.stderr));
    fs::remove_file(file).unwrap();
}

#[test]
fn a_key_policy_may_admit_the_organization_that_is_watched() {
    let condition = json!({ "StringEquals": { "aws:PrincipalOrgID": "o-ownorg00000", "kms:ViaService": "s3.us-east-1.amazonaws.com" } });
    let policy = allow("*", &condition);
    assert_eq!(key_policy(&[], &policy).status.code(), Some(2));
    assert_eq!(key_policy(&["--organization", "o-ownorg00000"], &policy).status.code(), Some(0));
    assert_eq!(key_policy(&["--organization", "o-otherorg000"], &policy).status.code(), Some(2));
    let wrong = key_policy(&["--organization", "acme"], &policy);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        text(&wrong.stderr).contains("an organization id is o- and"),
        "{}",
        text(&wrong.stderr)
    );
}

#[test]
fn a_bucket_policy_is_reported_with_the_requests_that_it_does_not_refuse() {
    let policy = json!({ "Version": "2012-10-17", "Statement": {
        "Sid": "Tls", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::acme/*",
        "Condition": { "Bool": { "aws:SecureTransport": "false" }, "StringEquals": { "aws:ResourceAccount": "333333333333" } },
    } });
    let judged = |more: &[&str]| {
        let arguments =
            ["bucket-policy", "-", "--bucket", "acme", "--key-arn", KEY, "--output", "json"];
        let output = run(&[&arguments, more].concat(), &policy.to_string());
        assert_eq!(output.status.code(), Some(2));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let report = judged(&["--account", "333333333333"]);
    let controls: Vec<_> = report["verdicts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["control"].as_str().unwrap())
        .collect();
    assert_eq!(controls, ["tls-only", "uploads-use-cmk", "ssec-blocked"]);
    assert_eq!(
        report["verdicts"][0]["requests"],
        json!(["any S3 action on arn:aws:s3:::acme (no statement refuses it)"])
    );
    assert_eq!(report["verdicts"][1]["requests"].as_array().unwrap().len(), 5);
    // By default, the account is that of the key. Then the statement refuses nothing.
    assert_eq!(judged(&[])["verdicts"][0]["requests"].as_array().unwrap().len(), 2);
}

#[test]
fn a_bucket_policy_is_judged_by_the_class_of_the_settings() {
    let other = "arn:aws:kms:us-east-1:111111111111:key/9999ffff-12ab-34cd-56ef-1234567890ab";
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::acme/*",
        "Condition": { "StringNotEquals": { "s3:x-amz-server-side-encryption-aws-kms-key-id": [KEY, other] } },
    }] });
    let settings = concat!(env!("CARGO_TARGET_TMPDIR"), "/allowed-keys.toml");
    let text_of = format!(
        "classification = {{ tag = \"class\", default = \"one\" }}\nclass.one.level = \"enforced\"\n\
         class.moving = {{ level = \"enforced\", allowed-keys = [\"{other}\"] }}"
    );
    fs::write(settings, text_of).unwrap();
    for (class, expected) in [("one", "failed"), ("moving", "passed")] {
        let arguments =
            ["bucket-policy", "-", "--bucket", "acme", "--key-arn", KEY, "--output", "json"];
        let more = ["--settings", settings, "--class", class];
        let output = run(&[&arguments[..], &more].concat(), &policy.to_string());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let verdicts = report["verdicts"].as_array().unwrap();
        let uploads = verdicts.iter().find(|it| it["control"] == "uploads-use-cmk").unwrap();
        assert_eq!(uploads["outcome"], expected, "{}", text(&output.stderr));
    }
}

/// Runs `bucket-policy` with an encryption, and returns the exit code, the outcome of each control
/// and the messages.
fn with_encryption(policy: &Value, encryption: &Value) -> (Option<i32>, Vec<String>, String) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("cmkwatch-encryption-{}-{number}.json", std::process::id());
    let file = std::env::temp_dir().join(name);
    fs::write(&file, encryption.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let arguments = ["bucket-policy", "-", "--bucket", "acme", "--key-arn", KEY];
    let more = ["--organization", "o-ownorg00000", "--encryption", file, "--output", "json"];
    let output = run(&[&arguments[..], &more].concat(), &policy.to_string());
    fs::remove_file(file).unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let verdicts = report["verdicts"].as_array().cloned().unwrap_or_default();
    let said = verdicts.iter().map(|it| {
        format!("{} {}", it["control"].as_str().unwrap(), it["outcome"].as_str().unwrap())
    });
    (output.status.code(), said.collect(), text(&output.stderr))
}

#[test]
fn a_bucket_policy_is_judged_together_with_the_encryption_of_the_bucket() {
    let policy = |statement: Value| json!({ "Version": "2012-10-17", "Statement": statement });
    let none = policy(json!([]));
    let default = |default: Value| {
        json!({ "ServerSideEncryptionConfiguration": { "Rules": [
            { "ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": true,
              "BlockedEncryptionTypes": { "EncryptionType": ["SSE-C"] } },
        ] } })
    };
    let kms = |key: &str| default(json!({ "SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key }));
    let (code, said, _) = with_encryption(&none, &kms(KEY));
    let expected = [
        "encrypted-with-kms passed",
        "encrypted-with-cmk passed",
        "ssec-blocked passed",
        "uploads-use-cmk failed",
        "tls-only failed",
    ];
    assert_eq!((code, &said[..]), (Some(2), &expected.map(str::to_owned)[..]));
    // An alias counts as one of the key.
    assert_eq!(with_encryption(&none, &kms("alias/acme")).1, said);
    let (_, said, _) = with_encryption(&none, &kms("alias/aws/s3"));
    assert_eq!(said[1], "encrypted-with-cmk failed");
    let (code, said, error) = with_encryption(&none, &kms("9999ffff"));
    assert_eq!((code, said.len()), (Some(1), 0));
    assert!(
        error.contains("names the key arn:aws:kms:us-east-1:111111111111:key/9999ffff, and not")
    );
    let (_, said, _) = with_encryption(&none, &json!({ "SSEAlgorithm": "AES256" }));
    assert_eq!(said[0], "encrypted-with-kms failed");
    assert_eq!(said[2..4], ["ssec-blocked failed", "uploads-use-cmk not-applicable"]);
    let (code, _, error) = with_encryption(&none, &json!({ "Rule": [] }));
    assert_eq!(code, Some(1));
    assert!(error.contains("is not the encryption of a bucket: it has neither `Rules`"), "{error}");
}

#[test]
fn a_bucket_for_logs_that_need_sse_s3_is_exempt() {
    let policy = json!({ "Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Principal": { "Service": "logging.s3.amazonaws.com" }, "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::acme/*",
    } });
    let (_, said, _) = with_encryption(&policy, &json!({ "SSEAlgorithm": "AES256" }));
    let exempt = ["encrypted-with-kms not-applicable", "encrypted-with-cmk not-applicable"];
    assert_eq!(said[..2], exempt.map(str::to_owned));
}

/// AWS accepts such a policy and does not document how it reads it.
#[test]
fn a_member_that_occurs_twice_leaves_all_verdicts_undetermined() {
    let policy = r#"{"Statement": {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}, "Bool": {"aws:ViaAWSService": "false"}}}}"#;
    for arguments in [
        &["bucket-policy", "-", "--bucket", "acme", "--key-arn", KEY][..],
        &["key-policy", "-", "--key-arn", KEY],
    ] {
        let output = run(arguments, policy);
        assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
        let said = text(&output.stdout);
        assert!(said.contains("UNDETERMINED") && !said.contains("PASSED"), "{said}");
        assert!(said.contains("Condition") && said.contains("`Bool` occurs twice"), "{said}");
    }
}

#[test]
fn each_control_is_explained_with_the_file_that_decides_it() {
    let list = text(&run(&["explain"], "").stdout);
    assert_eq!(list.lines().count(), controls::ALL.len());
    for control in controls::ALL {
        assert!(list.contains(control.slug));
        let explained = text(&run(&["explain", control.slug], "").stdout);
        let file = explained.lines().find_map(|line| line.strip_prefix("decided by: ")).unwrap();
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        assert!(fs::exists(format!("{root}/{file}")).unwrap(), "{file}");
        for said in [control.holds_when, control.why, control.reference, control.remediation] {
            assert!(explained.contains(said), "{said}");
        }
    }
    let unknown = run(&["explain", "tls"], "");
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        text(&unknown.stderr)
            .contains("there is no control `tls`; there are account-readable, encrypted-with-kms")
    );
}

#[test]
fn the_page_of_the_controls_is_generated_from_the_catalogue() {
    let page = text(&run(&["explain", "--output", "markdown"], "").stdout);
    let kept =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../controls/README.md")).unwrap();
    assert!(page == kept, "run `make control-page`");
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let mut policy = allow(ROLE, &json!({}));
    policy["Statement"][0]["Sid"] = json!("\u{1b}[2Jcleared");
    let output = text(&key_policy(&[], &policy).stdout);
    assert!(output.contains("[2Jcleared") && !output.contains('\u{1b}'), "{output}");
}

#[test]
fn settings_that_are_too_long_are_refused_and_not_cut() {
    let output = key_policy(&["--settings", "/dev/zero"], &allow(ROLE, &json!({})));
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("cannot read `/dev/zero`: longer than 131072 bytes"), "{error}");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cmkwatch"));
    let mut child = command
        .args(["explain", "--output", "markdown"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "");
}
