//! The condition keys of a policy, and for which of their values each condition holds.
//!
//! The values that the policy names divide all texts of a key into a few sets. A condition that
//! holds for a set holds for each text of the set. If its texts differ, the result is
//! [`Truth::Maybe`]. Each condition is judged once for each set, and the results are looked up as
//! bits afterwards.

use super::{
    TooComplex,
    budget::Budget,
    shape::Shape,
    values::{Element, holds, shapes},
};
use crate::{Condition, Given, Policy, Quantifier, truth::Truth};
use fixedbitset::FixedBitSet;
use std::collections::{HashMap, HashSet};

/// The condition keys of a policy.
#[derive(Debug)]
pub(super) struct ConditionKeys<'p> {
    by_name: HashMap<&'p str, usize>,
    elements: Vec<Vec<Element>>,
    /// For each key, the sets that its value is known not to match: one list for each different
    /// `Given::unlike`.
    unlike: Vec<Vec<Vec<Shape>>>,
}

/// The elements of a key for which a condition may hold, and for which it may fail.
#[derive(Debug)]
pub(super) struct JudgedCondition {
    /// The number of the key.
    pub(super) key: usize,
    /// The elements for which the condition may hold.
    pub(super) may_hold: FixedBitSet,
    /// The elements for which the condition may fail.
    pub(super) may_fail: FixedBitSet,
}

/// Keys, in small letters, that have at most one value in a request, as their pages say:
///
/// - [global](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html)
/// - [KMS](https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html)
/// - [S3](https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html)
///
/// Any other key may have several values if the policy uses a set operator on it.
const SINGLE: [&str; 14] = [
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:principaltype",
    "aws:principalisawsservice",
    "aws:securetransport",
    "aws:sourcearn",
    "aws:sourceaccount",
    "aws:viaawsservice",
    "kms:calleraccount",
    "kms:grantisforawsresource",
    "kms:viaservice",
    "s3:x-amz-server-side-encryption",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
];

impl<'p> ConditionKeys<'p> {
    /// Collects the keys of a policy, with the values that questions name for them.
    pub(super) fn of<'a>(
        policy: &'p Policy,
        asked: impl IntoIterator<Item = (&'a str, &'a Given)>,
    ) -> Self {
        let mut keys = Self { by_name: HashMap::new(), elements: Vec::new(), unlike: Vec::new() };
        let mut drafts: Vec<KeyDraft> = Vec::new();
        for condition in policy.statements.iter().flat_map(|statement| &statement.conditions) {
            let new = drafts.len();
            let number = *keys.by_name.entry(&condition.key).or_insert(new);
            if number == new {
                drafts.push(KeyDraft::default());
            }
            if let Some(draft) = drafts.get_mut(number) {
                let several = condition.operator.quantifier != Quantifier::Single;
                draft.several |= several && !SINGLE.contains(&condition.key.as_str());
                shapes(condition, policy.version).for_each(|shape| draft.add(&shape));
            }
        }
        for (key, given) in asked {
            if let Some(draft) = keys.named(key).and_then(|number| drafts.get_mut(number)) {
                given.like.iter().for_each(|shape| draft.add(shape));
                if !draft.unlike.contains(&given.unlike) {
                    draft.unlike.push(given.unlike.clone());
                }
            }
        }
        (keys.elements, keys.unlike) = drafts.into_iter().map(KeyDraft::finish).unzip();
        keys
    }

    /// Returns the number of a key, or `None` if no condition of the policy uses it.
    pub(super) fn named(&self, key: &str) -> Option<usize> {
        self.by_name.get(key).copied()
    }

    /// Returns the name of a key, in small letters.
    pub(super) fn name(&self, number: usize) -> &'p str {
        self.by_name.iter().find(|(_, other)| **other == number).map_or("", |(name, _)| name)
    }

    /// Judges a condition of the policy for each element of its key.
    pub(super) fn judge(
        &self,
        condition: &Condition,
        policy: &Policy,
        budget: &Budget,
    ) -> Result<JudgedCondition, TooComplex> {
        let key = self.named(&condition.key).unwrap_or(usize::MAX);
        let values: Vec<_> = shapes(condition, policy.version).collect();
        let elements = self.elements.get(key).map_or(&[][..], Vec::as_slice);
        let sets = elements.iter().filter_map(|element| {
            if let Element::Of { set, .. } = element { Some(set) } else { None }
        });
        for set in sets {
            budget.compare(values.iter().map(|value| value.effort(set)).sum())?;
        }
        let truths: Vec<_> =
            elements.iter().map(|element| holds(condition, &values, element)).collect();
        let bits = |not: Truth| {
            let mut bits = FixedBitSet::with_capacity(truths.len());
            bits.extend(
                truths.iter().enumerate().filter(|(_, truth)| **truth != not).map(|(at, _)| at),
            );
            bits
        };
        Ok(JudgedCondition { key, may_hold: bits(Truth::Never), may_fail: bits(Truth::Always) })
    }

    /// Returns the elements that a key may have, by what is known of it.
    pub(super) fn allowed(&self, number: usize, given: &Given) -> FixedBitSet {
        let elements = self.elements.get(number).map_or(&[][..], Vec::as_slice);
        let known = self
            .unlike
            .get(number)
            .and_then(|unlike| unlike.iter().position(|one| *one == given.unlike));
        let allows = |element: &Element| match element {
            Element::Absent => given.absent,
            Element::Of { set, unlike, .. } => {
                given.present
                    && known.is_none_or(|known| unlike.contains(&known))
                    && given.like.as_ref().is_none_or(|like| may_be(like, set))
            }
            Element::Other => given.present && given.like.is_none(),
            Element::Several => false,
        };
        let mut bits = FixedBitSet::with_capacity(elements.len());
        bits.extend(
            elements.iter().enumerate().filter(|(_, element)| allows(element)).map(|(at, _)| at),
        );
        bits
    }
}

