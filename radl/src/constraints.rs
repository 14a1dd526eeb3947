//! Combining features: what one more constraint on a name means for the constraints already there.

use crate::error::RadlError;
use crate::features::{Constraint, Features, Operator, Value, VersionBound};
use crate::units;
use crate::versions;
use indexmap::IndexMap;
use std::cmp::Ordering;

/// What wins when two constraints contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// Nothing: it is an error.
    Error,
    /// What is there already.
    Me,
    /// What is added.
    Other,
    /// What is there already.
    Ignore,
}

impl Features {
    /// Adds one constraint on `name`. Numbers are intersected, groups are matched by their inner `name`, texts and lists
    /// have to be equal; `conflict` says what happens when that fails. With [`Conflict::Other`] a compatible number is
    /// still intersected, while a text is always replaced.
    ///
    /// # Errors
    /// With [`Conflict::Error`], the contradiction, with the line of the added constraint.
    pub fn add(&mut self, name: &str, value: Value, conflict: Conflict) -> Result<(), RadlError> {
        let Some(old) = self.values.get_mut(name) else {
            self.values.insert(name, value);
            return Ok(());
        };
        let combined = match (&mut *old, value) {
            (Value::Contains(old), Value::Contains(new)) => return add_groups(old, *new, conflict),
            (old @ Value::Number { .. }, new @ Value::Number { .. }) => match intersect(old, &new) {
                Some(both) => Ok(both),
                None => Err((new, true)),
            },
            (old, new) if conflict == Conflict::Error && same_text(old, &new) => Ok(old.clone()),
            (old, new) if conflict == Conflict::Error => versions_intersect(old, &new).ok_or((new, false)),
            (_, new) => Err((new, false)),
        };
        match (combined, conflict) {
            (Ok(both), _) => *old = both,
            (Err((new, _)), Conflict::Other) => *old = new,
            (Err(_), Conflict::Me | Conflict::Ignore) => {}
            (Err((new, disjoint)), Conflict::Error) => {
                let text = if disjoint { disjoint_text(name, old) } else { conflict_text(name, old, &new) };
                return Err(RadlError::at_line(new.line(), text).about(name));
            }
        }
        Ok(())
    }

    /// A copy of these features with those of `other` added one after the other; its soft groups are appended.
    ///
    /// # Errors
    /// The first contradiction, with [`Conflict::Error`].
    pub fn apply(&self, other: &Self, conflict: Conflict) -> Result<Self, RadlError> {
        let mut result = self.clone();
        result.absorb(other, conflict)?;
        Ok(result)
    }

    fn absorb(&mut self, other: &Self, conflict: Conflict) -> Result<(), RadlError> {
        let mut softs = other.softs.iter().cloned();
        for (at, (name, value)) in other.values.iter().enumerate() {
            if at == other.before_softs {
                softs.by_ref().for_each(|group| self.add_soft(group));
            }
            self.add(name, value.clone(), conflict)?;
        }
        softs.for_each(|group| self.add_soft(group));
        Ok(())
    }

    /// Whether `other` can be added without contradiction. Its names are independent of each other, so each is looked at
    /// on its own.
    fn accepts(&self, other: &Self) -> bool {
        other.values.iter().all(|(name, new)| match (self.values.get(name), new) {
            (None, _) => true,
            (Some(Value::Contains(old)), Value::Contains(new)) => {
                new.iter().all(|(key, group)| old.get(key).is_none_or(|known| known.accepts(group)))
            }
            (Some(old @ Value::Number { .. }), Value::Number { .. }) => intersect(old, new).is_some(),
            (Some(old), new) => same_text(old, new) || versions_intersect(old, new).is_some(),
        })
    }

