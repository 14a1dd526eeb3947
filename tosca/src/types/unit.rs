//! Amounts with units: sizes, frequencies and times (docs/spec/tosca.md 3).

use crate::error::{Class, Problem};
use crate::yaml::float_text;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// `scalar-unit.size`, in bytes.
    Size,
    /// `scalar-unit.frequency`, in GHz.
    Frequency,
    /// `scalar-unit.time`, in milliseconds.
    Time,
}

const SIZES: &[(&str, f64)] = &[
    ("B", 1.0),
    ("kB", 1e3),
    ("KiB", 1024.0),
    ("MB", 1e6),
    ("MiB", 1_048_576.0),
    ("GB", 1e9),
    ("GiB", 1_073_741_824.0),
    ("TB", 1e12),
    ("TiB", 1_099_511_627_776.0),
];
const FREQUENCIES: &[(&str, f64)] = &[("Hz", 1e-9), ("kHz", 1e-6), ("MHz", 1e-3), ("GHz", 1.0)];
const TIMES: &[(&str, f64)] =
    &[("d", 86_400_000.0), ("h", 3_600_000.0), ("m", 60_000.0), ("s", 1000.0), ("ms", 1.0), ("us", 1e-3), ("ns", 1e-6)];

impl Dimension {
    /// The dimension of a type, none for others.
    #[must_use]
    pub fn of_type(name: &str) -> Option<Self> {
        match name {
            "scalar-unit.size" => Some(Self::Size),
            "scalar-unit.frequency" => Some(Self::Frequency),
            "scalar-unit.time" => Some(Self::Time),
            _ => None,
        }
    }

    fn units(self) -> &'static [(&'static str, f64)] {
        match self {
            Self::Size => SIZES,
            Self::Frequency => FREQUENCIES,
            Self::Time => TIMES,
        }
    }
}

/// A number with a unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measure {
    number: f64,
    unit: &'static str,
    factor: f64,
}

impl Measure {
    /// Reads `20 GB`, `1.5gib`.
    ///
    /// # Errors
    /// It is no number with a unit of this dimension.
    pub fn parse(dimension: Dimension, text: &str) -> Result<Self, Problem> {
        let names = || dimension.units().iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let invalid = || {
            Problem::new(Class::Value, format!("\"{text}\" is not a valid scalar-unit."))
                .expecting(format!("a number and one of {}", names()))
        };
        let trimmed = text.trim();
        let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(end);
        let unit = unit.trim();
        let number: f64 = number.parse().map_err(|_| invalid())?;
        if unit.is_empty() || !unit.bytes().all(|b| b.is_ascii_alphabetic()) {
            return Err(invalid());
        }
        match dimension.units().iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
            Some((unit, factor)) => Ok(Self { number, unit, factor: *factor }),
            None => {
                let message = format!("The unit \"{unit}\" is not valid. Valid units are \"[{}]\".", names());
                Err(Problem::new(Class::Value, message))
            }
        }
    }

    /// The amount in bytes, GHz or milliseconds.
    #[must_use]
    pub fn amount(self) -> f64 {
        self.number * self.factor
    }

    /// The amount and unit in the form that is stored: `20 GB`.
    #[must_use]
    pub fn text(self) -> String {
        let is_whole = self.number.fract() == 0.0 && self.number < 1e15;
        let number = if is_whole { format!("{:.0}", self.number) } else { float_text(self.number) };
        format!("{number} {}", self.unit)
    }
}
