//! A document that was read and checked: what everything else works on.

use crate::types::{Artifact, Flat, Operation, Types};
use crate::yaml::{Map, Place, Value};
use indexmap::IndexMap;
use std::sync::Arc;

/// A TOSCA document, read and checked (docs/spec/tosca.md 1 to 5).
#[derive(Debug, Clone)]
pub struct Template {
    pub(crate) document: Value,
    pub(crate) types: Types,
    /// Values of the inputs; null without one.
    pub(crate) inputs: IndexMap<String, Value>,
    pub(crate) nodes: IndexMap<String, Node>,
    pub(crate) outputs: IndexMap<String, Value>,
    pub(crate) policies: Vec<Policy>,
    pub(crate) groups: IndexMap<String, Vec<String>>,
    pub(crate) repositories: IndexMap<String, String>,
    pub(crate) warnings: Vec<String>,
}

/// What is special about a node, by its root type (docs/spec/tosca.md 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Compute,
    Network,
    Port,
    BlockStorage,
    AnsibleHost,
    Function,
    Container,
    Software,
}

impl Role {
    pub fn of(root: &str) -> Self {
        match root {
            "tosca.nodes.Compute" => Self::Compute,
            "tosca.nodes.network.Network" => Self::Network,
            "tosca.nodes.network.Port" => Self::Port,
            "tosca.nodes.BlockStorage" => Self::BlockStorage,
            "tosca.nodes.im.AnsibleHost" => Self::AnsibleHost,
            "tosca.nodes.aisprint.FaaS.Function" => Self::Function,
            "tosca.nodes.Container.Application" => Self::Container,
            _ => Self::Software,
        }
    }
}

/// A node template.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub name: String,
    pub place: Place,
    pub flat: Arc<Flat>,
    pub role: Role,
    /// Properties as they are kept, defaults of the type included.
    pub properties: Map,
    /// Capabilities in the order of the type.
    pub capabilities: IndexMap<String, Capability>,
    /// Requirements with the nodes that fulfil them, in order.
    pub links: Vec<Link>,
    /// Operations of the template and, where it is silent, of its type.
    pub operations: IndexMap<String, Operation>,
    /// Artifacts of the template, then of its type.
    pub artifacts: IndexMap<String, Artifact>,
}

/// A capability of a node.
#[derive(Debug, Clone)]
pub(crate) struct Capability {
    pub flat: Arc<Flat>,
    /// What the template gives, as it is written.
    pub assigned: Map,
}

impl Capability {
    /// The value of a property: what is given, else the default that the type of the capability itself declares.
    pub fn property(&self, name: &str) -> Option<&Value> {
        let given = self.assigned.get(name).filter(|value| !value.is_null());
        given.or_else(|| self.flat.properties.get(name).filter(|property| property.is_own)?.default.as_ref())
    }
}

/// A fulfilled requirement.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub requirement: String,
    /// Name of the node that fulfils it.
    pub target: String,
    pub relationship: Relationship,
}

/// The relationship of a fulfilled requirement.
#[derive(Debug, Clone)]
pub(crate) struct Relationship {
    /// Name of its template, else of its type in small letters.
    pub name: String,
    pub flat: Arc<Flat>,
    pub properties: Map,
    /// Operations of the relationship itself and, where it is silent, of its type.
    pub operations: IndexMap<String, Operation>,
}

impl Relationship {
    pub fn is(&self, name: &str) -> bool {
        self.flat.is(name)
    }
}

/// A policy of a type that has an effect.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub name: String,
    pub flat: Arc<Flat>,
    pub targets: Vec<String>,
    pub properties: Map,
}

pub(crate) const HOSTED_ON: &str = "tosca.relationships.HostedOn";
pub(crate) const ATTACHES_TO: &str = "tosca.relationships.AttachesTo";
pub(crate) const BINDS_TO: &str = "tosca.relationships.network.BindsTo";
pub(crate) const LINKS_TO: &str = "tosca.relationships.network.LinksTo";
pub(crate) const INDIGO_COMPUTE: &str = "tosca.nodes.indigo.Compute";

/// How long a line of hosts may be.
const MAX_HOSTS: usize = 32;

impl Node {
    /// The nodes that fulfil a requirement.
    pub fn targets<'n>(&'n self, requirement: &'n str) -> impl Iterator<Item = &'n str> {
        self.links.iter().filter(move |link| link.requirement == requirement).map(|link| link.target.as_str())
    }

    /// The node that it is hosted on directly.
    pub fn direct_host(&self) -> Option<&str> {
        self.links.iter().find(|link| link.relationship.is(HOSTED_ON)).map(|link| link.target.as_str())
    }

    /// The node of the first relationship of a type.
    pub fn related(&self, relationship: &str) -> Option<&str> {
        self.links.iter().find(|link| link.relationship.is(relationship)).map(|link| link.target.as_str())
    }
}

impl Template {
    /// The document as it is to be stored: special inputs and whole imported templates resolved (docs/spec/tosca.md 1).
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// [`Template::document`] as YAML, in the order of its maps, which counts.
    #[must_use]
    pub fn text(&self) -> String {
        let tree = crate::translate::tree_of(&self.document);
        // It can always be written; what JSON says is YAML as well.
        radl::yaml::emit(&tree).unwrap_or_else(|_| self.document.to_json().to_string())
    }

    /// What is no error and has no effect all the same.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(crate) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// The Compute node that a node finally runs on; itself for a Compute node.
    pub(crate) fn host<'t>(&'t self, node: &'t Node) -> Option<&'t Node> {
        let mut node = node;
        for _ in 0..MAX_HOSTS {
            if node.role == Role::Compute {
                return Some(node);
            }
            node = self.node(node.direct_host()?)?;
        }
        None
    }
}
