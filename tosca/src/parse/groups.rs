//! Groups and policies (docs/spec/tosca.md 9).

use super::Reader;
use crate::error::{Class, Problem};
use crate::template::{Policy, Template};
use crate::types::{Kind, section};
use crate::yaml::{Map, Value};
use std::collections::HashSet;

impl Reader<'_> {
    pub(super) fn groups(&mut self, topology: &Value, template: &mut Template) {
        for (name, value) in section(topology, "groups", "topology_template", &mut self.problems) {
            let (what, path) = (format!("Groups \"{name}\""), format!("groups.{name}"));
            let Some(map) = value.as_map() else {
                self.problems.mismatch(&what, "map", value, &path);
                continue;
            };
            self.known_keys(
                &what,
                map,
                &["type", "metadata", "description", "properties", "members", "interfaces", "attributes"],
                &path,
            );
            self.type_of(&what, Kind::Group, value, &path);
            let members = self.names(&what, "members", value, &path);
            let distinct: HashSet<&String> = members.iter().collect();
            if members.is_empty() || distinct.len() < members.len() {
                let shown: Vec<String> = members.iter().map(|member| format!("'{member}'")).collect();
                let message = format!("\"Member nodes \"[{}]\" should be >= 1 and not repeated\"", shown.join(", "));
                self.problems.add(Problem::new(Class::GroupTarget, message).at(value.place, &path));
            }
            for member in &members {
                if !template.nodes.contains_key(member) && !self.refused_nodes.contains(member) {
                    self.problems.add(not_found(member).at(value.place, &path));
                }
            }
            template.groups.insert(name.clone(), members);
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
            let (what, path) = (format!("Policy \"{name}\""), format!("policies.{name}"));
            let Some(map) = value.as_map() else {
                self.problems.mismatch(&what, "map", value, &path);
                continue;
            };
            self.known_keys(
                &what,
                map,
                &["type", "metadata", "description", "properties", "targets", "triggers", "reservation"],
                &path,
            );
            let targets = self.names(&what, "targets", value, &path);
            for target in &targets {
                let is_known = template.nodes.contains_key(target) || template.groups.contains_key(target);
                if !is_known && !self.refused_nodes.contains(target) {
                    self.problems.add(not_found(target).at(value.place, &path));
                }
            }
            let Some(flat) = self.type_of(&what, Kind::Policy, value, &path) else { continue };
            let properties = value.get("properties").and_then(Value::as_map).cloned().unwrap_or_default();
            if !flat.properties.is_empty() {
                let what = format!("\"properties\" of template \"{name}\"");
                self.check_properties(what, &properties, value, &flat, &path);
            }
            template.policies.push(Policy { name: name.clone(), flat, targets, properties });
        }
    }

    fn type_of(
        &mut self,
        what: &str,
        kind: Kind,
        value: &Value,
        path: &str,
    ) -> Option<std::sync::Arc<crate::types::Flat>> {
        match value.get("type").and_then(Value::scalar) {
            Some(name) => self.flat(kind, &name, value.place, path),
            None => {
                self.problems.missing(what, "type", value.place, path);
                None
            }
        }
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

fn not_found(target: &str) -> Problem {
    Problem::new(Class::GroupTarget, format!("\"Target member \"{target}\" is not found in node_templates\""))
}
