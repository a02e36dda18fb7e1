//! The command `cmkwatch`: judges policies before they are applied, and explains the controls.

mod bucket_policy;
mod exit;
mod explain;
mod input;
mod key_policy;
mod report;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Tells whether S3 buckets are encrypted with keys worth having.
///
/// Exit codes: 0 all is well, 1 something is broken (a wrong option, a file that is not a policy), 2 a control fails,
/// 3 none fails and one cannot be told.
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
