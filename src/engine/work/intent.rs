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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::engine::state::model::Prototype;
    use connectors::{Endpoint, Location, VmUid};
    use radl::Radl;
    use std::sync::Arc;

    #[test]
    fn what_is_shared_is_where_the_machines_are_and_knows_what_others_have() {
        let text = "network front ( outbound = 'yes' and cidr = '10.0.1.0/24' )\nnetwork back ( cidr = '10.0.2.0/24' )\n\
                    network pattern ( cidr = '10.*.0.0/24' )\nsystem node ( net_interface.0.connection = 'front' )";
        let document = Arc::new(Radl::parse(text).unwrap());
        let mut model = Infrastructure::new("inf".to_owned(), 0, Vec::new());
        model.radl = document.clone();
        let location = Location { region: Some("north".to_owned()), ..Location::default() };
        let (id, kind) = ("c".to_owned(), "Dummy".to_owned());
        let cloud = CloudRef { id, kind, endpoint: Endpoint::default(), account: None, location: location.clone() };
        let documents = Prototype { info: document.clone(), requested: document };
        model.vms.push(Arc::new(Vm::planned(0, VmUid("u".to_owned()), Arc::new(cloud), documents, 0)));
        let intent = shared(&model, &model.vms[0].cloud, &[0]);
        let networks: Vec<&str> = intent.networks.iter().map(|network| network.id.as_str()).collect();
        assert_eq!((networks, &intent.location), (vec!["front"], &location));
        assert_eq!(intent.used_cidrs, ["10.0.2.0/24".parse().unwrap()]);
        assert_eq!(model.vms[0].mark("inf").location, location);
    }
}
