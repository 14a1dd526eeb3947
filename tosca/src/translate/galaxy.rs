//! Roles and collections of Ansible Galaxy that a system needs (docs/spec/tosca.md 7.6).

use super::Translator;
use crate::error::Problem;
use crate::functions::Scope;
use crate::template::Node;
use indexmap::{IndexMap, IndexSet};
use radl::{Features, Value as Feature};

impl Translator<'_> {
    pub(super) fn galaxy(&self, node: &Node, features: &mut Features) -> Result<(), Problem> {
        let (mut roles, mut collections): (IndexSet<String>, IndexSet<String>) = Default::default();
        for hosted in self.index.hosted.get(node.name.as_str()).into_iter().flatten() {
            let related = hosted.links.iter().filter_map(|link| self.template.node(&link.target));
            for owner in std::iter::once(*hosted).chain(related) {
                for artifact in owner.artifacts.values() {
                    let set = match artifact.type_name.rsplit("tosca.artifacts.").next().unwrap_or_default() {
                        "AnsibleGalaxy.role" => &mut roles,
                        "AnsibleGalaxy.collection" => &mut collections,
                        _ => continue,
                    };
                    let file = self.evaluator.evaluate(&artifact.file, Scope::node(owner))?;
                    set.extend(file.scalar().filter(|file| !file.is_empty()));
                }
            }
        }
        let named = |kind: &str, file: String| {
            let name = format!("ansible.{kind}.{file}");
            let mut group = Features::new();
            group.set_text("name", &name);
            (name, group)
        };
        let collections = collections.into_iter().map(|file| named("collections", file));
        let groups: IndexMap<String, Features> =
            collections.chain(roles.into_iter().map(|file| named("roles", file))).collect();
        if !groups.is_empty() {
            features.set("disk.0.applications", Feature::Contains(Box::new(groups)));
        }
        Ok(())
    }
}
