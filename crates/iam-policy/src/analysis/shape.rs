//! Sets of texts as policies write them: plain texts, and ARNs, whose parts are compared
//! separately.

use crate::{Pattern, Version, truth::Truth};

/// A set of texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    /// The texts that match the pattern.
    Text(Pattern),
    /// The ARNs whose parts all match ([ARN
    /// operators](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_ARN)).
    Arn {
        /// The whole ARN as one pattern, in which a wildcard also matches colons.
        whole: Pattern,
        parts: Vec<Pattern>,
    },
    /// The texts that match once they are in small letters.
    AnyCase(Pattern),
    /// A text that should be an ARN and is not. AWS does not say what it matches.
    Unclear,
}

impl Shape {
    /// Creates the set of one text.
    pub(crate) fn literal(text: &str) -> Self {
        Self::Text(Pattern::literal(text))
    }

    /// Reads a value in which only policy variables have a special meaning.
    pub(crate) fn exact(text: &str, version: Version) -> Self {
        Self::Text(match version {
            Version::V2008 => Pattern::literal(text),
            Version::V2012 => Pattern::with_variables(text, false),
        })
    }

    /// Reads a value whose case does not matter.
    pub(crate) fn any_case(text: &str, version: Version) -> Self {
        let pattern = match version {
            Version::V2008 => Pattern::literal(text),
            Version::V2012 => Pattern::with_variables(text, false),
        };
        // The number of an account has no case.
        let is_one_text = pattern.is_known() && pattern.is_caseless();
        if is_one_text { Self::Text(pattern) } else { Self::AnyCase(pattern.folded()) }
    }

    /// Reads a value with wildcards.
    pub(crate) fn like(text: &str, version: Version) -> Self {
        Self::Text(pattern(text, version))
    }

    /// Reads an ARN with wildcards, or `*` for any text.
    pub(crate) fn arn(text: &str, version: Version) -> Self {
        let whole = pattern(text, version);
        if whole.is_universal() {
            return Self::Text(whole);
        }
        let parts: Vec<_> = split(text).into_iter().map(|part| pattern(part, version)).collect();
        if parts.len() == 6 { Self::Arn { whole, parts } } else { Self::Unclear }
    }

    /// Returns the only text of the set, or `None` if there may be others.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(pattern) | Self::Arn { whole: pattern, .. } => pattern.text(),
            Self::AnyCase(_) | Self::Unclear => None,
        }
    }

    /// Returns the set as a policy writes it, or `None` if it is unclear.
    pub(crate) fn written(&self) -> Option<&str> {
        self.pattern().map(Pattern::as_str)
    }

    /// Returns the work of comparing two sets, in pairs of characters.
    pub(crate) fn effort(&self, other: &Self) -> usize {
        if let (Self::Arn { parts: ours, .. }, Self::Arn { parts: theirs, .. }) = (self, other)
            && have_other_accounts(ours, theirs)
        {
            return 1;
        }
        match (self.pattern(), other.pattern()) {
            (Some(ours), Some(theirs)) => ours.effort(theirs),
            _ => 1,
        }
    }

    fn pattern(&self) -> Option<&Pattern> {
        match self {
            Self::Text(pattern) | Self::AnyCase(pattern) | Self::Arn { whole: pattern, .. } => {
                Some(pattern)
            }
            Self::Unclear => None,
        }
    }

    /// True if the texts of the set are known without the request.
    pub(crate) fn is_known(&self) -> bool {
        self.pattern().is_some_and(Pattern::is_known)
    }

    /// Returns the set in which each policy variable matches any text.
    pub(crate) fn widened(&self) -> Self {
        match self {
            known if known.is_known() => known.clone(),
            Self::Text(pattern) => Self::Text(pattern.widened()),
            Self::AnyCase(pattern) => Self::AnyCase(pattern.widened()),
            Self::Arn { whole, parts } => Self::Arn {
                whole: whole.widened(),
                parts: parts.iter().map(Pattern::widened).collect(),
            },
            Self::Unclear => Self::Unclear,
        }
    }

    /// Judges whether the texts of another set belong to this one.
    pub(crate) fn holds_for(&self, set: &Self) -> Truth {
        match (self, set) {
            (Self::Unclear, _) | (_, Self::Unclear) => Truth::Maybe,
            (Self::Text(pattern), Self::Text(set) | Self::Arn { whole: set, .. }) => {
                pattern.holds_for(set)
            }
            (Self::Arn { parts, .. }, Self::Arn { parts: set, .. }) => all(parts, set),
            (Self::Arn { whole, parts }, Self::Text(set)) => match set.text() {
                Some(text) => {
                    let set: Vec<_> = split(text).into_iter().map(Pattern::literal).collect();
                    if set.len() == 6 { all(parts, &set) } else { Truth::Never }
                }
                None => match set.arn_parts() {
                    Some(set) => all(parts, &set),
                    None => whole.holds_for(set).min(Truth::Maybe),
                },
            },
            (Self::Arn { whole, parts }, Self::AnyCase(set)) => match set.arn_parts() {
                Some(set) => in_any_case(parts, &set),
                None => whole.folded().holds_for(set).min(Truth::Maybe),
            },
            (Self::AnyCase(pattern), Self::AnyCase(set)) => pattern.holds_for(set),
            (Self::AnyCase(pattern), Self::Text(set) | Self::Arn { whole: set, .. }) => {
                pattern.holds_for(&set.folded())
            }
            (Self::Text(pattern), Self::AnyCase(_)) if pattern.is_universal() => Truth::Always,
            (Self::Text(pattern), Self::AnyCase(set)) => {
                pattern.folded().holds_for(set).min(Truth::Maybe)
            }
        }
    }
}

