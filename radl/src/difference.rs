//! What one document has otherwise than another one. Machines of one deploy have one document in common: of each of them,
//! only this is kept.

use crate::{
    Features, Radl, Value,
    entries::Entries,
    model::{Network, System},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Features that differ between two documents with the same sentences: by the place of the sentence in its class.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    networks: BTreeMap<usize, Changes>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    systems: BTreeMap<usize, Changes>,
}

/// Changes of a feature list: some names go, then some values are set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Changes {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    removed: Vec<String>,
    #[serde(default, skip_serializing_if = "Entries::is_empty")]
    set: Entries<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before_softs: Option<usize>,
}

impl Radl {
    /// What this document has otherwise than `base`; none when they differ in more than the features of networks and
    /// systems.
    #[must_use]
    pub fn difference(&self, base: &Self) -> Option<Difference> {
        let same_rest = self.description == base.description
            && self.ansible_hosts == base.ansible_hosts
            && self.configures == base.configures
            && self.contextualize == base.contextualize
            && self.deploys == base.deploys
            && self.networks.len() == base.networks.len()
            && self.systems.len() == base.systems.len();
        if !same_rest {
            return None;
        }
        let mut difference = Difference::default();
        for (at, (ours, theirs)) in self.networks.iter().zip(&base.networks).enumerate() {
            let Network { id, features, reference, line } = ours;
            if (id, reference, line) != (&theirs.id, &theirs.reference, &theirs.line) {
                return None;
            }
            difference.networks.extend(features.changes_from(&theirs.features)?.map(|changes| (at, changes)));
        }
        for (at, (ours, theirs)) in self.systems.iter().zip(&base.systems).enumerate() {
            let System { name, features, reference, line } = ours;
            if (name, reference, line) != (&theirs.name, &theirs.reference, &theirs.line) {
                return None;
            }
            difference.systems.extend(features.changes_from(&theirs.features)?.map(|changes| (at, changes)));
        }
        Some(difference)
    }

    /// The document that differs from this one in that way; it shares with this one whatever is equal.
    #[must_use]
    pub fn with(&self, difference: &Difference) -> Self {
        let mut after = self.clone();
        for (at, changes) in &difference.networks {
            if let Some(network) = after.networks.get_mut(*at) {
                network.features = network.features.with(changes);
            }
        }
        for (at, changes) in &difference.systems {
            if let Some(system) = after.systems.get_mut(*at) {
                system.features = system.features.with(changes);
            }
        }
        after
    }
}

impl Features {
    /// None when the soft groups differ; else the changes, if there are any.
    #[allow(clippy::option_option)]
    fn changes_from(&self, base: &Self) -> Option<Option<Changes>> {
        if self.softs != base.softs {
            return None;
        }
        let (set, removed) = self.values.changes_from(&base.values);
        let before_softs = (self.before_softs != base.before_softs).then_some(self.before_softs);
        let changes = Changes { removed, set, before_softs };
        Some((changes != Changes::default()).then_some(changes))
    }

    fn with(&self, changes: &Changes) -> Self {
        Self {
            values: self.values.with(&changes.set, &changes.removed),
            softs: self.softs.clone(),
            before_softs: changes.before_softs.unwrap_or(self.before_softs),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_difference_makes_the_one_document_of_the_other() {
        let base = Radl::parse(
            "network n (outbound = 'no')\nsystem s (cpu.count >= 2 and a = 'x' and b = 'y' and soft 5 (c = 'z'))",
        )
        .unwrap();
        assert_eq!(base.difference(&base), Some(Difference::default()));
        let mut other = base.clone();
        let features = &mut other.systems[0].features;
        features.remove("a");
        features.set_text("b", "other");
        features.set_text("net_interface.0.ip", "10.0.0.1");
        features.set_text("a", "again, at the end");
        other.networks[0].features.set_text("provider_id", "p");
        let written = serde_json::to_string(&other.difference(&base).unwrap()).unwrap();
        assert!(!written.contains("cpu.count") && !written.contains("outbound"), "{written}");
        let again = base.with(&serde_json::from_str(&written).unwrap());
        assert_eq!(again, other);
        assert_eq!(again.to_text(), other.to_text());
        other.systems[0].name = "t".to_owned();
        assert_eq!(other.difference(&base), None);
    }
}