    /// These features with `other` applied and then the soft groups, by falling weight and each as a whole; a group that
    /// contradicts what is there is skipped. Returns the features without soft groups and the sum of the weights of the
    /// groups that could be applied (whole if all of them are).
    ///
    /// # Errors
    /// A contradiction with `other`.
    pub fn concrete(&self, other: Option<&Self>) -> Result<(Self, crate::Amount), RadlError> {
        let wished = match other {
            Some(other) => self.apply(other, Conflict::Error)?,
            None => self.clone(),
        };
        let mut groups: Vec<_> = wished.softs.iter().collect();
        groups.sort_by(|a, b| units::compare(b.weight, "", a.weight, ""));
        let mut result = wished.without_softs();
        let mut score = crate::Amount::Integer(0);
        for group in groups {
            let wish = group.features.without_softs();
            if result.accepts(&wish) {
                result.absorb(&wish, Conflict::Error)?;
                score = score + group.weight;
            }
        }
        Ok((result, score))
    }
}

impl Value {
    /// Line of the (first) constraint, from 1; 0 when unknown.
    #[must_use]
    pub fn line(&self) -> u32 {
        match self {
            Self::Number { lower, upper } => lower.as_deref().or(upper.as_deref()).map_or(0, |bound| bound.line),
            Self::Text { line, .. } | Self::List { line, .. } => *line,
            Self::Versions { lower, .. } => lower.line,
            Self::Contains(groups) => {
                groups.values().flat_map(|group| group.iter()).map(|(_, value)| value.line()).next().unwrap_or(0)
            }
            Self::Object(_) => 0,
        }
    }
}

fn add_groups(
    old: &mut IndexMap<String, Features>,
    new: IndexMap<String, Features>,
    conflict: Conflict,
) -> Result<(), RadlError> {
    for (name, group) in new {
        match old.get_mut(&name) {
            Some(known) => known.absorb(&group, conflict)?,
            None => {
                old.insert(name, group);
            }
        }
    }
    Ok(())
}

/// Which of two bounds on the same side is the narrower.
#[derive(Clone, Copy)]
enum Side {
    Lower,
    Upper,
}

/// The intersection of two intervals, none when it is empty. On equal amounts the strict bound stays; if neither or
/// both are strict, the new lower and the old upper one.
fn intersect(old: &Value, new: &Value) -> Option<Value> {
    let (Value::Number { lower: a, upper: b }, Value::Number { lower: c, upper: d }) = (old, new) else {
        return None;
    };
    let lower = narrower(a.as_deref(), c.as_deref(), Side::Lower);
    let upper = narrower(b.as_deref(), d.as_deref(), Side::Upper);
    if let (Some(low), Some(high)) = (lower, upper) {
        match compare(low, high) {
            Ordering::Greater => return None,
            Ordering::Equal if is_strict(low.operator) || is_strict(high.operator) => return None,
            _ => {}
        }
    }
    Some(Value::Number { lower: lower.cloned().map(Box::new), upper: upper.cloned().map(Box::new) })
}

fn narrower<'a>(old: Option<&'a Constraint>, new: Option<&'a Constraint>, side: Side) -> Option<&'a Constraint> {
    let (Some(old_bound), Some(new_bound)) = (old, new) else {
        return old.or(new);
    };
    let new_wins = match (compare(new_bound, old_bound), side) {
        (Ordering::Greater, Side::Lower) | (Ordering::Less, Side::Upper) => true,
        (Ordering::Equal, side) => match (is_strict(old_bound.operator), is_strict(new_bound.operator)) {
            (false, true) => true,
            (true, false) => false,
            _ => matches!(side, Side::Lower),
        },
        _ => false,
    };
    if new_wins { new } else { old }
}

fn compare(a: &Constraint, b: &Constraint) -> Ordering {
    units::compare(a.amount, a.unit.as_deref().unwrap_or(""), b.amount, b.unit.as_deref().unwrap_or(""))
}

fn is_strict(operator: Operator) -> bool {
    matches!(operator, Operator::Lt | Operator::Gt)
}

/// Whether the new value says nothing that the old one does not.
fn same_text(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Text { operator: a, text: old, .. }, Value::Text { operator: b, text: new, .. }) => {
            a == b && old == new
        }
        (Value::List { items: old, .. }, Value::List { items: new, .. }) => old == new,
        (Value::Object(old), Value::Object(new)) => old == new,
        _ => false,
    }
}

