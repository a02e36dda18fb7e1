//! The lines of a message, before they are written for Slack or for e-mail.

use crate::text;

/// A line of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Line(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// The label at the start of a line.
    Label(&'static str),
    /// Words.
    Words(String),
    /// A value, which may come from outside.
    Value(String),
    /// A link.
    Link { to: String, says: String },
    /// JSON, on lines of its own.
    Json(String),
}

impl Line {
    /// Starts a line with a label.
    pub(crate) fn about(label: &'static str) -> Self {
        Self(vec![Segment::Label(label)])
    }

    /// Starts a line with words.
    pub(crate) fn of(words: impl Into<String>) -> Self {
        Self::default().words(words)
    }

    pub(crate) fn words(mut self, words: impl Into<String>) -> Self {
        self.0.push(Segment::Words(words.into()));
        self
    }

    pub(crate) fn value(mut self, value: impl Into<String>) -> Self {
        self.0.push(Segment::Value(value.into()));
        self
    }

    pub(crate) fn link(mut self, to: String, says: impl Into<String>) -> Self {
        self.0.push(Segment::Link { to, says: says.into() });
        self
    }

    pub(crate) fn json(mut self, json: impl Into<String>) -> Self {
        self.0.push(Segment::Json(json.into()));
        self
    }

    /// Writes the line in the format of
    /// [Slack](https://docs.slack.dev/messaging/formatting-message-text).
    pub(crate) fn to_slack(&self) -> String {
        let write = |part: &Segment| match part {
            Segment::Label(label) => format!("*{label}* "),
            Segment::Words(words) => text::slack(words, usize::MAX),
            Segment::Value(value) => text::code(value),
            Segment::Link { to, says } => {
                format!("<{to}|{}>", text::slack(says, usize::MAX).replace('|', "/"))
            }
            Segment::Json(json) => format!("\n{}", text::block(json)),
        };
        self.0.iter().map(write).collect()
    }

    /// Writes the line as plain text, for e-mail.
    pub(crate) fn to_plain(&self) -> String {
        let write = |part: &Segment| match part {
            Segment::Label(label) => format!("{label:<11} "),
            Segment::Words(words) | Segment::Json(words) => text::readable(words, usize::MAX),
            Segment::Value(value) => text::readable(value, text::LONGEST_VALUE),
            Segment::Link { to, says } => format!("{}: {to} ", text::readable(says, usize::MAX)),
        };
        self.0.iter().map(write).collect::<String>().trim_end().to_owned()
    }
}
