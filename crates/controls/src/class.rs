//! Which class of data a bucket holds.

use crate::{Class, Settings};
use facts::{Fact, Tags};

/// The class that the bucket's tag names, or the default where there is no such tag or it names no class. Values are
/// compared as they stand: to AWS, `Public` and `public` are two values.
#[must_use]
pub fn classify(tags: &Fact<Tags>, settings: &Settings) -> Fact<Class> {
    tags.clone().map(|tags| {
        let named = tags.get(&settings.tag);
        let class = named.and_then(|value| settings.classes.values().find(|class| class.name.as_str() == value));
        class.unwrap_or(&settings.default).clone()
    })
}
