//! Which instances fit the wished amounts.

use crate::features::{Constraint, Features, Operator, Value};
use crate::units;
use crate::units::Amount;
use std::cmp::Ordering;

/// A wish in one line: operator and amount.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Selector {
    /// How the amount is meant.
    pub operator: Operator,
    /// The amount, in the unit that was asked for.
    pub amount: Amount,
}

impl Features {
    /// The (lower, else upper) bound on `name` in `unit`; `default` is the least that is wanted without the feature.
    /// Where both bounds count, ask [`Features::admits`].
    #[must_use]
    pub fn selector(&self, name: &str, unit: &str, default: i64) -> Selector {
        match self.bound(name) {
            Some(bound) => Selector {
                operator: bound.operator,
                amount: units::convert(bound.amount, bound.unit.as_deref().unwrap_or(""), Some(unit)),
            },
            None => Selector { operator: Operator::Ge, amount: Amount::Integer(default) },
        }
    }

    /// Whether an instance with `amount` of `unit` fulfils every bound on the number `name`; true without the feature.
    #[must_use]
    pub fn admits(&self, name: &str, amount: impl Into<Amount>, unit: &str) -> bool {
        let Some(Value::Number { lower, upper }) = self.get(name) else {
            return true;
        };
        let amount = amount.into();
        lower.iter().chain(upper).all(|bound| bound.admits(amount, unit))
    }
}

impl Constraint {
    /// Whether `amount` of `unit` fulfils this bound.
    #[must_use]
    pub fn admits(&self, amount: Amount, unit: &str) -> bool {
        let order = units::compare(amount, unit, self.amount, self.unit.as_deref().unwrap_or(""));
        match self.operator {
            Operator::Eq => order == Ordering::Equal,
            Operator::Lt => order == Ordering::Less,
            Operator::Le => order != Ordering::Greater,
            Operator::Gt => order == Ordering::Greater,
            Operator::Ge => order != Ordering::Less,
        }
    }
}
