//! The error of a function that cannot start.

use controls::SettingsError;
use facts::Malformed;
use std::{env::VarError, io, path::PathBuf};

/// The error of a function that cannot start: its deployment is wrong.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// The environment lacks a variable.
    #[error("the environment has no {name}")]
    Missing {
        /// The name of the variable.
        name: String,
        /// The cause.
        source: VarError,
    },
    /// The value of a variable does not have the expected form.
    #[error("{name} is wrong")]
    Malformed {
        /// The name of the variable.
        name: &'static str,
        /// The cause.
        source: Malformed,
    },
    /// The value of a variable is not a number, or does not fit.
    #[error("{name} is `{value}`, expected a number that fits")]
    NotANumber {
        /// The name of the variable.
        name: &'static str,
        /// The value.
        value: String,
    },
    /// The id of the organization does not have the form that AWS defines.
    #[error("CMKWATCH_ORGANIZATION is wrong: {0}")]
    Organization(String),
    /// The file of settings cannot be read.
    #[error("cannot read {path}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The settings are wrong.
    #[error("{path} is wrong", path = path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: SettingsError,
    },
    /// Metrics cannot be written.
    #[error("metrics cannot be set up: {0}")]
    Metrics(String),
}
