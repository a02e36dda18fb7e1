//! The slug of a control, as the state and the ids of findings name it.

use controls::Control;
use std::{borrow::Borrow, borrow::Cow, fmt};

/// The slug of a control: `encrypted-with-cmk`. Another version of cmkwatch may have had controls
/// that this version does not have, so a slug need not name a known control.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(Cow<'static, str>);

impl Slug {
    /// Returns the slug at the end of the id of a finding. See [`About::id`](crate::About::id).
    #[must_use]
    pub fn of_id(id: &str) -> Self {
        id.rsplit('/').next().unwrap_or_default().to_owned().into()
    }

    /// Returns the control; `None` if this version of cmkwatch does not have it.
    #[must_use]
    pub fn control(&self) -> Option<&'static Control> {
        controls::ALL.into_iter().find(|control| control.slug == self.0)
    }

    /// Returns the text of the slug.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&'static Control> for Slug {
    fn from(control: &'static Control) -> Self {
        Self(Cow::Borrowed(control.slug))
    }
}

impl From<String> for Slug {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

impl From<&'static str> for Slug {
    fn from(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl Borrow<str> for Slug {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
