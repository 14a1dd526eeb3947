//! YAML 1.1 as plain data that knows where it stands: what a reader makes of a document when tags, anchors and styles are
//! of no interest any more.

use super::scalar::{self, float_text};
use indexmap::IndexMap;
use libyaml_safer::Mark;
use serde_json::{Number, Value as Json};
use std::fmt;

/// A map in the order of the document.
pub type Map = IndexMap<String, Value>;

/// Where something stands in a document; both count from 1, 0 is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

/// A value and where it stands: a value of a map where its key stands.
#[derive(Debug, Clone, Default)]
pub struct Value {
    /// What it is.
    pub data: Data,
    /// Where it stands.
    pub place: Place,
}

/// What a value is.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Data {
    /// Nothing.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// A number with a point.
    Float(f64),
    /// A text; dates are texts, too.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A map.
    Map(Map),
}

/// Values are equal wherever they stand; numbers by value.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (&self.data, &other.data) {
            (Data::Integer(whole), Data::Float(decimal)) | (Data::Float(decimal), Data::Integer(whole)) => {
                *whole as f64 == *decimal
            }
            (own, other) => own == other,
        }
    }
}

impl From<Data> for Value {
    fn from(data: Data) -> Self {
        Self { data, place: Place::default() }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Data::Text(text.to_owned()).into()
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Data::Text(text).into()
    }
}

impl From<Mark> for Place {
    fn from(mark: Mark) -> Self {
        let from_one = |n: u64| u32::try_from(n).map_or(u32::MAX, |n| n.saturating_add(1));
        Self { line: from_one(mark.line), column: from_one(mark.column) }
    }
}

impl Value {
    /// Nothing.
    pub const NULL: Self = Self { data: Data::Null, place: Place { line: 0, column: 0 } };

    /// Whether it is nothing.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.data == Data::Null
    }

    /// Whether there is nothing in it: null, an empty text, list or map.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.data {
            Data::Null => true,
            Data::Text(text) => text.is_empty(),
            Data::List(items) => items.is_empty(),
            Data::Map(map) => map.is_empty(),
            _ => false,
        }
    }

    /// The text, none for anything else.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The map, none for anything else.
    #[must_use]
    pub fn as_map(&self) -> Option<&Map> {
        match &self.data {
            Data::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The list, none for anything else.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match &self.data {
            Data::List(items) => Some(items),
            _ => None,
        }
    }

    /// The value under a key of a map; null counts as absent.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?.get(key).filter(|value| !value.is_null())
    }

    /// The text of a scalar, as it prints; none for null, lists and maps.
    #[must_use]
    pub fn scalar(&self) -> Option<String> {
        match &self.data {
            Data::Null | Data::List(_) | Data::Map(_) => None,
            _ => Some(self.to_string()),
        }
    }

    /// The whole number that it is or spells.
    #[must_use]
    pub fn integer(&self) -> Option<i128> {
        match &self.data {
            Data::Integer(whole) => Some(*whole),
            Data::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The number that it is or spells.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        let number = match &self.data {
            Data::Integer(whole) => *whole as f64,
            Data::Float(decimal) => *decimal,
            Data::Text(text) => text.trim().parse().ok()?,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    /// The truth value that it is or spells.
    #[must_use]
    pub fn truth(&self) -> Option<bool> {
        match &self.data {
            Data::Bool(truth) => Some(*truth),
            Data::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Data::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// As JSON. What JSON has no number for is a text (infinity) or loses digits (beyond 64 bits).
    #[must_use]
    pub fn to_json(&self) -> Json {
        match &self.data {
            Data::Null => Json::Null,
            Data::Bool(truth) => Json::Bool(*truth),
            Data::Integer(whole) => i64::try_from(*whole)
                .map(Number::from)
                .or_else(|_| u64::try_from(*whole).map(Number::from))
                .ok()
                .or_else(|| Number::from_f64(*whole as f64))
                .map_or(Json::Null, Json::Number),
            Data::Float(decimal) => {
                Number::from_f64(*decimal).map_or_else(|| float_text(*decimal).into(), Json::Number)
            }
            Data::Text(text) => text.as_str().into(),
            Data::List(items) => items.iter().map(Self::to_json).collect(),
            Data::Map(map) => Json::Object(map.iter().map(|(key, value)| (key.clone(), value.to_json())).collect()),
        }
    }

    /// A value from JSON.
    #[must_use]
    pub fn from_json(json: &Json) -> Self {
        let data = match json {
            Json::Null => Data::Null,
            Json::Bool(truth) => Data::Bool(*truth),
            Json::Number(number) => match number.as_i128() {
                Some(whole) => Data::Integer(whole),
                None => Data::Float(number.as_f64().unwrap_or_default()),
            },
            Json::String(text) => Data::Text(text.clone()),
            Json::Array(items) => Data::List(items.iter().map(Self::from_json).collect()),
            Json::Object(map) => {
                Data::Map(map.iter().map(|(key, value)| (key.clone(), Self::from_json(value))).collect())
            }
        };
        data.into()
    }

    /// How many values it is, itself included, and how many bytes of text are in them.
    pub(super) fn size(&self) -> (usize, usize) {
        let add = |(values, bytes): (usize, usize), (more, text): (usize, usize)| (values + more, bytes + text);
        match &self.data {
            Data::Text(text) => (1, text.len()),
            Data::List(items) => items.iter().map(Self::size).fold((1, 0), add),
            Data::Map(map) => map.iter().map(|(key, value)| add((0, key.len()), value.size())).fold((1, 0), add),
            _ => (1, 0),
        }
    }
}

/// The form that Python gives a value: what stands within lists and maps is quoted, truth values are `True` and `False`,
/// nothing is `None` (docs/spec/tosca.md 5.4: dashboards read it).
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.data {
            Data::Null => f.write_str("None"),
            Data::Bool(true) => f.write_str("True"),
            Data::Bool(false) => f.write_str("False"),
            Data::Integer(whole) => write!(f, "{whole}"),
            Data::Float(decimal) => f.write_str(&float_text(*decimal)),
            Data::Text(text) => f.write_str(text),
            Data::List(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    f.write_str(if at > 0 { ", " } else { "" })?;
                    quoted(f, item)?;
                }
                f.write_str("]")
            }
            Data::Map(map) => {
                f.write_str("{")?;
                for (at, (key, value)) in map.iter().enumerate() {
                    write!(f, "{}{}: ", if at > 0 { ", " } else { "" }, scalar::quoted(key))?;
                    quoted(f, value)?;
                }
                f.write_str("}")
            }
        }
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, value: &Value) -> fmt::Result {
    match &value.data {
        Data::Text(text) => f.write_str(&scalar::quoted(text)),
        _ => write!(f, "{value}"),
    }
}
