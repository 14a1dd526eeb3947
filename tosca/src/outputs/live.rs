//! Attributes of live machines (docs/spec/tosca.md 10.1 and 10.3).

use super::{Machine, log};
use crate::error::Problem;
use crate::functions::{Attributes, Evaluator, Question, Scope};
use crate::template::{BINDS_TO, INDIGO_COMPUTE, LINKS_TO, Node, Role, Template};
use crate::translate::is_named_after;
use crate::yaml::{Data, Map, Value};
use radl::System;

/// The machines of an infrastructure.
pub(super) struct Live<'a> {
    pub machines: &'a [Machine<'a>],
}

/// The credentials of a login.
fn credential(user: &str, kind: Option<(&str, &str)>) -> Value {
    let mut map = Map::from([("user".to_owned(), Value::from(user))]);
    if let Some((kind, token)) = kind {
        map.insert("token_type".to_owned(), kind.into());
        map.insert("token".to_owned(), token.into());
    }
    Data::Map(map).into()
}

fn system<'m>(machine: &'m Machine<'_>) -> Option<&'m System> {
    machine.radl.systems.first()
}

/// The address of the first interface that has one, on a public or on another network.
fn address(machine: &Machine<'_>, is_public: bool) -> Value {
    let Some(system) = system(machine) else { return Value::NULL };
    let ip = system.interfaces().find_map(|interface| {
        let public = machine.radl.network(interface.connection).is_some_and(radl::Network::is_public);
        interface.ip.filter(|_| public == is_public)
    });
    ip.map_or(Value::NULL, Value::from)
}

impl<'a> Live<'a> {
    /// The machines of a node: those of its host, of a container those named after it.
    fn group(&self, template: &Template, node: &Node) -> Vec<&'a Machine<'a>> {
        let host = template.host(node).map_or(node.name.as_str(), |host| &host.name);
        let belongs = |machine: &&Machine<'_>| {
            let Some(system) = system(machine) else { return false };
            match node.role {
                Role::Container => is_named_after(&system.name, &node.name),
                _ => system.name == host,
            }
        };
        self.machines.iter().filter(belongs).collect()
    }

    fn function(&self, evaluator: &Evaluator<'_>, node: &Node, attribute: &str) -> Result<Value, Problem> {
        let template = evaluator.template;
        let group = self.group(template, node);
        let Some(machine) = group.first() else { return Ok(Value::NULL) };
        let oscar = node.direct_host().and_then(|name| template.node(name));
        if let (Some(oscar), true) = (oscar, template.host(node).is_some()) {
            let of_oscar = |name: &str| match oscar.properties.get(name) {
                Some(value) => evaluator.evaluate(value, Scope::node(oscar)),
                None => Ok(Value::NULL),
            };
            if attribute == "credential" {
                let password = of_oscar("password")?.scalar().unwrap_or_default();
                return Ok(credential("oscar", Some(("password", &password))));
            }
            let name = crate::translate::host_of_text(&of_oscar("dns_host")?);
            let ip = || address(machine, true).scalar().or_else(|| address(machine, false).scalar());
            let url = name.map(|name| format!("https://{name}")).or_else(|| Some(format!("http://{}", ip()?)));
            return Ok(url.map_or(Value::NULL, Value::from));
        }
        let cloud = machine.cloud.clone().unwrap_or_default();
        Ok(match attribute {
            "endpoint" if cloud.kind == "OSCAR" => cloud.url.map_or(Value::NULL, Value::from),
            "endpoint" => {
                let url = system(machine).and_then(|system| system.features.text("function.api_url"));
                url.map_or(Value::NULL, Value::from)
            }
            _ if cloud.kind != "OSCAR" => Value::NULL,
            _ => match (cloud.username, cloud.password, cloud.token) {
                (Some(user), Some(password), _) => credential(user, Some(("password", password))),
                (_, _, Some(token)) => credential("", Some(("bearer", token))),
                _ => Value::NULL,
            },
        })
    }

    /// Where a container is reached: by its public network, then by its private one.
    fn endpoints(&self, template: &Template, node: &Node) -> Value {
        let group = self.group(template, node);
        let Some(machine) = group.first() else { return Value::NULL };
        let Some(system) = system(machine) else { return Value::NULL };
        let outports = |is_public: bool| {
            let network = system.interfaces().find_map(|interface| {
                let network = machine.radl.network(interface.connection)?;
                (network.is_public() == is_public).then_some(network)
            });
            let text = network.and_then(|network| network.features.text("outports"))?;
            radl::outports::parse(text).ok()
        };
        let mut endpoints: Vec<Value> = Vec::new();
        let named = system.features.text("net_interface.0.dns_name");
        let ip = address(machine, true).scalar();
        for (at, port) in outports(true).into_iter().flatten().enumerate() {
            let by_address = || Some(format!("{}:{}", ip.as_ref()?, port.remote));
            let endpoint = named.filter(|_| at == 0).map(str::to_owned).or_else(by_address);
            endpoints.push(endpoint.map_or(Value::NULL, Value::from));
        }
        for port in outports(false).into_iter().flatten() {
            endpoints.push(format!("{}:{}", system.name, port.local).into());
        }
        Data::List(endpoints).into()
    }

    /// The address of the interface that a Port is.
    fn port_address(&self, template: &Template, port: &Node) -> Value {
        let Some(node) = port.related(BINDS_TO).and_then(|name| template.node(name)) else { return Value::NULL };
        let group = self.group(template, node);
        let network = port.related(LINKS_TO).unwrap_or_default();
        let mut interfaces = group.first().and_then(|machine| system(machine)).into_iter().flat_map(System::interfaces);
        let ip = interfaces.find(|interface| interface.connection == network).and_then(|interface| interface.ip);
        ip.map_or(Value::NULL, Value::from)
    }
}

