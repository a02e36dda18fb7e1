//! The condition keys of a policy, and for which of their values each condition holds.
//!
//! The values that the policy names divide all texts of a key into a few sets. A condition that
//! holds for a set holds for each text of the set. If its texts differ, the result is
//! [`Truth::Maybe`]. Each condition is judged once for each set, and the results are looked up as
//! bits afterwards.

use super::{
    TooComplex,
    budget::Budget,
    key_facts::{ALWAYS_PRESENT, Form, ORGANIZATION, ORGANIZATION_PATHS, SINGLE, is_impossible},
    known_values::KnownValues,
    shape::Shape,
    values::{Element, holds, shapes},
};
use crate::{Condition, Effect, Given, Policy, Quantifier, truth::Truth};
use fixedbitset::FixedBitSet;
use std::collections::{HashMap, HashSet};

/// The condition keys of a policy.
#[derive(Debug, Default)]
pub(super) struct ConditionKeys<'p> {
    by_name: HashMap<&'p str, usize>,
    elements: Vec<Vec<Element>>,
    /// For each key, the sets that its value is known not to match: one list for each different
    /// `Given::unlike`.
    unlike: Vec<Vec<Vec<Shape>>>,
    /// True if the elements are samples. A condition that neither holds nor fails for sure then
    /// counts against the request: it fails in an Allow, and holds in a Deny.
    are_samples: bool,
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

impl<'p> ConditionKeys<'p> {
    /// Collects the keys of a policy, with the values that questions name for them.
    pub(super) fn of<'a>(
        policy: &'p Policy,
        asked: impl IntoIterator<Item = (&'a str, &'a Given)>,
    ) -> Self {
        let mut keys = Self::default();
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
                shapes(condition, policy.version)
                    .for_each(|shape| draft.add(&condition.key, &shape));
            }
        }
        for (key, given) in asked {
            if let Some(draft) = keys.named(key).and_then(|number| drafts.get_mut(number)) {
                given.like.iter().for_each(|shape| draft.add(key, shape));
                if !draft.unlike.contains(&given.unlike) {
                    draft.unlike.push(given.unlike.clone());
                }
            }
        }
        let mut names = vec![""; drafts.len()];
        for (key, &number) in &keys.by_name {
            if let Some(name) = names.get_mut(number) {
                *name = key;
            }
        }
        let finished = drafts
            .into_iter()
            .zip(&names)
            .map(|(draft, name)| draft.finish(&Form::of(name), ALWAYS_PRESENT.contains(name)));
        (keys.elements, keys.unlike) = finished.unzip();
        keys
    }

    /// Collects the keys of a policy with these values for each key, in the order in which they are
    /// preferred.
    pub(super) fn of_samples(policy: &'p Policy, values: impl Fn(&str) -> Vec<String>) -> Self {
        let mut keys = Self { are_samples: true, ..Self::default() };
        let mut of_keys: Vec<Vec<&Condition>> = Vec::new();
        for condition in policy.statements.iter().flat_map(|statement| &statement.conditions) {
            let number = *keys.by_name.entry(&condition.key).or_insert(of_keys.len());
            match of_keys.get_mut(number) {
                Some(conditions) => conditions.push(condition),
                None => of_keys.push(vec![condition]),
            }
        }
        for conditions in of_keys {
            let key = conditions.first().map_or("", |condition| &condition.key);
            let mut texts = values(key);
            texts.retain(|text| !is_impossible(key, text));
            let one = |text: &String| Element::Sample(vec![Shape::literal(text)]);
            let mut elements: Vec<_> = texts.iter().map(one).collect();
            let is_set = |it: &&Condition| it.operator.quantifier != Quantifier::Single;
            if !SINGLE.contains(&key) && conditions.iter().all(is_set) {
                elements.extend(pairs(&texts));
            }
            if !ALWAYS_PRESENT.contains(&key) {
                elements.insert(0, Element::Absent);
            }
            keys.elements.push(elements);
        }
        keys
    }

    /// Returns the ways in which the caller's organization and its path in it fit together. One way
    /// that leaves all open, if the policy is not about both. The elements must be samples.
    pub(super) fn organizations(&self) -> Vec<KnownValues> {
        let [Some(id), Some(path)] = [ORGANIZATION, ORGANIZATION_PATHS].map(|key| self.named(key))
        else {
            return vec![KnownValues::default()];
        };
        let elements = |key: usize| self.elements.get(key).map_or(&[][..], Vec::as_slice);
        let text = |element: &Element| match element {
            Element::Sample(texts) => texts.first().and_then(Shape::text).map(str::to_owned),
            _ => None,
        };
        let fitting = |key: usize, fits: &dyn Fn(Option<&str>) -> bool| {
            let all = elements(key);
            let mut bits = FixedBitSet::with_capacity(all.len());
            bits.extend(
                all.iter()
                    .enumerate()
                    .filter(|(_, it)| fits(text(it).as_deref()))
                    .map(|(at, _)| at),
            );
            bits
        };
        let way = |organization: Option<String>| {
            let own = organization.as_deref();
            let is_within = |path: Option<&str>| match (own, path) {
                (Some(own), Some(path)) => path.split('/').next() == Some(own),
                (own, path) => own.is_none() && path.is_none(),
            };
            let mut known = KnownValues::default();
            let fits = known.narrow(id, &fitting(id, &|text| text == own))
                && known.narrow(path, &fitting(path, &is_within));
            fits.then_some(known)
        };
        elements(id).iter().map(text).filter_map(way).collect()
    }

    /// Returns for each key that matters the first of its possible values, `None` if the key is
    /// absent. The elements must be samples.
    pub(super) fn chosen(
        &self,
        known: &KnownValues,
        matters: impl Fn(usize) -> bool,
    ) -> impl Iterator<Item = (&'p str, Option<Vec<String>>)> {
        let keys = self.by_name.iter().filter(move |(_, number)| matters(**number));
        keys.filter_map(|(name, &number)| {
            let elements = self.elements.get(number)?;
            let element = match known.first(number) {
                Some(first) => elements.get(first)?,
                None => elements.first()?,
            };
            let Element::Sample(texts) = element else { return Some((*name, None)) };
            Some((*name, Some(texts.iter().filter_map(Shape::text).map(str::to_owned).collect())))
        })
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
        effect: Effect,
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
        let truth = |element| match (holds(condition, &values, element), effect) {
            (Truth::Maybe, Effect::Allow) if self.are_samples => Truth::Never,
            (Truth::Maybe, Effect::Deny) if self.are_samples => Truth::Always,
            (truth, _) => truth,
        };
        let truths: Vec<_> = elements.iter().map(truth).collect();
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
            Element::Sample(texts) => {
                given.present
                    && texts.iter().all(|text| {
                        given.like.as_ref().is_none_or(|it| it.holds_for(text) == Truth::Always)
                            && given.unlike.iter().all(|it| it.holds_for(text) == Truth::Never)
                    })
            }
        };
        let mut bits = FixedBitSet::with_capacity(elements.len());
        bits.extend(
            elements.iter().enumerate().filter(|(_, element)| allows(element)).map(|(at, _)| at),
        );
        bits
    }
}

