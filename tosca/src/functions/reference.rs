//! What `get_property` and `get_attribute` lead to, before anything is evaluated (docs/spec/tosca.md 5.2, 5.3).

use super::evaluate::token_arguments;
use super::{Entity, Function, Question, Scope, call};
use crate::error::{Class, Problem};
use crate::template::{Link, Node, Template};
use crate::types::Property;
use crate::yaml::Value;

const CONTAINER: &str = "tosca.capabilities.Container";
/// How many hosts are looked through.
const MAX_HOSTS: usize = 32;

/// Where `get_property` leads to.
pub(crate) struct Found<'t> {
    /// The value as it is kept; none without a value.
    pub value: Option<&'t Value>,
    /// Whether a type declares the property.
    pub is_declared: bool,
    /// Whose it is.
    pub scope: Scope<'t>,
    /// What follows the name: keys and indices into the value.
    pub keys: &'t [Value],
    /// The problem where there is no value.
    pub missing: Problem,
}

/// Finds what the arguments of `get_property` name.
///
/// # Errors
/// They name a node, requirement, capability or property that does not exist.
pub(crate) fn locate_property<'t>(
    template: &'t Template,
    arguments: &'t [Value],
    scope: Scope<'t>,
) -> Result<Found<'t>, Problem> {
    let [entity, rest @ ..] = arguments else { return Err(expected_arguments()) };
    let Some((first, keys)) = rest.split_first() else { return Err(expected_arguments()) };
    let name = first.to_string();
    let entity_name = entity.to_string();
    let node = match (entity_name.as_str(), scope.entity) {
        ("SELF", Entity::Link(source, link)) => return Ok(of_relationship(source, link, &name, keys, scope)),
        ("HOST", _) => {
            let start = own_node(scope).ok_or_else(|| unusable("HOST"))?;
            host_with(template, start, rest).ok_or_else(|| not_in_node(&name, scope.name()))?
        }
        _ => named_node(template, &entity_name, scope)?,
    };
    let owner = Scope { entity: Entity::Node(node), is_of_type: false };
    let declared = node.flat.properties.contains_key(&name);
    let (Some(property), false) = (keys.first(), declared) else {
        return Ok(Found {
            value: node.properties.get(&name).filter(|value| !value.is_null()),
            is_declared: declared,
            scope: owner,
            keys,
            missing: not_in_node(&name, &node.name),
        });
    };
    // A requirement leads to the capability of the same name of the node that fulfils it; else it is an own capability.
    let mut targets = node.targets(&name).filter_map(|target| template.node(target));
    let holder = targets.find(|target| target.capabilities.contains_key(&name)).unwrap_or(node);
    let Some(capability) = holder.capabilities.get(&name) else {
        let message = format!(
            "Requirement/Capability \"{name}\" referenced from node template \"{}\" was not found in node template \"{}\".",
            scope.name(),
            node.name
        );
        return Err(Problem::new(Class::Key, message));
    };
    let property = property.to_string();
    let missing = format!(
        "Property \"{property}\" was not found in capability \"{name}\" of node template \"{}\" referenced from node \
         template \"{}\".",
        holder.name,
        scope.name()
    );
    Ok(Found {
        value: capability.property(&property),
        is_declared: capability.flat.properties.contains_key(&property),
        scope: Scope { entity: Entity::Node(holder), is_of_type: false },
        keys: keys.get(1..).unwrap_or_default(),
        missing: Problem::new(Class::Key, missing),
    })
}

fn of_relationship<'t>(source: &'t Node, link: &'t Link, name: &str, keys: &'t [Value], scope: Scope<'t>) -> Found<'t> {
    let relationship = &link.relationship;
    Found {
        value: relationship.properties.get(name).filter(|value| !value.is_null()),
        is_declared: relationship.flat.properties.contains_key(name),
        scope: Scope { entity: Entity::Link(source, link), ..scope },
        keys,
        missing: not_in_node(name, &relationship.name),
    }
}

/// The node that `SELF` and `HOST` start from: of a relationship its source.
fn own_node(scope: Scope<'_>) -> Option<&Node> {
    match scope.entity {
        Entity::Node(node) | Entity::Link(node, _) => Some(node),
        Entity::Outputs => None,
    }
}

