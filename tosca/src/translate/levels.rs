//! How late a node is configured: after all that it depends on (docs/spec/tosca.md 7.4).

use crate::error::{Class, Problem};
use crate::template::{HOSTED_ON, Link, Template};
use std::collections::HashMap;

/// The levels of all nodes that have one.
pub(super) struct Levels<'a> {
    template: &'a Template,
    levels: HashMap<&'a str, i64>,
}

fn waits(link: &Link) -> bool {
    let relationship = &link.relationship;
    [HOSTED_ON, "tosca.relationships.DependsOn", "tosca.relationships.ConnectsTo"]
        .iter()
        .any(|name| relationship.is(name))
}

impl<'a> Levels<'a> {
    /// Levels are found from the nodes that wait for nothing upwards: what is in a circle, or waits for one, has none.
    pub fn of(template: &'a Template) -> Self {
        let mut waiting: HashMap<&str, usize> = HashMap::new();
        let mut waiters: HashMap<&str, Vec<&str>> = HashMap::new();
        let mut levels: HashMap<&str, i64> = HashMap::new();
        let mut ready = Vec::new();
        for node in template.nodes.values() {
            let targets = node.links.iter().filter(|link| waits(link)).map(|link| link.target.as_str());
            let count = targets.map(|target| waiters.entry(target).or_default().push(&node.name)).count();
            waiting.insert(&node.name, count);
            levels.insert(&node.name, 1);
            if count == 0 {
                ready.push(node.name.as_str());
            }
        }
        while let Some(name) = ready.pop() {
            let above = levels.get(name).copied().unwrap_or(1) + 1;
            for waiter in waiters.remove(name).unwrap_or_default() {
                if let Some(level) = levels.get_mut(waiter) {
                    *level = above.max(*level);
                }
                if let Some(count) = waiting.get_mut(waiter) {
                    *count -= 1;
                    if *count == 0 {
                        ready.push(waiter);
                    }
                }
            }
        }
        levels.retain(|name, _| waiting.get(name) == Some(&0));
        Self { template, levels }
    }

    /// The level of a node, from 1.
    ///
    /// # Errors
    /// It waits for itself, by way of others.
    pub fn level(&self, name: &str) -> Result<i64, Problem> {
        self.levels.get(name).copied().ok_or_else(|| {
            let circle = self.circle(name).join(" -> ");
            let message = format!("Node templates depend on each other in a circle: {circle}.");
            Problem::new(Class::Validation, message).expecting("requirements that lead to no node again")
        })
    }

    /// The circle that a node without a level leads to.
    fn circle(&self, name: &str) -> Vec<String> {
        let mut way = vec![name.to_owned()];
        while let Some(node) = way.last().and_then(|name| self.template.node(name)) {
            let next = node.links.iter().find(|link| waits(link) && !self.levels.contains_key(link.target.as_str()));
            let Some(next) = next else { break };
            let known = way.iter().position(|name| *name == next.target);
            way.push(next.target.clone());
            if let Some(at) = known {
                return way.split_off(at);
            }
        }
        way
    }
}
