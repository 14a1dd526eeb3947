//! What the reference made in the clouds of an infrastructure and an import cannot take over: it carries no mark of ours,
//! so no deletion here finds it. The document names some of it.

use crate::engine::exchange::record::InfrastructureRecord;
use radl::Radl;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Types of clouds where the reference makes nothing besides machines.
const NOTHING_BESIDES: [&str; 2] = ["DeployedNode", "Dummy"];
/// Names of a kind that are told.
const NAMED: usize = 10;

/// What the operator should know of an infrastructure's machines in clouds.
pub(super) fn notes(record: &InfrastructureRecord) -> Vec<String> {
    if record.deleted {
        return Vec::new();
    }
    let (mut places, mut unserved) = (BTreeSet::new(), BTreeSet::new());
    let mut things: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for vm in record.vm_list.iter().filter(|vm| !vm.destroy && vm.id.is_some()) {
        if !connectors::is_served(&vm.cloud.kind) {
            unserved.insert(vm.cloud.kind.as_str());
        }
        if NOTHING_BESIDES.contains(&vm.cloud.kind.as_str()) {
            continue;
        }
        places.insert(format!("{} ({})", vm.cloud.kind, vm.cloud.id));
        for (field, kind) in [("volumes", "volumes"), ("keypair", "key pairs"), ("dns_entries", "DNS entries")] {
            things.entry(kind).or_default().extend(vm.extra.get(field).into_iter().flat_map(names));
        }
        things.entry("networks").or_default().extend(chosen_networks(&vm.info, &vm.requested_radl));
    }
    let mut notes = Vec::new();
    if !unserved.is_empty() {
        let kinds = unserved.into_iter().collect::<Vec<_>>().join(", ");
        notes.push(format!(
            "it has machines in clouds that this version does not serve ({kinds}): it is kept, but they cannot be looked \
             at, changed or deleted from here"
        ));
    }
    if !places.is_empty() {
        let places = places.into_iter().collect::<Vec<_>>().join(", ");
        let named: Vec<String> = things.iter().filter_map(|(kind, names)| told(kind, names)).collect();
        let named = if named.is_empty() { String::new() } else { format!("; its document names {}", named.join("; ")) };
        notes.push(format!(
            "what IM made for it in {places} besides machines stays there when it is deleted here: look for im-{} in the \
             cloud{named}",
            record.id
        ));
    }
    notes
}

/// The texts in a value: of a list, each of its items; of a list in it, its parts.
fn names(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Number(number) => vec![number.to_string()],
        Value::Array(items) => items
            .iter()
            .map(|item| match item {
                Value::Array(parts) => parts.iter().flat_map(names).collect::<Vec<_>>().join(" "),
                other => names(other).concat(),
            })
            .filter(|name| !name.is_empty())
            .collect(),
        _ => Vec::new(),
    }
}

/// Networks of the provider that the document did not ask for by name.
fn chosen_networks(info: &str, requested: &str) -> Vec<String> {
    let provider_ids = |text: &str| -> BTreeSet<String> {
        let networks = Radl::parse(text).map(|radl| radl.networks).unwrap_or_default();
        networks.iter().filter_map(|network| network.features.text("provider_id").map(str::to_owned)).collect()
    };
    provider_ids(info).difference(&provider_ids(requested)).cloned().collect()
}

fn told(kind: &str, names: &BTreeSet<String>) -> Option<String> {
    let first: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!first.is_empty()).then(|| format!("{kind} {}{more}", first.join(", ")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn record(kind: &str, destroyed: bool) -> InfrastructureRecord {
        let network = |more: &str| format!("network net ( outbound = 'yes' {more} )\nsystem node ()\n");
        let vm = json!({
            "id": "1", "im_id": 0, "destroy": destroyed, "cloud": {"id": "site", "type": kind},
            "info": network("and provider_id = 'pool-3'"), "requested_radl": network(""),
            "volumes": ["v-1", "v-2"], "keypair": null, "dns_entries": [["node", "example.com.", "10.0.0.1"]],
        });
        serde_json::from_value(json!({"id": "inf", "vm_list": [vm], "radl": ""})).unwrap()
    }

    #[test]
    fn what_stays_behind_is_told() {
        let [unserved, left] = &notes(&record("vSphere", false))[..] else { panic!("two notes") };
        assert!(unserved.contains("does not serve (vSphere)"), "{unserved}");
        let expected = "in vSphere (site) besides machines stays there when it is deleted here: look for im-inf in the \
                        cloud; its document names DNS entries node example.com. 10.0.0.1; networks pool-3; volumes v-1, v-2";
        assert!(left.ends_with(expected), "{left}");
        assert_eq!(notes(&record("Dummy", false)), Vec::<String>::new());
        assert_eq!(notes(&record("vSphere", true)), Vec::<String>::new(), "no machine is left");
    }
}
