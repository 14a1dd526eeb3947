//! Machines: how they are found, made, changed and deleted.

use super::{
    Ec2, address, groups,
    map::{self, INFRASTRUCTURE, RESIZING, ROUTER, UID, invalid},
    network::{self, Subnetting},
    replies::{Image, Images, Instance, Interfaces, Reservation, Reservations, tag},
    request::Call,
    sizes, storage,
};
use crate::{
    ConnectorError, ErrorClass, GuestOs, PowerOperation, PublicAddress, Resize, VmIntent, VmMark,
    http::{Handle, Patience, Progress},
};
use radl::{Constraint, Operator, System, Value};
use std::time::Duration;

/// How long a machine may take to stop, and to end.
const CHANGES: Patience =
    Patience { first: Duration::from_secs(2), longest: Duration::from_secs(10), deadline: Duration::from_secs(240) };

impl Ec2 {
    /// The machines that a mark leads to, dead ones too: by its id, else by our own.
    async fn marked(&self, region: &str, vm: &VmMark) -> Result<Vec<Instance>, ConnectorError> {
        let call = Call::new("DescribeInstances");
        let call = match vm.id.as_ref().and_then(map::instance_id) {
            Some((_, id)) => call.filter("instance-id", [id]),
            None => call
                .filter(&format!("tag:{INFRASTRUCTURE}"), [&vm.infrastructure])
                .filter(&format!("tag:{UID}"), [&vm.uid.0]),
        };
        let mut found = self.instances(region, call).await?;
        // The oldest is the one that counts, should there ever be two.
        found.sort_by(|one, other| (&one.launch_time, &one.instance_id).cmp(&(&other.launch_time, &other.instance_id)));
        for instance in found.iter().filter(|instance| map::is_alive(instance)) {
            vm.admit(tag(&instance.tag_set, INFRASTRUCTURE))?;
        }
        Ok(found)
    }

    /// All machines that a request finds.
    pub(super) async fn instances(&self, region: &str, call: Call) -> Result<Vec<Instance>, ConnectorError> {
        let found = self.api.list::<Reservations>(region, call).await?;
        Ok(found.into_iter().flat_map(|reservation| reservation.instances.items).collect())
    }

    /// The machine of a mark that is to be changed.
    pub(super) async fn existing(&self, vm: &VmMark) -> Result<(String, Instance), ConnectorError> {
        let id = vm.existing()?;
        let missing = || ConnectorError::new(ErrorClass::NotFound, format!("EC2 has no machine {id}"));
        let (region, _) = map::instance_id(id).ok_or_else(missing)?;
        let found = self.marked(region, vm).await?.into_iter().find(map::is_alive);
        Ok((region.to_owned(), found.ok_or_else(missing)?))
    }

    /// The region where something with a mark is.
    pub(super) fn region_of(&self, vm: &VmMark) -> String {
        match vm.id.as_ref().and_then(map::instance_id) {
            Some((region, _)) => region.to_owned(),
            None => self.region(&vm.location).to_owned(),
        }
    }

