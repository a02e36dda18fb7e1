//! Rules for the workspace as a whole, which the compiler does not check.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may stop at the first thing that is not as expected"
)]

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use cmkwatch_tests::{root, scenarios};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::Command,
};

/// The crates of the workspace that each crate may depend on. Only `watch` depends on both
/// `collect` and `publish`.
const ARROWS: [(&str, &[&str]); 21] = [
    ("iam-policy", &[]),
    ("facts", &["iam-policy"]),
    ("controls", &["facts", "iam-policy"]),
    ("findings", &["controls", "facts", "iam-policy"]),
    ("alerts", &["controls", "facts", "findings"]),
    ("calls", &["facts"]),
    ("claims", &["alerts", "calls", "controls"]),
    ("collect", &["calls", "facts"]),
    ("publish", &["calls", "controls", "facts", "findings"]),
    ("queue", &["calls", "facts", "findings"]),
    ("state", &["calls", "controls", "facts", "findings"]),
    (
        "watch",
        &[
            "calls",
            "collect",
            "controls",
            "facts",
            "findings",
            "organization",
            "publish",
            "queue",
            "state",
        ],
    ),
    ("organization", &["calls", "facts"]),
    ("startup", &["controls", "facts"]),
    ("assembly", &["collect", "facts", "queue", "startup", "state", "watch"]),
    ("cli", &["controls", "facts", "iam-policy"]),
    (
        "on-change",
        &[
            "assembly",
            "calls",
            "controls",
            "facts",
            "findings",
            "organization",
            "queue",
            "startup",
            "watch",
        ],
    ),
    ("sweep-planner", &["calls", "controls", "facts", "organization", "queue", "startup", "state"]),
    (
        "sweep-account",
        &[
            "assembly",
            "calls",
            "collect",
            "facts",
            "findings",
            "organization",
            "publish",
            "queue",
            "startup",
            "state",
            "watch",
        ],
    ),
    ("alert", &["alerts", "calls", "claims", "controls", "facts", "startup"]),
    ("cmkwatch-tests", &["controls", "facts", "iam-policy", "on-change"]),
];

/// The crates that decide. They bring in no SDK and no runtime, so they run anywhere.
const PURE: [&str; 5] = ["iam-policy", "facts", "controls", "findings", "alerts"];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(vec!["--locked".into()])
        .exec()
        .unwrap()
}

fn dependencies(package: &Package) -> impl Iterator<Item = &str> {
    package
        .dependencies
        .iter()
        .filter(|d| d.kind == DependencyKind::Normal)
        .map(|d| d.name.as_str())
}

#[test]
fn crates_depend_along_the_arrows_only() {
    let metadata = metadata();
    let ours: BTreeSet<_> =
        metadata.workspace_packages().iter().map(|p| p.name.to_string()).collect();
    let found: BTreeMap<_, BTreeSet<_>> = metadata
        .workspace_packages()
        .iter()
        .map(|p| {
            (
                p.name.to_string(),
                dependencies(p).filter(|d| ours.contains(*d)).map(str::to_owned).collect(),
            )
        })
        .collect();
    let expected = ARROWS
        .iter()
        .map(|(name, to)| ((*name).to_owned(), to.iter().map(|&d| d.to_owned()).collect()));
    assert_eq!(found, expected.collect());
}

/// Returns the names of all packages that a package of ours links, its own included.
fn linked(metadata: &Metadata, name: &str) -> BTreeSet<String> {
    let graph = metadata.resolve.as_ref().unwrap();
    let package =
        metadata.workspace_packages().into_iter().find(|package| *package.name == name).unwrap();
    let (mut open, mut seen) = (vec![package.id.clone()], BTreeSet::new());
    while let Some(id) = open.pop() {
        if seen.insert(id.clone()) {
            let node = graph.nodes.iter().find(|node| node.id == id).unwrap();
            let normal = |d: &&cargo_metadata::NodeDep| {
                d.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal)
            };
            open.extend(node.deps.iter().filter(normal).map(|d| d.pkg.clone()));
        }
    }
    seen.iter().map(|id| metadata[id].name.to_string()).collect()
}

#[test]
fn pure_crates_bring_in_no_sdk_and_no_runtime() {
    let metadata = metadata();
    for name in PURE {
        for package in linked(&metadata, name) {
            assert!(
                !package.starts_with("aws-") && !package.starts_with("tokio"),
                "{name} brings in {package}"
            );
        }
    }
}