/// The bounds that a text sets as a version: `=` sets both.
fn version_bounds(value: &Value) -> Option<(Option<VersionBound>, Option<VersionBound>)> {
    match value {
        Value::Text { operator, text, line } => {
            let bound = Some(VersionBound { operator: *operator, text: text.clone(), line: *line });
            Some(match operator {
                Operator::Eq => (bound.clone(), bound),
                Operator::Ge | Operator::Gt => (bound, None),
                Operator::Le | Operator::Lt => (None, bound),
            })
        }
        Value::Versions { lower, upper } => Some((Some((**lower).clone()), Some((**upper).clone()))),
        _ => None,
    }
}

/// The intersection of two constraints on a version; none when it is empty, or both are plain texts.
fn versions_intersect(old: &Value, new: &Value) -> Option<Value> {
    let is_exact = |value: &Value| matches!(value, Value::Text { operator: Operator::Eq, .. });
    if is_exact(old) && is_exact(new) {
        return None;
    }
    let (a, b) = version_bounds(old)?;
    let (c, d) = version_bounds(new)?;
    let lower = narrower_version(a, c, Ordering::Greater);
    let upper = narrower_version(b, d, Ordering::Less);
    let as_text = |bound: VersionBound| Value::Text { operator: bound.operator, text: bound.text, line: bound.line };
    match (lower, upper) {
        (Some(lower), Some(upper)) => match versions::compare(&lower.text, &upper.text) {
            Ordering::Greater => None,
            Ordering::Equal if is_strict(lower.operator) || is_strict(upper.operator) => None,
            Ordering::Equal if upper.operator == Operator::Eq => Some(as_text(upper)),
            Ordering::Equal if lower.operator == Operator::Eq => Some(as_text(lower)),
            _ => Some(Value::Versions { lower: Box::new(lower), upper: Box::new(upper) }),
        },
        (Some(bound), None) | (None, Some(bound)) => Some(as_text(bound)),
        (None, None) => None,
    }
}

fn narrower_version(old: Option<VersionBound>, new: Option<VersionBound>, wanted: Ordering) -> Option<VersionBound> {
    let (Some(old), Some(new)) = (&old, &new) else {
        return old.or(new);
    };
    let order = versions::compare(&new.text, &old.text);
    let new_is_stricter = is_strict(new.operator) || new.operator == Operator::Eq && !is_strict(old.operator);
    let new_wins = order == wanted || order == Ordering::Equal && new_is_stricter;
    Some(if new_wins { new.clone() } else { old.clone() })
}

fn disjoint_text(name: &str, old: &Value) -> String {
    let text = |bound: Option<&Constraint>| match bound {
        None => "None".to_owned(),
        Some(_) if is_secret(name) => hidden(name),
        Some(bound) => crate::print::bound(name, bound),
    };
    let (lower, upper) = match old {
        Value::Number { lower, upper } => (lower.as_deref(), upper.as_deref()),
        _ => (None, None),
    };
    format!("Disjoint intervals!. Involved features: ['{}', '{}']", text(lower), text(upper))
}

fn conflict_text(name: &str, old: &Value, new: &Value) -> String {
    let text =
        |value: &Value| if may_hold_secret(name, value) { hidden(name) } else { crate::print::feature(name, value) };
    let (old, new) = (text(old), text(new));
    format!("Conflict adding `{new}` because `{old}` is already set and conflict is error")
}

/// Errors reach logs: that two passwords differ is all that may be said about them.
fn hidden(name: &str) -> String {
    format!("{name} = '***'")
}

fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    ["password", "passphrase", "private_key", "proxy", "secret", "token"].iter().any(|word| name.contains(word))
}

/// Whether the name, or one inside a group, is that of a secret.
fn may_hold_secret(name: &str, value: &Value) -> bool {
    let in_group = |group: &Features| group.values.iter().any(|(name, value)| may_hold_secret(name, value));
    is_secret(name)
        || match value {
            Value::Contains(groups) => groups.values().any(in_group),
            Value::Object(_) => true,
            _ => false,
        }
}
