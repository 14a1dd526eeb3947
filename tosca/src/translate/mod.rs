//! Templates to RADL (docs/spec/tosca.md 6 to 9).

mod attributes;
mod clouds;
mod compute;
mod container;
mod files;
mod function;
mod galaxy;
mod instances;
mod levels;
mod networks;
mod operations;
mod outports;
mod plays;
mod policies;
mod volumes;

use crate::error::{Error, Phase, Problem, Problems};
use crate::explain::Reason;
use crate::functions::{Evaluator, Scope};
use crate::outputs::Machine;
use crate::sources::Surroundings;
use crate::template::{Node, Role, Template};
use crate::yaml::Value;
use attributes::Expressions;
use indexmap::IndexMap;
use radl::{
    AnsibleHost, Configure, Contextualize, ContextualizeItem, Deploy, Description, Features, Network, Radl, System,
};
use std::{collections::HashMap, sync::Arc};

pub(crate) use container::is_named_after;
pub(crate) use function::host_of_text;
pub(crate) use plays::tree_of;

/// What a document is translated for.
pub struct Situation<'a> {
    /// The machines of the infrastructure that are not destroyed, in the order of their creation; none for a new one.
    pub machines: &'a [Machine<'a>],
    /// What surrounds the document.
    pub surroundings: &'a Surroundings<'a>,
}

/// What a document becomes.
#[derive(Debug, Clone, Default)]
pub struct Translation {
    /// The RADL, with deploys of what is to be added.
    pub radl: Radl,
    /// Ids of the machines to remove.
    pub remove: Vec<u64>,
    /// Why the RADL is what it is, in reading order.
    pub reasons: Vec<Reason>,
    /// What is no error and has no effect all the same.
    pub warnings: Vec<String>,
}

impl Template {
    /// Makes RADL of the document.
    ///
    /// # Errors
    /// All that cannot be translated, or [`Error::Wanted`] when files have to be fetched first.
    pub fn translate(&self, situation: &Situation<'_>) -> Result<Translation, Error> {
        let suffix = container::suffix(self, situation);
        let expressions = Expressions { suffix: &suffix };
        let translator = Translator {
            template: self,
            situation,
            evaluator: Evaluator::new(self, &expressions),
            suffix: &suffix,
            index: Index::of(self),
            levels: levels::Levels::of(self),
            groups: groups(situation.machines),
            recipes: HashMap::new(),
            draft: Draft::default(),
            problems: Problems::default(),
        };
        translator.run()
    }
}

/// Machines by the name of their system, in order.
fn groups<'a>(machines: &'a [Machine<'a>]) -> HashMap<&'a str, Vec<&'a Machine<'a>>> {
    let mut groups: HashMap<&str, Vec<&Machine<'_>>> = HashMap::new();
    for machine in machines {
        if let Some(system) = machine.radl.systems.first() {
            groups.entry(system.name.as_str()).or_default().push(machine);
        }
    }
    groups
}

/// Which nodes belong to which Compute node.
#[derive(Default)]
struct Index<'a> {
    /// Nodes that run on it, itself included, in document order.
    hosted: HashMap<&'a str, Vec<&'a Node>>,
    /// Ports that are bound to it, in document order.
    ports: HashMap<&'a str, Vec<&'a Node>>,
    /// Relationships that end at a node: their sources and their places among the links of these.
    incoming: HashMap<&'a str, Vec<(&'a Node, usize)>>,
}

impl<'a> Index<'a> {
    fn of(template: &'a Template) -> Self {
        let mut index = Self::default();
        for node in template.nodes.values() {
            if let Some(host) = template.host(node) {
                index.hosted.entry(&host.name).or_default().push(node);
            }
            if node.role == Role::Port
                && let Some(bound) = node.related(crate::template::BINDS_TO)
            {
                index.ports.entry(bound).or_default().push(node);
            }
            for (at, link) in node.links.iter().enumerate() {
                index.incoming.entry(&link.target).or_default().push((node, at));
            }
        }
        index
    }
}

/// The RADL while it is made.
#[derive(Default)]
struct Draft {
    ansible: Option<Features>,
    networks: IndexMap<String, Features>,
    systems: IndexMap<String, Features>,
    configures: IndexMap<String, Option<String>>,
    items: Vec<ContextualizeItem>,
    deploys: Vec<Deploy>,
    remove: Vec<u64>,
    reasons: Vec<Reason>,
    warnings: Vec<String>,
    /// Numbers of public networks that were looked at for a free name.
    public_networks: usize,
    /// The first network that is not public, once one was asked for.
    private_network: Option<String>,
}

impl Draft {
    fn because(&mut self, subject: &str, reason: impl Into<String>) {
        self.reasons.push(Reason { subject: subject.to_owned(), text: reason.into() });
    }

    fn add_item(&mut self, system: &str, configure: &str, step: i64) {
        let (system, configure) = (system.to_owned(), configure.to_owned());
        self.items.push(ContextualizeItem { system, configure, step, ..ContextualizeItem::default() });
    }
}

/// Translates one template.
struct Translator<'a> {
    template: &'a Template,
    situation: &'a Situation<'a>,
    evaluator: Evaluator<'a>,
    /// The digits at the end of the names of containers.
    suffix: &'a str,
    index: Index<'a>,
    levels: levels::Levels<'a>,
    groups: HashMap<&'a str, Vec<&'a Machine<'a>>>,
    /// Recipes that were read already, by their address.
    recipes: HashMap<String, Arc<files::Recipe>>,
    draft: Draft,
    problems: Problems,
}

