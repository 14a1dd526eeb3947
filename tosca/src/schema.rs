//! JSON Schema (https://json-schema.org/draft/2020-12/schema) of documents, for editors: keys, the names of the shipped
//! types, and the properties and capabilities of each node type.

use crate::parse::{DOCUMENT_KEYS, NODE_KEYS, TOPOLOGY_KEYS, VERSIONS};
use crate::types::{Flat, Kind, Property, Schema, Types, normative, shipped_sets};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// The schema of documents with the shipped types. Values may always be calls of functions; types that a document defines
/// or imports from elsewhere are not known to it, and are allowed.
#[must_use]
pub fn json_schema() -> Json {
    let mut nodes: BTreeMap<String, Vec<Json>> = BTreeMap::new();
    for (_, set) in shipped_sets() {
        let mut types = normative().clone();
        types.extend(set);
        for (name, _) in set.of(Kind::Node) {
            if let Ok(flat) = types.flat(Kind::Node, name) {
                let schema = node_schema(&types, &flat);
                let known = nodes.entry(name.clone()).or_default();
                if !known.contains(&schema) {
                    known.push(schema);
                }
            }
        }
    }
    let conditions: Vec<Json> = nodes
        .iter()
        .map(|(name, schemas)| {
            // Two sets may define a type: what fits one of them is fine.
            let then = if let [only] = schemas.as_slice() { only.clone() } else { json!({"anyOf": schemas}) };
            let short = name.strip_prefix("tosca.nodes.").unwrap_or(name);
            json!({"if": {"properties": {"type": {"enum": [name, short]}}, "required": ["type"]}, "then": then})
        })
        .collect();
    let names: Vec<&String> = nodes.keys().collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "TOSCA document",
        "type": "object",
        "required": ["tosca_definitions_version"],
        "properties": properties_of(DOCUMENT_KEYS, &[
            ("tosca_definitions_version", json!({"enum": VERSIONS})),
            ("imports", json!({"type": "array"})),
            ("topology_template", json!({"$ref": "#/$defs/topology"})),
        ]),
        "additionalProperties": false,
        "$defs": {
            "function": function_schema(),
            "topology": {
                "type": "object",
                "properties": properties_of(TOPOLOGY_KEYS, &[
                    ("inputs", json!({"type": "object", "additionalProperties": {"$ref": "#/$defs/input"}})),
                    ("node_templates", json!({"type": "object", "additionalProperties": {"$ref": "#/$defs/node"}})),
                    ("outputs", json!({"type": "object", "additionalProperties": {
                        "type": "object", "required": ["value"], "properties": {"value": true, "description": true},
                        "additionalProperties": false,
                    }})),
                ]),
                "additionalProperties": false,
            },
            "input": {
                "type": "object",
                "required": ["type"],
                "properties": properties_of(crate::types::PROPERTY_KEYS, &[("type", json!({"type": "string"}))]),
                "additionalProperties": false,
            },
            "node": {
                "type": "object",
                "required": ["type"],
                "properties": properties_of(NODE_KEYS, &[
                    ("type", json!({"type": "string", "examples": names})),
                    ("requirements", json!({"type": "array", "items": {"type": "object"}})),
                ]),
                "additionalProperties": false,
                "allOf": conditions,
            },
        },
    })
}

fn properties_of(keys: &[&str], known: &[(&str, Json)]) -> Json {
    let of_key = |key: &&str| {
        let schema = known.iter().find(|(name, _)| name == key).map_or(Json::Bool(true), |(_, schema)| schema.clone());
        ((*key).to_owned(), schema)
    };
    Json::Object(keys.iter().map(of_key).collect())
}

fn function_schema() -> Json {
    let names = ["get_input", "get_property", "get_attribute", "get_operation_output", "concat", "token"];
    let any: Map<String, Json> = names.iter().map(|name| ((*name).to_owned(), Json::Bool(true))).collect();
    json!({"type": "object", "properties": any, "minProperties": 1, "maxProperties": 1, "additionalProperties": false})
}

