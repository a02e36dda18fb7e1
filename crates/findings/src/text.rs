//! Text from outside, made safe to show to people.

/// Makes a text from outside plain. Letters and digits of ASCII, spaces and `-_./:@=+,#()` stay,
/// and every other character becomes `?`.
///
/// So the text holds no control character, no reversed direction and no markup of a chat or a page.
/// The result has at most `longest` characters. A text that is cut ends in `...`.
#[must_use]
pub fn plain(text: &str, longest: usize) -> String {
    cut(&text.chars().map(|c| if is_plain(c) { c } else { '?' }).collect::<String>(), longest)
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || " -_./:@=+,#()".contains(c)
}

/// Cuts a text to at most `longest` characters, between two characters.
pub(crate) fn cut(text: &str, longest: usize) -> String {
    const DOTS: &str = "...";
    match text.char_indices().nth(longest) {
        None => text.to_owned(),
        Some(_) => {
            let kept = text.chars().take(longest.saturating_sub(DOTS.len()));
            kept.chain(DOTS.chars()).take(longest).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_stay_as_they_are() {
        for text in [
            "arn:aws:sts::123456789012:assumed-role/Admin/jane@acme.com",
            "acme-data.logs",
            "aws:kms (own)",
        ] {
            assert_eq!(plain(text, 100), text);
        }
    }

    #[test]
    fn markup_and_control_characters_are_replaced() {
        assert_eq!(plain("<!channel> *now*\u{202e}\n", 100), "??channel? ?now???");
    }

    proptest! {
        #[test]
        fn the_limit_holds_for_any_text(text in "\\PC*", longest in 0usize..40) {
            prop_assert!(plain(&text, longest).chars().count() <= longest);
            prop_assert!(cut(&text, longest).chars().count() <= longest);
        }
    }
}
