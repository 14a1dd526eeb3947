//! Serverless functions: on an OSCAR cluster of the document, or on one that is a cloud (docs/spec/tosca.md 8.1).

use super::Translator;
use super::compute::{amount, bytes};
use super::plays::tree_of;
use crate::error::{Class, Problem};
use crate::template::Node;
use crate::yaml::{Data, Map, Value};
use radl::yaml as tree;
use radl::{Amount, Features, Value as Feature};
use serde_json::{Map as JsonMap, Value as Json, json};

/// Members of storage providers, in the order of their features.
const STORAGE: &[&str] =
    &["access_key", "secret_key", "region", "endpoint", "verify", "oneprovider_host", "token", "space"];

/// A host name, unless it is blank; quotes around it do not count.
pub(crate) fn host_of_text(value: &Value) -> Option<String> {
    let text = value.scalar()?;
    let text = text.trim_matches(['\'', '"']).trim();
    (!text.is_empty()).then(|| text.to_owned())
}

impl<'a> Translator<'a> {
    pub(super) fn function(&mut self, node: &'a Node) -> Result<(), Problem> {
        let wished = self.wished(node)?;
        if wished > 1 {
            let message = "Scalability values of tosca.nodes.aisprint.FaaS.Function only allows 0 or 1.";
            return Err(Problem::new(Class::Other, message));
        }
        let template = self.template;
        let oscar = node.direct_host().and_then(|name| template.node(name));
        match (oscar, template.host(node)) {
            (Some(oscar), Some(host)) => self.hosted_function(node, oscar, &host.name, wished),
            _ => self.standalone_function(node, wished),
        }
    }

    fn hosted_function(&mut self, node: &Node, oscar: &Node, host: &str, wished: usize) -> Result<(), Problem> {
        let endpoint = match host_of_text(&self.property(oscar, "dns_host")?) {
            Some(name) => format!("https://{name}"),
            None => "http://{{ IM_NODE_PUBLIC_IP }}".to_owned(),
        };
        let password = self.property(oscar, "password")?;
        let mut vars = Map::from([
            ("oscar_endpoint".to_owned(), endpoint.into()),
            ("oscar_username".to_owned(), "oscar".into()),
            ("oscar_password".to_owned(), password),
        ]);
        let tasks = if wished > 0 {
            let service = Json::Object(self.service(node)?);
            vars.insert("oscar_service_json".to_owned(), service.to_string().into());
            "utils/tasks/oscar_function.yml"
        } else {
            vars.insert("oscar_service_name".to_owned(), self.property(node, "name")?);
            "utils/tasks/del_oscar_function.yml"
        };
        let task =
            tree::Node::map([("include_tasks", tree::Node::text(tasks)), ("vars", tree_of(&Data::Map(vars).into()))]);
        let play = tree::Node::map([("tasks", tree::Node::list(vec![task]))]);
        let recipe =
            tree::emit(&tree::Node::list(vec![play])).map_err(|error| Problem::new(Class::Other, error.to_string()))?;
        let (id, level) = (format!("oscar_{}", node.name), self.levels.level(&node.name)?);
        self.draft
            .because(&id, format!("is the function {}, which runs on the OSCAR node {} (8.1)", node.name, oscar.name));
        self.draft.configures.insert(id.clone(), Some(recipe));
        self.draft.add_item(host, &id, level);
        Ok(())
    }

    /// The definition of the function as OSCAR takes it.
    fn service(&self, node: &Node) -> Result<JsonMap<String, Json>, Problem> {
        let mut service = JsonMap::new();
        for name in ["name", "script", "alpine", "enable_gpu", "input", "output", "storage_providers"] {
            let value = self.property(node, name)?;
            let is_empty_collection = value.is_empty() && value.as_text().is_none();
            if !is_empty_collection {
                service.insert(name.to_owned(), value.to_json());
            }
        }
        let cpu = self.property(node, "cpu")?;
        if let Some(cpu) = cpu.number() {
            service.insert("cpu".to_owned(), cpu.to_string().into());
        }
        if let Some(memory) = self.memory(node)? {
            let mebibytes = (memory.as_f64() / f64::from(1 << 20)).floor();
            service.insert("memory".to_owned(), format!("{mebibytes:.0}Mi").into());
        }
        if let Some(image) = self.text(node, "image")? {
            let image = match image.strip_prefix("oscar://") {
                Some(rest) => rest.split_once('/').map_or(rest, |(_, path)| path),
                None => image.strip_prefix("docker://").unwrap_or(&image),
            };
            service.insert("image".to_owned(), image.into());
        }
        let variables = self.property(node, "env_variables")?;
        if !variables.is_empty() {
            service.insert("environment".to_owned(), json!({"Variables": variables.to_json()}));
        }
        let secrets = self.property(node, "image_pull_secrets")?;
        if !secrets.is_empty() {
            service.insert("image_pull_secrets".to_owned(), secrets.to_json());
        }
        Ok(service)
    }

