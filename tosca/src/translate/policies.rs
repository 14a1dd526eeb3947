//! Where machines go: placement policies (docs/spec/tosca.md 9).

use super::Translator;
use crate::error::Problem;
use crate::functions::{Entity, Scope};
use crate::template::{Node, Policy};

const PLACEMENT: &str = "tosca.policies.Placement";

impl Translator<'_> {
    /// A property of the first placement policy that aims at the node and has it.
    pub(super) fn placement(&self, node: &Node, property: &str) -> Result<Option<String>, Problem> {
        let aims = |policy: &&Policy| {
            let aimed_at = |target: &String| {
                let members = self.template.groups.get(target);
                *target == node.name || members.is_some_and(|members| members.contains(&node.name))
            };
            policy.flat.is(PLACEMENT) && policy.targets.iter().any(aimed_at)
        };
        for policy in self.template.policies.iter().filter(aims) {
            let Some(value) = policy.properties.get(property) else { continue };
            let scope = Scope { entity: Entity::Node(node), is_of_type: false };
            let value = self.evaluator.evaluate(value, scope).map_err(|problem| {
                problem.at(value.place, &format!("policies.{}.properties.{property}", policy.name))
            })?;
            if let Some(text) = value.scalar().filter(|text| !text.is_empty()) {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }
}
