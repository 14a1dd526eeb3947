//! A Compute node as a system (docs/spec/tosca.md 6.1).

use super::Translator;
use crate::error::{Class, Problem};
use crate::template::Node;
use crate::types::{Dimension, Measure};
use crate::yaml::{Data, Value};
use radl::{Amount, Constraint, Features, Operator, Value as Feature};

/// Properties of `host` and `os` that are texts, with their features.
const TEXTS: &[(&str, &str, &str)] = &[
    ("host", "disk_type", "disk.0.type"),
    ("host", "instance_type", "instance_type"),
    ("host", "gpu_vendor", "gpu.vendor"),
    ("host", "gpu_model", "gpu.model"),
    ("host", "sgx_epc_size", "cpu.sgx.epc_size"),
    ("os", "architecture", "cpu.arch"),
    ("os", "type", "disk.0.os.name"),
    ("os", "distribution", "disk.0.os.flavour"),
    ("os", "version", "disk.0.os.version"),
];
/// Properties that have no effect, which is told.
const WITHOUT_EFFECT: &[(&str, &str)] = &[("host", "cpu_frequency"), ("endpoint", "tls")];

impl Translator<'_> {
    /// The system of a node. What is wrong with one part of it keeps no other one from being looked at.
    pub(super) fn compute(&mut self, node: &Node) {
        let mut features = Features::new();
        for part in [Self::names, Self::hardware, Self::image, Self::zone] {
            let result = part(self, node, &mut features);
            self.noted(node, result);
        }
        let volumes = self.volumes(node, &mut features);
        self.noted(node, volumes);
        let roles = self.galaxy(node, &mut features);
        self.noted(node, roles);
        let connected = self.connect(node, &mut features);
        self.noted(node, connected);
        self.draft.because(
            &node.name,
            format!("is a system, because its type {} is tosca.nodes.Compute or derives from it (6.1)", node.flat.name),
        );
        self.draft.systems.insert(node.name.clone(), features);
        let scaled = self.wished(node).and_then(|wished| self.scale(node, &node.name, wished));
        self.noted(node, scaled);
    }

    fn names(&mut self, node: &Node, features: &mut Features) -> Result<(), Problem> {
        let name = self.text(node, "instance_name")?.unwrap_or_else(|| node.name.clone());
        features.set_text("instance_name", &name);
        let tags = self.property(node, "tags")?;
        let tags: Vec<String> =
            tags.as_map().into_iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
        if !tags.is_empty() {
            features.set_text("instance_tags", &tags.join(","));
        }
        Ok(())
    }

    fn zone(&mut self, node: &Node, features: &mut Features) -> Result<(), Problem> {
        if let Some(zone) = self.placement(node, "availability_zone")? {
            features.set_text("availability_zone", &zone);
        }
        Ok(())
    }

    fn hardware(&mut self, node: &Node, features: &mut Features) -> Result<(), Problem> {
        for (property, feature) in [("num_cpus", "cpu.count"), ("num_gpus", "gpu.count")] {
            let value = self.kept_value(node, "host", property);
            if !value.is_null() {
                let amount = amount(&value).map(|amount| at_least(features, feature, amount));
                self.noted(node, amount.map_err(|problem| located(problem, node, property)));
            }
        }
        for (property, feature) in [("mem_size", "memory.size"), ("disk_size", "disk.0.size")] {
            let value = self.kept_value(node, "host", property);
            if !value.is_null() {
                let amount = bytes(&value).map(|amount| at_least(features, feature, amount));
                self.noted(node, amount.map_err(|problem| located(problem, node, property)));
            }
        }
        for (property, feature) in [("preemtible_instance", "spot"), ("sgx", "cpu.sgx")] {
            let value = self.kept_value(node, "host", property);
            if !value.is_null() {
                let is_wanted = value.truth().unwrap_or(!value.is_empty());
                features.set_text(feature, if is_wanted { "yes" } else { "no" });
            }
        }
        for (capability, property, feature) in TEXTS {
            let value = self.kept_value(node, capability, property);
            if let Some(value) = compared(&value) {
                features.set(feature, value);
            }
        }
        for (capability, property) in WITHOUT_EFFECT {
            let value = self.kept_value(node, capability, property);
            if !value.is_null() && value.truth() != Some(false) {
                let text = format!("{}: {capability}.{property} has no effect", node.name);
                self.draft.warnings.push(text);
            }
        }
        Ok(())
    }

    /// The evaluated value of a property of a capability; what is wrong with it is noted, and it is null then.
    fn kept_value(&mut self, node: &Node, capability: &str, property: &str) -> Value {
        self.of_capability(node, capability, property).unwrap_or_else(|problem| {
            self.noted(node, Err(problem));
            Value::NULL
        })
    }

    fn image(&mut self, node: &Node, features: &mut Features) -> Result<(), Problem> {
        let image = self.of_capability(node, "os", "image")?.scalar().filter(|image| !image.trim().is_empty());
        if let Some(image) = image {
            features.set_text("disk.0.image.url", &image_url(&image));
        }
        let credential = self.of_capability(node, "os", "credential")?;
        if credential.is_empty() {
            return Ok(());
        }
        let text = |key: &str| credential.get(key).and_then(Value::scalar).filter(|text| !text.is_empty());
        let Some(user) = text("user") else {
            return Err(Problem::new(Class::Other, "User must be specified in the image credentials.")
                .at(credential.place, &format!("node_templates.{}.capabilities.os.properties.credential", node.name)));
        };
        features.set_text("disk.0.os.credentials.username", &user);
        let kind = text("token_type").unwrap_or_else(|| "password".to_owned());
        if let (Some(token), "password" | "private_key" | "public_key") = (text("token"), kind.as_str()) {
            features.set_text(&format!("disk.0.os.credentials.{kind}"), &token);
        }
        Ok(())
    }
}

