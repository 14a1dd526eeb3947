//! Inputs and outputs (docs/spec/tosca.md 4 and 10).

use super::Reader;
use crate::error::Problems;
use crate::functions::{Entity, Scope};
use crate::sources::Surroundings;
use crate::template::Template;
use crate::types::{Dimension, PROPERTY_KEYS, Schema, check_value, is_known_type, read_schema, section, unknown_type};
use crate::yaml::{Data, Value};
use indexmap::IndexMap;

/// Characters that `random(N)` may ask for.
const MAX_RANDOM: usize = 1024;

/// Replaces the defaults of text inputs that are `random(N)` or `access_token()` as a whole.
pub(super) fn resolve_special_values(document: &mut Value, surroundings: &Surroundings<'_>) {
    fn inner<'v>(value: &'v mut Value, key: &str) -> Option<&'v mut Value> {
        match &mut value.data {
            Data::Map(map) => map.get_mut(key),
            _ => None,
        }
    }
    let inputs = inner(document, "topology_template").and_then(|topology| inner(topology, "inputs"));
    let Some(Data::Map(inputs)) = inputs.map(|inputs| &mut inputs.data) else { return };
    for input in inputs.values_mut() {
        if input.get("type").and_then(Value::as_text) != Some("string") {
            continue;
        }
        let Some(default) = inner(input, "default") else { continue };
        let Some(text) = default.as_text() else { continue };
        let length = text.strip_prefix("random(").and_then(|text| text.strip_suffix(')')).map(str::parse);
        let replaced = match length {
            Some(Ok(length)) if length <= MAX_RANDOM => Some((surroundings.random)(length)),
            _ if text == "access_token()" => surroundings.access_token.map(str::to_owned),
            _ => None,
        };
        if let Some(replaced) = replaced {
            default.data = Data::Text(replaced);
        }
    }
}

impl Reader<'_> {
    pub(super) fn inputs(&mut self, topology: &Value, warnings: &mut Vec<String>) -> IndexMap<String, Value> {
        let mut inputs = IndexMap::new();
        for (name, value) in section(topology, "inputs", "topology_template", &mut self.problems) {
            let (what, path) = (format!("Input \"{name}\""), format!("inputs.{name}"));
            let Some(map) = value.as_map() else {
                self.problems.mismatch(&what, "map", value, &path);
                continue;
            };
            self.known_keys(&what, map, PROPERTY_KEYS, &path);
            if !map.contains_key("type") {
                self.problems.missing(&what, "type", value.place, &path);
                continue;
            }
            let schema = read_schema(value, &path, &mut self.problems);
            let bare = Schema { entry: None, ..schema.clone() };
            if !is_known_type(&self.types, &bare) {
                let problem = unknown_type(&schema.type_name, crate::types::Kind::Data);
                self.problems.add(problem.at(value.place, &path));
                continue;
            }
            let default = value.get("default").cloned().unwrap_or_default();
            if !default.is_empty() {
                self.check_default(name, &schema, &default, &path, warnings);
            }
            inputs.insert(name.clone(), default);
        }
        inputs
    }

    /// The default has to be of the type. Neither what a list or map holds nor constraints are enforced, for clients send
    /// what they want: that a constraint is broken is told and does no harm.
    fn check_default(&mut self, name: &str, schema: &Schema, default: &Value, path: &str, warnings: &mut Vec<String>) {
        let bare = Schema { constraints: Vec::new(), entry: None, ..schema.clone() };
        let mut found = Problems::default();
        let checked = check_value(&self.types, &bare, name, default, &format!("{path}.default"), &mut found);
        let is_fine = found.is_empty();
        found.into_list().into_iter().for_each(|problem| self.problems.add(problem));
        let dimension = Dimension::of_type(&schema.type_name);
        for constraint in schema.constraints.iter().filter(|_| is_fine) {
            if let Err(problem) = constraint.check(name, dimension, &checked) {
                warnings.push(problem.at(default.place, path).to_string());
            }
        }
    }

    pub(super) fn outputs(&mut self, topology: &Value, template: &mut Template) {
        for (name, value) in section(topology, "outputs", "topology_template", &mut self.problems) {
            let (what, path) = (format!("Output \"{name}\""), format!("outputs.{name}"));
            let Some(map) = value.as_map() else {
                self.problems.mismatch(&what, "map", value, &path);
                continue;
            };
            self.known_keys(&what, map, &["value", "description"], &path);
            let Some(wanted) = value.get("value") else {
                self.problems.missing(&what, "value", value.place, &path);
                continue;
            };
            let scope = Scope { entity: Entity::Outputs, is_of_type: false };
            if let Err(problem) = template.check_call(wanted, scope) {
                self.problems.add(problem.at(wanted.place, &path));
            }
            template.outputs.insert(name.clone(), wanted.clone());
        }
    }
}
