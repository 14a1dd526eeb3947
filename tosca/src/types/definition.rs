//! Definitions of types as a document or a shipped set writes them.

use super::{Constraint, Kind, Types};
use crate::error::{Problem, Problems};
use crate::yaml::{Map, Place, Value};
use indexmap::IndexMap;

/// What a type itself says, without what it inherits.
#[derive(Debug, Clone, Default)]
pub struct Definition {
    /// The type it derives from.
    pub parent: Option<String>,
    /// Properties.
    pub properties: IndexMap<String, Property>,
    /// Attributes.
    pub attributes: IndexMap<String, Property>,
    /// Capabilities, by name their type.
    pub capabilities: IndexMap<String, String>,
    /// Requirements.
    pub requirements: Vec<Requirement>,
    /// Artifacts.
    pub artifacts: IndexMap<String, Artifact>,
    /// Operations of the interfaces that the service runs.
    pub operations: IndexMap<String, Operation>,
    /// Constraints of a data type that derives from a simple one.
    pub constraints: Vec<Constraint>,
    /// Where it stands.
    pub place: Place,
    /// What is wrong with it. A file of types that somebody imports may hold others than those that are used, so it is told
    /// where the type is used.
    pub problems: Vec<Problem>,
}

/// The type of a value, of the entries in it, and what it has to fulfil.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schema {
    /// Name of the type.
    pub type_name: String,
    /// What a list or map holds.
    pub entry: Option<Box<Schema>>,
    /// What the value has to fulfil.
    pub constraints: Vec<Constraint>,
}

/// A property or attribute.
#[derive(Debug, Clone)]
pub struct Property {
    /// What its value is.
    pub schema: Schema,
    /// Whether it has to be given.
    pub required: bool,
    /// Its value where it is not given.
    pub default: Option<Value>,
    /// Whether the type itself declares it, and no ancestor of it.
    pub is_own: bool,
    /// What it is for.
    pub description: Option<String>,
}

/// What a node needs from another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Its name.
    pub name: String,
    /// The type of capability that it needs.
    pub capability: Option<String>,
    /// The type of node that it needs.
    pub node: Option<String>,
    /// The type of the relationship.
    pub relationship: Option<String>,
    /// How often it has to be there at least.
    pub least: usize,
    /// And at most; none is no bound.
    pub most: Option<usize>,
}

/// A file that a node brings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Artifact {
    /// The name or address of the file; may be a function.
    pub file: Value,
    /// Its type, as written.
    pub type_name: String,
    /// The entry of `repositories` that it stands in.
    pub repository: Option<String>,
    /// Where it belongs in a container.
    pub deploy_path: Option<String>,
    /// Further properties.
    pub properties: Map,
}

/// Something that is run at a certain time.
#[derive(Debug, Clone, Default)]
pub struct Operation {
    /// What is run: a text, or a map with `file` and `repository`; none where there are only inputs.
    pub implementation: Option<Value>,
    /// Values for it.
    pub inputs: Map,
    /// Whether a type declares it, and no template.
    pub is_of_type: bool,
    /// Where it stands.
    pub place: Place,
}

/// Keys of the definition of a type.
const TYPE_KEYS: &[&str] = &[
    "derived_from",
    "version",
    "metadata",
    "description",
    "properties",
    "attributes",
    "requirements",
    "capabilities",
    "interfaces",
    "artifacts",
    "valid_source_types",
    "valid_target_types",
    "constraints",
    "targets",
    "members",
    "triggers",
    "entry_schema",
    "key_schema",
    "inputs",
    "operations",
    "notifications",
    "abstract",
];

/// Keys of the definition of a property or input.
pub(crate) const PROPERTY_KEYS: &[&str] = &[
    "type",
    "description",
    "default",
    "constraints",
    "required",
    "status",
    "key_schema",
    "entry_schema",
    "metadata",
    "external-schema",
    // What some public types write in the place of `default`; it has no effect.
    "value",
];

