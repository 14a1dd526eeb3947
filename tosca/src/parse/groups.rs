//! Groups and policies (docs/spec/tosca.md 9).

use super::Reader;
use crate::error::{Class, Problem};
use crate::template::{Policy, Template};
use crate::types::{Flat, Kind, section};
use crate::yaml::{Map, Value};
use std::{collections::HashSet, sync::Arc};

/// What a group and a policy have in common.
struct Named {
    path: String,
    /// Members or targets.
    names: Vec<String>,
    flat: Option<Arc<Flat>>,
}

impl Reader<'_> {
    pub(super) fn groups(&mut self, topology: &Value, template: &mut Template) {
        for (name, value) in section(topology, "groups", "topology_template", &mut self.problems) {
            let keys = ["members", "interfaces", "attributes"];
            let is_there = |name: &str| template.nodes.contains_key(name);
            let Some(group) = self.named(Kind::Group, name, value, keys, is_there) else { continue };
            let distinct: HashSet<&String> = group.names.iter().collect();
            if group.names.is_empty() || distinct.len() < group.names.len() {
                let shown: Vec<String> = group.names.iter().map(|member| format!("'{member}'")).collect();
                let message = format!("\"Member nodes \"[{}]\" should be >= 1 and not repeated\"", shown.join(", "));
                self.problems.add(Problem::new(Class::GroupTarget, message).at(value.place, &group.path));
            }
            template.groups.insert(name.clone(), group.names);
        }
    }

    pub(super) fn policies(&mut self, topology: &Value, template: &mut Template) {
        let Some(list) = topology.get("policies") else { return };
        let maps: Vec<&Map> = match (list.as_list(), list.as_map()) {
            (Some(items), _) if items.iter().all(|item| item.as_map().is_some()) => {
                items.iter().filter_map(Value::as_map).collect()
            }
            (_, Some(map)) => vec![map],
            _ => {
                self.problems.mismatch("\"policies\"", "list of maps of one pair", list, "policies");
                return;
            }
        };
        for (name, value) in maps.into_iter().flatten() {
            let keys = ["targets", "triggers", "reservation"];
            let is_there = |name: &str| template.nodes.contains_key(name) || template.groups.contains_key(name);
            let Some(policy) = self.named(Kind::Policy, name, value, keys, is_there) else { continue };
            let Some(flat) = policy.flat else { continue };
            let properties = value.get("properties").and_then(Value::as_map).cloned().unwrap_or_default();
            let what = format!("\"properties\" of template \"{name}\"");
            self.check_properties(what, &properties, value, &flat, &policy.path);
            template.policies.push(Policy { name: name.clone(), flat, targets: policy.names, properties });
        }
    }

    /// Reads what groups and policies have in common. `keys` are those that only the kind has, first the one of the names of
    /// members or targets.
    fn named(
        &mut self,
        kind: Kind,
        name: &str,
        value: &Value,
        keys: [&str; 3],
        is_there: impl Fn(&str) -> bool,
    ) -> Option<Named> {
        let (kind_name, section) = if kind == Kind::Group { ("Groups", "groups") } else { ("Policy", "policies") };
        let (what, path) = (format!("{kind_name} \"{name}\""), format!("{section}.{name}"));
        let Some(map) = value.as_map() else {
            self.problems.mismatch(&what, "map", value, &path);
            return None;
        };
        let known = ["type", "metadata", "description", "properties"];
        self.known_keys(&what, map, &[&known[..], &keys].concat(), &path);
        let names = self.names(&what, keys[0], value, &path);
        for name in names.iter().filter(|name| !is_there(name)) {
            if !self.refused_nodes.contains(name) {
                let message = format!("\"Target member \"{name}\" is not found in node_templates\"");
                self.problems.add(Problem::new(Class::GroupTarget, message).at(value.place, &path));
            }
        }
        let flat = match value.get("type").and_then(Value::scalar) {
            Some(name) => self.flat(kind, &name, value.place, &path),
            None => {
                self.problems.missing(&what, "type", value.place, &path);
                None
            }
        };
        Some(Named { path, names, flat })
    }

    /// A list of names, or one alone.
    fn names(&mut self, what: &str, key: &str, value: &Value, path: &str) -> Vec<String> {
        let Some(list) = value.get(key) else { return Vec::new() };
        match list.as_list() {
            Some(items) => items.iter().filter_map(Value::scalar).collect(),
            None => {
                if list.scalar().is_none() {
                    self.problems.mismatch(&format!("\"{key}\" of {what}"), "list", list, path);
                }
                list.scalar().into_iter().collect()
            }
        }
    }
}
