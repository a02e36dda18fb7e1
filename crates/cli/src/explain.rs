//! `cmkwatch explain`: prints the requirement of each control, and the reason for it.

use crate::{exit::Exit, stdout};
use anyhow::bail;
use clap::ValueEnum;
use controls::{ALL, Control, Rule, Subject};
use std::fmt::Write as _;

/// Explain a control, or list them all
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The control, such as tls-only
    control: Option<String>,
    /// The format of the explanation
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// For the screen.
    Text,
    /// For a page: crates/controls/README.md is generated in this format.
    Markdown,
}

pub(crate) fn run(Arguments { control, output }: &Arguments) -> anyhow::Result<Exit> {
    let chosen: Vec<_> = match control {
        None => ALL.to_vec(),
        Some(slug) => ALL.into_iter().filter(|control| control.slug == slug).collect(),
    };
    let text = match (chosen.as_slice(), output) {
        ([], _) => {
            let known: Vec<_> = ALL.iter().map(|control| control.slug).collect();
            bail!(
                "there is no control `{}`; there are {}",
                control.as_deref().unwrap_or_default(),
                known.join(", ")
            )
        }
        ([one], Output::Text) => explained(one),
        (all, Output::Text) => all.iter().map(|control| listed(control)).collect(),
        (all, Output::Markdown) => page(all),
    };
    stdout::print(&text)?;
    Ok(Exit::Clean)
}

/// Returns the path of the file that decides a control.
fn file(control: &Control) -> String {
    format!("crates/controls/src/control/{}.rs", control.slug.replace('-', "_"))
}

/// Returns the statement that helps, filled in for a placeholder bucket and key.
fn statement(control: &Control) -> Option<String> {
    let key = "arn:aws:kms:us-east-1:111122223333:key/KEY-ID".parse().ok();
    let subject =
        Subject { bucket: Some("arn:aws:s3:::BUCKET".to_owned()), key, ..Subject::default() };
    let statement = control.statement.and_then(|statement| statement(&subject));
    statement.and_then(|statement| serde_json::to_string_pretty(&statement).ok())
}

/// Returns the level from which a bucket's class requires a control. An account has no class.
fn level(control: &Control) -> &'static str {
    match control.rule {
        Rule::Bucket(_) => control.level.as_str(),
        Rule::Account(_) => "account",
    }
}

fn listed(control: &Control) -> String {
    format!(
        "{:22} {:9} {:9} {}\n",
        control.slug,
        level(control),
        control.severity.as_str(),
        control.holds_when
    )
}

fn explained(control: &Control) -> String {
    let Control {
        slug,
        severity,
        title,
        holds_when,
        why,
        reference,
        requirements,
        remediation,
        ..
    } = control;
    let level = level(control);
    let mut text = format!("{slug}: {title}\n\nrequired from level {level}, severity {severity}\n");
    let evidence =
        if requirements.is_empty() { "no framework".to_owned() } else { requirements.join("; ") };
    for (name, said) in
        [("holds when", holds_when), ("why", why), ("page", reference), ("to do", remediation)]
    {
        let _ = writeln!(text, "\n{name}: {said}");
    }
    if let Some(statement) = statement(control) {
        let _ = writeln!(text, "\n{statement}");
    }
    let _ = writeln!(text, "\nevidence for: {evidence}\n\ndecided by: {}", file(control));
    text
}

fn page(controls: &[&Control]) -> String {
    let mut text = String::from(
        "# The controls\n\nOne file each in `src/control/`, lowest level first. Made by `cmkwatch explain --output markdown`.\n\n\
         | control | required from level | severity | holds when |\n|---|---|---|---|\n",
    );
    for control in controls {
        let Control { slug, severity, holds_when, .. } = control;
        let level = level(control);
        let _ = writeln!(text, "| [`{slug}`](#{slug}) | `{level}` | {severity} | {holds_when} |");
    }
    controls.iter().for_each(|control| text.push_str(&section(control)));
    text
}

fn section(control: &Control) -> String {
    let Control { slug, title, why, reference, requirements, remediation, .. } = control;
    let name = slug.replace('-', "_");
    let mut text = format!(
        "\n## {slug}\n\n{title}: [`{name}.rs`](src/control/{name}.rs), after <{reference}>.\n\n{why}\n\n"
    );
    let _ = writeln!(text, "To do: {remediation}");
    if let Some(statement) = statement(control) {
        let _ = writeln!(text, "\n```json\n{statement}\n```");
    }
    if !requirements.is_empty() {
        let _ = writeln!(text, "\nEvidence for: {}.", requirements.join("; "));
    }
    text
}