/// True if the accounts of two ARNs differ. This is the quickest comparison.
fn have_other_accounts(parts: &[Pattern], others: &[Pattern]) -> bool {
    match (parts.get(4), others.get(4)) {
        (Some(one), Some(other)) => match (one.text(), other.text()) {
            (Some(one), Some(other)) => one != other,
            _ => false,
        },
        _ => false,
    }
}

fn all(parts: &[Pattern], set: &[Pattern]) -> Truth {
    if have_other_accounts(parts, set) {
        return Truth::Never;
    }
    let mut all = Truth::Always;
    // The last parts differ most often, so they are compared first.
    for (part, set) in parts.iter().zip(set).rev() {
        all = all.and(part.holds_for(set));
        if all == Truth::Never {
            break;
        }
    }
    all
}

/// Judges whether ARNs whose case is not known match. The first part of each ARN is `arn`, as AWS
/// writes it.
fn in_any_case(parts: &[Pattern], set: &[Pattern]) -> Truth {
    let folded: Vec<_> = parts.iter().map(Pattern::folded).collect();
    let is_sure = parts.iter().skip(1).all(Pattern::is_caseless);
    let truth = all(&folded, set);
    if is_sure { truth } else { truth.min(Truth::Maybe) }
}

fn pattern(text: &str, version: Version) -> Pattern {
    match version {
        Version::V2008 => Pattern::wildcard(text),
        Version::V2012 => Pattern::with_variables(text, true),
    }
}

/// Splits an ARN into its parts. Colons within a variable (`${aws:username}`) do not count.
pub(crate) fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut from, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ':' if depth == 0 && parts.len() < 5 => {
                parts.extend(text.get(from..at));
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(text.get(from..));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_an_arn_are_compared_separately() {
        let arn = |text: &str| Shape::arn(text, Version::V2012);
        for (value, set, truth) in [
            ("arn:aws:s3:::acme/*", "arn:aws:s3:::acme/?*", Truth::Always),
            ("arn:aws:s3:::acme", "arn:aws:s3:::acme/?*", Truth::Never),
            ("arn:*acme", "arn:aws:s3:::acme", Truth::Maybe),
            ("*", "arn:aws:s3:::acme", Truth::Always),
            ("arn:aws:iam::1*:role/x", "arn:aws:iam::11:role/x", Truth::Always),
            ("arn:aws:iam::1*:role/x", "arn:aws:iam::11:role/y:role/x", Truth::Never),
            ("arn:aws:s3:::acme/${aws:username}", "arn:aws:s3:::acme/ann", Truth::Maybe),
            ("arn:aws:s3:::acme/${aws:username}", "arn:aws:s3:::acne/ann", Truth::Never),
            ("arn:aws:s3:::acme/a:b", "arn:aws:s3:::acme/a:b", Truth::Always),
        ] {
            assert_eq!(arn(value).holds_for(&arn(set)), truth, "{value} {set}");
        }
        assert_eq!(arn("arn:aws:iam::1:role/x").holds_for(&Shape::literal("role/x")), Truth::Never);
    }
}
