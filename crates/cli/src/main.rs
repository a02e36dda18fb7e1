//! The command `cmkwatch`: judges policies before they are applied, and explains the controls.

mod bucket_policy;
mod encryption;
mod exit;
mod explain;
mod input;
mod key_policy;
mod report;
mod stdout;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Judges key policies and bucket policies before they are applied, and explains the controls.
///
/// The exit code is 0 if no control fails. It is 1 if something is broken, such as a wrong option
/// or a file that is not a policy. It is 2 if a control fails. It is 3 if no control fails and at
/// least one is undetermined.
#[derive(Parser)]
#[command(name = "cmkwatch", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    KeyPolicy(key_policy::Arguments),
    BucketPolicy(bucket_policy::Arguments),
    Explain(explain::Arguments),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error).into(),
    };
    let done = match &cli.command {
        Command::KeyPolicy(arguments) => key_policy::run(arguments),
        Command::BucketPolicy(arguments) => bucket_policy::run(arguments),
        Command::Explain(arguments) => explain::run(arguments),
    };
    done.unwrap_or_else(|error| exit::broken(&error)).into()
}
