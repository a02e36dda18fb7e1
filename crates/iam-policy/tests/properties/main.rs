//! What holds for any policy: the laws of the two questions, and that another evaluator, asked about one request at a time,
//! says the same.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may stop at the first thing that is not as expected"
)]

mod laws;
mod policies;
mod second_opinion;
