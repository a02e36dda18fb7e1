//! The exit codes of the command, and its messages on errors.

use clap::error::ErrorKind;
use controls::Outcome;
use std::process::ExitCode;

/// The result of the command, with its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The command did its work, and no control fails or is undetermined.
    Clean = 0,
    /// The command could not do its work.
    Broken = 1,
    /// A control fails.
    Violations = 2,
    /// No control fails, and at least one is undetermined.
    Undetermined = 3,
}

impl Exit {
    /// Returns the exit code of the worst outcome.
    pub(crate) fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        let mut worst = Self::Clean;
        for outcome in outcomes {
            match outcome {
                Outcome::Failed { .. } => return Self::Violations,
                Outcome::Undetermined(_) => worst = Self::Undetermined,
                Outcome::Passed(_) | Outcome::NotApplicable(_) => {}
            }
        }
        worst
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Prints an error of the command line. Help and version are no errors: the caller asked for them.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    // If printing fails, there is no way to report that.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Clean,
        _ => Exit::Broken,
    }
}

/// Prints the reason why the command could not go on.
pub(crate) fn broken(error: &anyhow::Error) -> Exit {
    eprintln!("cmkwatch: {error:#}");
    Exit::Broken
}