/// Reads all types that a document defines; what is wrong with one of them stays with it, anything else goes to `problems`.
pub(crate) fn definitions(document: &Value, problems: &mut Problems) -> Types {
    let mut types = Types::default();
    for kind in Kind::ALL {
        let Some(section) = document.get(kind.section()) else { continue };
        let path = kind.section();
        let Some(section) = section.as_map() else {
            problems.mismatch(&format!("\"{path}\""), "map", section, path);
            continue;
        };
        for (name, value) in section {
            let path = format!("{path}.{name}");
            let mut own = Problems::default();
            match definition(kind, name, value, &path, &mut own) {
                Some(definition) => {
                    types.insert(kind, name.clone(), Definition { problems: own.into_list(), ..definition });
                }
                None => own.into_list().into_iter().for_each(|problem| problems.add(problem)),
            }
        }
    }
    types
}

fn definition(kind: Kind, name: &str, value: &Value, path: &str, problems: &mut Problems) -> Option<Definition> {
    let what = match kind {
        Kind::Node => format!("Nodetype\"{name}\""),
        Kind::Relationship => format!("Relationshiptype \"{name}\""),
        _ => format!("Type \"{name}\""),
    };
    if value.is_null() {
        return Some(Definition { place: value.place, ..Definition::default() });
    }
    let Some(map) = value.as_map() else {
        problems.mismatch(&what, "map", value, path);
        return None;
    };
    if kind != Kind::Interface {
        for (key, value) in map {
            if !TYPE_KEYS.contains(&key.as_str()) {
                problems.unknown(&what, key, value, &format!("{path}.{key}"), &[]);
            }
        }
    }
    let mut definition = Definition { place: value.place, ..Definition::default() };
    definition.parent = value.get("derived_from").and_then(Value::scalar);
    definition.properties = properties(value, "properties", path, problems);
    definition.attributes = properties(value, "attributes", path, problems);
    if let Some(constraints) = value.get("constraints") {
        definition.constraints = read_constraints(constraints, path, problems);
    }
    for (name, capability) in section(value, "capabilities", path, problems) {
        match capability.as_text().map(str::to_owned).or_else(|| capability.get("type").and_then(Value::scalar)) {
            Some(type_name) => drop(definition.capabilities.insert(name.clone(), type_name)),
            None => problems.missing(&format!("Capability \"{name}\""), "type", capability.place, path),
        }
    }
    if kind == Kind::Node
        && let Some(list) = value.get("requirements")
    {
        definition.requirements = requirements(list, &format!("{path}.requirements"), problems);
    }
    definition.artifacts = read_artifacts(value.get("artifacts"), &format!("{path}.artifacts"), problems);
    if matches!(kind, Kind::Node | Kind::Relationship) {
        definition.operations =
            operations(value.get("interfaces"), &what, true, &format!("{path}.interfaces"), problems);
    }
    Some(definition)
}

/// The pairs of a section that is a map, if it is there.
pub(crate) fn section<'v>(
    value: &'v Value,
    name: &str,
    path: &str,
    problems: &mut Problems,
) -> impl Iterator<Item = (&'v String, &'v Value)> + use<'v> {
    let map = value.get(name).and_then(|section| {
        if section.as_map().is_none() {
            problems.mismatch(&format!("\"{name}\""), "map", section, &format!("{path}.{name}"));
        }
        section.as_map()
    });
    map.into_iter().flatten()
}

fn properties(value: &Value, name: &str, path: &str, problems: &mut Problems) -> IndexMap<String, Property> {
    let mut properties = IndexMap::new();
    for (key, definition) in section(value, name, path, problems) {
        let path = format!("{path}.{name}.{key}");
        if definition.as_map().is_none() {
            problems.mismatch(&format!("Property \"{key}\""), "map", definition, &path);
            continue;
        }
        for (key, value) in definition.as_map().into_iter().flatten() {
            if !PROPERTY_KEYS.contains(&key.as_str()) {
                problems.unknown("Property definition", key, value, &format!("{path}.{key}"), PROPERTY_KEYS);
            }
        }
        let property = Property {
            schema: read_schema(definition, &path, problems),
            required: definition.get("required").and_then(Value::truth).unwrap_or(true),
            default: definition.get("default").cloned(),
            is_own: false,
            description: definition.get("description").and_then(Value::scalar),
        };
        properties.insert(key.clone(), property);
    }
    properties
}

