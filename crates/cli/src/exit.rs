//! How the command ends.

use clap::error::ErrorKind;
use controls::Outcome;
use std::{
    io::{self, ErrorKind as IoErrorKind},
    process::ExitCode,
};

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Clean = 0,
    /// The command could not do what it was asked for.
    Broken = 1,
    /// A control fails.
    Violations = 2,
    /// No control fails, and one cannot be told.
    Undetermined = 3,
}

impl Exit {
    /// The worst of what controls say.
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

/// Says what is wrong with the command line; help and version are asked for, and no error.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    // What cannot be printed cannot be told either.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Clean,
        _ => Exit::Broken,
    }
}

/// Says why the command could not go on. A reader that went away before the end (`| head`) has what it wanted.
pub(crate) fn broken(error: &anyhow::Error) -> Exit {
    let gone = error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == IoErrorKind::BrokenPipe);
    if gone {
        return Exit::Clean;
    }
    eprintln!("cmkwatch: {error:#}");
    Exit::Broken
}
