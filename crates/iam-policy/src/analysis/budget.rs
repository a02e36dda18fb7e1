//! The limit on the work for one question.
//!
//! The answer depends on which statements refuse what others leave. There are policies for which
//! that is as hard as any puzzle. People do not write such policies. A policy over the limit gets
//! no verdict, and no function is kept busy.

use super::TooComplex;
use std::cell::Cell;

/// The limit for one question, in checks of a statement against a set of requests. Policies that
/// people write need some hundreds to some thousands.
const CHECKS: usize = 60_000;
/// The limit for comparing patterns in one question, in pairs of characters.
const COMPARISONS: usize = 3_000_000;

/// The limit for comparing patterns in the search for witnesses. Policies that people write need
/// some thousands.
const COMPARISONS_FOR_WITNESSES: usize = 150_000;

/// The work that is left for a question.
#[derive(Debug)]
pub(super) struct Budget {
    checks: Cell<usize>,
    comparisons: Cell<usize>,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { checks: Cell::new(CHECKS), comparisons: Cell::new(COMPARISONS) }
    }

    pub(super) fn for_witnesses() -> Self {
        Self { checks: Cell::new(CHECKS), comparisons: Cell::new(COMPARISONS_FOR_WITNESSES) }
    }

    /// Subtracts checks. Returns an error if too few are left.
    pub(super) fn check(&self, number: usize) -> Result<(), TooComplex> {
        take(&self.checks, number)
    }

    /// Subtracts comparisons. Returns an error if too few are left.
    pub(super) fn compare(&self, number: usize) -> Result<(), TooComplex> {
        take(&self.comparisons, number)
    }
}

fn take(left: &Cell<usize>, number: usize) -> Result<(), TooComplex> {
    left.set(left.get().checked_sub(number).ok_or(TooComplex)?);
    Ok(())
}
