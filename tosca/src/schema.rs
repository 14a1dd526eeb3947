//! JSON Schema (https://json-schema.org/draft/2020-12/schema) of documents, for editors: keys, the names of the shipped
//! types, and the properties and capabilities of each node type.

use crate::parse::{COMPARISONS, DOCUMENT_KEYS, NODE_KEYS, TOPOLOGY_KEYS, VERSIONS};
use crate::types::{Flat, Kind, Property, Requirement, Schema, Types, normative, shipped_sets};
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
    let section =
        |of: &str| json!({"type": ["object", "null"], "additionalProperties": {"$ref": format!("#/$defs/{of}")}});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "TOSCA document",
        "type": "object",
        "required": ["tosca_definitions_version"],
        "properties": properties_of(DOCUMENT_KEYS, &[
            ("tosca_definitions_version", json!({"enum": VERSIONS})),
            ("imports", json!({"type": ["array", "null"]})),
            ("topology_template", json!({"$ref": "#/$defs/topology"})),
        ]),
        "additionalProperties": false,
        "$defs": {
            "function": function_schema(),
            "topology": {
                "type": "object",
                "properties": properties_of(TOPOLOGY_KEYS, &[
                    ("inputs", section("input")),
                    ("node_templates", section("node")),
                    ("outputs", section("output")),
                ]),
                "additionalProperties": false,
            },
            "comparison": comparison_schema(),
            "output": {
                "type": "object",
                "required": ["value"],
                "properties": properties_of(&["value", "description"], &[]),
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
                    // Editors offer the names; a document may define others.
                    ("type", json!({"anyOf": [{"enum": names}, {"type": "string"}]})),
                    ("requirements", json!({"type": ["array", "null"], "items": {"type": "object"}})),
                ]),
                "additionalProperties": false,
                "allOf": conditions,
            },
        },
    })
}

/// What the keys of a document mean, for those who hover over them.
const KEYS: &[(&str, &str)] = &[
    ("tosca_definitions_version", "The version of the language; all of them behave alike."),
    ("template_name", "A name for people."),
    ("template_author", "Who wrote it."),
    ("template_version", "Its own version."),
    ("description", "What it is for; of a document it becomes the description of the RADL."),
    ("imports", "Addresses of files with types. The sets of grycap/tosca and indigo-dc/tosca-types need no network."),
    ("dsl_definitions", "A home for anchors; nothing else looks at it."),
    ("node_types", "Types of nodes of this document."),
    ("relationship_types", "Types of relationships of this document."),
    ("relationship_templates", "Relationships with a name, for `relationship` of requirements."),
    ("capability_types", "Types of capabilities of this document."),
    ("data_types", "Types of values of this document."),
    ("policy_types", "Types of policies of this document."),
    ("group_types", "Types of groups of this document."),
    ("repositories", "Places that imports and artifacts may name in short."),
    ("metadata", "What dashboards show: display_name, icon, tag, tabs, childs, infra_name. It is kept as it is."),
    ("topology_template", "What is to be made."),
    ("inputs", "Values that users give; `default` is the value."),
    ("node_templates", "Machines, networks, volumes, containers, functions, and the software on them."),
    ("outputs", "What users are told of the running machines."),
    ("groups", "Nodes with a common name, for policies."),
    ("policies", "Where nodes are to be placed, in order."),
    ("substitution_mappings", "Has no effect."),
    ("type", "The type, with or without what all of its kind begin with."),
    ("properties", "Values of the properties that the type declares."),
    (
        "requirements",
        "What this node needs of others, in order: `- host: NODE`, or in the long form with its relationship.",
    ),
    ("capabilities", "What this node offers: sizes of a machine, its system, its ports, the number of instances."),
    ("interfaces", "What is run on the host: `Standard: {create, configure, start}`, Ansible recipes or scripts."),
    ("artifacts", "Files and Ansible roles that come with the node."),
    ("directives", "Has no effect."),
    ("attributes", "Has no effect."),
    ("node_filter", "Has no effect."),
    ("copy", "Has no effect."),
    ("default", "The value of the input."),
    ("constraints", "What the value has to fulfil; a broken one is a warning."),
    ("required", "Has no effect."),
    ("entry_schema", "The type of what a list or map holds."),
    ("value", "The value; mostly a function such as `get_attribute: [NODE, public_address, 0]`."),
];

/// A schema with what it is for.
fn described(mut schema: Json, description: &str) -> Json {
    if schema == Json::Bool(true) {
        schema = json!({});
    }
    if let Some(object) = schema.as_object_mut() {
        object.entry("description").or_insert_with(|| description.into());
    }
    schema
}

fn properties_of(keys: &[&str], known: &[(&str, Json)]) -> Json {
    let of_key = |key: &&str| {
        let schema = known.iter().find(|(name, _)| name == key).map_or(Json::Bool(true), |(_, schema)| schema.clone());
        let description = KEYS.iter().find(|(name, _)| name == key);
        let schema = match description {
            Some((_, description)) => described(schema, description),
            None => schema,
        };
        ((*key).to_owned(), schema)
    };
    Json::Object(keys.iter().map(of_key).collect())
}

