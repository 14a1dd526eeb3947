//! From the text of a document to a [`Template`]: everything that is wrong with it is told at once.

mod groups;
mod import;
mod inputs;
mod nodes;

pub(crate) use nodes::{COMPARISONS, NODE_KEYS};

use crate::error::{Class, Error, Phase, Problem, Problems};
use crate::functions::Scope;
use crate::sources::Surroundings;
use crate::template::{Relationship, Template};
use crate::types::{Flat, Kind, Types, definitions, normative};
use crate::yaml::{self, Map, Place, Value};
use indexmap::IndexMap;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Versions of the language that are accepted; they behave alike.
pub(crate) const VERSIONS: &[&str] = &[
    "tosca_simple_yaml_1_0",
    "tosca_simple_yaml_1_2",
    "tosca_simple_yaml_1_3",
    "tosca_simple_profile_for_mec_1_0_0",
    "tosca_simple_profile_for_nfv_1_0_0",
];
/// Keys of a document.
pub(crate) const DOCUMENT_KEYS: &[&str] = &[
    "tosca_definitions_version",
    "tosca_default_namespace",
    "template_name",
    "topology_template",
    "template_author",
    "template_version",
    "description",
    "imports",
    "dsl_definitions",
    "node_types",
    "relationship_types",
    "relationship_templates",
    "capability_types",
    "artifact_types",
    "data_types",
    "interface_types",
    "policy_types",
    "group_types",
    "repositories",
    "metadata",
];
/// Keys of a topology.
pub(crate) const TOPOLOGY_KEYS: &[&str] = &[
    "description",
    "inputs",
    "node_templates",
    "relationship_templates",
    "outputs",
    "groups",
    "substitution_mappings",
    "policies",
];

impl Template {
    /// Reads and checks a document.
    ///
    /// # Errors
    /// All that is wrong with it, or [`Error::Wanted`] when files have to be fetched first.
    pub fn parse(text: &str, surroundings: &Surroundings<'_>) -> Result<Self, Error> {
        Self::from_document(yaml::parse(text)?, surroundings)
    }

    /// As [`Template::parse`], for a document that was read already.
    ///
    /// # Errors
    /// All that is wrong with it, or [`Error::Wanted`] when files have to be fetched first.
    pub fn from_document(document: Value, surroundings: &Surroundings<'_>) -> Result<Self, Error> {
        let mut document = import::whole_template(document, surroundings)?;
        inputs::resolve_special_values(&mut document, surroundings);
        Reader::new(surroundings).template(document)
    }
}

/// Reads one document.
struct Reader<'s> {
    surroundings: &'s Surroundings<'s>,
    problems: Problems,
    types: Types,
    flats: HashMap<(Kind, String), Arc<Flat>>,
    relationships: IndexMap<String, Relationship>,
    /// Nodes that stand in the document and have a problem of their own.
    refused_nodes: HashSet<String>,
}

impl<'s> Reader<'s> {
    fn new(surroundings: &'s Surroundings<'s>) -> Self {
        Self {
            surroundings,
            problems: Problems::default(),
            types: Types::default(),
            flats: HashMap::new(),
            relationships: IndexMap::new(),
            refused_nodes: HashSet::new(),
        }
    }

    fn template(mut self, document: Value) -> Result<Template, Error> {
        let Some(root) = document.as_map() else {
            self.problems.mismatch("Template", "map", &document, "");
            return Err(self.refused());
        };
        self.version(&document, true, "");
        self.known_keys("Template", root, DOCUMENT_KEYS, "");
        let repositories = self.repositories(&document);
        self.types = normative().clone();
        let nested = self.imports(document.get("imports"), &repositories);
        let own = definitions(&document, &mut self.problems);
        self.types.extend(&own);
        self.types.extend(&nested);
        if !self.problems.wanted.is_empty() {
            // Whatever is said about types that are not there yet would be wrong.
            return Err(Error::Wanted(self.problems.wanted));
        }
        self.check_types(&own);
        let mut template = Template {
            document: Value::NULL,
            types: Types::default(),
            inputs: IndexMap::new(),
            nodes: IndexMap::new(),
            outputs: IndexMap::new(),
            policies: Vec::new(),
            groups: IndexMap::new(),
            repositories,
            warnings: Vec::new(),
        };
        if let Some(topology) = document.get("topology_template") {
            match topology.as_map() {
                Some(map) => {
                    self.known_keys("Template", map, TOPOLOGY_KEYS, "topology_template");
                    self.topology(topology, &document, &mut template);
                }
                None => self.problems.mismatch("\"topology_template\"", "map", topology, "topology_template"),
            }
        }
        if !self.problems.is_empty() {
            return Err(self.refused());
        }
        template.types = self.types;
        template.document = document;
        Ok(template)
    }

    fn refused(self) -> Error {
        match self.problems.into_result(Phase::Parse) {
            Err(error) => error,
            Ok(()) => Error::Refused(Vec::new()),
        }
    }

    fn topology(&mut self, topology: &Value, document: &Value, template: &mut Template) {
        template.inputs = self.inputs(topology, &mut template.warnings);
        for holder in [document, topology] {
            self.relationship_templates(holder, "");
        }
        template.nodes = self.nodes(topology);
        for (node, requirement) in
            template.nodes.values().flat_map(|node| node.open.iter().map(move |open| (node, open)))
        {
            template.warnings.push(format!(
                "The requirement \"{requirement}\" of \"{}\" names no node: nothing is looked for that fulfils it.",
                node.name
            ));
        }
        self.check_requirements(template);
        self.substitution(topology);
        self.outputs(topology, template);
        self.groups(topology, template);
        self.policies(topology, template);
        self.check_calls(template);
    }

