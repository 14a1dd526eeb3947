//! Node templates and the relationships between them (docs/spec/tosca.md 3).

use super::{Reader, joined};
use crate::error::{Class, Problem};
use crate::template::{Capability, Link, Node, Relationship, Role, Template};
use crate::types::{Artifact, Flat, Kind, Operation, Property, check_value, operations, read_artifacts, section};
use crate::yaml::{Map, Value};
use indexmap::IndexMap;
use std::sync::Arc;

/// Node templates of a document. Many machines that are alike are one node with a count.
const MAX_NODES: usize = 2000;
/// Properties of all nodes and inputs of their operations, those that their types bring included: a short document may name a
/// type with many of them often.
const MAX_VALUES: usize = 30_000;

/// Keys of a node template.
pub(crate) const NODE_KEYS: &[&str] = &[
    "type",
    "properties",
    "requirements",
    "interfaces",
    "capabilities",
    "artifacts",
    "description",
    "metadata",
    "directives",
    "attributes",
    "node_filter",
    "copy",
    "derived_from",
];
/// Keys of the long form of a requirement.
pub(crate) const REQUIREMENT_KEYS: &[&str] = &["node", "capability", "relationship", "occurrences", "node_filter"];
/// Words that stand for a comparison in the place of a text (docs/spec/tosca.md 6.1).
pub(crate) const COMPARISONS: &[&str] = &["equal", "greater_than", "greater_or_equal", "less_than", "less_or_equal"];

/// What is said of the properties of something.
struct Owner<'a> {
    /// As messages name it.
    what: String,
    path: &'a str,
    flat: &'a Flat,
}

