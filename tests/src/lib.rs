//! Shared parts of the tests of the whole: the scenarios, and the sandbox in which some of the
//! tests run.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "this crate is made of tests, and a test may stop at the first thing that is not as expected"
)]

mod alerts;
mod iam;
mod material;
mod place;
mod said;
mod sandbox;
mod scenario;
mod shared;

pub use alerts::{Alerts, Envelope};
pub use place::{MadeKey, Place};
pub use said::{progress, state, verdict};
pub use sandbox::{Denied, Fault, Kill, Sandbox, Worker, folder, sandbox};
pub use scenario::{
    Encryption, GrantSetup, KeySetup, Refused, ReplicaSetup, Scenario, Spelling, State, made_out,
    scenarios,
};

use std::path::{Path, PathBuf};

/// The rules that forward the changes of buckets and keys, in each account and region.
pub const RULES: [&str; 3] = ["cmkwatch-buckets", "cmkwatch-keys", "cmkwatch-grants"];

/// Returns the top folder of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}
