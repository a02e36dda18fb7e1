//! Texts with wildcards, and sets of texts.
//!
//! `*` matches any number of characters, including zero, and `?` matches one character ([string
//! operators](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_String)).
//! A [policy
//! variable](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html) is
//! a text that only the request knows.

use crate::truth::Truth;
use std::{
    fmt,
    hash::{Hash, Hasher},
};

/// A text with wildcards: the set of texts that match it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    source: String,
    tokens: Vec<Token>,
    /// The text, if the pattern matches only one. `None` if it has wildcards or variables.
    text: Option<Box<str>>,
}

/// Hashes the source only, which is shorter than the tokens. Equal patterns have the same source.
impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source.hash(state);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// A character that matches itself.
    Char(char),
    /// `?`
    One,
    /// `*`
    Many,
    /// A policy variable.
    Unknown,
}

impl Pattern {
    /// Reads a text in which no character has a special meaning.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        Self::new(text, text.chars().map(Token::Char).collect())
    }

    /// Reads a text in which `*` and `?` are wildcards.
    #[must_use]
    pub fn wildcard(text: &str) -> Self {
        Self::new(text, normal(text.chars().map(wild)))
    }

    fn new(source: &str, tokens: Vec<Token>) -> Self {
        let character = |token: &Token| if let Token::Char(c) = token { Some(*c) } else { None };
        let text = tokens.iter().map(character).collect::<Option<String>>().map(String::into);
        Self { source: source.to_owned(), tokens, text }
    }

    /// Reads a text with policy variables, as language version 2012-10-17 has them. `${*}`, `${?}`
    /// and `${$}` are the characters themselves. `wildcards` is true if `*` and `?` outside of
    /// variables are wildcards.
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

    /// Returns the one text that matches, or `None` if the pattern has wildcards or variables.
    pub(crate) fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// Returns a text that matches, with `fill` in place of each `*`. `None` for a pattern with
    /// variables.
    pub(crate) fn example(&self, fill: &str) -> Option<String> {
        let mut text = String::new();
        for (at, token) in self.tokens.iter().enumerate() {
            let is_filled = !fill.is_empty() && self.tokens.get(at + 1) == Some(&Token::Many);
            match token {
                Token::Char(c) => text.push(*c),
                // The filling of `?*` is not empty.
                Token::One if is_filled => {}
                Token::One => text.push('0'),
                Token::Many => text.push_str(fill),
                Token::Unknown => return None,
            }
        }
        Some(text)
    }

    /// Returns the pattern with `*` in place of each variable. It matches every text that may match
    /// this one.
    pub(crate) fn widened(&self) -> Self {
        let widen = |token: &Token| if *token == Token::Unknown { Token::Many } else { *token };
        Self::new(&self.source, normal(self.tokens.iter().map(widen)))
    }

    /// Returns the pattern in small letters, for comparisons that ignore case.
    pub(crate) fn folded(&self) -> Self {
        let fold = |token: &Token| match token {
            Token::Char(c) => c.to_lowercase().map(Token::Char).collect(),
            other => vec![*other],
        };
        Self::new(&self.source, self.tokens.iter().flat_map(fold).collect())
    }

    /// Splits the pattern at its first five colons. `None` if it has fewer, or if a wildcard or a
    /// variable before the fifth may match a colon itself.
    pub(crate) fn arn_parts(&self) -> Option<Vec<Self>> {
        let fixed = self.tokens.iter().take_while(|token| matches!(token, Token::Char(_)));
        let colons: Vec<_> = fixed
            .enumerate()
            .filter_map(|(at, token)| (*token == Token::Char(':')).then_some(at))
            .take(5)
            .collect();
        let ends = colons.iter().copied().chain([self.tokens.len()]);
        let starts = std::iter::once(0).chain(colons.iter().map(|at| at + 1));
        let part = |(start, end): (usize, usize)| self.tokens.get(start..end);
        let parts: Vec<_> = starts
            .zip(ends)
            .filter_map(part)
            .map(|tokens| Self::new(&self.source, tokens.to_vec()))
            .collect();
        (parts.len() == 6).then_some(parts)
    }

    /// True if no character of the pattern has a capital and a small form.
    pub(crate) fn is_caseless(&self) -> bool {
        let is_caseless = |c: char| !c.is_lowercase() && !c.is_uppercase();
        self.tokens.iter().all(|token| !matches!(token, Token::Char(c) if !is_caseless(*c)))
    }

    /// True if the pattern has no variables.
    pub(crate) fn is_known(&self) -> bool {
        self.text.is_some() || !self.tokens.contains(&Token::Unknown)
    }

    /// True if the pattern matches every text.
    pub(crate) fn is_universal(&self) -> bool {
        self.tokens == [Token::Many]
    }

    /// True if the text matches. False for a pattern with variables, because their values are
    /// unknown.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.covers(&Self::literal(text))
    }

    /// Judges whether the texts of a set match.
    pub(crate) fn holds_for(&self, set: &Self) -> Truth {
        // A single text is in a set or it is not. Most comparisons are of single texts.
        if let (Some(text), Some(other)) = (&self.text, &set.text) {
            Truth::from(text == other)
        } else if set.text.is_some() && self.is_known() {
            Truth::from(self.covers(set))
        } else if self.text.is_some() && set.is_known() {
            Truth::from(set.covers(self)).min(Truth::Maybe)
        } else if self.covers(set) {
            Truth::Always
        } else if self.intersects(set) {
            Truth::Maybe
        } else {
            Truth::Never
        }
    }

    /// True if every text of `set` matches. True is certain. False is not: a set whose wildcards
    /// are at other places than this pattern's may be covered all the same. Takes time in the
    /// product of the lengths at most.
    pub(crate) fn covers(&self, set: &Self) -> bool {
        if self.parts_at_once(set) {
            return false;
        }
        let (ours, theirs) = (&self.tokens, &set.tokens);
        let (mut here, mut there) = (0, 0);
        // The positions to continue at if a `*` of ours must match one more token.
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

    /// True if some text matches both patterns for some values of the variables. Takes time in the
    /// product of the lengths at most.
    pub(crate) fn intersects(&self, other: &Self) -> bool {
        if self.parts_at_once(other) {
            return false;
        }
        // `row[n]` is true if our first `n` tokens and the tokens of theirs so far can match one
        // text.
        let mut row = vec![false; self.tokens.len() + 1];
        if let Some(start) = row.first_mut() {
            *start = true;
        }
        for theirs in &other.tokens {
            self.skip(&mut row, theirs.is_any());
            self.step(&mut row, *theirs);
        }
        self.skip(&mut row, false);
        row.last() == Some(&true)
    }

    /// True if the tokens before the first `*` or variable of either pattern cannot match, or those
    /// after the last.
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

    /// Returns the work of comparing two patterns, in pairs of characters.
    pub(crate) fn effort(&self, other: &Self) -> usize {
        let are_texts = self.text.is_some() && other.text.is_some();
        let (ours, theirs) = (self.tokens.len().max(1), other.tokens.len().max(1));
        if are_texts || self.parts_at_once(other) { 1 } else { ours * theirs }
    }

    /// Extends the row past wildcards: ours may match nothing, and theirs may match our tokens.
    fn skip(&self, row: &mut [bool], theirs_is_any: bool) {
        let mut before = false;
        for (here, ours) in row.iter_mut().zip(self.and_end()) {
            *here |= before;
            before = *here && ours.is_some_and(|ours| theirs_is_any || ours.is_any());
        }
    }

    fn step(&self, row: &mut [bool], theirs: Token) {
        let mut diagonal = false;
        for (reached, ours) in row.iter_mut().zip(self.and_end()) {
            let here = *reached;
            let stays = here && (theirs.is_any() || ours.is_some_and(Token::is_any));
            *reached = stays || diagonal;
            diagonal = here
                && !theirs.is_any()
                && ours.is_some_and(|ours| !ours.is_any() && ours.meets(theirs));
        }
    }

    fn and_end(&self) -> impl Iterator<Item = Option<&Token>> {
        self.tokens.iter().map(Some).chain([None])
    }
}

