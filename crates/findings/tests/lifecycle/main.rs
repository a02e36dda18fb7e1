//! The life of a finding: the imports that follow from the verdicts of now and the state before.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of a test may stop it as the test may"
)]

mod drift;
mod example;
mod place;
mod story;
mod words;