    /// The memory in bytes; the B at the end of its unit may be missing.
    fn memory(&self, node: &Node) -> Result<Option<Amount>, Problem> {
        let Some(text) = self.text(node, "memory")? else { return Ok(None) };
        let text = if text.ends_with(['b', 'B']) { text } else { format!("{text}B") };
        bytes(&text.into()).map(Some)
    }

    fn standalone_function(&mut self, node: &Node, wished: usize) -> Result<(), Problem> {
        let exists = self.groups.contains_key(node.name.as_str());
        if wished == 0 && exists {
            return self.scale(node, &node.name, 0);
        }
        let mut features = Features::new();
        for (property, feature) in [("name", "name"), ("image", "disk.0.image.url"), ("script", "script")] {
            if let Some(text) = self.text(node, property)? {
                features.set_text(feature, &text);
            }
        }
        let cpu = self.property(node, "cpu")?;
        if !cpu.is_null() {
            features.set_number("cpu.count", amount(&cpu)?, "");
        }
        if let Some(memory) = self.memory(node)? {
            features.set_number("memory.size", memory, "");
        }
        features.set_number("alpine", i64::from(self.property(node, "alpine")?.truth() == Some(true)), "");
        for (property, feature) in [("enable_gpu", "gpu.count"), ("enable_sgx", "cpu.sgx")] {
            if self.property(node, property)?.truth() == Some(true) {
                features.set_number(feature, 1, "");
            }
        }
        self.exposed(node, &mut features)?;
        let variables = self.property(node, "env_variables")?;
        let variables = variables.as_map().into_iter().flatten().map(|(key, value)| format!("{key}:{value}"));
        set_list(&mut features, "environment.variables", variables.collect());
        let secrets = self.property(node, "image_pull_secrets")?;
        let secrets = secrets.as_list().unwrap_or_default().iter().filter_map(Value::scalar);
        set_list(&mut features, "image_pull_secrets", secrets.collect());
        self.storage(node, &mut features)?;
        let template = self.template;
        let needed = node.targets("dependency").filter_map(|name| template.node(name));
        let needed =
            needed.map(|target| template.host(target).map_or_else(|| target.name.clone(), |host| host.name.clone()));
        set_list(&mut features, "dependencies", needed.collect());
        self.draft
            .because(&node.name, "is a system, because it is a function that runs on no node of the document (8.1)");
        self.draft.systems.insert(node.name.clone(), features);
        self.draft.configures.insert(node.name.clone(), None);
        let level = self.levels.level(&node.name)?;
        self.draft.add_item(&node.name, &node.name, level);
        self.scale(node, &node.name, wished)
    }

    /// How the function is reached from outside: `expose.min_scale` and its likes.
    fn exposed(&self, node: &Node, features: &mut Features) -> Result<(), Problem> {
        let exposed = self.property(node, "exposed")?;
        for (key, value) in exposed.as_map().into_iter().flatten() {
            let feature = format!("expose.{key}");
            match amount(value) {
                Ok(number) => features.set_number(&feature, number, ""),
                Err(_) => features.set_text(&feature, &value.to_string()),
            }
        }
        Ok(())
    }

    fn storage(&self, node: &Node, features: &mut Features) -> Result<(), Problem> {
        for direction in ["input", "output"] {
            let ends = self.property(node, direction)?;
            for (n, end) in ends.as_list().unwrap_or_default().iter().enumerate() {
                for (member, feature) in
                    [("storage_provider", "provider"), ("path", "path"), ("suffix", "suffix"), ("prefix", "prefix")]
                {
                    if let Some(value) = end.get(member).filter(|value| !value.is_empty()) {
                        set_plain(features, &format!("{direction}.{n}.{feature}"), value);
                    }
                }
            }
        }
        let providers = self.property(node, "storage_providers")?;
        for kind in ["minio", "s3", "onedata"] {
            for (n, (id, provider)) in providers.get(kind).and_then(Value::as_map).into_iter().flatten().enumerate() {
                features.set_text(&format!("{kind}.{n}.id"), id);
                for member in STORAGE {
                    if let Some(value) = provider.get(member) {
                        set_plain(features, &format!("{kind}.{n}.{member}"), value);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Sets a feature to a value; RADL writes truth values as 1 and 0.
fn set_plain(features: &mut Features, name: &str, value: &Value) {
    match value.data {
        Data::Bool(truth) => features.set_number(name, i64::from(truth), ""),
        _ => features.set_text(name, &value.to_string()),
    }
}

pub(super) fn set_list(features: &mut Features, name: &str, items: Vec<String>) {
    if !items.is_empty() {
        features.set(name, Feature::List { items, line: 0 });
    }
}
