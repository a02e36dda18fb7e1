//! The [custom
//! notification](https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html) that
//! Amazon Q Developer in chat applications shows in Slack.
//!
//! A notification that breaks the schema or a limit is not shown, and no error is reported. So
//! longer texts are cut here.

use crate::{line::Line, text};
use serde::Serialize;
use std::collections::BTreeMap;

/// The longest title, in characters.
const LONGEST_TITLE: usize = 250;
/// The longest description, in characters.
const LONGEST_DESCRIPTION: usize = 8000;
/// The longest next step, in characters.
const LONGEST_STEP: usize = 350;
/// The longest keyword, in characters.
const LONGEST_KEYWORD: usize = 75;

/// A notification, within the documented limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notification {
    version: &'static str,
    source: &'static str,
    content: Content,
    metadata: Metadata,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    text_type: &'static str,
    title: String,
    description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    next_steps: Vec<String>,
    keywords: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<String>,
    summary: String,
    additional_context: BTreeMap<String, String>,
}

/// The parts of a notification.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    /// A symbol for readers who only skim.
    pub(crate) sign: &'static str,
    /// The first line.
    pub(crate) headline: &'a str,
    /// The other lines.
    pub(crate) lines: &'a [Line],
    /// The advice, in sentences.
    pub(crate) advice: &'a str,
    /// The keywords by which the notification can be found.
    pub(crate) keywords: Vec<String>,
    /// The id that messages of one thread share.
    pub(crate) thread: Option<String>,
    /// The values for programs.
    pub(crate) context: BTreeMap<String, String>,
}

impl Notification {
    pub(crate) fn new(draft: Draft<'_>) -> Self {
        let title = format!(
            "{} {}",
            draft.sign,
            text::slack(draft.headline, LONGEST_TITLE - draft.sign.len() - 1)
        );
        let keywords = draft.keywords.iter().map(|keyword| text::slack(keyword, LONGEST_KEYWORD));
        Self {
            version: "1.0",
            source: "custom",
            content: Content {
                text_type: "client-markdown",
                title,
                description: description(draft.lines),
                next_steps: text::steps(draft.advice, LONGEST_STEP),
                keywords: keywords.collect(),
            },
            metadata: Metadata {
                thread_id: draft.thread,
                summary: text::slack(draft.headline, LONGEST_TITLE),
                additional_context: draft.context,
            },
        }
    }
}

/// Writes as many whole lines as fit. Half a link or half a code span would be read as something
/// else.
fn description(lines: &[Line]) -> String {
    let mut description = String::new();
    for line in lines.iter().map(Line::to_slack) {
        if description.chars().count() + line.chars().count() + 1 > LONGEST_DESCRIPTION {
            break;
        }
        description.push_str(&line);
        description.push('\n');
    }
    description.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_notification_keeps_the_limits(
            headline in "[a<&*]{0,400}",
            values in prop::collection::vec("[a<&`]{0,500}", 0..40),
            advice in "[a<&. ]{0,2000}",
        ) {
            let lines: Vec<_> = values.iter().map(|value| Line::of("value ").value(value.as_str())).collect();
            let draft = Draft {
                sign: "\u{1f7e0}",
                headline: &headline,
                lines: &lines,
                advice: &advice,
                keywords: values.clone(),
                thread: None,
                context: BTreeMap::new(),
            };
            let Notification { content, .. } = Notification::new(draft);
            let length = |text: &String| text.chars().count();
            prop_assert!(length(&content.title) <= 250 && length(&content.description) <= 8000);
            prop_assert!(content.next_steps.iter().all(|step| length(step) <= 350));
            prop_assert!(content.keywords.iter().all(|keyword| length(keyword) <= 75));
            prop_assert_eq!(content.description.matches('`').count() % 2, 0);
        }
    }
}