fn node_schema(types: &Types, flat: &Flat) -> Json {
    let mut capabilities = Map::new();
    for (name, type_name) in &flat.capabilities {
        let properties = types.flat(Kind::Capability, type_name).map(|flat| members(types, &flat));
        let properties = properties.unwrap_or(Json::Bool(true));
        capabilities.insert(name.clone(), json!({"type": "object", "properties": {"properties": properties}}));
    }
    json!({
        "properties": {
            "properties": members(types, flat),
            "capabilities": {"type": "object", "properties": capabilities, "additionalProperties": false},
        },
    })
}

/// The properties of a type as an object.
fn members(types: &Types, flat: &Flat) -> Json {
    let properties: Map<String, Json> =
        flat.properties.iter().map(|(name, property)| (name.clone(), property_schema(types, property))).collect();
    let is_required = |property: &&Property| property.required && property.default.is_none();
    let required: Vec<&String> =
        flat.properties.iter().filter(|(_, property)| is_required(property)).map(|(name, _)| name).collect();
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if let (Some(object), false) = (schema.as_object_mut(), required.is_empty()) {
        object.insert("required".to_owned(), json!(required));
    }
    schema
}

fn property_schema(types: &Types, property: &Property) -> Json {
    let mut schema = value_schema(types, &property.schema, 0);
    if let Some(object) = schema.as_object_mut() {
        if let Some(default) = &property.default {
            object.insert("default".to_owned(), default.to_json());
        }
        if let Some(description) = &property.description {
            object.insert("description".to_owned(), description.as_str().into());
        }
    }
    json!({"anyOf": [{"$ref": "#/$defs/function"}, schema]})
}

/// How deep data types are followed.
const MAX_DEPTH: usize = 6;

fn value_schema(types: &Types, schema: &Schema, depth: usize) -> Json {
    let entry = || schema.entry.as_ref().map_or(Json::Bool(true), |entry| value_schema(types, entry, depth + 1));
    let mut json = match schema.type_name.as_str() {
        "integer" => json!({"type": ["integer", "string"]}),
        "float" | "number" => json!({"type": "number"}),
        "boolean" => json!({"type": ["boolean", "string"]}),
        "list" => json!({"type": "array", "items": entry()}),
        "map" => json!({"type": "object", "additionalProperties": entry()}),
        "range" => json!({"type": "array", "minItems": 2, "maxItems": 2}),
        "string" | "version" | "timestamp" => json!({"type": ["string", "number", "boolean"]}),
        name if name.starts_with("scalar-unit.") => json!({"type": "string"}),
        name => match types.flat(Kind::Data, name) {
            Ok(flat) if depth < MAX_DEPTH && !flat.properties.is_empty() => {
                let member = |(name, property): (&String, &Property)| {
                    let schema = value_schema(types, &property.schema, depth + 1);
                    (name.clone(), json!({"anyOf": [{"$ref": "#/$defs/function"}, schema]}))
                };
                let properties: Map<String, Json> = flat.properties.iter().map(member).collect();
                json!({"type": "object", "properties": properties, "additionalProperties": false})
            }
            _ => json!({}),
        },
    };
    if let Some(object) = json.as_object_mut() {
        let keywords = schema.constraints.iter().flat_map(crate::types::Constraint::to_json_schema);
        object.extend(keywords.map(|(keyword, value)| (keyword.to_owned(), value)));
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_knows_keys_types_and_properties() {
        let schema = json_schema();
        assert!(schema["properties"]["topology_template"].is_object() && schema["additionalProperties"] == false);
        let conditions = schema["$defs"]["node"]["allOf"].as_array().map(Vec::as_slice).unwrap_or_default();
        let of_type =
            |name: &str| conditions.iter().find(|condition| condition["if"]["properties"]["type"]["enum"][0] == name);
        let volume =
            of_type("tosca.nodes.BlockStorage").map(|condition| &condition["then"]["properties"]["properties"]);
        assert_eq!(volume.map(|volume| &volume["required"]), Some(&json!(["size"])));
        // Both sets define it.
        let compute = of_type("tosca.nodes.indigo.Compute").map(|condition| condition["then"]["anyOf"].clone());
        assert_eq!(compute.and_then(|schemas| schemas.as_array().map(Vec::len)), Some(2));
    }
}
