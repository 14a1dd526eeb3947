//! How many machines of a system there are to be, which go and in which order they come (docs/spec/tosca.md 6.2, 6.8
//! and 11).

use super::{Translator, networks};
use crate::error::{Class, Problem};
use crate::outputs::Machine;
use crate::template::Node;
use crate::yaml::Value;
use radl::Deploy;

/// Machines of one system that a document may ask for.
const MAX_INSTANCES: i128 = 1_000_000;

impl Translator<'_> {
    /// The wished number of instances of a node.
    pub(super) fn wished(&self, node: &Node) -> Result<usize, Problem> {
        for name in ["count", "default_instances", "min_instances"] {
            let value = self.of_capability(node, "scalable", name)?;
            if value.is_null() {
                continue;
            }
            let count = value.integer().filter(|count| (0..=MAX_INSTANCES).contains(count));
            return count.and_then(|count| usize::try_from(count).ok()).ok_or_else(|| {
                let path = format!("node_templates.{}.capabilities.scalable.properties.{name}", node.name);
                Problem::new(Class::Value, format!("\"{value}\" is not an integer."))
                    .expecting("a whole number of machines, not below 0")
                    .at(value.place, &path)
            });
        }
        Ok(1)
    }

    /// Adds or removes machines of a system until there are as many as wished.
    pub(super) fn scale(&mut self, node: &Node, system: &str, wished: usize) -> Result<(), Problem> {
        let group: Vec<&Machine<'_>> = self.groups.get(system).cloned().unwrap_or_default();
        let (wanted, there) = (wished, group.len());
        if wanted > there {
            let cloud = self.placement(node, "cloud_id")?;
            let number = i64::try_from(wanted - there).unwrap_or(i64::MAX);
            let at = cloud.as_ref().map_or(String::new(), |cloud| format!(" on {cloud}, as a policy says (9)"));
            self.draft.because(system, format!("gets {number} of {wanted} machines{at} (6.2)"));
            self.draft.deploys.push(Deploy { system: system.to_owned(), number, cloud, line: 0 });
        } else if wanted < there {
            let removed = self.removed(node, &group, there - wanted)?;
            self.draft.because(system, format!("loses the machines {removed:?}, for {wanted} are wished (11)"));
            self.draft.remove.extend(removed);
        }
        Ok(())
    }

    /// The machines that go: those of the removal list that are of the system, then the oldest ones.
    fn removed(&mut self, node: &Node, group: &[&Machine<'_>], count: usize) -> Result<Vec<u64>, Problem> {
        let list = self.of_capability(node, "scalable", "removal_list")?;
        let listed = list.as_list().unwrap_or_default().iter().filter_map(Value::integer);
        let mut removed: Vec<u64> = Vec::new();
        for id in listed {
            match u64::try_from(id).ok().filter(|id| group.iter().any(|machine| machine.id == *id)) {
                Some(id) if !removed.contains(&id) => removed.push(id),
                Some(_) => {}
                None => {
                    let text = format!("the removal_list of {} names {id}, which is no machine of it", node.name);
                    self.draft.warnings.push(text);
                }
            }
        }
        let mut oldest: Vec<&&Machine<'_>> = group.iter().filter(|machine| !removed.contains(&machine.id)).collect();
        oldest.sort_by_key(|machine| (machine.created, machine.id));
        removed.extend(oldest.into_iter().map(|machine| machine.id));
        removed.truncate(count);
        Ok(removed)
    }

    /// Front ends come first: what is public and no worker by its name, then public workers, then the others.
    pub(super) fn order_deploys(&mut self) {
        let mut deploys = std::mem::take(&mut self.draft.deploys);
        let (systems, all) = (&self.draft.systems, &self.draft.networks);
        let rank = |deploy: &Deploy| {
            let connections = systems.get(&deploy.system).into_iter().flat_map(networks::connections);
            let is_public = connections.into_iter().any(|name| all.get(name).is_some_and(networks::is_public));
            match (is_public, deploy.system.contains("wn")) {
                (true, false) => 0,
                (true, true) => 1,
                (false, _) => 2,
            }
        };
        deploys.sort_by_cached_key(rank);
        self.draft.deploys = deploys;
    }
}
