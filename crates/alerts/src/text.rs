//! Text that may come from outside, made safe to show to people.

/// The longest value of a single fact, in characters. Longer values come from outside and are cut.
pub(crate) const LONGEST_VALUE: usize = 300;

/// Makes a text one line without control characters and without marks that change its direction.
/// The result has at most `longest` characters. A text that is cut ends in `...`.
pub(crate) fn readable(text: &str, longest: usize) -> String {
    let clean = |c: char| match c {
        c if c.is_whitespace() => ' ',
        c if c.is_alphanumeric() || c.is_ascii_graphic() => c,
        _ => '?',
    };
    fit(text, longest, |c| clean(c).to_string())
}

/// Writes a text in Slack's [mrkdwn](https://docs.slack.dev/messaging/formatting-message-text) so
/// that no part of it is markup or a link.
///
/// - `&`, `<` and `>` are escaped.
/// - Characters that make text bold, italic, struck or code are replaced by similar ones.
/// - URLs are broken, because Slack makes links of them.
///
/// The result has at most `longest` characters as written.
pub(crate) fn slack(text: &str, longest: usize) -> String {
    let calm = |c: char| match c {
        '*' => "\u{2217}".to_owned(),
        '_' => "\u{ff3f}".to_owned(),
        '~' => "\u{223c}".to_owned(),
        '`' => "'".to_owned(),
        c => escaped(c),
    };
    fit(&readable(text, usize::MAX).replace("://", "[:]//"), longest, calm)
}

/// Writes a value from outside in Slack's mrkdwn, as code, so that no part of it is markup, an
/// emoji or a link. At most [`LONGEST_VALUE`] characters of the value are kept.
pub(crate) fn code(text: &str) -> String {
    let plain = readable(text, LONGEST_VALUE);
    let within = fit(if plain.is_empty() { "(empty)" } else { &plain }, usize::MAX, |c| match c {
        '`' => "'".to_owned(),
        c => escaped(c),
    });
    format!("`{within}`")
}

/// Writes a text in Slack's mrkdwn as a block of code.
pub(crate) fn block(text: &str) -> String {
    let within = fit(&readable(text, usize::MAX), usize::MAX, |c| match c {
        '`' => "'".to_owned(),
        c => escaped(c),
    });
    format!("```{within}```")
}

/// Escapes a character for Slack's
/// [mrkdwn](https://docs.slack.dev/messaging/formatting-message-text): "There are three characters
/// that you must escape".
fn escaped(c: char) -> String {
    match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        c => c.to_string(),
    }
}

/// Writes a text character by character with `render`. A text that would exceed `longest` is cut
/// between two characters.
fn fit(text: &str, longest: usize, render: impl Fn(char) -> String) -> String {
    const DOTS: &str = "...";
    let rendered: Vec<_> = text.chars().map(render).collect();
    let width = |parts: &[String]| parts.iter().map(|part| part.chars().count()).sum::<usize>();
    if width(&rendered) <= longest {
        return rendered.concat();
    }
    let mut room = longest.saturating_sub(DOTS.len());
    let kept = rendered.iter().take_while(|part| {
        let width = part.chars().count();
        let fits = width <= room;
        room = room.saturating_sub(width);
        fits
    });
    let kept: String = kept.cloned().collect();
    kept.chars().chain(DOTS.chars()).take(longest).collect()
}

/// Splits a text into sentences, and joins them as long as they fit into `longest` characters. A
/// sentence that does not fit is cut.
pub(crate) fn steps(text: &str, longest: usize) -> Vec<String> {
    let mut steps: Vec<String> = Vec::new();
    for sentence in
        text.split_inclusive(". ").map(str::trim).filter(|sentence| !sentence.is_empty())
    {
        let sentence = slack(sentence, longest);
        match steps.last_mut() {
            Some(step) if step.chars().count() + 1 + sentence.chars().count() <= longest => {
                step.push(' ');
                step.push_str(&sentence);
            }
            _ => steps.push(sentence),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        for (text, expected_slack, expected_code) in [
            ("acme-data.logs", "acme-data.logs", "`acme-data.logs`"),
            (
                "<!channel> *now*",
                "&lt;!channel&gt; \u{2217}now\u{2217}",
                "`&lt;!channel&gt; *now*`",
            ),
            ("a`b`_c_ ~d~", "a'b'\u{ff3f}c\u{ff3f} \u{223c}d\u{223c}", "`a'b'_c_ ~d~`"),
            (
                "<https://evil.example|click> & go",
                "&lt;https[:]//evil.example|click&gt; &amp; go",
                "`&lt;https://evil.example|click&gt; &amp; go`",
            ),
            ("two\nlines\u{202e}\u{0}", "two lines??", "`two lines??`"),
            ("Zahlungen München 支払", "Zahlungen München 支払", "`Zahlungen München 支払`"),
            ("", "", "`(empty)`"),
        ] {
            assert_eq!(
                (slack(text, 1000).as_str(), code(text).as_str()),
                (expected_slack, expected_code)
            );
        }
    }

    #[test]
    fn steps_are_whole_sentences_if_they_fit() {
        assert_eq!(steps("Do this. Then that. ", 100), ["Do this. Then that."]);
        assert_eq!(steps("Do this. Then that.", 12), ["Do this.", "Then that."]);
        assert_eq!(steps("Do something long.", 10), ["Do some..."]);
    }

    proptest! {
        #[test]
        fn the_limit_holds_and_entities_stay_whole(text in "[&<>*`a ü\\PC]{0,60}", longest in 3usize..40) {
            for alerted in steps(&text, longest).into_iter().chain([slack(&text, longest)]) {
                prop_assert!(alerted.chars().count() <= longest, "{}", alerted);
                prop_assert!(!alerted.contains(['<', '>', '`', '*']), "{}", alerted);
                let whole = ["&amp;", "&lt;", "&gt;"].iter().map(|entity| alerted.matches(entity).count()).sum::<usize>();
                prop_assert_eq!(alerted.matches('&').count(), whole, "{}", alerted);
            }
        }
    }
}