/// The clients of AWS that a function does not use, so that it does not link them. They make a
/// function larger and slower to start.
const UNUSED: [(&str, &[&str]); 2] = [
    ("alert", &["kms", "resourcegroupstagging", "s3", "securityhub", "sqs"]),
    ("sweep-planner", &["kms", "resourcegroupstagging", "s3", "securityhub", "sns"]),
];

#[test]
fn functions_link_only_the_clients_that_they_use() {
    let metadata = metadata();
    for (name, services) in UNUSED {
        let linked = linked(&metadata, name);
        for service in services {
            assert!(!linked.contains(&format!("aws-sdk-{service}")), "{name} links {service}");
        }
    }
}

#[test]
fn each_named_dependency_has_one_version() {
    let metadata = metadata();
    let named: BTreeSet<_> =
        metadata.workspace_packages().into_iter().flat_map(dependencies).collect();
    for name in named {
        let versions: Vec<_> =
            metadata.packages.iter().filter(|p| *p.name == name).map(|p| &p.version).collect();
        assert_eq!(versions.len(), 1, "{name}: {versions:?}");
    }
}

#[test]
fn one_slug_names_a_control_everywhere() {
    let all: BTreeSet<_> = controls::ALL.iter().map(|control| control.slug.to_owned()).collect();
    let files: BTreeSet<_> = fs::read_dir(root().join("crates/controls/src/control"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().replace('_', "-"))
        .filter(|name| name != "mod" && name != "example")
        .collect();
    assert_eq!(files, all, "each control has its file, and each file its control");

    // A scenario is a bucket. The tests of the sweep show the findings of accounts.
    let slugs: BTreeSet<_> =
        controls::OF_BUCKETS.iter().map(|control| control.slug.to_owned()).collect();
    let scenarios = scenarios();
    for scenario in &scenarios {
        assert!(
            slugs.iter().any(|slug| scenario.name.starts_with(&format!("{slug}-"))),
            "{}",
            scenario.name
        );
        assert!(scenario.expect.keys().all(|slug| slugs.contains(slug)), "{}", scenario.name);
    }
    for slug in &slugs {
        for outcome in ["PASSED", "FAILED"] {
            let shown =
                scenarios.iter().filter(|scenario| scenario.name.starts_with(&format!("{slug}-")));
            let shown = shown
                .filter_map(|scenario| scenario.expect.get(slug))
                .any(|said| said.starts_with(outcome));
            assert!(shown, "no scenario of {slug} shows {outcome}");
        }
    }
}

/// Returns the names of a YAML list, which begins the text: `[A, B]` or a line for each.
fn names(text: &str) -> Vec<&str> {
    match text.trim_start().strip_prefix('[') {
        Some(inline) => inline.split(']').next().unwrap().split(',').map(str::trim).collect(),
        None => {
            let lines = text.lines().skip(1).map(str::trim);
            lines.map_while(|line| line.strip_prefix("- ")).collect()
        }
    }
}

#[test]
fn members_forward_exactly_the_calls_that_on_change_understands() {
    let template = fs::read_to_string(root().join("infra/member.yaml")).unwrap();
    let lists = template.split("eventName:").skip(1).map(names);
    let of_rule = |name: &str| template.find(name).unwrap();
    let (keys, accounts) = (of_rule("KeysRule:\n"), of_rule("AccountsRule:\n"));
    let mut forwarded = [(); 3].map(|()| BTreeSet::new());
    let places = template.match_indices("eventName:").map(|(at, _)| at);
    for (at, calls) in places.zip(lists) {
        let rule = usize::from(at > keys) + usize::from(at > accounts);
        forwarded[rule].extend(calls);
    }
    let known = [&on_change::BUCKET_CALLS[..], &on_change::KEY_CALLS, &on_change::ACCOUNT_CALLS];
    assert_eq!(forwarded, known.map(|calls| calls.iter().copied().collect()));
    for kind in on_change::KINDS {
        assert!(template.contains(kind), "{kind}");
    }
}

#[test]
fn forwarded_calls_are_those_that_change_a_control() {
    let known =
        |call: &&str| controls::OF_BUCKETS.iter().any(|control| control.is_changed_by(call));
    let calls = on_change::BUCKET_CALLS.iter().chain(&on_change::KEY_CALLS);
    let unknown: Vec<_> = calls.filter(|call| !known(call) && **call != "DeleteBucket").collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let forwarded =
        |call: &&str| on_change::BUCKET_CALLS.contains(call) || on_change::KEY_CALLS.contains(call);
    for control in controls::ALL {
        assert!(control.calls.concat().iter().all(forwarded), "{}", control.slug);
    }
}

#[test]
fn the_top_level_holds_only_the_expected_entries() {
    let listed = Command::new("git").args(["ls-files"]).current_dir(root()).output().unwrap();
    let found: BTreeSet<_> = String::from_utf8(listed.stdout)
        .unwrap()
        .lines()
        .map(|path| path.split('/').next().unwrap_or_default().to_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    let expected = [
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "Makefile",
        "README.md",
        "SECURITY.md",
        "crates",
        "docs",
        "functions",
        "infra",
        "ruff.toml",
        "rust-toolchain.toml",
        "tests",
    ];
    assert_eq!(found, expected.map(str::to_owned).into());
}

/// Returns the documents of the project, with their paths from the top.
fn documents() -> Vec<(PathBuf, String)> {
    let listed =
        Command::new("git").args(["ls-files", "*.md"]).current_dir(root()).output().unwrap();
    let paths = String::from_utf8(listed.stdout).unwrap();
    paths
        .lines()
        .map(|path| (path.into(), fs::read_to_string(root().join(path)).unwrap()))
        .collect()
}

#[test]
fn paths_and_commands_in_the_docs_exist() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let tops = ["crates/", "docs/", "functions/", "infra/", "tests/"];
    let (mut paths, mut commands) = (0, 0);
    for (document, text) in documents() {
        let document = document.display();
        for word in text.split(|c: char| c.is_whitespace() || "`()[],".contains(c)) {
            let path = word.trim_end_matches(['.', ':', ';']);
            if tops.iter().any(|top| path.starts_with(top))
                && !path.contains(['*', '<'])
                && !path.contains("NAME")
            {
                assert!(root().join(path).exists(), "{document} names {path}");
                paths += 1;
            }
        }
        let blocks = text.split("```").skip(1).step_by(2).flat_map(str::lines);
        let in_blocks = blocks.filter_map(|line| line.strip_prefix("make "));
        for command in text.split("`make ").skip(1).chain(in_blocks) {
            let target: String =
                command.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
            assert!(makefile.contains(&format!("\n{target}:")), "{document} names make {target}");
            commands += 1;
        }
    }
    assert!(paths > 50 && commands > 15, "{paths} paths and {commands} commands were found");
}

/// Returns GitHub's anchor of a heading: lower case, hyphens for spaces, no punctuation.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_in_the_docs_have_targets() {
    let headings = |text: &str| -> BTreeSet<String> {
        text.lines()
            .filter(|line| line.starts_with('#'))
            .map(|line| anchor(line.trim_start_matches('#')))
            .collect()
    };
    let mut links = 0;
    for (document, text) in documents() {
        for link in
            text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link)
        {
            if link.contains("://") {
                continue;
            }
            let (path, heading) =
                link.split_once('#').map_or((link, None), |(path, heading)| (path, Some(heading)));
            let folder = document.parent().unwrap();
            let target = if path.is_empty() { document.clone() } else { folder.join(path) };
            let target = root().join(target);
            assert!(target.exists(), "{} links to {link}", document.display());
            if let Some(heading) = heading {
                let found = headings(&fs::read_to_string(&target).unwrap());
                assert!(found.contains(heading), "{} links to {link}", document.display());
            }
            links += 1;
        }
    }
    assert!(links > 10, "{links} links were found");
}

/// A library has typed errors, so that its callers can act on them.
#[test]
fn only_mains_and_the_command_use_anyhow() {
    let listed =
        Command::new("git").args(["ls-files", "*.rs"]).current_dir(root()).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let is_library = |path: &&str| {
        (path.starts_with("crates/") || path.starts_with("functions/"))
            && path.contains("/src/")
            && !path.ends_with("/main.rs")
            && !path.starts_with("crates/cli/")
    };
    let uses_it = |path: &&str| {
        let text = fs::read_to_string(root().join(path)).unwrap();
        text.contains("anyhow") || (text.contains("downcast_ref") && !is_about_the_sdk(path))
    };
    let found: Vec<_> = listed.lines().filter(is_library).filter(uses_it).collect();
    assert_eq!(found, [""; 0]);
}

/// The SDK boxes the cause of an error, so its type must be searched for.
fn is_about_the_sdk(path: &str) -> bool {
    path == "crates/calls/src/lib.rs"
}
