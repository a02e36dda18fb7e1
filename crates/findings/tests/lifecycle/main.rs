//! The life of a finding: the imports that follow from the verdicts of now and the state before.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of a test may stop it as the test may"
)]

mod adoption;
mod drift;
mod example;
mod law;
mod place;
mod repairs;
mod story;
mod words;
