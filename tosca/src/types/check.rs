//! Whether a value is of a type, and the form in which it is kept (docs/spec/tosca.md 3).

use super::{Constraint, Dimension, Kind, Measure, Schema, Types};
use crate::error::{Class, Problem, Problems};
use crate::functions::is_function;
use crate::yaml::{Data, Map, Value};
use std::borrow::Cow;

/// How deep data types may nest in each other.
const MAX_DEPTH: usize = 32;
/// Types that are no data types.
const SIMPLE: &[&str] = &[
    "string",
    "integer",
    "float",
    "number",
    "boolean",
    "version",
    "range",
    "timestamp",
    "list",
    "map",
    "json",
    "xml",
    "scalar-unit.size",
    "scalar-unit.frequency",
    "scalar-unit.time",
];

/// Whether the type of a schema and those in it exist.
#[must_use]
pub fn is_known_type(types: &Types, schema: &Schema) -> bool {
    let name = &schema.type_name;
    let known = SIMPLE.contains(&name.as_str()) || data_type(types, name).is_some();
    known && schema.entry.as_ref().is_none_or(|entry| is_known_type(types, entry))
}

/// Whether a name is that of a type that no document defines.
pub(super) fn is_simple(name: &str) -> bool {
    SIMPLE.contains(&name)
}

/// The full name of a data type; `PortDef` and `PortSpec` may be written alone.
fn data_type(types: &Types, name: &str) -> Option<String> {
    let network = || format!("network.{name}");
    let found =
        |name: &str| Some(types.full_name(Kind::Data, name)).filter(|name| types.get(Kind::Data, name).is_some());
    found(name).or_else(|| found(&network()))
}

/// The simple type at the end of the line of a data type, with the constraints on the way.
fn simple<'t>(types: &'t Types, name: &str) -> Option<(String, Vec<&'t Constraint>)> {
    let (mut name, mut constraints) = (name.to_owned(), Vec::new());
    for _ in 0..MAX_DEPTH {
        if SIMPLE.contains(&name.as_str()) {
            return Some((name, constraints));
        }
        let definition = types.get(Kind::Data, &data_type(types, &name)?)?;
        constraints.extend(&definition.constraints);
        name.clone_from(definition.parent.as_ref()?);
    }
    None
}

/// What a value is checked against, and where what is wrong goes.
struct Check<'a> {
    types: &'a Types,
    property: &'a str,
    problems: &'a mut Problems,
}

/// Checks the value of a property and gives the form in which it is kept. Functions are left as they are, wherever they
/// stand in it.
pub(crate) fn check_value(
    types: &Types,
    schema: &Schema,
    property: &str,
    value: &Value,
    path: &str,
    problems: &mut Problems,
) -> Value {
    Check { types, property, problems }.value(schema, value, path, false, 0)
}

