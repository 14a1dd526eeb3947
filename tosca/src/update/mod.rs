//! Updates: a document merged with another one (docs/spec/tosca.md 11).

use crate::error::Error;
use crate::functions::is_function;
use crate::sources::Surroundings;
use crate::template::Template;
use crate::yaml::{self, Data, Map, Value};
use std::collections::HashMap;

/// Where an update was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The new document alone.
    Document,
    /// The merged document.
    Merged,
}

impl Template {
    /// The template merged with another document, which has to be complete in itself. Neither changes.
    ///
    /// # Errors
    /// The document alone, or what becomes of both, is refused.
    pub fn updated(&self, text: &str, surroundings: &Surroundings<'_>) -> Result<Self, (Stage, Error)> {
        let document = yaml::parse(text).map_err(|fault| (Stage::Document, fault.into()))?;
        let update = Self::from_document(document.clone(), surroundings).map_err(|error| (Stage::Document, error))?;
        let document = whole(document, &update);
        let merged = merged_documents(&self.document, &document);
        Self::from_document(merged, surroundings).map_err(|error| (Stage::Merged, error))
    }
}

/// The document to merge: as it was sent, unless it imports a template whole, which is then resolved.
fn whole(document: Value, update: &Template) -> Value {
    let imports = document.get("imports").and_then(Value::as_list).unwrap_or_default();
    if imports.iter().any(|import| import.get("template_file").is_some()) { update.document.clone() } else { document }
}

/// The stored document with a new one on top: maps by key, lists by position, other values replaced; null is ignored.
#[must_use]
pub fn merged_documents(stored: &Value, update: &Value) -> Value {
    let mut stored = stored.clone();
    forget_removal_lists(&mut stored);
    merge(&mut stored, update, 0);
    stored
}

fn inner<'v>(value: &'v mut Value, key: &str) -> Option<&'v mut Value> {
    match &mut value.data {
        Data::Map(map) => map.get_mut(key),
        _ => None,
    }
}

/// Only the removal list of the new document counts.
fn forget_removal_lists(document: &mut Value) {
    let nodes = inner(document, "topology_template").and_then(|topology| inner(topology, "node_templates"));
    let Some(Data::Map(nodes)) = nodes.map(|nodes| &mut nodes.data) else { return };
    for node in nodes.values_mut() {
        let scalable = inner(node, "capabilities").and_then(|capabilities| inner(capabilities, "scalable"));
        if let Some(Data::Map(properties)) =
            scalable.and_then(|scalable| inner(scalable, "properties")).map(|p| &mut p.data)
        {
            properties.shift_remove("removal_list");
        }
    }
}

/// Whether a default asks for a secret that the stored document has already.
fn asks_for_secret(value: &Value) -> bool {
    let text = value.as_text().unwrap_or_default();
    text == "access_token()"
        || text
            .strip_prefix("random(")
            .is_some_and(|rest| rest.strip_suffix(')').is_some_and(|length| length.parse::<usize>().is_ok()))
}

fn merge(stored: &mut Value, update: &Value, depth: usize) {
    if update.is_null() || depth > 2 * yaml::MAX_DEPTH {
        return;
    }
    // A call is one thing: two of them in one map would be none.
    if is_function(stored, false) || is_function(update, false) {
        *stored = update.clone();
        return;
    }
    match (&mut stored.data, &update.data) {
        (Data::Map(known), Data::Map(new)) => merge_maps(known, new, depth),
        (Data::List(known), Data::List(new)) => merge_lists(known, new, depth),
        _ => *stored = update.clone(),
    }
}

fn merge_maps(known: &mut Map, new: &Map, depth: usize) {
    let is_input = new.contains_key("type") && known.contains_key("default");
    for (key, value) in new {
        match known.get_mut(key) {
            Some(stored) if is_input && key == "default" && asks_for_secret(value) && !stored.is_null() => {}
            Some(stored) => merge(stored, value, depth + 1),
            None if value.is_null() => {}
            None => drop(known.insert(key.clone(), value.clone())),
        }
    }
}

/// The only key of a map of one pair.
fn only_key(value: &Value) -> Option<&str> {
    let map = value.as_map().filter(|map| map.len() == 1)?;
    map.first().map(|(key, _)| key.as_str())
}

/// Lists go by position, and lists of pairs (requirements, policies, imports) by the key of the pair: the n-th one of a key
/// with the n-th one.
fn merge_lists(known: &mut Vec<Value>, new: &[Value], depth: usize) {
    let are_pairs = known.iter().chain(new).all(|item| only_key(item).is_some() && !is_function(item, false));
    if !are_pairs {
        for (at, value) in new.iter().enumerate() {
            match known.get_mut(at) {
                Some(stored) => merge(stored, value, depth + 1),
                None => known.push(value.clone()),
            }
        }
        return;
    }
    let mut places: HashMap<String, std::collections::VecDeque<usize>> = HashMap::new();
    for (at, item) in known.iter().enumerate() {
        if let Some(key) = only_key(item) {
            places.entry(key.to_owned()).or_default().push_back(at);
        }
    }
    for value in new {
        let at = only_key(value).and_then(|key| places.get_mut(key)?.pop_front());
        match at.and_then(|at| known.get_mut(at)) {
            Some(stored) => merge(stored, value, depth + 1),
            None => known.push(value.clone()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;

    fn merged(stored: &str, update: &str) -> serde_json::Value {
        let parse = |text| yaml::parse(text).expect("YAML");
        merged_documents(&parse(stored), &parse(update)).to_json()
    }

    #[test]
    fn calls_are_replaced_and_pairs_found_by_their_key() {
        let json =
            merged("a: {get_input: x}\nr: [{host: a}, {dependency: b}]", "a: {concat: [q]}\nr: [{dependency: c}]");
        assert_eq!(json, serde_json::json!({"a": {"concat": ["q"]}, "r": [{"host": "a"}, {"dependency": "c"}]}));
        let json = merged("l: [a, b, c]\nn: 1", "l: [z]\nn: null");
        assert_eq!(json, serde_json::json!({"l": ["z", "b", "c"], "n": 1}));
    }

    #[test]
    fn secrets_in_use_stay() {
        let json = merged(
            "topology_template: {inputs: {p: {type: string, default: s3cret}}}",
            "topology_template: {inputs: {p: {type: string, default: random(8)}}}",
        );
        assert_eq!(json["topology_template"]["inputs"]["p"]["default"], "s3cret");
    }
}
