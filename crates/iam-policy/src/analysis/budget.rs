//! How much work a question may take.
//!
//! What a policy may allow depends on which of its statements refuse what others leave, and there are policies for which that
//! is as hard as any puzzle. People do not write such policies; whoever does gets no verdict, and no function is kept busy.

use super::TooComplex;
use std::cell::Cell;

/// What one question may cost, in checks of a statement against a set of requests. Policies that people write need some
/// hundreds to some thousands.
const CHECKS: usize = 60_000;
/// What one question may cost in comparing patterns, in pairs of characters.
const COMPARISONS: usize = 3_000_000;

/// The work that is left.
#[derive(Debug)]
pub(super) struct Budget {
    checks: Cell<usize>,
    comparisons: Cell<usize>,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { checks: Cell::new(CHECKS), comparisons: Cell::new(COMPARISONS) }
    }

    /// Takes some checks.
    pub(super) fn check(&self, number: usize) -> Result<(), TooComplex> {
        take(&self.checks, number)
    }

    /// Takes some comparisons.
    pub(super) fn compare(&self, number: usize) -> Result<(), TooComplex> {
        take(&self.comparisons, number)
    }
}

fn take(left: &Cell<usize>, number: usize) -> Result<(), TooComplex> {
    left.set(left.get().checked_sub(number).ok_or(TooComplex)?);
    Ok(())
}
