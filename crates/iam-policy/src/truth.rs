//! Three truth values: a property holds for every request of a set, for no request, or perhaps for
//! some.

use std::ops::Not;

/// The truth of a property for the requests of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Truth {
    /// The property holds for no request.
    Never,
    /// Unknown, or different from request to request.
    Maybe,
    /// The property holds for every request.
    Always,
}

impl Truth {
    pub(crate) fn and(self, other: Self) -> Self {
        self.min(other)
    }

    /// Returns the disjunction of the values, which is `Never` for an empty list.
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
