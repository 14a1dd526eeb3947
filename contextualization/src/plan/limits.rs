//! What a document may ask for that is not offered yet: one sentence each, so that nothing is left out in silence.

use super::{builtin, decide::is_windows};
use crate::contract::VmFacts;
use radl::Radl;

/// Sentences on what this contextualization will not do, for the infrastructure's log.
#[must_use]
pub fn unsupported(radl: &Radl, vms: &[VmFacts]) -> Vec<String> {
    let mut notes = Vec::new();
    let mut roles: Vec<&str> = radl.systems.iter().flat_map(builtin::galaxy).collect();
    roles.sort_unstable();
    roles.dedup();
    if !roles.is_empty() {
        notes.push(format!(
            "WARNING: Ansible Galaxy roles and collections are not installed yet: {}. Recipes that use them will fail \
             unless they are on the master already.",
            roles.join(", ")
        ));
    }
    let systems = || radl.systems.iter().map(|s| &s.features);
    if systems().any(|f| f.has("vault.password")) {
        notes.push("WARNING: vault.password is not used yet: encrypted recipes cannot run.".to_owned());
    }
    if systems().any(|f| f.text("nat_instance") == Some("yes")) {
        notes
            .push("WARNING: nat_instance is not set up yet: configure the address translation in a recipe.".to_owned());
    }
    let windows: Vec<String> = vms.iter().filter(|vm| is_windows(vm)).map(|vm| vm.id.to_string()).collect();
    if !windows.is_empty() {
        notes.push(format!("WARNING: Windows machines are not configured yet: VM {}.", windows.join(", ")));
    }
    notes
}

/// The sentence for a document with external Ansible hosts, which cannot be contextualized yet.
pub const ANSIBLE_HOSTS: &str = "External ansible hosts are not supported yet: remove the 'ansible' section and let a VM with a public IP be the master.";
