//! Texts with wildcards, and sets of texts.
//!
//! `*` stands for any number of characters, none among them, and `?` for one
//! ([string operators](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_String)).
//! A [policy variable](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html) stands for a text
//! that only the request knows.

use crate::truth::Truth;
use std::fmt;

/// A text with wildcards: the set of texts that match it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    source: String,
    tokens: Vec<Token>,
    /// Whether it is one text, without wildcards and variables.
    is_text: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Token {
    /// This character.
    Char(char),
    /// `?`
    One,
    /// `*`
    Many,
    /// A policy variable.
    Unknown,
}

impl Pattern {
    /// A text in which nothing has a special meaning.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        Self::new(text, text.chars().map(Token::Char).collect())
    }

    /// A text in which `*` and `?` are wildcards.
    #[must_use]
    pub fn wildcard(text: &str) -> Self {
        Self::new(text, normal(text.chars().map(wild)))
    }

    fn new(source: &str, tokens: Vec<Token>) -> Self {
        let is_text = tokens.iter().all(|token| matches!(token, Token::Char(_)));
        Self { source: source.to_owned(), tokens, is_text }
    }

    /// A text with policy variables, as the language of 2012-10-17 has them; `${*}`, `${?}` and `${$}` stand for the
    /// characters themselves. `wildcards` says whether `*` and `?` outside of them are wildcards.
    pub(crate) fn with_variables(text: &str, wildcards: bool) -> Self {
        let mut tokens = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let variable = rest.strip_prefix("${").and_then(|open| open.split_once('}'));
            if let Some((name, after)) = variable {
                tokens.push(match name {
                    "*" => Token::Char('*'),
                    "?" => Token::Char('?'),
                    "$" => Token::Char('$'),
                    _ => Token::Unknown,
                });
                rest = after;
            } else {
                tokens.push(if wildcards { wild(next) } else { Token::Char(next) });
                rest = rest.get(next.len_utf8()..).unwrap_or_default();
            }
        }
        Self::new(text, normal(tokens))
    }

    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// The one text that matches, where there is just one.
    pub(crate) fn text(&self) -> Option<String> {
        let character = |token: &Token| if let Token::Char(c) = token { Some(*c) } else { None };
        self.is_text.then(|| self.tokens.iter().filter_map(character).collect())
    }

    /// The texts that may match, whatever the variables stand for.
    pub(crate) fn widened(&self) -> Self {
        let widen = |token: &Token| if *token == Token::Unknown { Token::Many } else { *token };
        Self::new(&self.source, normal(self.tokens.iter().map(widen)))
    }

    /// The same with capitals made small, to compare without regard to case.
    pub(crate) fn folded(&self) -> Self {
        let fold = |token: &Token| match token {
            Token::Char(c) => c.to_lowercase().map(Token::Char).collect(),
            other => vec![*other],
        };
        Self::new(&self.source, self.tokens.iter().flat_map(fold).collect())
    }

    /// Whether the pattern matches every text.
    pub(crate) fn is_universal(&self) -> bool {
        self.tokens == [Token::Many]
    }

    /// Whether a text matches; a pattern with variables matches none for sure.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.covers(&Self::literal(text))
    }

    /// What holds for the texts of a set.
    pub(crate) fn holds_for(&self, set: &Self) -> Truth {
        let is_known = |pattern: &Self| !pattern.tokens.contains(&Token::Unknown);
        // One text is in a set or it is not, and most of what is compared is one text.
        if self.is_text && set.is_text {
            Truth::from(self.tokens == set.tokens)
        } else if set.is_text && is_known(self) {
            Truth::from(self.covers(set))
        } else if self.is_text && is_known(set) {
            Truth::from(set.covers(self)).min(Truth::Maybe)
        } else if self.covers(set) {
            Truth::Always
        } else if self.intersects(set) {
            Truth::Maybe
        } else {
            Truth::Never
        }
    }

    /// Whether every text of `set` matches. True is sure; false may be said of a set whose wildcards fall otherwise than
    /// this pattern's. Takes time in the product of the lengths at most.
    pub(crate) fn covers(&self, set: &Self) -> bool {
        if self.parts_at_once(set) {
            return false;
        }
        let (ours, theirs) = (&self.tokens, &set.tokens);
        let (mut here, mut there) = (0, 0);
        // Where to go on from when a `*` of ours has to take one more.
        let mut again: Option<(usize, usize)> = None;
        while let Some(wanted) = theirs.get(there) {
            match (ours.get(here), wanted) {
                (Some(Token::Many), _) => {
                    again = Some((here, there));
                    here += 1;
                }
                (Some(Token::Char(a)), Token::Char(b)) if a == b => {
                    (here, there) = (here + 1, there + 1)
                }
                (Some(Token::One), Token::Char(_) | Token::One) => {
                    (here, there) = (here + 1, there + 1)
                }
                _ => {
                    let Some((star, from)) = again else { return false };
                    again = Some((star, from + 1));
                    (here, there) = (star + 1, from + 1);
                }
            }
        }
        ours.iter().skip(here).all(|token| *token == Token::Many)
    }

    /// Whether some text matches both, whatever the variables stand for. Takes time in the product of the lengths at most.
    pub(crate) fn intersects(&self, other: &Self) -> bool {
        if self.parts_at_once(other) {
            return false;
        }
        // Whether the first tokens of ours, up to each of them, and the first of theirs can match one text.
        let mut row = vec![false; self.tokens.len() + 1];
        if let Some(start) = row.first_mut() {
            *start = true;
        }
        for theirs in &other.tokens {
            self.skip(&mut row, theirs.is_any());
            row = self.step(&row, *theirs);
        }
        self.skip(&mut row, false);
        row.last() == Some(&true)
    }

    /// True where the characters before the first wildcard of either differ already, or those after the last.
    fn parts_at_once(&self, other: &Self) -> bool {
        fn differ<'a>(
            ours: impl Iterator<Item = &'a Token>,
            theirs: impl Iterator<Item = &'a Token>,
        ) -> bool {
            ours.zip(theirs)
                .take_while(|(a, b)| !a.is_any() && !b.is_any())
                .any(|(a, b)| !a.meets(*b))
        }
        differ(self.tokens.iter(), other.tokens.iter())
            || differ(self.tokens.iter().rev(), other.tokens.iter().rev())
    }

    /// How much work it is to compare two patterns, in pairs of characters.
    pub(crate) fn effort(&self, other: &Self) -> usize {
        let (ours, theirs) = (self.tokens.len().max(1), other.tokens.len().max(1));
        if self.parts_at_once(other) || (self.is_text && other.is_text) { 1 } else { ours * theirs }
    }

    /// Our wildcards may match nothing, and theirs what we have.
    fn skip(&self, row: &mut [bool], theirs_is_any: bool) {
        let mut before = false;
        for (here, ours) in row.iter_mut().zip(self.and_end()) {
            *here |= before;
            before = *here && ours.is_some_and(|ours| theirs_is_any || ours.is_any());
        }
    }

    fn step(&self, row: &[bool], theirs: Token) -> Vec<bool> {
        let mut diagonal = false;
        let next = row.iter().zip(self.and_end()).map(|(&here, ours)| {
            let stays = here && (theirs.is_any() || ours.is_some_and(Token::is_any));
            let reached = stays || diagonal;
            diagonal = here
                && !theirs.is_any()
                && ours.is_some_and(|ours| !ours.is_any() && ours.meets(theirs));
            reached
        });
        next.collect()
    }

    fn and_end(&self) -> impl Iterator<Item = Option<&Token>> {
        self.tokens.iter().map(Some).chain([None])
    }
}