    fn known_keys(&mut self, what: &str, map: &Map, known: &[&str], path: &str) {
        for (key, value) in map {
            if !known.contains(&key.as_str()) {
                self.problems.unknown(what, key, value, &joined(path, key), known);
            }
        }
    }

    /// Checks the version; imported files need not have one.
    fn version(&mut self, document: &Value, is_required: bool, path: &str) {
        let path = joined(path, "tosca_definitions_version");
        match document.get("tosca_definitions_version") {
            None if is_required => {
                let place = Place { line: 1, column: 1 };
                self.problems.missing("Template", "tosca_definitions_version", place, &path);
            }
            None => {}
            Some(version) if version.as_text().is_some_and(|version| VERSIONS.contains(&version)) => {}
            Some(version) => {
                let valid: Vec<String> = VERSIONS.iter().map(|version| format!("\"{version}\"")).collect();
                let message =
                    format!("The template version \"{version}\" is invalid. Valid versions are {}.", valid.join(", "));
                self.problems.add(Problem::new(Class::InvalidVersion, message).at(version.place, &path));
            }
        }
    }

    fn repositories(&mut self, document: &Value) -> IndexMap<String, String> {
        let mut repositories = IndexMap::new();
        let section = crate::types::section(document, "repositories", "", &mut self.problems);
        for (name, value) in section {
            let (what, path) = (format!("repositories \"{name}\""), format!("repositories.{name}"));
            if let Some(map) = value.as_map() {
                self.known_keys(&what, map, &["url", "description", "credential"], &path);
            }
            match value.as_text().map(str::to_owned).or_else(|| value.get("url")?.scalar()) {
                Some(url) => drop(repositories.insert(name.clone(), url)),
                None => self.problems.missing(&what, "url", value.place, &path),
            }
        }
        repositories
    }

    /// Whether the types of the document are sound, and derive from types that are there.
    fn check_types(&mut self, own: &Types) {
        for kind in Kind::ALL {
            let mut types: Vec<_> = own.of(kind).collect();
            // A map of types has no order: that of the document is the one of their places.
            types.sort_by_key(|(_, definition)| definition.place);
            for (name, definition) in types {
                definition.problems.iter().for_each(|problem| self.problems.add(problem.clone()));
                // Types of interfaces have no effect: what is run stands in types of nodes and relationships.
                let line = if kind == Kind::Interface { Ok(Vec::new()) } else { self.types.line(kind, name) };
                if let Err(problem) = line {
                    self.problems.add(problem.at(definition.place, &format!("{}.{name}", kind.section())));
                }
            }
        }
    }

    fn substitution(&mut self, topology: &Value) {
        let Some(mappings) = topology.get("substitution_mappings") else { return };
        let path = "substitution_mappings";
        match mappings.get("node_type").and_then(Value::scalar) {
            Some(name) if self.types.get(Kind::Node, &self.types.full_name(Kind::Node, &name)).is_none() => {
                self.problems.add(crate::types::unknown_type(&name, Kind::Node).at(mappings.place, path));
            }
            Some(_) => {}
            None => self.problems.missing("SubstitutionMapping", "node_type", mappings.place, path),
        }
    }

    /// The type of a name with all that it inherits; an unknown one is a problem.
    fn flat(&mut self, kind: Kind, name: &str, place: Place, path: &str) -> Option<Arc<Flat>> {
        let full = self.types.full_name(kind, name);
        if let Some(flat) = self.flats.get(&(kind, full.clone())) {
            return Some(Arc::clone(flat));
        }
        match self.types.flat(kind, &full) {
            Ok(flat) => {
                for (_, definition) in self.types.line(kind, &full).into_iter().flatten() {
                    definition.problems.iter().for_each(|problem| self.problems.add(problem.clone()));
                }
                let flat = Arc::new(flat);
                self.flats.insert((kind, full), Arc::clone(&flat));
                Some(flat)
            }
            Err(problem) => {
                self.problems.add(problem.at(place, path));
                None
            }
        }
    }

    /// Checks the calls that are the whole value of something (docs/spec/tosca.md 5.5).
    fn check_calls(&mut self, template: &Template) {
        for node in template.nodes.values() {
            let path = format!("node_templates.{}", node.name);
            let mut check = |value: &Value, scope: Scope<'_>, path: String| {
                if let Err(problem) = template.check_call(value, scope) {
                    self.problems.add(problem.at(value.place, &path));
                }
            };
            let scope = Scope::node(node);
            for (name, value) in &node.properties {
                check(value, scope, format!("{path}.properties.{name}"));
            }
            for (name, operation) in &node.operations {
                let scope = Scope { is_of_type: operation.is_of_type, ..scope };
                for (input, value) in &operation.inputs {
                    check(value, scope, format!("{path}.interfaces.{name}.inputs.{input}"));
                }
            }
            for (capability, own) in &node.capabilities {
                for (name, value) in &own.assigned {
                    check(value, scope, format!("{path}.capabilities.{capability}.properties.{name}"));
                }
            }
            for link in &node.links {
                for (name, value) in &link.relationship.properties {
                    check(value, scope, format!("{path}.requirements.{}.{name}", link.requirement));
                }
            }
        }
    }
}

/// A step added to a path.
fn joined(path: &str, step: &str) -> String {
    if path.is_empty() { step.to_owned() } else { format!("{path}.{step}") }
}
