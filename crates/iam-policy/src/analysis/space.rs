//! The requests that are still in question.

use super::{known::Known, shape::Shape};
use crate::{Pattern, Version};

/// A set of requests, by what they all have.
#[derive(Debug, Clone)]
pub(super) struct Space {
    /// Patterns that the action matches, all of them, in small letters.
    pub(super) actions: Vec<Pattern>,
    /// Sets that the resource is in, all of them.
    pub(super) resources: Vec<Shape>,
    /// What is known of condition keys.
    pub(super) known: Known,
}

impl Space {
    /// All requests of an action on a resource.
    pub(super) fn new(action: &str, resource: &str, known: Known) -> Self {
        Self {
            actions: vec![Pattern::wildcard(&action.to_lowercase())],
            resources: vec![Shape::arn(resource, Version::V2008)],
            known,
        }
    }
}
