//! Which class of data a bucket holds.

use crate::{Class, Settings};
use facts::{Fact, Tags};

/// The class that the bucket's tag names, or the default where there is no such tag or it names no class. Values are
/// compared as they stand: to AWS, `Public` and `public` are two values.
#[must_use]
pub(crate) fn classify(tags: &Fact<Tags>, settings: &Settings) -> Fact<Class> {
    tags.clone().map(|tags| {
        let named = tags.get(&settings.tag).and_then(|value| settings.classes.get(value.as_str()));
        named.unwrap_or(&settings.default).clone()
    })
}
