//! Reads the input of the commands: policies and settings.

use anyhow::{Context, anyhow, bail};
use controls::{Class, OrganizationId, Settings};
use facts::PolicyDocument;
use iam_policy::{LONGEST, NotAPolicy};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The built-in settings.
const DEFAULT_SETTINGS: &str = include_str!("../../../infra/cmkwatch.toml");

/// Reads a policy from a file, or from standard input if the file is `-`. A policy in which a
/// member occurs twice is no error here: AWS accepts it.
pub(crate) fn policy(path: &Path) -> anyhow::Result<PolicyDocument> {
    match text(path)?.parse() {
        Err(NotAPolicy { repeats: false, place, reason }) => {
            Err(anyhow!("{place}: {reason}").context(format!("{} is not a policy", name(path))))
        }
        document => Ok(document),
    }
}

/// Returns the text of a file, or of standard input if the file is `-`.
pub(crate) fn text(path: &Path) -> anyhow::Result<String> {
    let text = if path == Path::new("-") {
        read(io::stdin().lock())
    } else {
        File::open(path).and_then(read)
    };
    text.with_context(|| format!("cannot read {}", name(path)))
}

/// Returns the name of a file for messages.
pub(crate) fn name(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        format!("`{}`", path.display())
    }
}

/// Reads a text of at most [`LONGEST`] bytes, so that input without an end is refused.
fn read(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(LONGEST as u64 + 1).read_to_string(&mut text)?;
    if text.len() > LONGEST {
        return Err(io::Error::other(format!("longer than {LONGEST} bytes")));
    }
    Ok(text)
}

/// Returns the settings of a file, or the built-in ones if there is no file.
fn settings(path: Option<&Path>) -> anyhow::Result<Settings> {
    let Some(path) = path else {
        return DEFAULT_SETTINGS.parse().context("the settings that are built in");
    };
    text(path)?.parse().with_context(|| format!("{} is not understood", name(path)))
}

/// The options that name the requirements.
#[derive(Debug, clap::Args)]
pub(crate) struct Requirements {
    /// The settings to judge by, in place of the built-in settings
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// The class of the bucket, or of the buckets that use the key, in place of the default class
    #[arg(long, value_name = "NAME")]
    class: Option<String>,
    /// The id of the organization that is watched (`o-...`). A key policy may admit its accounts
    #[arg(long, value_name = "ID")]
    organization: Option<OrganizationId>,
}

impl Requirements {
    /// Returns the named class, or the default class if none is named.
    pub(crate) fn class(&self) -> anyhow::Result<Class> {
        let settings = settings(self.settings.as_deref())?;
        let settings = match &self.organization {
            Some(organization) => settings.within(organization),
            None => settings,
        };
        let Some(name) = &self.class else { return Ok(settings.default) };
        let names: Vec<_> = settings.classes.keys().map(|name| name.as_str()).collect();
        match settings.classes.get(name.as_str()) {
            Some(class) => Ok(class.clone()),
            None => bail!("there is no class `{name}`; the settings have {}", names.join(", ")),
        }
    }
}
