//! Three values: what holds for every request of a set, for none, or for some perhaps.

use std::ops::Not;

/// Whether something holds for the requests of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Truth {
    /// For none of them.
    Never,
    /// It cannot be told, or it differs.
    Maybe,
    /// For each of them.
    Always,
}

impl Truth {
    pub(crate) fn and(self, other: Self) -> Self {
        self.min(other)
    }

    /// The disjunction of any number; Never of none.
    pub(crate) fn any(all: impl IntoIterator<Item = Self>) -> Self {
        let mut best = Self::Never;
        for truth in all {
            best = best.max(truth);
            if best == Self::Always {
                break;
            }
        }
        best
    }
}

impl Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::Never => Self::Always,
            Self::Maybe => Self::Maybe,
            Self::Always => Self::Never,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Always } else { Self::Never }
    }
}