/// A comparison in the place of a text (docs/spec/tosca.md 6.1).
fn comparison_schema() -> Json {
    let any: Map<String, Json> = COMPARISONS.iter().map(|word| ((*word).to_owned(), Json::Bool(true))).collect();
    json!({"type": "object", "properties": any, "minProperties": 1, "maxProperties": 1, "additionalProperties": false})
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
        let schema = json!({
            "type": ["object", "null"], "properties": {"properties": properties}, "description": type_name,
        });
        capabilities.insert(name.clone(), schema);
    }
    let needed = |requirement: &Requirement| {
        let wanted = requirement.node.as_ref().or(requirement.capability.as_ref());
        let most = requirement.most.map_or_else(|| "any number".to_owned(), |most| most.to_string());
        let wanted = wanted.map_or_else(|| "a node".to_owned(), |wanted| format!("a node of {wanted}"));
        json!({"description": format!("{wanted}; at least {}, at most {most}", requirement.least)})
    };
    let requirements: Map<String, Json> =
        flat.requirements.iter().map(|requirement| (requirement.name.clone(), needed(requirement))).collect();
    let ancestors = flat.line.get(1..).unwrap_or_default().join(", ");
    let operations: Vec<&str> = flat.operations.keys().map(String::as_str).collect();
    let runs = if operations.is_empty() { String::new() } else { format!("; runs {}", operations.join(", ")) };
    json!({
        "description": format!("{}, which derives from {ancestors}{runs}", flat.name),
        "properties": {
            "properties": members(types, flat),
            "capabilities": {"type": ["object", "null"], "properties": capabilities, "additionalProperties": false},
            "requirements": {"items": {"properties": requirements}},
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
    let kind = if required.is_empty() { json!(["object", "null"]) } else { json!("object") };
    let mut schema = json!({"type": kind, "properties": properties, "additionalProperties": false});
    if let (Some(object), false) = (schema.as_object_mut(), required.is_empty()) {
        object.insert("required".to_owned(), json!(required));
    }
    schema
}

fn property_schema(types: &Types, property: &Property) -> Json {
    let mut choices = vec![json!({"$ref": "#/$defs/function"}), value_schema(types, &property.schema, 0)];
    if property.schema.type_name == "string" {
        choices.push(json!({"$ref": "#/$defs/comparison"}));
    }
    // Null is as if it were not given.
    choices.push(json!({"type": "null"}));
    let mut schema = json!({"anyOf": choices});
    if let Some(object) = schema.as_object_mut() {
        if let Some(default) = &property.default {
            object.insert("default".to_owned(), default.to_json());
        }
        let kind = kind_of(&property.schema);
        let description = property.description.as_ref().map_or_else(|| kind.clone(), |own| format!("{own} ({kind})"));
        object.insert("description".to_owned(), description.into());
    }
    schema
}

/// The type of a value in words.
fn kind_of(schema: &Schema) -> String {
    let name = schema.type_name.as_str();
    match (name, &schema.entry) {
        ("list" | "map", Some(entry)) => format!("{name} of {}", kind_of(entry)),
        ("scalar-unit.size", _) => "size: a number and one of B, kB, KiB, MB, MiB, GB, GiB, TB, TiB".to_owned(),
        ("scalar-unit.frequency", _) => "frequency: a number and one of Hz, kHz, MHz, GHz".to_owned(),
        ("scalar-unit.time", _) => "time: a number and one of d, h, m, s, ms, us, ns".to_owned(),
        ("float", _) => "float: a number with a point".to_owned(),
        _ => name.to_owned(),
    }
}

/// A value within others, where a function may stand, too.
fn inner_schema(types: &Types, schema: &Schema, depth: usize) -> Json {
    json!({"anyOf": [{"$ref": "#/$defs/function"}, value_schema(types, schema, depth + 1), {"type": "null"}]})
}

/// How deep data types are followed.
const MAX_DEPTH: usize = 6;

fn value_schema(types: &Types, schema: &Schema, depth: usize) -> Json {
    let entry = || schema.entry.as_ref().map_or(Json::Bool(true), |entry| inner_schema(types, entry, depth));
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
                    let schema = inner_schema(types, &property.schema, depth);
                    (name.clone(), described(schema, &kind_of(&property.schema)))
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
        // Whoever hovers over a key or a property is told what it is.
        let size = volume.map(|volume| volume["properties"]["size"]["description"].to_string()).unwrap_or_default();
        assert!(size.contains("a number and one of B, kB"), "{size}");
        for keys in [&schema["properties"], &schema["$defs"]["topology"]["properties"]] {
            assert!(keys["description"]["description"].is_string());
        }
        // A function may stand within a list.
        let names = of_type("tosca.nodes.indigo.network.Port")
            .map(|condition| &condition["then"]["properties"]["properties"]["properties"]["additional_dns_names"]);
        let items = names.map(|names| names["anyOf"][1]["items"]["anyOf"][0].clone());
        assert_eq!(items, Some(json!({"$ref": "#/$defs/function"})));
    }
}
