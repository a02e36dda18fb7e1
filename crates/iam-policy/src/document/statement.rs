//! The element
//! [`Statement`](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_statement.html).

use super::{
    condition::{Condition, Conditions},
    one_or_many::Texts,
    principal::{Principal, Principals},
};
use serde::Deserialize;

/// A statement of a policy that is attached to a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The `Sid`, or `None` if it is missing or empty.
    pub sid: Option<String>,
    /// The effect on the requests to which the statement applies.
    pub effect: Effect,
    /// The principals, by `Principal` or `NotPrincipal`.
    pub principals: Selection<Principal>,
    /// The actions, by `Action` or `NotAction`, with wildcards. Case does not matter.
    pub actions: Selection<String>,
    /// The resources, by `Resource` or `NotResource`, with wildcards.
    pub resources: Selection<String>,
    /// The conditions. All of them must hold.
    pub conditions: Vec<Condition>,
}

/// The effect of a statement on the requests to which it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Effect {
    /// The statement allows the requests.
    Allow,
    /// The statement refuses the requests, even if others allow them.
    Deny,
}

/// An element of a statement, or its `Not` form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection<T> {
    /// `Action`: only the named ones.
    Only(Vec<T>),
    /// `NotAction`: all but the named ones.
    Except(Vec<T>),
}

impl<T> Selection<T> {
    /// Returns the named ones of either form.
    #[must_use]
    pub fn named(&self) -> &[T] {
        match self {
            Self::Only(named) | Self::Except(named) => named,
        }
    }

    fn of(only: Option<Vec<T>>, except: Option<Vec<T>>, name: &str) -> Result<Self, String> {
        match (only, except) {
            (Some(named), None) => Ok(Self::Only(named)),
            (None, Some(named)) if named.is_empty() => Err(format!("an empty `Not{name}`")),
            (None, Some(named)) => Ok(Self::Except(named)),
            (None, None) => Err(format!("neither `{name}` nor `Not{name}`")),
            (Some(_), Some(_)) => Err(format!("both `{name}` and `Not{name}`")),
        }
    }
}

impl Statement {
    /// Returns the statement as version 2012-10-17 writes what version 2008-10-17 means by it: `${`
    /// is a text like any other.
    pub(super) fn without_variables(&self) -> Self {
        let mut statement = self.clone();
        let (Selection::Only(resources) | Selection::Except(resources)) = &mut statement.resources;
        let values = statement.conditions.iter_mut().flat_map(|condition| &mut condition.values);
        for text in resources.iter_mut().chain(values) {
            *text = text.replace("${", "${$}{");
        }
        statement
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct Raw {
    sid: Option<String>,
    effect: Effect,
    principal: Option<Principals>,
    not_principal: Option<Principals>,
    action: Option<Texts>,
    not_action: Option<Texts>,
    resource: Option<Texts>,
    not_resource: Option<Texts>,
    #[serde(default)]
    condition: Conditions,
}

impl TryFrom<Raw> for Statement {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        let texts = |texts: Option<Texts>| texts.map(|Texts(texts)| texts);
        let principals =
            |principals: Option<Principals>| principals.map(|Principals(principals)| principals);
        // KMS accepts a statement without resources, which then "has no effect"
        // (https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-overview.html).
        let nothing = raw.not_resource.is_none().then(Texts::default);
        let resources =
            Selection::of(texts(raw.resource.or(nothing)), texts(raw.not_resource), "Resource")?;
        Ok(Self {
            sid: raw.sid.filter(|sid| !sid.is_empty()),
            effect: raw.effect,
            principals: Selection::of(
                principals(raw.principal),
                principals(raw.not_principal),
                "Principal",
            )?,
            actions: Selection::of(texts(raw.action), texts(raw.not_action), "Action")?,
            resources,
            conditions: raw.condition.0,
        })
    }
}