/// Something of each machine: the list of all, or the one of an index; an index beyond is that of the last one.
fn indexed(values: Vec<Value>, keys: &[Value]) -> Value {
    if values.is_empty() {
        return Value::NULL;
    }
    match keys.split_first() {
        None => Data::List(values).into(),
        Some((index, keys)) => {
            let Some(index) = index.integer() else { return Value::NULL };
            let last = values.len() - 1;
            let value = values.get(usize::try_from(index).unwrap_or(last).min(last)).cloned().unwrap_or_default();
            within(value, keys)
        }
    }
}

/// What stands in a value under keys; null when nothing does.
fn within(value: Value, keys: &[Value]) -> Value {
    keys.iter().fold(value, |value, key| crate::functions::member(&value, key).unwrap_or_default())
}

impl Attributes for Live<'_> {
    fn value(&self, evaluator: &Evaluator<'_>, question: Question<'_>) -> Result<Value, Problem> {
        let Question { node, attribute, keys, .. } = question;
        let template = evaluator.template;
        match (attribute, node.role) {
            ("tosca_name", _) => return Ok(node.name.as_str().into()),
            ("endpoint" | "credential", Role::Function) => {
                return Ok(within(self.function(evaluator, node, attribute)?, keys));
            }
            ("endpoints", Role::Container) => {
                let endpoints = self.endpoints(template, node);
                return Ok(within(endpoints, keys));
            }
            ("ip_address", Role::Port) => return Ok(self.port_address(template, node)),
            _ => {}
        }
        let group = self.group(template, node);
        let is_list = node.flat.name == INDIGO_COMPUTE;
        let Some(first) = group.first() else { return Ok(Value::NULL) };
        Ok(match attribute {
            "public_address" | "private_address" => {
                let is_public = attribute == "public_address";
                match is_list {
                    true => indexed(group.iter().map(|machine| address(machine, is_public)).collect(), keys),
                    false => address(first, is_public),
                }
            }
            "credential" if is_list => {
                let of_machine = |machine: &&Machine<'_>| {
                    let Some(system) = system(machine) else { return Value::NULL };
                    let own = system.credentials();
                    let kind = own.private_key.as_deref().map(|key| ("private_key", key));
                    let kind = kind.or(own.password.as_deref().map(|password| ("password", password)));
                    own.username.as_deref().map_or(Value::NULL, |user| credential(user, kind))
                };
                indexed(group.iter().map(of_machine).collect(), keys)
            }
            "tosca_id" => first.cloud_id.map_or(Value::NULL, Value::from),
            "ip_address" => match address(first, true) {
                Value { data: Data::Null, .. } => address(first, false),
                public => public,
            },
            "ctxt_log" => first.log.into(),
            "ansible_output" => log::output(first.log, keys),
            _ => Value::NULL,
        })
    }

    fn unknown_spreads(&self) -> bool {
        true
    }
}
