//! YAML 1.1 documents as values that know where they stand (docs/spec/tosca.md 1): scalars of the types that YAML 1.1 gives
//! them, maps in order, aliases and merge keys resolved.
//!
//! What a document can cost is bounded: its size, its depth, and the number of values after aliases are resolved.

use indexmap::IndexMap;
use libyaml_safer::{EventData, Mark, Parser};
use serde_json::{Number, Value as Json};
use std::{collections::HashMap, fmt};

mod scalar;

pub use scalar::{float_text, plain};

/// Bytes of a document.
pub const MAX_TEXT: usize = 1 << 20;
/// Values of a document, aliases counted with all that they stand for.
pub const MAX_VALUES: usize = 40_000;
/// How deep lists and maps may nest.
pub const MAX_DEPTH: usize = 64;

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

/// Why a text is no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong, without anything that stands there.
    pub message: String,
    /// Where it was noticed.
    pub place: Place,
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

    /// Counts itself and all values in it.
    fn count(&self) -> usize {
        1 + match &self.data {
            Data::List(items) => items.iter().map(Self::count).sum(),
            Data::Map(map) => map.values().map(Self::count).sum(),
            _ => 0,
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

/// The only document of a text; null when there is none.
///
/// # Errors
/// It is no YAML, holds more than one document, or goes beyond one of the bounds.
pub fn parse(text: &str) -> Result<Value, Fault> {
    if text.len() > MAX_TEXT {
        let message = format!("the document has more than {MAX_TEXT} bytes");
        return Err(Fault { message, place: Place::default() });
    }
    // The scanner gives up by panicking on a few malformed texts (a tag right before a comma).
    std::panic::catch_unwind(|| Reader::new(text).document()).unwrap_or_else(|_| {
        Err(Fault { message: "the text is malformed beyond description".to_owned(), place: Place::default() })
    })
}

/// What stands under an anchor, with the number of values in it.
struct Anchored {
    value: Value,
    count: usize,
}

/// Makes values of the events of a text.
struct Reader<'a> {
    text: &'a [u8],
    anchors: HashMap<String, Anchored>,
    count: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { text: text.as_bytes(), anchors: HashMap::new(), count: 0 }
    }

    fn document(mut self) -> Result<Value, Fault> {
        let mut text = self.text;
        let mut parser = Parser::new();
        parser.set_input_string(&mut text);
        let mut root = None;
        loop {
            let (event, place) = next(&mut parser)?;
            match event {
                EventData::StreamEnd => return Ok(root.unwrap_or_default()),
                EventData::StreamStart { .. } | EventData::DocumentStart { .. } | EventData::DocumentEnd { .. } => {}
                _ if root.is_some() => return fault("expected one document, and found another", place),
                event => root = Some(self.value(&mut parser, event, place, 0)?),
            }
        }
    }

    fn counted(&mut self, count: usize, place: Place) -> Result<(), Fault> {
        self.count += count;
        if self.count > MAX_VALUES {
            return fault(&format!("the document has more than {MAX_VALUES} values, aliases resolved"), place);
        }
        Ok(())
    }

    fn value(
        &mut self,
        parser: &mut Parser<&mut &[u8]>,
        event: EventData,
        place: Place,
        depth: usize,
    ) -> Result<Value, Fault> {
        if depth > MAX_DEPTH {
            return fault(&format!("lists and maps nest deeper than {MAX_DEPTH}"), place);
        }
        self.counted(1, place)?;
        let (anchor, data) = match event {
            EventData::Alias { anchor } => {
                let Some(known) = self.anchors.get(&anchor) else {
                    return fault("found an alias of what was not defined before", place);
                };
                let (count, data) = (known.count, known.value.data.clone());
                self.counted(count, place)?;
                return Ok(Value { data, place });
            }
            EventData::Scalar { anchor, tag, value, plain_implicit, .. } => (
                anchor,
                scalar::typed(tag.as_deref(), value, plain_implicit).map_err(|message| Fault { message, place })?,
            ),
            EventData::SequenceStart { anchor, tag, .. } => {
                check_tag(tag.as_deref(), "seq", place)?;
                let mut items = Vec::new();
                loop {
                    match next(parser)? {
                        (EventData::SequenceEnd, _) => break,
                        (event, place) => items.push(self.value(parser, event, place, depth + 1)?),
                    }
                }
                (anchor, Data::List(items))
            }
            EventData::MappingStart { anchor, tag, .. } => {
                check_tag(tag.as_deref(), "map", place)?;
                (anchor, Data::Map(self.map(parser, depth)?))
            }
            _ => return fault("found what is no value", place),
        };
        let value = Value { data, place };
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, Anchored { count: value.count(), value: value.clone() });
        }
        Ok(value)
    }

    fn map(&mut self, parser: &mut Parser<&mut &[u8]>, depth: usize) -> Result<Map, Fault> {
        let (mut own, mut merged) = (Map::new(), Vec::new());
        loop {
            let (event, place) = next(parser)?;
            let key = match event {
                EventData::MappingEnd => break,
                EventData::Scalar { value, plain_implicit, anchor, .. } => {
                    if plain_implicit && value == "<<" {
                        let (event, place) = next(parser)?;
                        merged.extend(maps(self.value(parser, event, place, depth + 1)?)?);
                        continue;
                    }
                    if let Some(anchor) = anchor {
                        self.anchors.insert(anchor, Anchored { value: value.as_str().into(), count: 1 });
                    }
                    value
                }
                EventData::Alias { anchor } => match self.anchors.get(&anchor).and_then(|known| known.value.scalar()) {
                    Some(key) => key,
                    None => return fault("found an alias that is no text as the key of a map", place),
                },
                _ => return fault("found a list or map as the key of a map", place),
            };
            let (event, value_place) = next(parser)?;
            let mut value = self.value(parser, event, value_place, depth + 1)?;
            value.place = place;
            own.insert(key, value);
        }
        if merged.is_empty() {
            return Ok(own);
        }
        // What is merged stands in front; the first of several maps wins, and what the map itself says wins over all.
        let mut map = Map::new();
        for (key, value) in merged {
            map.entry(key).or_insert(value);
        }
        map.extend(own);
        Ok(map)
    }
}

