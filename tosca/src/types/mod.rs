//! Types: what they are made of, who derives from whom, and the sets that are shipped (docs/spec/tosca.md 3 and 18).

mod check;
mod constraint;
mod definition;
mod shipped;
mod unit;

pub(crate) use check::check_value;
pub use check::is_known_type;
pub use constraint::Constraint;
pub use definition::{Artifact, Definition, Operation, Property, Requirement, Schema};
pub(crate) use definition::{PROPERTY_KEYS, definitions, operations, read_artifacts, read_schema, section};
pub(crate) use shipped::all as shipped_sets;
pub use shipped::{normative, well_known};
pub use unit::{Dimension, Measure};

use crate::error::{Class, Problem};
use indexmap::IndexMap;
use std::{collections::HashMap, sync::Arc};

/// How long a line of ancestors may be.
const MAX_ANCESTORS: usize = 32;

/// The kinds of types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `node_types`
    Node,
    /// `capability_types`
    Capability,
    /// `relationship_types`
    Relationship,
    /// `data_types`
    Data,
    /// `interface_types`
    Interface,
    /// `policy_types`
    Policy,
    /// `group_types`
    Group,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 7] =
        [Self::Node, Self::Capability, Self::Relationship, Self::Data, Self::Interface, Self::Policy, Self::Group];

    /// The section of a document that defines types of this kind.
    #[must_use]
    pub fn section(self) -> &'static str {
        match self {
            Self::Node => "node_types",
            Self::Capability => "capability_types",
            Self::Relationship => "relationship_types",
            Self::Data => "data_types",
            Self::Interface => "interface_types",
            Self::Policy => "policy_types",
            Self::Group => "group_types",
        }
    }

    /// What stands in front of the short names of this kind.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Node => "tosca.nodes.",
            Self::Capability => "tosca.capabilities.",
            Self::Relationship => "tosca.relationships.",
            Self::Data => "tosca.datatypes.",
            Self::Interface => "tosca.interfaces.",
            Self::Policy => "tosca.policies.",
            Self::Group => "tosca.groups.",
        }
    }
}

/// A type with all that it inherits.
#[derive(Debug, Clone, Default)]
pub struct Flat {
    /// Its full name.
    pub name: String,
    /// Itself and its ancestors, the nearest first.
    pub line: Vec<String>,
    /// Properties; those of the type itself first.
    pub properties: IndexMap<String, Property>,
    /// Attributes.
    pub attributes: IndexMap<String, Property>,
    /// Capabilities, by name their type.
    pub capabilities: IndexMap<String, String>,
    /// Requirements of all levels, own ones first.
    pub requirements: Vec<Requirement>,
    /// Artifacts; those of the type itself first.
    pub artifacts: IndexMap<String, Artifact>,
    /// Operations by name.
    pub operations: IndexMap<String, Operation>,
}

impl Flat {
    /// Whether it is this type or derives from it.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.line.iter().any(|own| own == name)
    }

    /// The topmost ancestor below the root of its kind (docs/spec/tosca.md 3).
    #[must_use]
    pub fn root(&self) -> &str {
        let is_root = |name: &str| name.ends_with(".Root") && name.starts_with("tosca.");
        self.line.iter().rev().find(|name| !is_root(name)).unwrap_or(&self.name)
    }
}

/// The types that a document can use.
#[derive(Debug, Clone, Default)]
pub struct Types {
    by_kind: HashMap<Kind, HashMap<String, Arc<Definition>>>,
}

impl Types {
    /// Adds types; later ones replace earlier ones of the same name.
    pub fn extend(&mut self, other: &Self) {
        for (kind, definitions) in &other.by_kind {
            let own = self.by_kind.entry(*kind).or_default();
            own.extend(definitions.iter().map(|(name, definition)| (name.clone(), Arc::clone(definition))));
        }
    }

    /// Adds one type.
    pub fn insert(&mut self, kind: Kind, name: String, definition: Definition) {
        self.by_kind.entry(kind).or_default().insert(name, Arc::new(definition));
    }

    /// Adds a type that is there under another name.
    pub(crate) fn insert_shared(&mut self, kind: Kind, name: String, definition: Arc<Definition>) {
        self.by_kind.entry(kind).or_default().insert(name, definition);
    }