/// The greatest number of values of a key of which pairs are made.
const MOST_PAIRED: usize = 4;

/// Returns pairs of the first values, for a key that may have several.
fn pairs(texts: &[String]) -> impl Iterator<Item = Element> {
    let first = texts.iter().take(MOST_PAIRED);
    first.clone().enumerate().flat_map(move |(at, one)| {
        let pair = |two: &String| Element::Sample(vec![Shape::literal(one), Shape::literal(two)]);
        first.clone().skip(at + 1).map(pair).collect::<Vec<_>>()
    })
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
    /// Adds a set of texts of a key, in small letters.
    fn add(&mut self, key: &str, shape: &Shape) {
        let shape = shape.widened();
        let text = match &shape {
            Shape::AnyCase(pattern) => pattern.text(),
            shape => shape.text(),
        };
        if text.is_some_and(|text| is_impossible(key, text)) {
            return;
        }
        if shape != Shape::Unclear && self.seen.insert(shape.clone()) {
            self.sets.push(shape);
        }
    }

    /// Returns the elements of a key, and the cases of `unlike`.
    fn finish(self, form: &Form, is_always_present: bool) -> (Vec<Element>, Vec<Vec<Shape>>) {
        let mut elements = Vec::new();
        if !is_always_present {
            elements.push(Element::Absent);
        }
        if self.several {
            elements.push(Element::Several);
        }
        let names = |text: &str| {
            let text = Shape::literal(text);
            self.sets.iter().any(|set| set.holds_for(&text) == Truth::Always)
        };
        let names_all = match form {
            Form::Like(form) => self.sets.iter().any(|set| set.holds_for(form) == Truth::Always),
            Form::TrueOrFalse => names("true") && names("false"),
        };
        if !names_all {
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
