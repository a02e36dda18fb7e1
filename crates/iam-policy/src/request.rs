//! Which requests a question is about.

use crate::{Pattern, Version, analysis::Shape};

/// A set of requests: an action, a resource, and what is known of their condition keys.
#[derive(Debug, Clone)]
pub struct Request {
    /// The action, with its service: `kms:Decrypt`. With wildcards, each of them: `s3:*`.
    pub action: String,
    /// The ARN of the resource; with wildcards, each of them: `arn:aws:s3:::acme/?*`.
    pub resource: String,
    /// The condition keys that are known, by name. Of any other key the request may have any value or none.
    pub context: Vec<(String, Given)>,
}

impl Request {
    /// Requests of which no condition key is known.
    #[must_use]
    pub fn new(action: impl Into<String>, resource: impl Into<String>) -> Self {
        Self { action: action.into(), resource: resource.into(), context: Vec::new() }
    }

    /// The same with one more key known; its case does not matter.
    #[must_use]
    pub fn with(mut self, key: &str, given: Given) -> Self {
        self.context.push((key.to_lowercase(), given));
        self
    }
}

/// What is known of a condition key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub(crate) absent: bool,
    pub(crate) present: bool,
    pub(crate) like: Option<Shape>,
    pub(crate) unlike: Vec<Shape>,
}

impl Given {
    /// The request has no such key.
    #[must_use]
    pub fn absent() -> Self {
        Self { absent: true, present: false, like: None, unlike: Vec::new() }
    }

    /// It has this value.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::like(Pattern::literal(text))
    }

    /// It has a value that matches.
    #[must_use]
    pub fn like(pattern: Pattern) -> Self {
        Self { absent: false, present: true, like: Some(Shape::Text(pattern)), unlike: Vec::new() }
    }

    /// It has a value that matches none of these.
    #[must_use]
    pub fn unlike(patterns: impl IntoIterator<Item = Pattern>) -> Self {
        Self {
            absent: false,
            present: true,
            like: None,
            unlike: patterns.into_iter().map(Shape::Text).collect(),
        }
    }

    /// It is an ARN that matches, each part for itself.
    pub(crate) fn like_arn(pattern: &str) -> Self {
        Self { like: Some(Shape::arn(pattern, Version::V2008)), ..Self::unlike([]) }
    }

    /// It is an ARN that matches none of these, each part for itself.
    pub(crate) fn unlike_arns(patterns: impl Iterator<Item = String>) -> Self {
        Self {
            unlike: patterns.map(|pattern| Shape::arn(&pattern, Version::V2008)).collect(),
            ..Self::unlike([])
        }
    }

    /// As said, and none of these texts.
    pub(crate) fn but_not<'a>(mut self, texts: impl Iterator<Item = &'a str>) -> Self {
        self.unlike.extend(texts.map(Shape::literal));
        self
    }

    /// As said, or absent.
    #[must_use]
    pub fn or_absent(self) -> Self {
        Self { absent: true, ..self }
    }
}