/// The node of a name or of a word that stands for one.
fn named_node<'t>(template: &'t Template, name: &str, scope: Scope<'t>) -> Result<&'t Node, Problem> {
    match (name, scope.entity) {
        ("SELF", Entity::Node(node)) => Ok(node),
        ("SOURCE", Entity::Link(source, _)) => Ok(source),
        ("TARGET", Entity::Link(_, link)) => template.node(&link.target).ok_or_else(|| not_there(name, scope)),
        ("SOURCE" | "TARGET", _) => {
            let message = format!(
                "\"{name}\" keyword can only be used in context to \"Relationships\" {} node",
                name.to_lowercase()
            );
            Err(Problem::new(Class::Key, message))
        }
        ("SELF", _) => Err(unusable("SELF")),
        _ => template.node(name).ok_or_else(|| not_there(name, scope)),
    }
}

/// The first node along the requirements that offers a container and has the property, or a capability with it.
fn host_with<'t>(template: &'t Template, start: &'t Node, names: &[Value]) -> Option<&'t Node> {
    let name = names.first()?.to_string();
    let of_capability = names.get(1).map(ToString::to_string);
    let mut node = start;
    for _ in 0..MAX_HOSTS {
        let targets = || node.links.iter().filter_map(|link| template.node(&link.target));
        let mut hosts =
            targets().filter(|target| target.capabilities.values().any(|capability| capability.flat.is(CONTAINER)));
        let has = |host: &&Node| {
            let capability = || host.capabilities.get(&name)?.flat.properties.get(of_capability.as_ref()?);
            host.flat.properties.contains_key(&name) || capability().is_some()
        };
        match hosts.clone().find(has) {
            Some(host) => return Some(host),
            None => node = hosts.next()?,
        }
    }
    None
}

/// What the arguments of `get_attribute` ask for, and the definition of the attribute.
///
/// # Errors
/// They name a node or attribute that does not exist, or what follows it cannot.
pub(crate) fn attribute_question<'t>(
    template: &'t Template,
    arguments: &'t [Value],
    scope: Scope<'t>,
) -> Result<(Question<'t>, Option<&'t Property>), Problem> {
    let [entity, rest @ ..] = arguments else { return Err(illegal_arguments()) };
    if rest.is_empty() {
        return Err(illegal_arguments());
    }
    let entity_name = entity.to_string();
    let mut is_host = entity_name == "HOST";
    let mut is_own = is_host || entity_name == "SELF";
    let mut node = match (entity_name.as_str(), scope.entity) {
        ("HOST" | "SELF", Entity::Outputs) => return Err(unusable(&entity_name)),
        ("HOST", _) => {
            let start = own_node(scope).ok_or_else(|| unusable("HOST"))?;
            template.host(start).ok_or_else(|| not_there("HOST", scope))?
        }
        ("SELF", Entity::Link(source, _)) => source,
        (name, Entity::Outputs) => template
            .node(name)
            .ok_or_else(|| Problem::new(Class::Key, format!("Node template \"{name}\" was not found.")))?,
        (name, _) => named_node(template, name, scope).map_err(|problem| match problem.class {
            Class::Key if template.node(name).is_none() && !matches!(name, "SOURCE" | "TARGET") => {
                Problem::new(Class::Key, format!("Node template \"{name}\" was not found."))
            }
            _ => problem,
        })?,
    };
    let [first, keys @ ..] = rest else { return Err(illegal_arguments()) };
    let own = |name: &'t str| node.flat.attributes.get(name);
    let first = first.as_text().ok_or_else(illegal_arguments)?;
    if let Some(definition) = own(first) {
        return Ok((Question { node, is_own, is_host, attribute: first, keys }, Some(definition)));
    }
    // The name of a requirement leads to another node; the name of a capability only says where the attribute belongs.
    let target = node.targets(first).next().and_then(|target| template.node(target));
    if let Some(target) = target {
        (node, is_own, is_host) = (target, false, false);
    } else if node.flat.properties.contains_key(first) {
        // Every property is an attribute, too.
        return Ok((Question { node, is_own, is_host, attribute: first, keys }, None));
    } else if !node.capabilities.contains_key(first) {
        return Err(if keys.is_empty() {
            attribute_not_in_node(first, &node.name)
        } else {
            let message = format!(
                "Requirement/Capability \"{first}\" referenced from node template \"{}\" was not found in node template \
                 \"{}\".",
                scope.name(),
                node.name
            );
            Problem::new(Class::Key, message)
        });
    }
    let [attribute, keys @ ..] = keys else { return Err(attribute_not_in_node(first, &node.name)) };
    let attribute = attribute.as_text().ok_or_else(illegal_arguments)?;
    let of_capability = node.capabilities.get(first).and_then(|c| c.flat.attributes.get(attribute));
    match of_capability.or_else(|| node.flat.attributes.get(attribute)) {
        Some(definition) => Ok((Question { node, is_own, is_host, attribute, keys }, Some(definition))),
        None if is_property(node, first, attribute) => Ok((Question { node, is_own, is_host, attribute, keys }, None)),
        None => {
            let message = format!(
                "Attribute \"{attribute}\" was not found in capability \"{first}\" of node template \"{}\" referenced from \
                 node template \"{}\".",
                node.name,
                scope.name()
            );
            Err(Problem::new(Class::Key, message))
        }
    }
}

