//! The sets of requests that questions are about.

use crate::{
    Pattern, Version,
    analysis::{
        Shape,
        caller::{KEYS_OF_SERVICES, SERVICE_KEY},
    },
};

/// A set of requests: an action, a resource, and what is known of their condition keys.
#[derive(Debug, Clone)]
pub struct Request {
    /// The action with its service, such as `kms:Decrypt`. With wildcards (`s3:*`), every action
    /// that matches.
    pub action: String,
    /// The ARN of the resource. With wildcards (`arn:aws:s3:::acme/?*`), every resource that
    /// matches.
    pub resource: String,
    /// The known condition keys, by their names. Any other key may be absent or have any value.
    pub context: Vec<(String, Given)>,
    /// Actions that match `action`, for examples of such requests. The list is not needed if
    /// `action` is one action.
    pub actions: &'static [&'static str],
    /// The account whose callers are preferred in examples.
    pub account: Option<String>,
    /// Values that policy variables are assumed to have, by the name of their key. The value of the
    /// key itself stays open.
    pub variables: Vec<(String, String)>,
}

impl Request {
    /// Creates a set of requests without known condition keys.
    #[must_use]
    pub fn new(action: impl Into<String>, resource: impl Into<String>) -> Self {
        Self {
            action: action.into(),
            resource: resource.into(),
            context: Vec::new(),
            actions: &[],
            account: None,
            variables: Vec::new(),
        }
    }

    /// Adds a known condition key. The case of its name does not matter.
    #[must_use]
    pub fn with(mut self, key: &str, given: Given) -> Self {
        self.context.push((key.to_owned(), given));
        self
    }

    /// Sets the actions for examples.
    #[must_use]
    pub fn such_as(self, actions: &'static [&'static str]) -> Self {
        Self { actions, ..self }
    }

    /// Sets the value that a policy variable is assumed to have.
    #[must_use]
    pub fn assuming(mut self, variable: &str, value: &str) -> Self {
        self.variables.push((variable.to_owned(), value.to_owned()));
        self
    }

    /// Sets the account whose callers are preferred in examples.
    #[must_use]
    pub fn preferably_by(self, account: &str) -> Self {
        Self { account: Some(account.to_owned()), ..self }
    }

    /// Adds what is known of a request that no AWS service makes for itself. A request without a
    /// signature lacks `aws:PrincipalIsAWSService`.
    #[must_use]
    pub fn not_by_a_service(self) -> Self {
        let not_a_service = self.with(SERVICE_KEY, Given::text("false").or_absent());
        KEYS_OF_SERVICES
            .into_iter()
            .fold(not_a_service, |request, key| request.with(key, Given::absent()))
    }
}

/// The possible values of a condition key, and whether it is present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub(crate) absent: bool,
    pub(crate) present: bool,
    pub(crate) like: Option<Shape>,
    pub(crate) unlike: Vec<Shape>,
    /// Values for examples of requests.
    pub(crate) such_as: Vec<String>,
}

impl Given {
    /// A key that the request does not have.
    #[must_use]
    pub fn absent() -> Self {
        Self { absent: true, present: false, ..Self::unlike([]) }
    }

    /// A key with exactly this value.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::like(Pattern::literal(text))
    }

    /// A key with a value that matches the pattern.
    #[must_use]
    pub fn like(pattern: Pattern) -> Self {
        Self { like: Some(Shape::Text(pattern)), ..Self::unlike([]) }
    }

    /// A key with a value that matches none of the patterns.
    #[must_use]
    pub fn unlike(patterns: impl IntoIterator<Item = Pattern>) -> Self {
        Self {
            absent: false,
            present: true,
            like: None,
            unlike: patterns.into_iter().map(Shape::Text).collect(),
            such_as: Vec::new(),
        }
    }

    /// Sets the values for examples of requests. A value that is not possible is ignored.
    #[must_use]
    pub fn such_as<T: Into<String>>(self, texts: impl IntoIterator<Item = T>) -> Self {
        Self { such_as: texts.into_iter().map(Into::into).collect(), ..self }
    }

    /// Returns the only possible value, or `None` if there may be others.
    pub(crate) fn only(&self) -> Option<&str> {
        self.like.as_ref().filter(|_| self.present)?.text()
    }

    /// A key with an ARN that matches the pattern, each part compared separately.
    pub(crate) fn like_arn(pattern: &str) -> Self {
        Self { like: Some(Shape::arn(pattern, Version::V2008)), ..Self::unlike([]) }
    }

    /// A key with a value that matches none of the ARNs, each part compared separately.
    pub(crate) fn unlike_arns(patterns: impl Iterator<Item = String>) -> Self {
        Self {
            unlike: patterns.map(|pattern| Shape::arn(&pattern, Version::V2008)).collect(),
            ..Self::unlike([])
        }
    }

    /// Excludes these texts from the possible values.
    pub(crate) fn but_not<'a>(mut self, texts: impl Iterator<Item = &'a str>) -> Self {
        self.unlike.extend(texts.map(Shape::literal));
        self
    }

    /// Excludes the texts that match one of the patterns.
    #[must_use]
    pub fn except(mut self, patterns: impl IntoIterator<Item = Pattern>) -> Self {
        self.unlike.extend(patterns.into_iter().map(Shape::Text));
        self
    }

    /// Returns a value for examples, or `None` if none is known.
    pub(crate) fn example(&self) -> Option<&str> {
        self.such_as.first().map(String::as_str).or_else(|| self.only())
    }

    /// Adds the possibility that the key is absent.
    #[must_use]
    pub fn or_absent(self) -> Self {
        Self { absent: true, ..self }
    }
}
