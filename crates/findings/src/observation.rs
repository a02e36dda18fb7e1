//! A bucket that was read and judged.

use controls::Judgement;
use facts::{Bucket, Place};

/// A bucket that was read and judged.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// The facts.
    pub bucket: &'a Bucket,
    /// The verdicts.
    pub judgement: &'a Judgement,
    /// The place whose Security Hub is to store the findings.
    pub stored_in: &'a Place,
    /// The key of the tag that names the class.
    pub tag: &'a str,
}
