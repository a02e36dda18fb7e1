//! What holds for the workspace as a whole, and a compiler does not see.
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

/// Who may depend on whom. `collect` and `publish` meet in `watch` only, which is all that entry points share.
const ARROWS: [(&str, &[&str]); 19] = [
    ("iam-policy", &[]),
    ("facts", &["iam-policy"]),
    ("controls", &["facts", "iam-policy"]),
    ("findings", &["controls", "facts"]),
    ("alerts", &["controls", "facts", "findings"]),
    ("calls", &["facts"]),
    ("claims", &["alerts", "calls", "controls"]),
    ("collect", &["calls", "facts"]),
    ("publish", &["calls", "controls", "facts", "findings"]),
    ("queue", &["calls", "facts", "findings"]),
    ("state", &["calls", "controls", "facts", "findings"]),
    ("watch", &["collect", "controls", "facts", "findings", "publish", "queue", "state"]),
    ("startup", &["calls", "collect", "controls", "facts", "queue", "state", "watch"]),
    ("cli", &["controls", "facts", "iam-policy"]),
    ("on-change", &["collect", "controls", "facts", "findings", "queue", "startup", "watch"]),
    ("sweep-planner", &["collect", "controls", "facts", "queue", "startup", "state"]),
    ("sweep-account", &["collect", "facts", "findings", "queue", "startup", "state", "watch"]),
    ("alert", &["alerts", "calls", "claims", "controls", "facts", "startup"]),
    ("cmkwatch-tests", &["controls", "facts", "iam-policy", "on-change"]),
];

/// No SDK, no runtime: what decides can be run anywhere.
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

#[test]
fn pure_crates_bring_in_no_sdk_and_no_runtime() {
    let metadata = metadata();
    let graph = metadata.resolve.as_ref().unwrap();
    for name in PURE {
        let package = metadata
            .workspace_packages()
            .into_iter()
            .find(|package| *package.name == name)
            .unwrap();
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
        for id in &seen {
            let package = &metadata[id].name;
            assert!(
                !package.starts_with("aws-") && !package.starts_with("tokio"),
                "{name} brings in {package}"
            );
        }
    }
}

#[test]
fn each_dependency_that_we_name_has_one_version() {
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

    // A scenario is a bucket; what is found of accounts is shown by the sweep.
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

#[test]
fn the_members_forward_what_on_change_understands() {
    let template = fs::read_to_string(root().join("infra/member.yaml")).unwrap();
    let lists: Vec<BTreeSet<_>> = template
        .split("eventName:")
        .skip(1)
        .map(|list| {
            list.split("errorCode:")
                .next()
                .unwrap()
                .split_whitespace()
                .filter(|word| *word != "-")
                .collect()
        })
        .collect();
    let known = [&on_change::BUCKET_CALLS[..], &on_change::KEY_CALLS, &on_change::ACCOUNT_CALLS];
    assert_eq!(lists, known.map(|calls| calls.iter().copied().collect()));
    for kind in on_change::KINDS {
        assert!(template.contains(kind), "{kind}");
    }
}

#[test]
fn each_call_that_is_forwarded_is_known_to_change_some_control() {
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
fn the_top_level_holds_what_it_should() {
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
        "tests",
    ];
    assert_eq!(found, expected.map(str::to_owned).into());
}

/// The documents of the project, with their paths from the top.
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

/// GitHub's anchor of a heading: lower case, hyphens for spaces, no punctuation.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_in_the_docs_lead_somewhere() {
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