/// Whether a capability of a node has a property, which is an attribute of it, too.
fn is_property(node: &Node, capability: &str, name: &str) -> bool {
    node.capabilities.get(capability).is_some_and(|capability| capability.flat.properties.contains_key(name))
}

impl Template {
    /// Checks a call that is the whole value of something, before anything is evaluated (docs/spec/tosca.md 5.5).
    ///
    /// # Errors
    /// Its arguments are wrong or lead to nothing.
    pub(crate) fn check_call(&self, value: &Value, scope: Scope<'_>) -> Result<(), Problem> {
        let Some((function, arguments)) = call(value) else { return Ok(()) };
        let checked = match function {
            Function::GetInput => self.input(arguments).map(|_| ()),
            Function::GetProperty => locate_property(self, arguments, scope).and_then(|found| {
                let is_there = found.value.is_some() || scope.is_of_type && found.is_declared;
                if is_there { Ok(()) } else { Err(found.missing) }
            }),
            Function::GetAttribute => attribute_question(self, arguments, scope).map(|_| ()),
            Function::Concat if arguments.is_empty() => {
                let message = "Invalid arguments for function \"concat\". Expected at least one arguments.";
                Err(Problem::new(Class::Value, message))
            }
            Function::Token => token_arguments(arguments).map(|_| ()),
            Function::Concat | Function::GetOperationOutput => Ok(()),
        };
        checked.map_err(|problem| problem.at(value.place, ""))
    }
}

fn not_in_node(property: &str, node: &str) -> Problem {
    Problem::new(Class::Key, format!("Property \"{property}\" was not found in node template \"{node}\"."))
}

fn attribute_not_in_node(attribute: &str, node: &str) -> Problem {
    Problem::new(Class::Key, format!("Attribute \"{attribute}\" was not found in node template \"{node}\"."))
}

fn not_there(name: &str, scope: Scope<'_>) -> Problem {
    let message = format!("Node template \"{name}\" was not found. referenced from node template {}", scope.name());
    Problem::new(Class::Key, message)
}

fn unusable(word: &str) -> Problem {
    let message =
        format!("\"get_attribute: [ {word}, ... ]\" is not allowed in \"outputs\" section of the TOSCA template.");
    Problem::new(Class::Value, message).expecting("the name of a node")
}

fn expected_arguments() -> Problem {
    let message = "Expected arguments: \"node-template-name\", \"req-or-cap\" (optional), \"property name\".";
    Problem::new(Class::Value, message)
}

fn illegal_arguments() -> Problem {
    let message = "Illegal arguments for function \"get_attribute\". Expected arguments: \"node-template-name\", \
                   \"req-or-cap\" (optional), \"property name\"";
    Problem::new(Class::Value, message)
}