impl Reader<'_> {
    pub(super) fn nodes(&mut self, topology: &Value) -> IndexMap<String, Node> {
        let mut nodes = IndexMap::new();
        if let Some(section) =
            topology.get("node_templates").filter(|section| section.as_map().is_some_and(|map| map.len() > MAX_NODES))
        {
            let message = format!("The document has more than {MAX_NODES} node templates.");
            self.problems.add(Problem::new(Class::Validation, message).at(section.place, "node_templates"));
            return nodes;
        }
        let mut values = 0;
        for (name, value) in section(topology, "node_templates", "topology_template", &mut self.problems) {
            if self.problems.is_full() {
                break;
            }
            match self.node(name, value) {
                Some(node) => {
                    let inputs = node.operations.values().map(|operation| operation.inputs.len());
                    values += node.properties.len() + inputs.sum::<usize>();
                    if values > MAX_VALUES {
                        let message = format!(
                            "The node templates have more than {MAX_VALUES} properties and inputs of operations, those of \
                             their types included."
                        );
                        let problem = Problem::new(Class::Validation, message);
                        self.problems.add(problem.at(value.place, &format!("node_templates.{name}")));
                        break;
                    }
                    nodes.insert(name.clone(), node);
                }
                None => drop(self.refused_nodes.insert(name.clone())),
            }
        }
        nodes
    }

    fn node(&mut self, name: &str, value: &Value) -> Option<Node> {
        let path = format!("node_templates.{name}");
        let what = format!("Node template \"{name}\"");
        let Some(map) = value.as_map() else {
            self.problems.mismatch(&what, "map", value, &path);
            return None;
        };
        self.known_keys(&what, map, NODE_KEYS, &path);
        let Some(type_name) = value.get("type").and_then(Value::scalar) else {
            self.problems.missing(&format!("Template \"{name}\""), "type", value.place, &path);
            return None;
        };
        let type_place = value.get("type").map(|value| value.place).unwrap_or_default();
        let flat = self.flat(Kind::Node, &type_name, type_place, &joined(&path, "type"))?;
        // Problems come in the order in which people look: capabilities, then properties.
        let capabilities = self.capabilities(name, value, &flat, &path);
        let properties = self.node_properties(name, value, &flat, &path);
        let (links, open) = self.links(name, value, &flat, &path);
        let own = operations(
            value.get("interfaces"),
            &format!("\"interfaces\" of template \"{name}\""),
            false,
            &format!("{path}.interfaces"),
            &mut self.problems,
        );
        let artifacts = read_artifacts(value.get("artifacts"), &format!("{path}.artifacts"), &mut self.problems);
        Some(Node {
            name: name.to_owned(),
            place: value.place,
            role: Role::of(flat.root()),
            properties,
            capabilities,
            links,
            open,
            operations: with_inherited(own, &flat.operations),
            artifacts: joined_artifacts(artifacts, &flat),
            flat,
        })
    }

    /// Properties with the defaults of the type, in the form in which they are kept.
    fn node_properties(&mut self, name: &str, value: &Value, flat: &Arc<Flat>, path: &str) -> Map {
        let owner = Owner { what: format!("\"properties\" of template \"{name}\""), path, flat };
        let given = self.given_properties(value, path);
        let checked = self.checked_properties(&given, &owner, value);
        let mut properties = Map::new();
        for (key, property) in &flat.properties {
            let value = checked.get(key).filter(|value| !value.is_null()).or(property.default.as_ref());
            if let Some(value) = value {
                properties.insert(key.clone(), value.clone());
            }
        }
        properties
    }

    /// Checks properties of something else than a node.
    pub(super) fn check_properties(&mut self, what: String, given: &Map, holder: &Value, flat: &Flat, path: &str) {
        self.checked_properties(given, &Owner { what, path, flat }, holder);
    }

    fn given_properties(&mut self, value: &Value, path: &str) -> Map {
        let Some(given) = value.get("properties") else { return Map::new() };
        given.as_map().cloned().unwrap_or_else(|| {
            self.problems.mismatch("\"properties\"", "map", given, &joined(path, "properties"));
            Map::new()
        })
    }

    /// Checks properties: names, types, constraints, and that none is missing.
    fn checked_properties(&mut self, given: &Map, owner: &Owner<'_>, holder: &Value) -> Map {
        let mut checked = Map::new();
        let known: Vec<&str> = owner.flat.properties.keys().map(String::as_str).collect();
        for (key, value) in given {
            let path = format!("{}.properties.{key}", owner.path);
            let Some(property) = owner.flat.properties.get(key) else {
                self.problems.unknown(&owner.what, key, value, &path, &known);
                continue;
            };
            if !value.is_null() {
                let value = self.checked_value(property, key, value, &path);
                checked.insert(key.clone(), value);
            }
        }
        let is_missing = |(key, property): &(&String, &Property)| {
            property.required && property.default.is_none() && !checked.contains_key(*key)
        };
        let missing: Vec<String> =
            owner.flat.properties.iter().filter(is_missing).map(|(key, _)| format!("'{key}'")).collect();
        if !missing.is_empty() {
            let path = joined(owner.path, "properties");
            let place = holder.get("properties").map_or(holder.place, |properties| properties.place);
            self.problems.missing(&owner.what, &format!("[{}]", missing.join(", ")), place, &path);
        }
        checked
    }

    fn checked_value(&mut self, property: &Property, key: &str, value: &Value, path: &str) -> Value {
        let comparison = value.as_map().filter(|map| map.len() == 1).and_then(|map| map.first());
        if property.schema.type_name == "string"
            && comparison.is_some_and(|(word, _)| COMPARISONS.contains(&word.as_str()))
        {
            return value.clone();
        }
        check_value(&self.types, &property.schema, key, value, path, &mut self.problems)
    }

    fn capabilities(&mut self, name: &str, value: &Value, flat: &Flat, path: &str) -> IndexMap<String, Capability> {
        let what = format!("\"capabilities\" of template \"{name}\"");
        let known: Vec<&str> = flat.capabilities.keys().map(String::as_str).collect();
        let given = value.get("capabilities");
        let given_map = given.and_then(Value::as_map);
        if let (Some(given), None) = (given, given_map) {
            self.problems.mismatch("\"capabilities\"", "map", given, &joined(path, "capabilities"));
        }
        for (key, value) in given_map.into_iter().flatten() {
            if !flat.capabilities.contains_key(key) {
                self.problems.unknown(&what, key, value, &format!("{path}.capabilities.{key}"), &known);
            }
        }
        let mut capabilities = IndexMap::new();
        for (key, type_name) in &flat.capabilities {
            let path = format!("{path}.capabilities.{key}");
            let given = given_map.and_then(|map| map.get(key));
            let place = given.map_or(value.place, |given| given.place);
            let Some(flat) = self.flat(Kind::Capability, type_name, place, &path) else { continue };
            let mut assigned = Map::new();
            if let Some(given) = given {
                match given.as_map() {
                    Some(map) => {
                        let what = format!("\"capabilities\" of template \"{name}\"");
                        self.known_keys(&what, map, &["properties", "attributes", "occurrences"], &path);
                    }
                    None if given.is_null() => {}
                    None => self.problems.mismatch(&format!("Capability \"{key}\""), "map", given, &path),
                }
                assigned = self.given_properties(given, &path);
                let owner = Owner { what: format!("\"properties\" of template \"{name}\""), path: &path, flat: &flat };
                self.checked_properties(&assigned, &owner, given);
                self.instances(name, key, &assigned, given, &path);
            }
            capabilities.insert(key.clone(), Capability { flat, assigned });
        }
        capabilities
    }

    /// The number of instances to begin with has to lie between the limits (docs/spec/tosca.md 6.2).
    fn instances(&mut self, name: &str, capability: &str, assigned: &Map, given: &Value, path: &str) {
        if capability != "scalable" {
            return;
        }
        let number = |key: &str| assigned.get(key).and_then(Value::integer);
        let Some(wanted) = number("default_instances") else { return };
        let fits = number("min_instances").is_some_and(|least| least <= wanted)
            && number("max_instances").is_some_and(|most| wanted <= most);
        // Limits that are functions are known later.
        let is_open =
            ["min_instances", "max_instances"].iter().any(|key| assigned.get(*key).is_some() && number(key).is_none());
        if !fits && !is_open {
            let message = format!(
                "\"properties\" of template \"{name}\": \"default_instances\" value is not between \"min_instances\" and \
                 \"max_instances\"."
            );
            self.problems.add(Problem::new(Class::Validation, message).at(given.place, path));
        }
    }

    /// The requirements of a node: those with a node that fulfils them, and the names of those without.
    fn links(&mut self, name: &str, value: &Value, flat: &Flat, path: &str) -> (Vec<Link>, Vec<String>) {
        let (what, path) = (format!("\"requirements\" of template \"{name}\""), joined(path, "requirements"));
        let (mut links, mut open) = (Vec::new(), Vec::new());
        let Some(list) = value.get("requirements") else { return (links, open) };
        let Some(items) = list.as_list() else {
            self.problems.mismatch("\"requirements\"", "list", list, &path);
            return (links, open);
        };
        for item in items {
            let Some(map) = item.as_map() else {
                self.problems.mismatch("A requirement", "map of one pair", item, &path);
                continue;
            };
            for (requirement, value) in map {
                let path = joined(&path, requirement);
                let known: Vec<&str> = flat.requirements.iter().map(|known| known.name.as_str()).collect();
                // A relationship of its own says all that the type would say.
                if !known.contains(&requirement.as_str()) && value.get("relationship").is_none() {
                    self.problems.unknown(&what, requirement, value, &path, &known);
                    continue;
                }
                if let Some(map) = value.as_map() {
                    self.known_keys(&what, map, REQUIREMENT_KEYS, &path);
                }
                if value.get("node").is_none() && value.get("node_filter").is_some() {
                    open.push(requirement.clone());
                    continue;
                }
                let Some(target) = value.as_text().map(str::to_owned).or_else(|| value.get("node")?.scalar()) else {
                    self.problems.missing(&what, "node", value.place, &path);
                    continue;
                };
                if let Some(relationship) = self.relationship(requirement, value, flat, &path) {
                    links.push(Link { requirement: requirement.clone(), target, place: value.place, relationship });
                }
            }
        }
        (links, open)
    }

    /// The relationship of a requirement: the given one, else the one that the type declares (docs/spec/tosca.md 3).
    fn relationship(&mut self, requirement: &str, value: &Value, flat: &Flat, path: &str) -> Option<Relationship> {
        let Some(given) = value.get("relationship") else {
            let declared = flat.requirements.iter().filter(|known| known.name == requirement);
            let name = declared.into_iter().find_map(|known| known.relationship.as_deref());
            return self.plain_relationship(name.unwrap_or("tosca.relationships.Root"), value, path);
        };
        if let Some(name) = given.as_text() {
            if let Some(template) = self.relationships.get(name) {
                return Some(template.clone());
            }
            return self.plain_relationship(name, given, path);
        }
        self.given_relationship(None, given, &joined(path, "relationship"))
    }

    fn plain_relationship(&mut self, name: &str, value: &Value, path: &str) -> Option<Relationship> {
        let flat = self.flat(Kind::Relationship, name, value.place, path)?;
        Some(Relationship {
            name: flat.name.to_lowercase(),
            properties: with_defaults(Map::new(), &flat),
            operations: flat.operations.clone(),
            flat,
        })
    }

    fn given_relationship(&mut self, name: Option<&str>, value: &Value, path: &str) -> Option<Relationship> {
        let what = format!("\"relationship\" {}", name.unwrap_or_default());
        let Some(map) = value.as_map() else {
            self.problems.mismatch(&what, "map", value, path);
            return None;
        };
        let known =
            ["type", "properties", "interfaces", "description", "metadata", "attributes", "copy", "derived_from"];
        self.known_keys(&what, map, &known, path);
        let Some(type_name) = value.get("type").and_then(Value::scalar) else {
            self.problems.missing(&what, "type", value.place, path);
            return None;
        };
        let flat = self.flat(Kind::Relationship, &type_name, value.place, path)?;
        let given = self.given_properties(value, path);
        let own = operations(value.get("interfaces"), &what, false, &joined(path, "interfaces"), &mut self.problems);
        Some(Relationship {
            name: name.map_or_else(|| flat.name.to_lowercase(), str::to_owned),
            properties: with_defaults(given, &flat),
            operations: with_inherited(own, &flat.operations),
            flat,
        })
    }

    pub(super) fn relationship_templates(&mut self, holder: &Value, path: &str) {
        for (name, value) in section(holder, "relationship_templates", path, &mut self.problems) {
            let path = format!("relationship_templates.{name}");
            if let Some(relationship) = self.given_relationship(Some(name), value, &path) {
                self.relationships.insert(name.clone(), relationship);
            }
        }
    }

    /// Whether requirements lead to nodes that are there, and as often as the types want it (docs/spec/tosca.md 3).
    pub(super) fn check_requirements(&mut self, template: &Template) {
        for node in template.nodes.values() {
            let path = format!("node_templates.{}.requirements", node.name);
            for link in &node.links {
                if template.nodes.contains_key(&link.target) || self.refused_nodes.contains(&link.target) {
                    continue;
                }
                let is_type = self.types.get(Kind::Node, &self.types.full_name(Kind::Node, &link.target)).is_some();
                let (name, target) = (&node.name, &link.target);
                let problem = if is_type {
                    let message = format!(
                        "Lookup by TOSCA types is not supported. Requirement node \"{target}\" for \"{name}\" can not be \
                         full-filled."
                    );
                    Problem::new(Class::NotImplemented, message).expecting("the name of a node template")
                } else {
                    Problem::new(Class::Key, format!("Node template \"{target}\" was not found in \"{name}\"."))
                };
                self.problems.add(problem.at(link.place, &joined(&path, &link.requirement)));
            }
            for wanted in &node.flat.requirements {
                let open = node.open.iter().filter(|open| **open == wanted.name).count();
                let count = node.targets(&wanted.name).count() + open;
                if count < wanted.least || wanted.most.is_some_and(|most| count > most) {
                    let (requirement, name) = (&wanted.name, &node.name);
                    let message = format!(
                        "Relationship \"{requirement}\" in template \"{name}\" has a wrong number of occurrences"
                    );
                    let expected = match wanted.most {
                        Some(most) => format!("{} to {most}", wanted.least),
                        None => format!("at least {}", wanted.least),
                    };
                    let problem = Problem::new(Class::Validation, message).expecting(expected);
                    self.problems.add(problem.at(node.place, &joined(&path, requirement)));
                }
            }
        }
    }
}

