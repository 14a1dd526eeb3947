//! What a cloud is asked to make, from what is stored of a machine.

use crate::engine::{
    services::Services,
    state::model::{CloudRef, Infrastructure, Vm},
    work::tunnel,
};
use connectors::{InfrastructureIntent, UserData, VmIntent};
use ipnetwork::IpNetwork;
use std::collections::BTreeSet;

/// What these machines, of one cloud, share there.
pub fn shared(model: &Infrastructure, cloud: &CloudRef, vms: &[u32]) -> InfrastructureIntent {
    let systems = vms.iter().filter_map(|number| model.vm(*number)?.info.systems.first());
    let used: BTreeSet<&str> = systems.flat_map(|system| system.interfaces().map(|i| i.connection)).collect();
    let (networks, others): (Vec<_>, Vec<_>) =
        model.radl.networks.iter().partition(|network| used.contains(network.id.as_str()));
    let cidr = |network: &radl::Network| network.features.text("cidr")?.parse::<IpNetwork>().ok();
    InfrastructureIntent {
        infrastructure: model.id.clone(),
        location: cloud.location.clone(),
        owners: model.owners.iter().map(|owner| owner.key.clone()).collect(),
        networks: networks.into_iter().cloned().collect(),
        used_cidrs: others.into_iter().filter_map(cidr).collect(),
    }
}

/// A machine; none when its document has no system.
pub fn machine(services: &Services, model: &Infrastructure, vm: &Vm) -> Option<VmIntent> {
    let system = vm.info.systems.first()?.clone();
    let connected: BTreeSet<&str> = system.interfaces().map(|interface| interface.connection).collect();
    let networks = vm.info.networks.iter().filter(|network| connected.contains(network.id.as_str())).cloned().collect();
    Some(VmIntent {
        infrastructure: model.id.clone(),
        location: vm.cloud.location.clone(),
        uid: vm.uid.clone(),
        number: vm.number,
        fqdn: services.fqdn(&system, vm.number),
        requested: vm.requested.systems.first().unwrap_or(&system).clone(),
        tags: services.tags(model, &system),
        system,
        networks,
        user_data: user_data(services, model, vm),
    })
}

fn user_data(services: &Services, model: &Infrastructure, vm: &Vm) -> UserData {
    let recipe = model.radl.cloud_init(&vm.system).and_then(|configure| configure.recipe.clone());
    match tunnel::boot_command(services, model, vm) {
        Some(tunnel) => {
            let packages = ["curl", "openssh-client"].map(str::to_owned).to_vec();
            UserData { recipe, packages, commands: vec![tunnel] }
        }
        None => UserData { recipe, ..UserData::default() },
    }
}