impl Token {
    /// True if the token matches texts of any length.
    fn is_any(&self) -> bool {
        matches!(self, Self::Many | Self::Unknown)
    }

    /// True if two tokens of one character each can match the same character.
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

/// Normalizes each run of wildcards: first every `?`, then at most one `*`. So `*?*` and `?*` are
/// equal.
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
    fn wildcards_match_as_documented() {
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
    fn a_pattern_covers_a_set_if_it_matches_each_of_its_texts() {
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
    fn a_variable_leaves_the_match_open() {
        let home = Pattern::with_variables("home/${aws:username}/*", true);
        assert!(!home.covers(&Pattern::literal("home/ann/x")));
        assert_eq!(home.holds_for(&Pattern::literal("home/ann/x")), Truth::Maybe);
        assert_eq!(home.holds_for(&Pattern::literal("house/ann/x")), Truth::Never);
        assert_eq!(Pattern::with_variables("a${*}${?}${$}", true).text(), Some("a*?$"));
        assert_eq!(Pattern::with_variables("${open", false).text(), Some("${open"));
    }

    /// Matches by trying everything, which is fast enough only for the short texts of a test.
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
        fn set_comparisons_agree_with_trying_every_text(one in "[ab*?]{0,5}", two in "[ab*?]{0,5}") {
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