/// Reads `type`, `entry_schema` and `constraints` of a definition.
pub(crate) fn read_schema(definition: &Value, path: &str, problems: &mut Problems) -> Schema {
    let type_name = match definition.get("type") {
        Some(type_name) => type_name.scalar().unwrap_or_default(),
        None => String::new(),
    };
    if type_name.is_empty() {
        problems.missing("Property definition", "type", definition.place, path);
    }
    let entry = definition.get("entry_schema").map(|entry| {
        let schema = match entry.as_text() {
            Some(name) => Schema { type_name: name.to_owned(), ..Schema::default() },
            None => read_schema(entry, &format!("{path}.entry_schema"), problems),
        };
        Box::new(schema)
    });
    let constraints = definition.get("constraints").map(|list| read_constraints(list, path, problems));
    Schema { type_name, entry, constraints: constraints.unwrap_or_default() }
}

fn read_constraints(list: &Value, path: &str, problems: &mut Problems) -> Vec<Constraint> {
    let path = format!("{path}.constraints");
    let items = match list.as_list() {
        Some(items) => items,
        None if list.as_map().is_some() => std::slice::from_ref(list),
        None => {
            problems.mismatch("\"constraints\"", "list", list, &path);
            return Vec::new();
        }
    };
    items.iter().filter_map(|constraint| Constraint::read(constraint, &path, problems)).collect()
}

fn requirements(list: &Value, path: &str, problems: &mut Problems) -> Vec<Requirement> {
    let Some(items) = list.as_list() else {
        problems.mismatch("\"requirements\"", "list", list, path);
        return Vec::new();
    };
    let mut requirements = Vec::new();
    for item in items {
        let Some(map) = item.as_map() else {
            problems.mismatch("A requirement", "map of one pair", item, path);
            continue;
        };
        for (name, value) in map {
            let (least, most) = match value.get("occurrences").map(|occurrences| (occurrences, occurrences.as_list())) {
                None => (1, None),
                Some((_, Some([least, most]))) => {
                    let number = |value: &Value| value.integer().and_then(|n| usize::try_from(n).ok());
                    (number(least).unwrap_or(0), number(most))
                }
                Some((occurrences, _)) => {
                    problems.mismatch("\"occurrences\"", "list of two values", occurrences, path);
                    (0, None)
                }
            };
            let text = |key| value.get(key).and_then(Value::scalar);
            let relationship = value.get("relationship");
            requirements.push(Requirement {
                name: name.clone(),
                capability: value.as_text().map(str::to_owned).or_else(|| text("capability")),
                node: text("node"),
                relationship: relationship.and_then(|r| r.scalar().or_else(|| r.get("type")?.scalar())),
                least,
                most,
            });
        }
    }
    requirements
}

/// Reads artifacts: a map, or a list of maps of one pair.
pub(crate) fn read_artifacts(value: Option<&Value>, path: &str, problems: &mut Problems) -> IndexMap<String, Artifact> {
    let mut artifacts = IndexMap::new();
    let Some(value) = value else { return artifacts };
    let maps: Vec<&Map> = match (value.as_map(), value.as_list()) {
        (Some(map), _) => vec![map],
        (_, Some(items)) if items.iter().all(|item| item.as_map().is_some()) => {
            items.iter().filter_map(Value::as_map).collect()
        }
        _ => {
            problems.mismatch("\"artifacts\"", "map", value, path);
            return artifacts;
        }
    };
    for (name, value) in maps.into_iter().flatten() {
        artifacts.insert(name.clone(), read_artifact(value, &format!("{path}.{name}"), problems));
    }
    artifacts
}

