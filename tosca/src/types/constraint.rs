//! Constraints of properties (docs/spec/tosca.md 3).

use super::unit::{Dimension, Measure};
use crate::error::{Class, Problem, Problems};
use crate::yaml::{Data, Value};
use regex::Regex;
use std::cmp::Ordering;

/// One constraint.
#[derive(Debug, Clone)]
pub enum Constraint {
    /// The value has to be this one.
    Equal(Value),
    /// The value has to be greater.
    GreaterThan(Value),
    /// The value has to be at least this.
    GreaterOrEqual(Value),
    /// The value has to be less.
    LessThan(Value),
    /// The value has to be at most this.
    LessOrEqual(Value),
    /// The value has to lie between the two; none is no bound.
    InRange(Option<Value>, Option<Value>),
    /// The value has to be one of these.
    ValidValues(Vec<Value>),
    /// The value has to have exactly this length.
    Length(usize),
    /// The value has to have at least this length.
    MinLength(usize),
    /// The value has to have at most this length.
    MaxLength(usize),
    /// The whole value has to match.
    Pattern(Regex),
}

/// Two requirements are the same when they were written alike; of patterns the text counts.
impl PartialEq for Constraint {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

impl Constraint {
    /// Reads one constraint `{greater_than: 3}`; what is wrong with it goes to `problems`.
    pub(crate) fn read(value: &Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let Some((name, limit)) = value.as_map().filter(|map| map.len() == 1).and_then(|map| map.first()) else {
            problems.mismatch("\"constraints\"", "a map of one pair", value, path);
            return None;
        };
        let mut invalid = |expected: &str| {
            let message = format!("The property \"{name}\" expects {expected}.");
            problems.add(Problem::new(Class::Value, message).at(limit.place, path));
            None
        };
        let length = || limit.integer().and_then(|n| usize::try_from(n).ok());
        Some(match name.as_str() {
            "equal" => Self::Equal(limit.clone()),
            "greater_than" => Self::GreaterThan(limit.clone()),
            "greater_or_equal" => Self::GreaterOrEqual(limit.clone()),
            "less_than" => Self::LessThan(limit.clone()),
            "less_or_equal" => Self::LessOrEqual(limit.clone()),
            "in_range" => match limit.as_list() {
                Some([low, high]) => {
                    let bound = |value: &Value| (value.as_text() != Some("UNBOUNDED")).then(|| value.clone());
                    Self::InRange(bound(low), bound(high))
                }
                _ => return invalid("a list of two values"),
            },
            "valid_values" => match limit.as_list() {
                Some(values) => Self::ValidValues(values.to_vec()),
                None => return invalid("a list of values"),
            },
            "length" => match length() {
                Some(length) => Self::Length(length),
                None => return invalid("an integer"),
            },
            "min_length" => match length() {
                Some(length) => Self::MinLength(length),
                None => return invalid("an integer"),
            },
            "max_length" => match length() {
                Some(length) => Self::MaxLength(length),
                None => return invalid("an integer"),
            },
            "pattern" => match limit.as_text().map(|text| Regex::new(&format!("^(?:{text})$"))) {
                Some(Ok(pattern)) => Self::Pattern(pattern),
                _ => return invalid("a regular expression"),
            },
            other => {
                problems.unknown("\"constraints\"", other, limit, path, &[]);
                return None;
            }
        })
    }

