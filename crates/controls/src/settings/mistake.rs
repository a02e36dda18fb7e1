//! A mistake in the settings.

use std::ops::Range;

/// A range of bytes in the text, and the error there.
pub(super) type Mistake = (Range<usize>, String);