    /// Changes what is told of types that something is wrong with.
    pub(crate) fn map_problems(&mut self, change: &impl Fn(Problem) -> Problem) {
        for definition in self.by_kind.values_mut().flat_map(HashMap::values_mut) {
            if !definition.problems.is_empty() {
                let definition = Arc::make_mut(definition);
                definition.problems = std::mem::take(&mut definition.problems).into_iter().map(change).collect();
            }
        }
    }

    /// All types of a kind, in no order.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = (&String, &Arc<Definition>)> {
        self.by_kind.get(&kind).into_iter().flatten()
    }

    /// The type of a full name.
    #[must_use]
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Definition>> {
        self.by_kind.get(&kind)?.get(name)
    }

    /// The full name of what a document calls `name` (docs/spec/tosca.md 3).
    #[must_use]
    pub fn full_name(&self, kind: Kind, name: &str) -> String {
        if self.get(kind, name).is_some() {
            return name.to_owned();
        }
        match name.strip_prefix("tosca:") {
            Some(short) => format!("{}{short}", kind.prefix()),
            None if name.starts_with("tosca") => name.to_owned(),
            None => format!("{}{name}", kind.prefix()),
        }
    }

    /// The full names of a type and its ancestors, the nearest first.
    ///
    /// # Errors
    /// One of them is not known, or the line comes back to itself.
    pub fn line(&self, kind: Kind, name: &str) -> Result<Vec<(String, &Definition)>, Problem> {
        let mut line: Vec<(String, &Definition)> = Vec::new();
        let mut next = Some(self.full_name(kind, name));
        while let Some(name) = next {
            let Some(definition) = self.get(kind, &name) else {
                return Err(unknown_type(&name, kind));
            };
            if line.len() >= MAX_ANCESTORS || line.iter().any(|(known, _)| *known == name) {
                let message = format!("Type \"{name}\" is not a valid type.");
                let expected = format!("a line of at most {MAX_ANCESTORS} ancestors that does not come back to itself");
                return Err(Problem::new(Class::InvalidType, message).expecting(expected));
            }
            // A data type may derive from a simple one, which is no type of a document.
            let parent = definition.parent.as_ref().filter(|parent| kind != Kind::Data || !check::is_simple(parent));
            next = parent.map(|parent| self.full_name(kind, parent));
            line.push((name, definition));
        }
        Ok(line)
    }

    /// A type with all that it inherits (docs/spec/tosca.md 3).
    ///
    /// # Errors
    /// The type or an ancestor is not known.
    pub fn flat(&self, kind: Kind, name: &str) -> Result<Flat, Problem> {
        let line = self.line(kind, name)?;
        let mut flat = Flat { line: line.iter().map(|(name, _)| name.clone()).collect(), ..Flat::default() };
        flat.name = flat.line.first().cloned().unwrap_or_default();
        for (level, (_, definition)) in line.iter().enumerate() {
            for (name, property) in &definition.properties {
                let own = || Property { is_own: level == 0, ..property.clone() };
                flat.properties.entry(name.clone()).or_insert_with(own);
            }
            for (name, attribute) in &definition.attributes {
                flat.attributes.entry(name.clone()).or_insert_with(|| attribute.clone());
            }
            for (name, capability) in &definition.capabilities {
                let full = || self.full_name(Kind::Capability, capability);
                flat.capabilities.entry(name.clone()).or_insert_with(full);
            }
            for requirement in &definition.requirements {
                if !flat.requirements.contains(requirement) {
                    flat.requirements.push(requirement.clone());
                }
            }
            for (name, artifact) in &definition.artifacts {
                flat.artifacts.entry(name.clone()).or_insert_with(|| artifact.clone());
            }
            for (name, operation) in &definition.operations {
                flat.operations.entry(name.clone()).or_insert_with(|| operation.clone());
            }
        }
        Ok(flat)
    }
}

/// A type that is not there.
pub(crate) fn unknown_type(name: &str, kind: Kind) -> Problem {
    if matches!(name, "tosca.nodes.Storage.BlockStorage" | "tosca.nodes.Storage.ObjectStorage") {
        let message = format!("Type \"{name}\" is valid TOSCA type but not supported at this time.");
        let instead = name.replace("Storage.", "");
        return Problem::new(Class::UnsupportedType, message).expecting(instead);
    }
    let message = format!("Type \"{name}\" is not a valid type.");
    let expected = format!("a normative type, one of an import, or one of {}", kind.section());
    Problem::new(Class::InvalidType, message).expecting(expected)
}
