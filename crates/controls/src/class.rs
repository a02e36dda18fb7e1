//! Finds the data class of a bucket by its tags.

use crate::{Class, Settings};
use facts::{Fact, Tags};

/// Returns the class that the bucket's tag names, or the default class if the tag is missing or
/// names no class.
///
/// Values are compared exactly: to AWS, `Public` and `public` are two values.
#[must_use]
pub(crate) fn classify(tags: &Fact<Tags>, settings: &Settings) -> Fact<Class> {
    tags.clone().map(|tags| {
        let named = tags.get(&settings.tag).and_then(|value| settings.classes.get(value.as_str()));
        named.unwrap_or(&settings.default).clone()
    })
}
