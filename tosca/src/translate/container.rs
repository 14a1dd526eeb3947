//! Container applications, for the Kubernetes connector (docs/spec/tosca.md 8.2).

use super::compute::{amount, bytes};
use super::function::set_list;
use super::outports::{Absent, rules};
use super::{Situation, Translator};
use crate::error::{Class, Problem};
use crate::functions::{Evaluator, Scope};
use crate::sources::{Fetched, is_web_address};
use crate::template::{Node, Role, Template};
use crate::yaml::{Data, Value};
use radl::Features;

const IMAGE: &str = "Deployment.Image.Container.Docker";
/// Digits at the end of the name of a container.
const SUFFIX: usize = 8;

/// A name of a node as Kubernetes takes it.
pub(crate) fn clean_name(name: &str) -> String {
    let replaced = |c: char| if c == ' ' || "!\"#$%&'()*+,/:;<=>?@[]^`{|}~_".contains(c) { '-' } else { c };
    name.chars().map(replaced).collect()
}

/// Whether a system is that of a container node: its name, and digits behind it.
pub(crate) fn is_named_after(system: &str, node: &str) -> bool {
    digits(system, &clean_name(node)).is_some()
}

fn digits<'s>(system: &'s str, clean: &str) -> Option<&'s str> {
    let digits = system.strip_prefix(clean)?.strip_prefix('-')?;
    (digits.len() == SUFFIX && digits.bytes().all(|b| b.is_ascii_hexdigit())).then_some(digits)
}

/// The digits at the end of the names of the containers of a document: those that its machines have, else new ones.
pub(super) fn suffix(template: &Template, situation: &Situation<'_>) -> String {
    let mut containers = template.nodes.values().filter(|node| node.role == Role::Container).peekable();
    if containers.peek().is_none() {
        return String::new();
    }
    let names: Vec<String> = containers.map(|node| clean_name(&node.name)).collect();
    let systems = situation.machines.iter().filter_map(|machine| machine.radl.systems.first());
    let known = systems.into_iter().find_map(|system| names.iter().find_map(|name| digits(&system.name, name)));
    known.map(str::to_owned).unwrap_or_else(|| {
        let random = (situation.surroundings.random)(SUFFIX);
        let random = random.bytes().chain(std::iter::repeat(b'0')).take(SUFFIX);
        random.map(|byte| char::from_digit(u32::from(byte) % 16, 16).unwrap_or('0')).collect()
    })
}

fn system_name(node: &Node, suffix: &str) -> String {
    format!("{}-{suffix}", clean_name(&node.name))
}

/// The evaluated value of a property of the runtime that a container is on.
fn of_runtime(evaluator: &Evaluator<'_>, node: &Node, name: &str) -> Result<Value, Problem> {
    let runtime = node.direct_host().and_then(|name| evaluator.template.node(name));
    let Some(runtime) = runtime else { return Ok(Value::NULL) };
    let value = runtime.capabilities.get("host").and_then(|capability| capability.property(name));
    let Some(value) = value else { return Ok(Value::NULL) };
    evaluator.evaluate(value, Scope::node(runtime)).map_err(|problem| {
        problem.at(value.place, &format!("node_templates.{}.capabilities.host.properties.{name}", runtime.name))
    })
}

/// Where a container is reached: the ports of its first network (docs/spec/tosca.md 8.2).
pub(super) fn endpoint_expressions(
    evaluator: &Evaluator<'_>,
    node: &Node,
    suffix: &str,
) -> Result<Vec<Value>, Problem> {
    let port = |spec: &Value, key: &str| spec.get(key).and_then(Value::scalar);
    let published = of_runtime(evaluator, node, "publish_ports")?;
    if let Some(specs) = published.as_list().filter(|specs| !specs.is_empty()) {
        let address = format!("{{{{ hostvars[groups['{}'][0]]['IM_NODE_PUBLIC_IP'] }}}}", node.name);
        let endpoint = |(at, spec): (usize, &Value)| {
            let named = port(spec, "endpoint").filter(|_| at == 0);
            let remote = port(spec, "source").unwrap_or_else(|| "0".to_owned());
            Value::from(named.unwrap_or_else(|| format!("{address}:{remote}")))
        };
        return Ok(specs.iter().enumerate().map(endpoint).collect());
    }
    let exposed = of_runtime(evaluator, node, "expose_ports")?;
    let system = system_name(node, suffix);
    let endpoint = |spec: &Value| {
        let local = port(spec, "target").or_else(|| port(spec, "source")).unwrap_or_else(|| "0".to_owned());
        Value::from(format!("{system}:{local}"))
    };
    Ok(exposed.as_list().unwrap_or_default().iter().map(endpoint).collect())
}

