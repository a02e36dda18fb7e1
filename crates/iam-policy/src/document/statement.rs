//! The element [`Statement`](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_statement.html).

use super::{
    condition::{Condition, Conditions},
    one_or_many::Texts,
    principal::{Principal, Principals},
};
use serde::Deserialize;

/// One statement of a policy that is attached to a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its `Sid`, where it has one.
    pub sid: Option<String>,
    /// What it does where it applies.
    pub effect: Effect,
    /// Whom it names, by `Principal` or `NotPrincipal`.
    pub principals: Selection<Principal>,
    /// The actions, by `Action` or `NotAction`, with wildcards; their case does not matter.
    pub actions: Selection<String>,
    /// The resources, by `Resource` or `NotResource`, with wildcards.
    pub resources: Selection<String>,
    /// What else must hold, all of it.
    pub conditions: Vec<Condition>,
}

/// What a statement does where it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Effect {
    /// It allows.
    Allow,
    /// It refuses, whatever others allow.
    Deny,
}

/// An element and its `Not` form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection<T> {
    /// `Action`: these.
    Only(Vec<T>),
    /// `NotAction`: all but these.
    Except(Vec<T>),
}

impl<T> Selection<T> {
    /// What is named, be it in or out.
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
        // KMS takes a statement without resources, which then "has no effect"
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