/// Reads one artifact: a map, or the name of the file alone.
pub(crate) fn read_artifact(value: &Value, path: &str, problems: &mut Problems) -> Artifact {
    if value.as_text().is_some() {
        return Artifact { file: value.clone(), ..Artifact::default() };
    }
    if value.as_map().is_none() {
        problems.mismatch("An artifact", "map", value, path);
    }
    let text = |key| value.get(key).and_then(Value::scalar);
    Artifact {
        file: value.get("file").cloned().unwrap_or_default(),
        type_name: text("type").unwrap_or_default(),
        repository: text("repository"),
        deploy_path: text("deploy_path"),
        properties: value.get("properties").and_then(Value::as_map).cloned().unwrap_or_default(),
    }
}

/// Operations of nodes (docs/spec/tosca.md 7.1).
pub(crate) const NODE_OPERATIONS: &[&str] = &["create", "configure", "start", "stop", "delete"];
/// Operations of relationships.
pub(crate) const RELATIONSHIP_OPERATIONS: &[&str] = &[
    "pre_configure_source",
    "pre_configure_target",
    "post_configure_source",
    "post_configure_target",
    "add_target",
    "remove_target",
    "add_source",
    "target_changed",
];

/// Reads the operations of `interfaces`. Those of other interfaces than `Standard` and `Configure` have no effect.
pub(crate) fn operations(
    interfaces: Option<&Value>,
    what: &str,
    is_of_type: bool,
    path: &str,
    problems: &mut Problems,
) -> IndexMap<String, Operation> {
    let mut operations = IndexMap::new();
    let Some(interfaces) = interfaces else { return operations };
    let Some(map) = interfaces.as_map() else {
        problems.mismatch("\"interfaces\"", "map", interfaces, path);
        return operations;
    };
    for (interface, value) in map {
        let path = format!("{path}.{interface}");
        let Some(own) = value.as_map() else {
            if !value.is_null() {
                problems.mismatch(&format!("Interface \"{interface}\""), "map", value, &path);
            }
            continue;
        };
        let short = interface.rsplit(['.', ':']).next().unwrap_or_default();
        let is_run = matches!(short, "Standard" | "Configure");
        let shared = if is_of_type { None } else { value.get("inputs").and_then(Value::as_map) };
        let grouped = value.get("operations").and_then(Value::as_map);
        for (name, operation) in own.iter().chain(grouped.into_iter().flatten()) {
            if matches!(
                name.as_str(),
                "type" | "inputs" | "description" | "operations" | "derived_from" | "notifications"
            ) {
                continue;
            }
            let path = format!("{path}.{name}");
            let known = NODE_OPERATIONS.iter().chain(RELATIONSHIP_OPERATIONS).any(|known| known == name);
            if is_run && !known {
                problems.unknown(what, name, operation, &path, &[NODE_OPERATIONS, RELATIONSHIP_OPERATIONS].concat());
            }
            if is_run && known {
                operations.insert(name.clone(), read_operation(operation, shared, is_of_type, what, &path, problems));
            }
        }
    }
    operations
}

fn read_operation(
    value: &Value,
    shared: Option<&Map>,
    is_of_type: bool,
    what: &str,
    path: &str,
    problems: &mut Problems,
) -> Operation {
    let mut operation = Operation { is_of_type, place: value.place, ..Operation::default() };
    let Some(map) = value.as_map() else {
        if value.as_text().is_some() {
            operation.implementation = Some(value.clone());
        } else if !value.is_null() {
            problems.mismatch("An operation", "string or map", value, path);
        }
        return operation;
    };
    for (key, value) in map {
        if !matches!(key.as_str(), "implementation" | "inputs" | "outputs" | "description") {
            problems.unknown(what, key, value, &format!("{path}.{key}"), &["implementation", "inputs", "outputs"]);
        }
    }
    operation.implementation = value.get("implementation").map(|implementation| {
        // The long form of version 1.3.
        implementation.get("primary").unwrap_or(implementation).clone()
    });
    operation.inputs = shared.cloned().unwrap_or_default();
    match value.get("inputs") {
        None => {}
        Some(inputs) => match inputs.as_map() {
            Some(inputs) => operation.inputs.extend(inputs.clone()),
            None => problems.mismatch("\"inputs\"", "map", inputs, &format!("{path}.inputs")),
        },
    }
    operation
}