/// True if a value that is known to match `like` may be in a set. The set does not include narrower
/// sets, and `like` is a set itself.
fn may_be(like: &Shape, set: &Shape) -> bool {
    match like.holds_for(set) {
        Truth::Always => true,
        Truth::Maybe => set.holds_for(like) != Truth::Always,
        Truth::Never => false,
    }
}

/// The sets of a key, collected before its elements are known.
#[derive(Default)]
struct KeyDraft {
    sets: Vec<Shape>,
    seen: HashSet<Shape>,
    unlike: Vec<Vec<Shape>>,
    several: bool,
}

impl KeyDraft {
    fn add(&mut self, shape: &Shape) {
        let shape = shape.widened();
        if shape != Shape::Unclear && self.seen.insert(shape.clone()) {
            self.sets.push(shape);
        }
    }

    fn finish(self) -> (Vec<Element>, Vec<Vec<Shape>>) {
        let mut elements = vec![Element::Absent];
        if self.several {
            elements.push(Element::Several);
        }
        if !self.sets.iter().any(Shape::is_universal) {
            elements.push(Element::Other);
        }
        for set in self.sets {
            // Each case of `unlike` leaves a part of the set. Several cases may leave the same
            // part, or nothing.
            let mut parts: Vec<(Vec<Shape>, Vec<usize>)> = vec![(Vec::new(), Vec::new())];
            for (number, unlike) in self.unlike.iter().enumerate() {
                let Some(without) = left_of(&set, unlike) else { continue };
                match parts.iter_mut().find(|(other, _)| *other == without) {
                    Some((_, numbers)) => numbers.push(number),
                    None => parts.push((without, vec![number])),
                }
            }
            let element = |(without, unlike)| Element::Of { set: set.clone(), without, unlike };
            elements.extend(parts.into_iter().map(element));
        }
        (elements, self.unlike)
    }
}

/// Returns the sets to exclude from `set` if its texts match none of `unlike`. `None` if nothing is
/// left.
fn left_of(set: &Shape, unlike: &[Shape]) -> Option<Vec<Shape>> {
    let mut without = Vec::new();
    for shape in unlike {
        match shape.holds_for(set) {
            Truth::Always => return None,
            Truth::Maybe => without.push(shape.clone()),
            Truth::Never => {}
        }
    }
    Some(without)
}