/// What `<<` merges: the pairs of a map, or of a list of maps.
fn maps(value: Value) -> Result<Vec<(String, Value)>, Fault> {
    let place = value.place;
    match value.data {
        Data::Map(map) => Ok(map.into_iter().collect()),
        Data::List(items) if items.iter().all(|item| item.as_map().is_some()) => {
            Ok(items.into_iter().filter_map(|item| maps(item).ok()).flatten().collect())
        }
        _ => fault("expected a map or a list of maps after <<", place),
    }
}

fn check_tag(tag: Option<&str>, kind: &str, place: Place) -> Result<(), Fault> {
    match tag.map(|tag| tag.strip_prefix(scalar::STANDARD).unwrap_or(tag)) {
        None | Some("!") => Ok(()),
        Some(tag) if tag == kind => Ok(()),
        Some(_) => fault("found a tag that stands for nothing here", place),
    }
}

fn next(parser: &mut Parser<&mut &[u8]>) -> Result<(EventData, Place), Fault> {
    match parser.parse() {
        Ok(event) => Ok((event.data, event.start_mark.into())),
        Err(error) => {
            let context = error.context().filter(|context| !context.is_empty());
            let message = context.map_or(String::new(), |context| format!("{context}: ")) + error.problem();
            let place = error.problem_mark().map(Place::from).unwrap_or_default();
            Err(Fault { message, place })
        }
    }
}

fn fault<T>(message: &str, place: Place) -> Result<T, Fault> {
    Err(Fault { message: message.to_owned(), place })
}

#[cfg(test)]
mod tests;
