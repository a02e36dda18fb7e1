//! The set of requests that a question still has to decide.

use super::{known_values::KnownValues, shape::Shape};
use crate::{Pattern, Version};

/// A set of requests, described by what they all have in common.
#[derive(Debug, Clone)]
pub(super) struct Space {
    /// Patterns in small letters, all of which the action matches.
    pub(super) actions: Vec<Pattern>,
    /// Sets that all contain the resource.
    pub(super) resources: Vec<Shape>,
    /// The possible values of the condition keys.
    pub(super) known: KnownValues,
}

impl Space {
    /// Creates the set of all requests for an action on a resource.
    pub(super) fn new(action: &str, resource: &str, known: KnownValues) -> Self {
        Self {
            actions: vec![Pattern::wildcard(&action.to_lowercase())],
            resources: vec![Shape::arn(resource, Version::V2008)],
            known,
        }
    }
}