    /// Makes a machine, or finds it.
    pub(super) async fn make(&self, intent: &VmIntent) -> Result<Instance, ConnectorError> {
        let region = self.region(&intent.location).to_owned();
        let url = intent.system.features.text(crate::candidate::IMAGE_URL).unwrap_or_default();
        let name = match map::image(url) {
            Some((of, name)) if of == region => name,
            Some((of, _)) => {
                return Err(invalid(format!("The image {url} is in region {of}, the machine in {region}")));
            }
            None => return Err(invalid(format!("{url} is no image of EC2: aws://<region>/<ami>"))),
        };
        // A second request for the same machine waits for the first one, and finds what it made.
        let turn = self.turns.of(&intent.uid);
        let _turn = turn.lock().await;
        let found = self.marked(&region, &intent.mark()).await?;
        if let Some(known) = found.iter().find(|instance| map::is_alive(instance)) {
            return Ok(known.clone());
        }
        let image = self.image(&region, name).await?;
        let nics = self.nics(&region, intent).await?;
        // EC2 gives the same machine for the same token, also when it ended since.
        let token = format!("{}-{}", intent.uid, found.len());
        let call = map::order(intent, &image, &nics, intent.location.zone.as_deref(), &token)?;
        match self.api.call_once_known::<Reservation>(&region, &call).await {
            Ok(made) => {
                let lacking =
                    || ConnectorError::new(ErrorClass::Transient, "EC2 answers RunInstances without a machine");
                made.instances.items.into_iter().next().ok_or_else(lacking)
            }
            // An earlier attempt asked for the same machine in other words.
            Err(error) if error.class == ErrorClass::Conflict => {
                let found =
                    self.instances(&region, Call::new("DescribeInstances").filter("client-token", [&token])).await?;
                found.into_iter().find(map::is_alive).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// What is to be known of an image to start it; it never changes.
    pub(super) async fn image(&self, region: &str, name: &str) -> Result<Image, ConnectorError> {
        if !name.starts_with("ami-") {
            return Err(invalid(format!("{name} is no image of EC2: its ids begin with ami-")));
        }
        if let Some(known) = self.images_seen.get(name) {
            return Ok(known);
        }
        let call = Call::new("DescribeImages").list("ImageId", [name]);
        let found = self.api.look::<Images>(region, &call).await?.into_iter().next();
        let missing = || ConnectorError::new(ErrorClass::NotFound, format!("Incorrect AMI selected: {name}"));
        let image = found.ok_or_else(missing)?;
        if image.root_device_name.is_none() {
            return Err(invalid(format!("Error getting correct block_device name from AMI: {name}")));
        }
        self.images_seen.insert(name, &image);
        Ok(image)
    }

    /// The interfaces of a machine: one for each subnet that its networks have.
    async fn nics(&self, region: &str, intent: &VmIntent) -> Result<Vec<map::Nic>, ConnectorError> {
        let networks: Vec<_> = intent
            .system
            .interfaces()
            .filter_map(|interface| intent.networks.iter().find(|network| network.id == interface.connection))
            .cloned()
            .collect();
        let subnetting =
            Subnetting::look(&self.api, region, &intent.location, &intent.infrastructure, &networks).await?;
        let home = subnetting.home(&networks).await?;
        let mut nics: Vec<map::Nic> = Vec::new();
        let mut of_nics: Vec<(String, Vec<radl::Network>)> = Vec::new();
        for (interface, network) in
            intent.requested.interfaces().map(Some).chain(std::iter::repeat(None)).zip(&networks)
        {
            let subnet = subnetting.of(network)?.unwrap_or(&home);
            let place = nics.iter().position(|nic| nic.subnet == subnet.subnet_id);
            let place = place.unwrap_or_else(|| {
                let has_ipv6 = !subnet.ipv6_cidr_block_association_set.is_empty();
                let subnet_id = subnet.subnet_id.clone();
                nics.push(map::Nic { subnet: subnet_id, groups: Vec::new(), address: None, has_ipv6 });
                of_nics.push((subnet.vpc_id.clone(), Vec::new()));
                nics.len() - 1
            });
            let fixed = interface.and_then(|interface| interface.ip).filter(|_| !network.is_public());
            if nics[place].address.is_none() {
                nics[place].address = fixed.map(str::to_owned);
            }
            of_nics[place].1.push(network.clone());
        }
        if nics.is_empty() {
            let has_ipv6 = !home.ipv6_cidr_block_association_set.is_empty();
            nics.push(map::Nic { subnet: home.subnet_id.clone(), groups: Vec::new(), address: None, has_ipv6 });
            of_nics.push((home.vpc_id.clone(), Vec::new()));
        }
        if of_nics.iter().any(|(vpc, _)| *vpc != of_nics[0].0) {
            return Err(invalid("The networks of the machine are in several VPCs: EC2 has no such machine"));
        }
        let os = intent.guest_os();
        for (nic, (vpc, networks)) in nics.iter_mut().zip(of_nics) {
            nic.groups = groups::ensure(&self.api, region, &vpc, &intent.infrastructure, &networks, os).await?;
        }
        Ok(nics)
    }

    /// What follows the boot: volumes of the user, addresses, routes.
    pub(super) async fn complete(
        &self,
        region: &str,
        vm: &VmMark,
        instance: &Instance,
        pool: Option<&str>,
    ) -> Result<(), ConnectorError> {
        storage::attach_wanted(&self.api, region, instance).await?;
        address::ensure(&self.api, region, vm, instance, pool).await
    }

    /// Lets the networks that a machine is the router of lead through it. Only a VPC of ours is changed.
    pub(super) async fn route(
        &self,
        region: &str,
        intent: &VmIntent,
        instance: &Instance,
    ) -> Result<(), ConnectorError> {
        let mut routes = map::routes(intent).peekable();
        if routes.peek().is_none() {
            return Ok(());
        }
        let (Some(vpc), Some(interface)) = (&instance.vpc_id, address::first_interface(instance)) else {
            return Ok(());
        };
        if !network::is_own_vpc(&self.api, region, vpc, &intent.infrastructure).await? {
            return Err(invalid(
                "router: routes are set in networks that were created for the infrastructure, not in others",
            ));
        }
        for (_, cidr) in routes {
            network::route(&self.api, region, vpc, cidr, interface).await?;
        }
        if instance.source_dest_check != Some(false) {
            let call = Call::new("ModifyNetworkInterfaceAttribute")
                .with("NetworkInterfaceId", interface)
                .with("SourceDestCheck.Value", false);
            self.api.run(region, &call).await?;
        }
        if tag(&instance.tag_set, ROUTER).is_none() {
            storage::tag_with(&self.api, region, &instance.instance_id, ROUTER, "yes").await?;
        }
        Ok(())
    }

    /// Deletes a machine and all that carries its mark.
    pub(super) async fn delete(&self, vm: &VmMark) -> Result<(), ConnectorError> {
        let region = self.region_of(vm);
        let found = self.marked(&region, vm).await?;
        let ending: Vec<_> = found.iter().filter(|instance| instance.instance_state.name != "terminated").collect();
        if !ending.is_empty() {
            for instance in &ending {
                vm.admit(tag(&instance.tag_set, INFRASTRUCTURE))?;
                let call = Call::new("TerminateInstances").list("InstanceId", [&instance.instance_id]);
                self.api.delete(&region, &call).await?;
            }
            let ids: Vec<_> = ending.iter().map(|instance| instance.instance_id.as_str()).collect();
            self.wait(&region, &ids, &["terminated"]).await?;
        }
        address::release(&self.api, &region, vm).await?;
        storage::delete(&self.api, &region, vm).await?;
        let call = Call::new("DescribeNetworkInterfaces")
            .filter(&format!("tag:{INFRASTRUCTURE}"), [&vm.infrastructure])
            .filter(&format!("tag:{UID}"), [&vm.uid.0])
            .filter("status", ["available"]);
        for nic in self.api.list::<Interfaces>(&region, call).await? {
            let call = Call::new("DeleteNetworkInterface").with("NetworkInterfaceId", &nic.network_interface_id);
            self.api.delete(&region, &call).await?;
        }
        Ok(())
    }

    /// Waits until machines are in one of these states; those that are unknown are gone.
    async fn wait(&self, region: &str, ids: &[&str], states: &[&str]) -> Result<(), ConnectorError> {
        let ask = || async {
            let found = self.instances(region, Call::new("DescribeInstances").filter("instance-id", ids)).await?;
            let are_there = found.iter().all(|instance| states.contains(&instance.instance_state.name.as_str()));
            Ok(if are_there { Progress::Done(()) } else { Progress::Running(None) })
        };
        CHANGES.wait(&Handle(format!("{} of {}", states.join(" or "), ids.join(", "))), ask).await
    }

    /// Starts, stops or resets a machine; what is so already is left alone.
    pub(super) async fn switch(&self, vm: &VmMark, operation: PowerOperation) -> Result<(), ConnectorError> {
        let (region, instance) = self.existing(vm).await?;
        let id = &instance.instance_id;
        let action = match (operation, instance.instance_state.name.as_str()) {
            (PowerOperation::Start, "running" | "pending") | (PowerOperation::Stop, "stopped" | "stopping") => {
                return Ok(());
            }
            (PowerOperation::Start, "stopping") => {
                self.wait(&region, &[id], &["stopped", "terminated"]).await?;
                "StartInstances"
            }
            (PowerOperation::Start, _) => "StartInstances",
            (PowerOperation::Stop, _) => "StopInstances",
            (PowerOperation::Reboot, _) => "RebootInstances",
        };
        self.api.run(&region, &Call::new(action).list("InstanceId", [id])).await
    }

    /// Changes type, disks and public address of a machine. All is looked at before anything is begun.
    pub(super) async fn change(&self, vm: &VmMark, resize: &Resize) -> Result<(), ConnectorError> {
        let (region, mut instance) = self.existing(vm).await?;
        let kind = match resize.changes_size() {
            true => Some(self.new_type(&region, &instance, resize).await?),
            false => None,
        };
        let mut steps = Vec::new();
        for disk in &resize.disks {
            steps.push(storage::plan(&self.api, &region, vm, &instance, disk).await?);
        }
        if let Some(kind) = kind {
            self.retype(&region, &instance, &kind).await?;
        }
        for step in &steps {
            storage::take(&self.api, &region, vm, &instance, step).await?;
        }
        let mut pool = None;
        match &resize.public_address {
            None => {}
            Some(PublicAddress::Remove) => address::remove(&self.api, &region, vm, &mut instance).await?,
            Some(PublicAddress::Add { pool: from, .. }) => {
                // The pool of a network is a name of VPC and subnet, unless it is one of addresses.
                pool = from.as_deref().filter(|pool| pool.starts_with("ipv4pool-"));
                address::ask(&self.api, &region, &mut instance).await?;
            }
        }
        self.complete(&region, vm, &instance, pool).await
    }

    /// The type that a machine gets: the one that is named, or the best of its architecture that has what is asked for and,
    /// of what is not, as much as it has now.
    async fn new_type(&self, region: &str, instance: &Instance, resize: &Resize) -> Result<String, ConnectorError> {
        let now = self.sizes.named(&self.api, region, [instance.instance_type.as_str()]).await?;
        let now = now.get(&instance.instance_type);
        let mut system = System { name: "resized".to_owned(), ..System::default() };
        let mut at_least = |name: &str, amount: Option<f64>| {
            if let Some(amount) = amount {
                let bound = Constraint { operator: Operator::Ge, amount: amount.into(), unit: None, line: 0 };
                system.features.set(name, Value::Number { lower: Some(Box::new(bound)), upper: None });
            }
        };
        if resize.instance_type.is_none() {
            at_least("cpu.count", resize.cpu_count.or_else(|| now.map(|now| f64::from(now.cpu.cores))));
            let memory = |bytes: u64| bytes as f64;
            let known = now.map(|now| memory(now.memory_info.mebibytes << 20));
            at_least("memory.size", resize.memory.map(memory).or(known));
        }
        at_least("gpu.count", resize.gpu_count);
        if !instance.architecture.is_empty() {
            system.features.set_text("cpu.arch", &instance.architecture);
        }
        if let Some(name) = &resize.instance_type {
            system.features.set_text("instance_type", name);
        }
        let offered = self.sizes.offered(&self.api, region, &system).await?;
        let none =
            || invalid("EC2 has no instance type of the architecture of the machine that is so large (instance_type)");
        Ok(sizes::choose(&offered, &system).ok_or_else(none)?.instance_type.clone())
    }

    /// Gives a machine another type, which has to be stopped for it. A tag says whether it ran, so that whoever comes after
    /// a crash starts it again; a type that EC2 refuses leaves it as it was.
    async fn retype(&self, region: &str, instance: &Instance, kind: &str) -> Result<(), ConnectorError> {
        let id = &instance.instance_id;
        let begun = tag(&instance.tag_set, RESIZING);
        if instance.instance_type == kind && begun.is_none() {
            return Ok(());
        }
        let ran = match begun {
            Some(ran) => ran == "running",
            None => !matches!(instance.instance_state.name.as_str(), "stopped" | "stopping"),
        };
        if begun.is_none() {
            let value = if ran { "running" } else { "stopped" };
            storage::tag_with(&self.api, region, id, RESIZING, value).await?;
        }
        let mut refused = None;
        if instance.instance_type != kind {
            self.api.run(region, &Call::new("StopInstances").list("InstanceId", [id])).await?;
            self.wait(region, &[id], &["stopped", "terminated"]).await?;
            let call = Call::new("ModifyInstanceAttribute").with("InstanceId", id).with("InstanceType.Value", kind);
            refused = self.api.run(region, &call).await.err();
            if let Some(error) = refused.take_if(|error| !error.class.is_final()) {
                return Err(error);
            }
        }
        if ran {
            self.api.run(region, &Call::new("StartInstances").list("InstanceId", [id])).await?;
        }
        let call = Call::new("DeleteTags").list("ResourceId", [id]).with("Tag.1.Key", RESIZING);
        self.api.run(region, &call).await?;
        refused.map_or(Ok(()), Err)
    }

    /// Makes the groups that the machines of an infrastructure need, where they are.
    pub(super) async fn share_groups(
        &self,
        region: &str,
        infrastructure: &str,
        subnetting: &Subnetting<'_>,
        networks: &[radl::Network],
    ) -> Result<(), ConnectorError> {
        let home = subnetting.home(networks).await?;
        let mut by_vpc: Vec<(String, Vec<radl::Network>)> = Vec::new();
        for network in networks {
            let vpc = &subnetting.of(network)?.unwrap_or(&home).vpc_id;
            match by_vpc.iter_mut().find(|(known, _)| known == vpc) {
                Some((_, networks)) => networks.push(network.clone()),
                None => by_vpc.push((vpc.clone(), vec![network.clone()])),
            }
        }
        if by_vpc.is_empty() {
            by_vpc.push((home.vpc_id, Vec::new()));
        }
        for (vpc, networks) in by_vpc {
            groups::ensure(&self.api, region, &vpc, infrastructure, &networks, GuestOs::Linux).await?;
        }
        Ok(())
    }
}
