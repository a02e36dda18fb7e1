//! The life of a finding: what is imported, given what was judged now and what stands.
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