/// A problem with a property of `host`, where the document gives it: what was evaluated has no place.
fn located(problem: Problem, node: &Node, property: &str) -> Problem {
    let given = node.capabilities.get("host").and_then(|capability| capability.property(property));
    let place = given.map_or(node.place, |value| value.place);
    problem.at(place, &format!("node_templates.{}.capabilities.host.properties.{property}", node.name))
}

/// An image with a scheme: containers are named without one.
pub(super) fn image_url(image: &str) -> String {
    if image.contains("://") { image.to_owned() } else { format!("docker://{image}") }
}

/// Sets a feature to at least an amount.
fn at_least(features: &mut Features, name: &str, amount: Amount) {
    let bound = Constraint { operator: Operator::Ge, amount, unit: None, line: 0 };
    features.set(name, Feature::Number { lower: Some(Box::new(bound)), upper: None });
}

/// A text feature; `{equal: x}` and its likes say the operator.
fn compared(value: &Value) -> Option<Feature> {
    let (operator, value) = match value.as_map().and_then(|map| map.first()) {
        Some((word, value)) => (operator(word)?, value),
        None => (Operator::Eq, value),
    };
    Some(Feature::Text { operator, text: value.scalar()?, line: 0 })
}

fn operator(word: &str) -> Option<Operator> {
    Some(match word {
        "equal" => Operator::Eq,
        "greater_than" => Operator::Gt,
        "greater_or_equal" => Operator::Ge,
        "less_than" => Operator::Lt,
        "less_or_equal" => Operator::Le,
        _ => return None,
    })
}

/// A number, also when it is written as a text.
pub(super) fn amount(value: &Value) -> Result<Amount, Problem> {
    let whole = value.integer().and_then(|whole| i64::try_from(whole).ok()).map(Amount::Integer);
    whole
        .or_else(|| value.number().map(Amount::Float))
        .ok_or_else(|| Problem::new(Class::Value, format!("\"{value}\" is not a numeric.")))
}

/// A size in bytes: whole when it is.
pub(super) fn bytes(value: &Value) -> Result<Amount, Problem> {
    let text = match &value.data {
        Data::Integer(bytes) => format!("{bytes} B"),
        _ => value.scalar().unwrap_or_else(|| value.to_string()),
    };
    let amount = Measure::parse(Dimension::Size, &text)?.amount();
    let is_whole = amount.fract() == 0.0 && amount < 9e18;
    Ok(if is_whole { Amount::Integer(amount as i64) } else { Amount::Float(amount) })
}