impl Token {
    /// Whether it stands for texts of any length.
    fn is_any(&self) -> bool {
        matches!(self, Self::Many | Self::Unknown)
    }

    /// Whether two tokens of one character each can be the same.
    fn meets(self, other: Self) -> bool {
        self == other || self == Self::One || other == Self::One
    }
}

fn wild(character: char) -> Token {
    match character {
        '*' => Token::Many,
        '?' => Token::One,
        other => Token::Char(other),
    }
}

/// In each run of wildcards `?` comes first and `*` once, so that `*?*` and `?*` are the same.
fn normal(tokens: impl IntoIterator<Item = Token>) -> Vec<Token> {
    let mut result = Vec::new();
    let mut many = false;
    for token in tokens {
        match token {
            Token::Many => many = true,
            Token::One => result.push(token),
            Token::Char(_) | Token::Unknown => {
                if std::mem::take(&mut many) {
                    result.push(Token::Many);
                }
                result.push(token);
            }
        }
    }
    if many {
        result.push(Token::Many);
    }
    result
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wildcards_match_as_the_page_says() {
        for (pattern, text, matches) in [
            ("*", "", true),
            ("*", "a", true),
            ("", "", true),
            ("", "a", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*c", "ac", true),
            ("a*c", "abcbc", true),
            ("a*c", "abcd", false),
            ("*b*", "abc", true),
            ("s3.*.amazonaws.com", "s3.eu-west-1.amazonaws.com", true),
            ("s3.*.amazonaws.com", "s3.amazonaws.com", false),
            ("ä?", "äö", true),
        ] {
            assert_eq!(Pattern::wildcard(pattern).matches(text), matches, "{pattern} {text}");
        }
        assert!(Pattern::literal("a*").matches("a*"));
        assert!(!Pattern::literal("a*").matches("ab"));
    }

    #[test]
    fn a_pattern_covers_a_set_where_it_matches_each_text_of_it() {
        for (pattern, set, covers) in [
            ("acme/*", "acme/?*", true),
            ("acme/?*", "acme/*", false),
            ("acme/*?", "acme/?*", true),
            ("acme*", "acme/?*", true),
            ("acme/a*", "acme/?*", false),
            ("acme/*a", "acme/?*", false),
            ("*", "acme/?*", true),
            ("s3.*.amazonaws.com", "s3.*.amazonaws.com", true),
            ("s3.*.amazonaws.com", "s3*", false),
            ("?", "*", false),
        ] {
            assert_eq!(
                Pattern::wildcard(pattern).covers(&Pattern::wildcard(set)),
                covers,
                "{pattern} {set}"
            );
        }
    }

    #[test]
    fn variables_are_texts_that_only_the_request_knows() {
        let home = Pattern::with_variables("home/${aws:username}/*", true);
        assert!(!home.covers(&Pattern::literal("home/ann/x")));
        assert_eq!(home.holds_for(&Pattern::literal("home/ann/x")), Truth::Maybe);
        assert_eq!(home.holds_for(&Pattern::literal("house/ann/x")), Truth::Never);
        assert_eq!(Pattern::with_variables("a${*}${?}${$}", true).text().as_deref(), Some("a*?$"));
        assert_eq!(Pattern::with_variables("${open", false).text().as_deref(), Some("${open"));
    }

    /// By trying everything: only for the short texts of a test.
    fn matches_slowly(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), None) => matches_slowly(rest, text),
            (Some(('*', rest)), Some((_, after))) => {
                matches_slowly(rest, text) || matches_slowly(pattern, after)
            }
            (Some(('?', rest)), Some((_, after))) => matches_slowly(rest, after),
            (Some((a, rest)), Some((b, after))) => a == b && matches_slowly(rest, after),
            _ => false,
        }
    }

    fn texts(longest: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut last = all.clone();
        for _ in 0..longest {
            last = last.iter().flat_map(|text| ["a", "b"].map(|c| format!("{text}{c}"))).collect();
            all.extend(last.clone());
        }
        all
    }

    proptest! {
        #[test]
        fn sets_are_what_their_texts_say(one in "[ab*?]{0,5}", two in "[ab*?]{0,5}") {
            let slow = |pattern: &str, text: &str| {
                let (pattern, text): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
                matches_slowly(&pattern, &text)
            };
            let (first, second) = (Pattern::wildcard(&one), Pattern::wildcard(&two));
            let texts = texts(8);
            for text in &texts {
                prop_assert_eq!(first.matches(text), slow(&one, text), "{} {}", one, text);
            }
            prop_assert_eq!(first.intersects(&second), texts.iter().any(|text| slow(&one, text) && slow(&two, text)));
            prop_assert_eq!(first.intersects(&second), second.intersects(&first));
            if first.covers(&second) {
                prop_assert!(texts.iter().all(|text| !slow(&two, text) || slow(&one, text)));
            }
        }
    }
}