fn with_defaults(mut given: Map, flat: &Flat) -> Map {
    for (name, property) in &flat.properties {
        if let Some(default) = property.default.as_ref().filter(|_| given.get(name).is_none_or(Value::is_null)) {
            given.insert(name.clone(), default.clone());
        }
    }
    given
}

/// Operations with those of the type where the template is silent; a template that only gives inputs changes those of the
/// operation of its type.
fn with_inherited(
    own: IndexMap<String, Operation>,
    inherited: &IndexMap<String, Operation>,
) -> IndexMap<String, Operation> {
    let mut all = own;
    for (name, operation) in inherited {
        match all.get_mut(name) {
            None => drop(all.insert(name.clone(), operation.clone())),
            Some(own) if own.implementation.is_none() => {
                own.implementation.clone_from(&operation.implementation);
                let mut inputs = operation.inputs.clone();
                inputs.extend(std::mem::take(&mut own.inputs));
                own.inputs = inputs;
                own.is_of_type = operation.is_of_type;
            }
            Some(_) => {}
        }
    }
    all
}

fn joined_artifacts(mut own: IndexMap<String, Artifact>, flat: &Flat) -> IndexMap<String, Artifact> {
    for (name, artifact) in &flat.artifacts {
        own.entry(name.clone()).or_insert_with(|| artifact.clone());
    }
    own
}
