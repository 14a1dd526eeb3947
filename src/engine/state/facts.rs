//! What the contextualization may know of the machines.

use crate::engine::state::model::{Infrastructure, Lifecycle, Vm};
use connectors::PowerState;
use contextualization::{VmFacts, VmPower};

/// Facts of all machines that exist.
#[must_use]
pub fn facts(model: &Infrastructure) -> Vec<VmFacts> {
    let live = model.vms.iter().filter(|vm| vm.is_live() && !matches!(vm.lifecycle, Lifecycle::Failed { .. }));
    live.map(|vm| VmFacts {
        id: vm.number,
        provider_id: vm.provider_id().map(ToString::to_string).unwrap_or_default(),
        cloud_type: vm.cloud.kind.clone(),
        cloud_server: vm.cloud.endpoint.server.clone(),
        power: power(vm),
        info: vm.info.clone(),
        host_key: vm.host_key.clone(),
        proxy_host_key: vm.proxy_host_key.clone(),
        creation_id: vm.number,
        tunnel_key: vm.tunnel_key.clone(),
        former_secrets: vm.former_secrets.clone(),
    })
    .collect()
}

fn power(vm: &Vm) -> VmPower {
    match vm.observed.map(|observed| observed.state) {
        None | Some(PowerState::Pending) => VmPower::Pending,
        Some(PowerState::Running) => VmPower::Running,
        Some(PowerState::Stopped | PowerState::Off | PowerState::Failed) => VmPower::Down,
    }
}