    /// Checks a value of a property of the dimension, if it has one.
    ///
    /// # Errors
    /// The value breaks the constraint.
    pub fn check(&self, property: &str, dimension: Option<Dimension>, value: &Value) -> Result<(), Problem> {
        let fail = |text: String| Err(Problem::new(Class::Validation, text));
        let of = || format!("The value \"{value}\" of property \"{property}\"");
        let orders =
            |limit: &Value, wanted: &[Ordering]| compare(dimension, value, limit).is_some_and(|o| wanted.contains(&o));
        match self {
            Self::Equal(limit) if !same(dimension, value, limit) => {
                fail(format!("{} is not equal to \"{limit}\".", of()))
            }
            Self::GreaterThan(limit) if !orders(limit, &[Ordering::Greater]) => {
                fail(format!("{} must be greater than \"{limit}\".", of()))
            }
            Self::GreaterOrEqual(limit) if !orders(limit, &[Ordering::Greater, Ordering::Equal]) => {
                fail(format!("{} must be greater than or equal to \"{limit}\".", of()))
            }
            Self::LessThan(limit) if !orders(limit, &[Ordering::Less]) => {
                fail(format!("{} must be less than \"{limit}\".", of()))
            }
            Self::LessOrEqual(limit) if !orders(limit, &[Ordering::Less, Ordering::Equal]) => {
                fail(format!("{} must be less than or equal to \"{limit}\".", of()))
            }
            Self::InRange(low, high) => {
                let inside = |value: &Value| {
                    let above =
                        low.as_ref().is_none_or(|low| compare(dimension, value, low).is_some_and(Ordering::is_ge));
                    let below =
                        high.as_ref().is_none_or(|high| compare(dimension, value, high).is_some_and(Ordering::is_le));
                    above && below
                };
                // Both ends of a range have to lie in it.
                let fits = match value.as_list() {
                    Some(ends) => ends.iter().all(|end| end.as_text() == Some("UNBOUNDED") || inside(end)),
                    None => inside(value),
                };
                let bound = |bound: &Option<Value>| bound.as_ref().map_or("UNBOUNDED".to_owned(), ToString::to_string);
                match fits {
                    true => Ok(()),
                    false => fail(format!("{} is out of range \"(min:{}, max:{})\".", of(), bound(low), bound(high))),
                }
            }
            Self::ValidValues(values) if !values.iter().any(|valid| same(dimension, value, valid)) => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                fail(format!("{} is not valid. Expected a value from \"[{}]\".", of(), values.join(", ")))
            }
            Self::Length(wanted) if length(value) != Some(*wanted) => {
                fail(format!("Length of value \"{value}\" of property \"{property}\" must be equal to \"{wanted}\"."))
            }
            Self::MinLength(least) if length(value).is_none_or(|length| length < *least) => {
                fail(format!("Length of value \"{value}\" of property \"{property}\" must be at least \"{least}\"."))
            }
            Self::MaxLength(most) if length(value).is_none_or(|length| length > *most) => {
                let text = format!(
                    "Length of value \"{value}\" of property \"{property}\" must be no greater than \"{most}\"."
                );
                fail(text)
            }
            Self::Pattern(pattern) if !value.scalar().is_some_and(|text| pattern.is_match(&text)) => {
                fail(format!("{} does not match pattern \"{}\".", of(), shown(pattern)))
            }
            _ => Ok(()),
        }
    }

    /// The constraint as keywords of JSON Schema.
    #[must_use]
    pub fn to_json_schema(&self) -> Vec<(&'static str, serde_json::Value)> {
        match self {
            Self::Equal(value) => vec![("const", value.to_json())],
            Self::GreaterThan(value) => number_keyword("exclusiveMinimum", value),
            Self::GreaterOrEqual(value) => number_keyword("minimum", value),
            Self::LessThan(value) => number_keyword("exclusiveMaximum", value),
            Self::LessOrEqual(value) => number_keyword("maximum", value),
            Self::InRange(low, high) => {
                let low = low.iter().flat_map(|value| number_keyword("minimum", value));
                low.chain(high.iter().flat_map(|value| number_keyword("maximum", value))).collect()
            }
            Self::ValidValues(values) => vec![("enum", values.iter().map(Value::to_json).collect())],
            Self::Length(_) | Self::MinLength(_) | Self::MaxLength(_) => Vec::new(),
            Self::Pattern(pattern) => vec![("pattern", format!("^(?:{})$", shown(pattern)).into())],
        }
    }
}

fn number_keyword(keyword: &'static str, value: &Value) -> Vec<(&'static str, serde_json::Value)> {
    // Sizes are texts, which a schema cannot compare.
    match value.data {
        Data::Integer(_) | Data::Float(_) => vec![(keyword, value.to_json())],
        _ => Vec::new(),
    }
}

/// The pattern as it was written.
fn shown(pattern: &Regex) -> &str {
    let text = pattern.as_str();
    text.strip_prefix("^(?:").and_then(|text| text.strip_suffix(")$")).unwrap_or(text)
}

fn length(value: &Value) -> Option<usize> {
    match &value.data {
        Data::Text(text) => Some(text.chars().count()),
        Data::List(items) => Some(items.len()),
        Data::Map(map) => Some(map.len()),
        Data::Null => None,
        _ => Some(value.to_string().chars().count()),
    }
}

fn same(dimension: Option<Dimension>, value: &Value, other: &Value) -> bool {
    value == other
        || compare(dimension, value, other) == Some(Ordering::Equal)
        || matches!((value.scalar(), other.scalar()), (Some(a), Some(b)) if a == b)
}

fn compare(dimension: Option<Dimension>, value: &Value, other: &Value) -> Option<Ordering> {
    let amount = |value: &Value| match dimension {
        Some(dimension) => Measure::parse(dimension, &value.scalar()?).ok().map(Measure::amount),
        None => value.number(),
    };
    match (amount(value), amount(other)) {
        (Some(a), Some(b)) => a.partial_cmp(&b),
        _ => Some(value.as_text()?.cmp(other.as_text()?)),
    }
}