impl<'a> Translator<'a> {
    fn run(mut self) -> Result<Translation, Error> {
        let template = self.template;
        let nodes = || template.nodes.values();
        for node in nodes().filter(|node| node.role == Role::Network) {
            let result = self.network(node);
            self.noted(node, result);
        }
        for node in nodes().filter(|node| node.role != Role::Network) {
            if self.problems.is_full() {
                break;
            }
            let result = match node.role {
                Role::AnsibleHost => self.ansible_host(node),
                Role::Function => self.function(node),
                Role::Container => self.container(node),
                Role::Compute => self.compute(node).and_then(|()| self.configure(node)),
                Role::Software => self.configure(node),
                Role::Network | Role::Port | Role::BlockStorage => Ok(()),
            };
            self.noted(node, result);
        }
        self.check_ports();
        std::mem::take(&mut self.problems).into_result(Phase::Translate)?;
        self.order_deploys();
        self.split_private_networks();
        let description = self.description();
        self.connect_the_rest();
        Ok(self.finish(description))
    }

    /// Keeps the problem of a node; none of them keeps the others from being looked at.
    fn noted(&mut self, node: &Node, result: Result<(), Problem>) {
        if let Err(problem) = result {
            self.problems.add(problem.at(node.place, &format!("node_templates.{}", node.name)));
        }
    }

    /// The evaluated value of a property; null without one.
    fn property(&self, node: &Node, name: &str) -> Result<Value, Problem> {
        match node.properties.get(name) {
            None => Ok(Value::NULL),
            Some(value) => self
                .evaluator
                .evaluate(value, Scope::node(node))
                .map_err(|problem| problem.at(value.place, &format!("node_templates.{}.properties.{name}", node.name))),
        }
    }

    /// The evaluated value of a property of a capability; null without one.
    fn of_capability(&self, node: &Node, capability: &str, name: &str) -> Result<Value, Problem> {
        let value = node.capabilities.get(capability).and_then(|capability| capability.property(name));
        let Some(value) = value else { return Ok(Value::NULL) };
        self.evaluator.evaluate(value, Scope::node(node)).map_err(|problem| {
            let path = format!("node_templates.{}.capabilities.{capability}.properties.{name}", node.name);
            problem.at(value.place, &path)
        })
    }

    /// A text property; none without a value or with an empty one.
    fn text(&self, node: &Node, name: &str) -> Result<Option<String>, Problem> {
        Ok(self.property(node, name)?.scalar().filter(|text| !text.is_empty()))
    }

    fn ansible_host(&mut self, node: &Node) -> Result<(), Problem> {
        let mut features = Features::new();
        if let Some(host) = self.text(node, "host")? {
            features.set_text("host", &host);
        }
        let credential = self.property(node, "credential")?;
        let text = |key: &str| credential.get(key).and_then(Value::scalar).filter(|text| !text.is_empty());
        if let Some(user) = text("user") {
            features.set_text("credentials.username", &user);
        }
        let kind = text("token_type").unwrap_or_else(|| "password".to_owned());
        if let (Some(token), "password" | "private_key") = (text("token"), kind.as_str()) {
            features.set_text(&format!("credentials.{kind}"), &token);
        }
        self.draft.because(&node.name, "is the Ansible host, because its type is tosca.nodes.im.AnsibleHost (6.9)");
        self.draft.ansible = Some(features);
        Ok(())
    }

    fn description(&self) -> Option<Description> {
        let metadata = self.template.document.get("metadata")?;
        let mut features = Features::new();
        for (key, feature) in [("infra_name", "name"), ("namespace", "namespace")] {
            if let Some(text) = metadata.get(key).and_then(Value::scalar).filter(|text| !text.is_empty()) {
                features.set_text(feature, &text);
            }
        }
        let is_empty = features.iter().next().is_none();
        (!is_empty).then(|| Description { id: "desc".to_owned(), features, ..Description::default() })
    }

    /// Systems without a network get one (docs/spec/tosca.md 6.0).
    fn connect_the_rest(&mut self) {
        if self.draft.networks.is_empty() {
            let mut features = Features::new();
            features.set_text("outbound", "yes");
            self.draft.networks.insert("public".to_owned(), features);
            self.draft.because("public", "is a network, because there is no other one (6.0)");
        }
        let public = self.draft.networks.iter().find(|(_, features)| networks::is_public(features));
        let Some(name) = public.or_else(|| self.draft.networks.last()).map(|(name, _)| name.clone()) else { return };
        for features in self.draft.systems.values_mut() {
            if !features.has("net_interface.0.connection") {
                features.set_text("net_interface.0.connection", &name);
            }
        }
    }

    fn finish(self, description: Option<Description>) -> Translation {
        let draft = self.draft;
        let mut contextualize = Contextualize::default();
        contextualize.add_items(draft.items);
        let network = |(id, features)| Network { id, features, ..Network::default() };
        let system = |(name, features)| System { name, features, ..System::default() };
        let configure = |(name, recipe)| Configure { name, recipe, ..Configure::default() };
        let ansible = |features| AnsibleHost { id: "ansible_host".to_owned(), features, ..AnsibleHost::default() };
        let radl = Radl {
            description,
            ansible_hosts: draft.ansible.map(ansible).into_iter().collect(),
            networks: draft.networks.into_iter().map(network).collect(),
            systems: draft.systems.into_iter().map(system).collect(),
            configures: draft.configures.into_iter().map(configure).collect(),
            contextualize: Some(contextualize),
            deploys: draft.deploys,
        };
        let mut warnings = self.template.warnings.clone();
        warnings.extend(draft.warnings);
        Translation { radl, remove: draft.remove, reasons: draft.reasons, warnings }
    }
}

/// A name that is not taken: `name`, `name_1`, `name_2`, ...
fn free_name(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    if !is_taken(name) {
        return name.to_owned();
    }
    (1..).map(|n| format!("{name}_{n}")).find(|name| !is_taken(name)).unwrap_or_default()
}
