//! Amounts and their units: decimal K, M, G, T and binary Ki, Mi, Gi, Ti, and exact arithmetic with them.

use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, iter::Sum, ops::Add};

/// A number of a document: integers stay integers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Amount {
    /// A whole number.
    Integer(i64),
    /// A number written with a dot.
    Float(f64),
}

impl Amount {
    /// The amount as a float (large integers lose precision).
    #[must_use]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Integer(i) => i as f64,
            Self::Float(f) => f,
        }
    }
}

impl From<i64> for Amount {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<f64> for Amount {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl Add for Amount {
    type Output = Self;

    /// Whole numbers stay whole, unless they get too large.
    fn add(self, other: Self) -> Self {
        let whole = match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.checked_add(b),
            _ => None,
        };
        whole.map_or_else(|| Self::Float(self.as_f64() + other.as_f64()), Self::Integer)
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::Integer(0), Add::add)
    }
}

/// Factor of a known unit: sizes in any case with an optional final B, and the performance units (factor 1).
/// None for a word that is no unit.
#[must_use]
pub fn factor(unit: &str) -> Option<i64> {
    let unit = unit.to_uppercase();
    if matches!(unit.as_str(), "" | "B" | "ECU" | "GCEU" | "HRZ") {
        return Some(1);
    }
    Some(match unit.strip_suffix('B').unwrap_or(&unit) {
        "K" => 1_000,
        "KI" => 1 << 10,
        "M" => 1_000_000,
        "MI" => 1 << 20,
        "G" => 1_000_000_000,
        "GI" => 1 << 30,
        "T" => 1_000_000_000_000,
        "TI" => 1 << 40,
        _ => return None,
    })
}

/// Base units in a unit, 1 for an unknown one: what amounts of features that no rule checks count as.
#[must_use]
pub fn unit_factor(unit: &str) -> i64 {
    factor(unit).unwrap_or(1)
}

/// `amount` of `unit` read in `wanted` (none: base units). Whole amounts stay whole, rounded to the nearest with ties
/// to even; the others stay decimal.
#[must_use]
pub fn convert(amount: Amount, unit: &str, wanted: Option<&str>) -> Amount {
    let (own, target) = (unit_factor(unit), wanted.map_or(1, unit_factor));
    match amount {
        Amount::Integer(whole) => {
            let product = i128::from(whole) * i128::from(own);
            let rounded = div_ties_even(product, i128::from(target));
            i64::try_from(rounded).map_or(Amount::Float(rounded as f64), Amount::Integer)
        }
        Amount::Float(decimal) if own == target => Amount::Float(decimal),
        Amount::Float(decimal) => Amount::Float(decimal * own as f64 / target as f64),
    }
}

fn div_ties_even(dividend: i128, divisor: i128) -> i128 {
    let (floor, rest) = (dividend.div_euclid(divisor), dividend.rem_euclid(divisor));
    match (rest * 2).cmp(&divisor) {
        Ordering::Less => floor,
        Ordering::Greater => floor + 1,
        Ordering::Equal => floor + floor.rem_euclid(2),
    }
}

/// Whether the amount can be written in base units: whole ones in 64 bits, decimal ones as a finite number.
#[must_use]
pub fn in_range(amount: Amount, unit: &str) -> bool {
    let factor = unit_factor(unit);
    match amount {
        Amount::Integer(whole) => whole.checked_mul(factor).is_some(),
        Amount::Float(decimal) => (decimal * factor as f64).is_finite(),
    }
}

/// Compares two amounts in base units: whole numbers exactly, whatever their size.
#[must_use]
pub fn compare(a: Amount, a_unit: &str, b: Amount, b_unit: &str) -> Ordering {
    match (base(a, a_unit), base(b, b_unit)) {
        (Base::Whole(a), Base::Whole(b)) => a.cmp(&b),
        (Base::Decimal(a), Base::Decimal(b)) => a.total_cmp(&b),
        (Base::Whole(a), Base::Decimal(b)) => compare_mixed(a, b),
        (Base::Decimal(a), Base::Whole(b)) => compare_mixed(b, a).reverse(),
    }
}

enum Base {
    Whole(i128),
    Decimal(f64),
}

fn base(amount: Amount, unit: &str) -> Base {
    let factor = unit_factor(unit);
    match amount {
        Amount::Integer(whole) => Base::Whole(i128::from(whole) * i128::from(factor)),
        // Adding zero turns -0.0 into 0.0, which the total order would tell apart.
        Amount::Float(decimal) => Base::Decimal(decimal * factor as f64 + 0.0),
    }
}

fn compare_mixed(whole: i128, decimal: f64) -> Ordering {
    // The cast saturates, and no whole amount in base units comes near its limits.
    let truncated = decimal as i128;
    whole.cmp(&truncated).then_with(|| 0.0_f64.total_cmp(&(decimal.fract() + 0.0)))
}
