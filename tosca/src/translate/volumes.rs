//! Volumes that are attached to a Compute node (docs/spec/tosca.md 6.6).

use super::{Translator, compute::bytes};
use crate::error::Problem;
use crate::functions::{Entity, Scope};
use crate::template::{ATTACHES_TO, Link, Node};
use crate::yaml::Value;
use radl::{Amount, Features};

impl Translator<'_> {
    pub(super) fn volumes(&mut self, node: &Node, features: &mut Features) -> Result<(), Problem> {
        let mut n = 1;
        for link in node.links.iter().filter(|link| link.relationship.is(ATTACHES_TO)) {
            let Some(volume) = self.template.node(&link.target) else { continue };
            let is_volume = volume.flat.line.iter().any(|name| name.ends_with(".BlockStorage"));
            if !is_volume {
                let text =
                    format!("{} is attached to {} and is no BlockStorage: it has no effect", volume.name, node.name);
                self.draft.warnings.push(text);
                continue;
            }
            if self.volume(node, link, volume, n, features)? {
                n += 1;
            }
        }
        Ok(())
    }

    /// One volume as the n-th disk; false when there is none to attach.
    fn volume(
        &mut self,
        node: &Node,
        link: &Link,
        volume: &Node,
        n: u32,
        features: &mut Features,
    ) -> Result<bool, Problem> {
        let located = |problem: Problem, property: &str, value: &Value| {
            problem.at(value.place, &format!("node_templates.{}.properties.{property}", volume.name))
        };
        let size = self.property(volume, "size")?;
        let size = if size.is_null() {
            Amount::Integer(0)
        } else {
            bytes(&size).map_err(|problem| located(problem, "size", &size))?
        };
        let (id, snapshot) = (self.text(volume, "volume_id")?, self.text(volume, "snapshot_id")?);
        if size.as_f64() == 0.0 && id.is_none() && snapshot.is_none() {
            return Ok(false);
        }
        if snapshot.is_some() {
            self.draft.warnings.push(format!("{}: snapshot_id has no effect", volume.name));
        }
        let disk = |name: &str| format!("disk.{n}.{name}");
        match id {
            Some(id) => features.set_text(&disk("image.url"), &id),
            None => {
                features.set_number(&disk("size"), size, "");
                if let Some(kind) = self.text(volume, "type")? {
                    features.set_text(&disk("type"), &kind);
                }
            }
        }
        let of_relationship = |name: &str| {
            let Some(value) = link.relationship.properties.get(name) else { return Ok(None) };
            let scope = Scope { entity: Entity::Link(node, link), is_of_type: false };
            let value = self.evaluator.evaluate(value, scope)?;
            Ok::<_, Problem>(value.scalar().filter(|text| !text.is_empty()))
        };
        if let Some(device) = of_relationship("device")? {
            features.set_text(&disk("device"), &device);
        }
        if let Some(location) = of_relationship("location")? {
            features.set_text(&disk("mount_path"), &location);
            let kind = of_relationship("fs_type")?.unwrap_or_else(|| "ext4".to_owned());
            features.set_text(&disk("fstype"), &kind);
        }
        Ok(true)
    }
}