impl<'a> Translator<'a> {
    pub(super) fn container(&mut self, node: &'a Node) -> Result<(), Problem> {
        let system = system_name(node, self.suffix);
        let mut features = Features::new();
        let mut disk = self.artifacts_of_container(node, &mut features)?;
        let environment = self.property(node, "environment")?;
        let variable = |(key, value): (&String, &Value)| match value.to_string() {
            text if text.contains(',') => format!("{key}=\"{text}\""),
            text => format!("{key}={text}"),
        };
        let variables: Vec<String> = environment.as_map().into_iter().flatten().map(variable).collect();
        if !variables.is_empty() {
            features.set_text("environment.variables", &variables.join(","));
        }
        let command = self.property(node, "command")?;
        set_list(
            &mut features,
            "command",
            command.as_list().unwrap_or_default().iter().filter_map(Value::scalar).collect(),
        );
        for (property, feature) in [("num_cpus", "cpu.count"), ("num_gpus", "gpu.count")] {
            let value = of_runtime(&self.evaluator, node, property)?;
            if !value.is_null() {
                features.set_number(feature, amount(&value)?, "");
            }
        }
        let memory = of_runtime(&self.evaluator, node, "mem_size")?;
        if !memory.is_null() {
            features.set_number("memory.size", bytes(&memory)?, "");
        }
        self.volumes_of_container(node, &mut disk, &mut features)?;
        self.ports_of_container(node, &system, &mut features)?;
        if let Some(zone) = self.placement(node, "availability_zone")? {
            features.set_text("availability_zone", &zone);
        }
        self.draft.because(&system, format!("is a system, because {} is a container application (8.2)", node.name));
        self.draft.systems.insert(system.clone(), features);
        self.draft.configures.insert(system.clone(), None);
        let level = self.levels.level(&node.name)?;
        self.draft.add_item(&system, &system, level);
        self.scale(node, &system, 1)
    }

    /// The image and the files of a container; gives the number of the next disk.
    fn artifacts_of_container(&mut self, node: &Node, features: &mut Features) -> Result<u32, Problem> {
        let (mut image, mut disk) = (None, 1);
        for artifact in node.artifacts.values() {
            let kind = artifact.type_name.strip_prefix("tosca.artifacts.").unwrap_or(&artifact.type_name);
            if kind == IMAGE {
                let file = self.evaluator.evaluate(&artifact.file, Scope::node(node))?;
                let file = file.scalar().filter(|file| !file.trim().is_empty());
                let repository = artifact.repository.as_ref().and_then(|name| self.template.repositories.get(name));
                let repository = repository.map(|url| url.split_once("://").map_or(url.as_str(), |(_, rest)| rest));
                image = match (repository, file) {
                    (Some(repository), Some(file)) => Some(format!("{}/{file}", repository.trim_end_matches('/'))),
                    (None, file) => file,
                    (Some(_), None) => None,
                };
            } else if let Some(path) = artifact.deploy_path.as_ref().filter(|_| kind == "File") {
                let content = artifact
                    .properties
                    .get("content")
                    .map(|content| self.evaluator.evaluate(content, Scope::node(node)));
                let content = content.transpose()?.and_then(|content| content.scalar()).filter(|text| !text.is_empty());
                let content = match content {
                    Some(content) => Some(content),
                    None => self.content(node, &artifact.file, artifact.repository.as_deref())?,
                };
                let Some(content) = content else { continue };
                features.set_text(&format!("disk.{disk}.content"), &content);
                features.set_text(&format!("disk.{disk}.mount_path"), path);
                disk += 1;
            }
        }
        let Some(image) = image else {
            return Err(Problem::new(Class::Other, "No image specified for K8s container."));
        };
        let url = image.strip_prefix("docker://").unwrap_or(&image);
        features.set_text("disk.0.image.url", &format!("docker://{url}"));
        Ok(disk)
    }

