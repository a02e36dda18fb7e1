//! Properties of any policy: the laws of two questions, and agreement with another evaluator, which
//! is asked about one request at a time.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may stop at the first thing that is not as expected"
)]

mod laws;
mod policies;
mod second_opinion;