impl Check<'_> {
    fn refuse(&mut self, class: Class, message: String, value: &Value, path: &str, expected: Option<&str>) {
        let problem = Problem::new(class, message).at(value.place, path);
        self.problems.add(match expected {
            Some(expected) => problem.expecting(expected),
            None => problem,
        });
    }

    fn not_a(&mut self, what: &str, value: &Value, path: &str) {
        self.refuse(Class::Value, format!("\"{value}\" is not {what}."), value, path, None);
    }

    /// An entry of a list or map has to be of `exact` type: a number is no string there.
    fn value(&mut self, schema: &Schema, value: &Value, path: &str, exact: bool, depth: usize) -> Value {
        if depth > MAX_DEPTH {
            self.not_a("nested so that it could be checked", value, path);
            return value.clone();
        }
        let name = schema.type_name.as_str();
        let base = simple(self.types, name);
        let is_complex = base.is_none() || matches!(name, "map");
        if is_function(value, is_complex) {
            return value.clone();
        }
        let checked = match &base {
            Some((simple, constraints)) => {
                let checked = self.simple(schema, simple, value, path, exact, depth);
                let Some(checked) = checked else { return value.clone() };
                let dimension = Dimension::of_type(simple);
                for constraint in constraints.iter().copied().chain(&schema.constraints) {
                    if let Err(problem) = constraint.check(self.property, dimension, &checked) {
                        self.problems.add(problem.at(value.place, path));
                    }
                }
                return checked;
            }
            None => match data_type(self.types, name) {
                Some(full) => self.members(&full, value, path, depth),
                None => {
                    self.problems.add(super::unknown_type(name, Kind::Data).at(value.place, path));
                    value.clone()
                }
            },
        };
        for constraint in &schema.constraints {
            if let Err(problem) = constraint.check(self.property, None, &checked) {
                self.problems.add(problem.at(value.place, path));
            }
        }
        checked
    }

    fn simple(
        &mut self,
        schema: &Schema,
        name: &str,
        value: &Value,
        path: &str,
        exact: bool,
        depth: usize,
    ) -> Option<Value> {
        let data = match name {
            "string" | "timestamp" | "json" | "xml" => match &value.data {
                Data::Text(_) => value.data.clone(),
                Data::Null | Data::List(_) | Data::Map(_) => return self.refused("a string", value, path),
                _ if exact && name == "string" => return self.refused("a string", value, path),
                _ => Data::Text(value.to_string()),
            },
            "integer" => match value.integer() {
                Some(whole) if !exact || value.as_text().is_none() => Data::Integer(whole),
                _ => return self.refused("an integer", value, path),
            },
            "float" => match value.data {
                Data::Float(_) => value.data.clone(),
                _ => return self.refused("a float", value, path),
            },
            "number" => match &value.data {
                Data::Integer(_) | Data::Float(_) => value.data.clone(),
                _ => return self.refused("a numeric", value, path),
            },
            "boolean" => match value.truth() {
                Some(truth) if !exact || value.as_text().is_none() => Data::Bool(truth),
                _ => return self.refused("a boolean", value, path),
            },
            "version" => match value.scalar().as_deref().and_then(version) {
                Some(version) => Data::Text(version.into_owned()),
                None => {
                    let text = format!("Value of TOSCA version property \"{value}\" is invalid.");
                    let expected = "a version like 1.2.3.alpha-4";
                    self.refuse(Class::VersionProperty, text, value, path, Some(expected));
                    return None;
                }
            },
            "range" => match value.as_list() {
                Some([low, high]) if is_range(low, high) => value.data.clone(),
                Some(_) => return self.refused("a valid range", value, path),
                None => return self.refused("a list", value, path),
            },
            "list" => match value.as_list() {
                Some(items) => Data::List(self.items(schema, items, path, depth)),
                None => return self.refused("a list", value, path),
            },
            "map" => match value.as_map() {
                Some(map) => Data::Map(self.entries(schema, map, path, depth)),
                None => return self.refused("a map", value, path),
            },
            _ => {
                let dimension = Dimension::of_type(name)?;
                let text = value.scalar().unwrap_or_else(|| value.to_string());
                match Measure::parse(dimension, &text) {
                    Ok(measure) => Data::Text(measure.text()),
                    Err(problem) => {
                        self.problems.add(problem.at(value.place, path));
                        return None;
                    }
                }
            }
        };
        Some(Value { data, place: value.place })
    }

    fn refused(&mut self, what: &str, value: &Value, path: &str) -> Option<Value> {
        self.not_a(what, value, path);
        None
    }

    fn items(&mut self, schema: &Schema, items: &[Value], path: &str, depth: usize) -> Vec<Value> {
        let Some(entry) = &schema.entry else { return items.to_vec() };
        let checked = |(at, item): (usize, &Value)| self.value(entry, item, &format!("{path}[{at}]"), true, depth + 1);
        items.iter().enumerate().map(checked).collect()
    }

    fn entries(&mut self, schema: &Schema, map: &Map, path: &str, depth: usize) -> Map {
        let Some(entry) = &schema.entry else { return map.clone() };
        let checked = |(key, value): (&String, &Value)| {
            (key.clone(), self.value(entry, value, &format!("{path}.{key}"), true, depth + 1))
        };
        map.iter().map(checked).collect()
    }

    /// A value of a data type with members; those that are missing get their defaults.
    fn members(&mut self, full: &str, value: &Value, path: &str, depth: usize) -> Value {
        let flat = match self.types.flat(Kind::Data, full) {
            Ok(flat) => flat,
            Err(problem) => {
                self.problems.add(problem.at(value.place, path));
                return value.clone();
            }
        };
        let Some(map) = value.as_map() else {
            self.not_a("a map", value, path);
            return value.clone();
        };
        let what = format!("Data value of type \"{full}\"");
        let mut members = Map::new();
        for (key, member) in map {
            let path = format!("{path}.{key}");
            let Some(property) = flat.properties.get(key) else {
                let known: Vec<&str> = flat.properties.keys().map(String::as_str).collect();
                self.problems.unknown(&what, key, member, &path, &known);
                continue;
            };
            if member.is_null() {
                continue;
            }
            let mut inner = Check { types: self.types, property: key, problems: &mut *self.problems };
            members.insert(key.clone(), inner.value(&property.schema, member, &path, false, depth + 1));
        }
        let mut missing = Vec::new();
        for (key, property) in &flat.properties {
            if members.contains_key(key) {
                continue;
            }
            match &property.default {
                Some(default) => drop(members.insert(key.clone(), default.clone())),
                None if property.required => missing.push(format!("'{key}'")),
                None => {}
            }
        }
        if !missing.is_empty() {
            self.problems.missing(&what, &format!("[{}]", missing.join(", ")), value.place, path);
        }
        Value { data: Data::Map(members), place: value.place }
    }
}

fn is_range(low: &Value, high: &Value) -> bool {
    let is_bound =
        |value: &Value| value.as_text() == Some("UNBOUNDED") || matches!(value.data, Data::Integer(_) | Data::Float(_));
    let ordered = match (low.number(), high.number()) {
        (Some(low), Some(high)) => low <= high,
        _ => true,
    };
    is_bound(low) && is_bound(high) && ordered
}

/// A version as it is kept: a major number alone gets a minor one.
fn version(text: &str) -> Option<Cow<'_, str>> {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let mut parts = text.splitn(4, '.');
    let numbers: Vec<&str> = parts.by_ref().take(3).collect();
    if !numbers.iter().all(|part| is_number(part)) {
        return None;
    }
    if let Some(qualifier) = parts.next() {
        let (name, build) = qualifier.split_once('-').map_or((qualifier, None), |(name, build)| (name, Some(build)));
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric());
        if !is_name || !build.is_none_or(is_number) {
            return None;
        }
    }
    Some(if numbers.len() == 1 { Cow::Owned(format!("{text}.0")) } else { Cow::Borrowed(text) })
}