    /// The text of a file; none when it names none, or when it was not fetched yet.
    fn content(&mut self, node: &Node, file: &Value, repository: Option<&str>) -> Result<Option<String>, Problem> {
        let url = self.file_of(node, file, repository)?;
        if url.is_empty() {
            return Ok(None);
        }
        let failed = |reason: &str| {
            let text = format!("Failed to reach server \"{url}\". Reason is: {reason}.");
            Err(Problem::new(Class::Url, text).at(file.place, ""))
        };
        if !is_web_address(&url) {
            return failed("only http and https addresses can be fetched");
        }
        match self.situation.surroundings.sources.text(&url) {
            Fetched::Text(text) => Ok(Some(text)),
            Fetched::Failed(reason) => failed(&reason),
            Fetched::NotYet => {
                self.problems.want(&url);
                Ok(None)
            }
        }
    }

    fn volumes_of_container(&mut self, node: &Node, disk: &mut u32, features: &mut Features) -> Result<(), Problem> {
        let volumes = of_runtime(&self.evaluator, node, "volumes")?;
        for entry in volumes.as_list().unwrap_or_default() {
            let text = entry.to_string();
            let Some((name, path)) = text.split_once(':') else {
                let message = format!("The volume \"{text}\" of {} is not valid.", node.name);
                return Err(Problem::new(Class::Value, message).expecting("NAME:PATH").at(entry.place, ""));
            };
            let volume =
                self.template.node(name).filter(|volume| volume.role == Role::BlockStorage).ok_or_else(|| {
                    let message = format!("Node template \"{name}\" was not found in \"{}\".", node.name);
                    Problem::new(Class::Key, message).expecting("the name of a BlockStorage").at(entry.place, "")
                })?;
            let size = self.property(volume, "size")?;
            if !size.is_null() {
                features.set_number(&format!("disk.{disk}.size"), bytes(&size)?, "");
            }
            if let Some(id) = self.text(volume, "volume_id")? {
                features.set_text(&format!("disk.{disk}.image.url"), &id);
            }
            features.set_text(&format!("disk.{disk}.mount_path"), path);
            *disk += 1;
        }
        Ok(())
    }

    fn ports_of_container(&mut self, node: &Node, system: &str, features: &mut Features) -> Result<(), Problem> {
        let mut interface = 0;
        for (property, ending, outbound) in [("publish_ports", "pub", "yes"), ("expose_ports", "priv", "no")] {
            let ports = of_runtime(&self.evaluator, node, property)?;
            if ports.is_empty() {
                continue;
            }
            let absent = if outbound == "yes" { Absent::IsZero } else { Absent::IsTheOther };
            let name = format!("{system}_{ending}");
            let mut network = Features::new();
            network.set_text("outbound", outbound);
            network.set_text("outports", &rules(&ports, absent)?.join(","));
            self.draft.networks.insert(name.clone(), network);
            self.draft.because(&name, format!("is a network, because {} has {property} (8.2)", node.name));
            features.set_text(&format!("net_interface.{interface}.connection"), &name);
            let first = match &ports.data {
                Data::List(ports) => ports.first(),
                Data::Map(ports) => ports.values().next(),
                _ => None,
            };
            let endpoint = first.and_then(|port| port.get("endpoint")?.scalar()).filter(|_| outbound == "yes");
            if let Some(endpoint) = endpoint.filter(|endpoint| !endpoint.is_empty()) {
                features.set_text(&format!("net_interface.{interface}.dns_name"), &endpoint);
            }
            interface += 1;
        }
        Ok(())
    }
}
