//! Machines: made, completed, looked at and deleted.

use super::{
    OpenStack,
    client::is_no_room,
    map::{self, Parts, Source, Surroundings},
    mark,
    network::{Floating, Landscape, Nic, wire},
    neutron::{FloatingIp, Port, Route},
    nova::Server,
    shared::groups_of,
    storage::Volume,
};
use crate::{
    ConnectorError, DiskSource, ErrorClass, Found, InfrastructureMark, NewDisk, Observation, ProviderId, VmIntent,
    VmMark,
    http::{Handle, Patience, Progress},
};
use serde_json::json;
use std::time::Duration;

/// How changes of servers, volumes and images are waited for.
pub(super) const CHANGES: Patience =
    Patience { first: Duration::from_millis(100), longest: Duration::from_secs(5), deadline: Duration::from_secs(240) };
/// How long the scheduler is waited for.
const SCHEDULING: Patience = Patience { deadline: Duration::from_secs(30), ..CHANGES };
/// So many machines are looked at one by one; of more, all of the project are listed.
const LOOKED_AT_ALONE: usize = 2;

impl OpenStack {
    /// The server of a mark, by its id or by the mark alone; not one of another infrastructure.
    pub(super) async fn server(&self, vm: &VmMark) -> Result<Option<Server>, ConnectorError> {
        let Some(id) = &vm.id else { return self.marked(vm).await };
        let server = self.api.server(&id.0).await?;
        server.map(|server| vm.admit(mark::infrastructure(&server)).map(|()| server)).transpose()
    }

    pub(super) async fn existing(&self, vm: &VmMark) -> Result<Server, ConnectorError> {
        vm.existing()?;
        let missing = || ConnectorError::new(ErrorClass::NotFound, "The cloud has no server of this id");
        self.server(vm).await?.ok_or_else(missing)
    }

    /// The server with this mark: of several, which exist for a moment when two daemons were as fast, the first one.
    async fn marked(&self, vm: &VmMark) -> Result<Option<Server>, ConnectorError> {
        let servers = self.api.servers(&[("name", &vm.uid.0)]).await?;
        let ours = servers.into_iter().filter(|server| mark::is_server(server, vm) && !is_gone(server));
        Ok(ours.min_by(|one, other| (&one.created, &one.id).cmp(&(&other.created, &other.id))))
    }

    pub(super) async fn create(&self, intent: &VmIntent) -> Result<ProviderId, ConnectorError> {
        let vm = intent.mark();
        let _alone = self.flights.enter(&vm).await;
        match self.marked(&vm).await? {
            // An earlier attempt found no room for it, or its deletion goes on.
            Some(server) if server.task.as_deref() == Some("deleting") || has_no_room(&server) => {
                self.delete_server(&server.id).await?;
            }
            Some(server) => return Ok(ProviderId(server.id)),
            None => {}
        }
        let boot = self.boot_source(intent).await?;
        let flavor = self.flavor_named(intent).await?;
        let landscape = self.landscape().await?;
        let wiring = wire(intent, &landscape, &self.private)?;
        let ports = self.ports(intent, &landscape, &wiring.nics).await?;
        let volumes = self.data_volumes(intent).await?;
        for floating in &wiring.floating {
            self.float(&vm, &landscape, floating, &ports).await?;
        }
        let ports: Vec<_> = ports.into_iter().map(|port| port.id).collect();
        let tags = self.api.has_tags().await?;
        let order = Parts { flavor: &flavor, boot: &boot, ports: &ports, volumes: &volumes, tags };
        let order = map::server_order(intent, &order)?;
        let made = match self.api.make_server(&order).await {
            // Its ports are in use: somebody else made it in the meantime.
            Err(error) if error.class == ErrorClass::Conflict => {
                return self.marked(&vm).await?.map(|server| ProviderId(server.id)).ok_or(error);
            }
            made => made?,
        };
        if let Some(first) = self.marked(&vm).await?
            && first.id != made
        {
            self.delete_server(&made).await?;
            return Ok(ProviderId(first.id));
        }
        self.scheduled(&made).await?;
        Ok(ProviderId(made))
    }

    /// Waits until the scheduler found a host. Where there is none, the server goes, so that another try finds nothing.
    async fn scheduled(&self, id: &str) -> Result<(), ConnectorError> {
        let handle = Handle(format!("the choice of a host for {id}"));
        let outcome = SCHEDULING
            .wait(&handle, || async {
                let server = self.api.server(id).await?;
                Ok(match server {
                    None => Progress::Failed(ConnectorError::new(ErrorClass::Transient, "The server is gone again")),
                    Some(server) if server.status == "ERROR" => {
                        let text = server.fault.map(|fault| fault.message).unwrap_or_default();
                        let class = if is_no_room(&text) { ErrorClass::Capacity } else { ErrorClass::ProviderFailed };
                        Progress::Failed(ConnectorError::new(class, format!("The cloud gave the server up: {text}")))
                    }
                    Some(server) if server.status == "BUILD" && server.host.is_empty() => Progress::Running(None),
                    Some(_) => Progress::Done(()),
                })
            })
            .await;
        match outcome {
            Err(error) if matches!(error.class, ErrorClass::Capacity | ErrorClass::ProviderFailed) => {
                self.delete_server(id).await?;
                Err(error)
            }
            // A cloud that tells no hosts is believed.
            Err(error) if error.class == ErrorClass::WaitTimeout => Ok(()),
            outcome => outcome,
        }
    }

    /// What the machine boots from.
    async fn boot_source(&self, intent: &VmIntent) -> Result<Source, ConnectorError> {
        let url = intent.system.features.text(crate::candidate::IMAGE_URL).unwrap_or_default();
        let source = self.source(url).await?;
        source.ok_or_else(|| {
            ConnectorError::new(
                ErrorClass::Invalid,
                format!("Incorrect OpenStack image set: {url} is none of this cloud"),
            )
        })
    }

    /// Id of the flavor that was chosen.
    async fn flavor_named(&self, intent: &VmIntent) -> Result<String, ConnectorError> {
        let name = intent.system.features.text("instance_type").unwrap_or_default();
        let flavors = self.flavors().await?;
        let missing =
            || ConnectorError::new(ErrorClass::Invalid, format!("instance_type: there is no flavor '{name}'"));
        flavors.iter().find(|flavor| flavor.name == name).map(|flavor| flavor.id.clone()).ok_or_else(missing)
    }

    /// Makes the ports, or finds those of an earlier attempt; in the order of the interfaces.
    async fn ports(&self, intent: &VmIntent, landscape: &Landscape, nics: &[Nic]) -> Result<Vec<Port>, ConnectorError> {
        let vm = intent.mark();
        let known = self.ports_of(&vm).await?;
        let groups = self.api.security_groups().await?;
        let mut ports = Vec::new();
        for (at, nic) in nics.iter().enumerate() {
            let name = mark::port_name(&vm.uid, nic.interface, nic.network.as_deref());
            if let Some(port) = known.iter().find(|port| port.name == name && port.network_id == nic.place) {
                ports.push(port.clone());
                continue;
            }
            let mut order = json!({
                "name": name, "network_id": nic.place, "admin_state_up": true, "description": mark::of_vm(&vm),
            });
            if landscape.network(&nic.place).is_none_or(|network| network.port_security_enabled) {
                // The floating address of a network leads to the port of another one: its ports are opened there.
                let connected = || intent.system.interfaces().map(|interface| interface.connection);
                let elsewhere = |id: &&str| !nics.iter().any(|nic| nic.network.as_deref() == Some(id));
                let of: Vec<&str> = match (&nic.network, at) {
                    (Some(network), 0) => connected().filter(elsewhere).chain([network.as_str()]).collect(),
                    (Some(network), _) => vec![network.as_str()],
                    (None, _) => connected().collect(),
                };
                let groups = groups_of(&groups, &intent.networks, &of, &vm.infrastructure);
                if !groups.is_empty() {
                    order["security_groups"] = json!(groups);
                }
            }
            if let Some(address) = nic.address {
                order["fixed_ips"] = json!([{"ip_address": address}]);
            }
            let additional = intent.system.features.text("net_interface.0.additional_ip");
            if let Some(additional) = additional.filter(|_| at + 1 == nics.len()) {
                order["allowed_address_pairs"] = json!([{"ip_address": additional}]);
            }
            ports.push(self.api.make_port(&order).await?);
        }
        Ok(ports)
    }

    async fn ports_of(&self, vm: &VmMark) -> Result<Vec<Port>, ConnectorError> {
        let mark = mark::of_vm(vm);
        let found = self.api.ports(&[("description", &mark)]).await?;
        Ok(found.into_iter().filter(|port| port.description.as_deref() == Some(&mark)).collect())
    }

    /// The volumes of the data disks: made, or found, and ready.
    async fn data_volumes(&self, intent: &VmIntent) -> Result<Vec<(NewDisk, String)>, ConnectorError> {
        let disks: Vec<_> = NewDisk::all_of(&intent.system).filter(|disk| !map::is_ephemeral(disk)).collect();
        if disks.is_empty() {
            return Ok(Vec::new());
        }
        let known = self.volumes_of(&intent.mark()).await?;
        let mut volumes = Vec::new();
        for disk in disks {
            let id = self.volume_for(&intent.mark(), &disk, &known).await?;
            volumes.push((disk, id));
        }
        for (_, id) in &volumes {
            self.volume_ready(id).await?;
        }
        Ok(volumes)
    }

    pub(super) async fn volumes_of(&self, vm: &VmMark) -> Result<Vec<Volume>, ConnectorError> {
        Ok(self.api.volumes().await?.into_iter().filter(|volume| mark::is_volume(volume, vm)).collect())
    }

    /// The volume of a data disk: that of the user, one of an earlier attempt, or a new one.
    ///
    /// # Errors
    /// `Invalid` when the machine has another disk of this number.
    pub(super) async fn volume_for(
        &self,
        vm: &VmMark,
        disk: &NewDisk,
        known: &[Volume],
    ) -> Result<String, ConnectorError> {
        let invalid = |text: String| ConnectorError::new(ErrorClass::Invalid, format!("disk.{}.{text}", disk.index));
        let source = match &disk.source {
            DiskSource::Empty => None,
            DiskSource::Image(url) | DiskSource::Volume(url) => {
                let source = self.source(url).await?;
                Some(source.ok_or_else(|| invalid(format!("image.url: {url} is nothing of this cloud")))?)
            }
        };
        if let Some(Source::Volume(id)) = source {
            return Ok(id);
        }
        let bytes = disk.size.unwrap_or_default().to_string();
        let number = disk.index.to_string();
        if let Some(volume) = known.iter().find(|volume| volume.metadata.get(mark::DISK) == Some(&number)) {
            if volume.metadata.get(mark::DISK_BYTES) != Some(&bytes) {
                return Err(invalid(format!("size: the disk is there and has {} GiB, which stay", volume.size)));
            }
            if disk.disk_type.is_some() && volume.volume_type != disk.disk_type {
                return Err(invalid("type: the disk is there, and of another type".to_owned()));
            }
            return Ok(volume.id.clone());
        }
        let mut order = json!({
            "name": format!("im-{}-disk{number}", vm.uid),
            "size": map::gibibytes(disk.size.unwrap_or_default()),
            "metadata": {
                mark::INFRASTRUCTURE: vm.infrastructure, mark::UID: vm.uid.0, mark::DISK: number, mark::DISK_BYTES: bytes,
            },
        });
        if let Some(kind) = &disk.disk_type {
            order["volume_type"] = kind.as_str().into();
        }
        if let Some(Source::Image(image)) = source {
            let image = self.api.image(&image).await?.ok_or_else(|| invalid("image.url: no such image".to_owned()))?;
            order["imageRef"] = image.id.into();
            if disk.size.is_none() {
                order["size"] = image.min_disk.unwrap_or_default().max(1).into();
            }
        }
        Ok(self.api.make_volume(&order).await?.id)
    }

    /// Waits until a volume can be attached, or is.
    pub(super) async fn volume_ready(&self, id: &str) -> Result<Volume, ConnectorError> {
        CHANGES
            .wait(&Handle(format!("to make volume {id}")), || async {
                let volume = self.api.volume(id).await?;
                Ok(match volume {
                    None => {
                        Progress::Failed(ConnectorError::new(ErrorClass::Invalid, format!("There is no volume {id}")))
                    }
                    Some(volume) if volume.status.starts_with("error") => {
                        let text = format!("The volume {id} cannot be made: it is in state {}", volume.status);
                        Progress::Failed(ConnectorError::new(ErrorClass::ProviderFailed, text))
                    }
                    Some(volume) if matches!(volume.status.as_str(), "available" | "in-use") => Progress::Done(volume),
                    Some(_) => Progress::Running(None),
                })
            })
            .await
    }

    /// Gives the machine a floating address: the one that the document demands, one of an earlier attempt, or a new one of
    /// the pool, or of the next one.
    pub(super) async fn float(
        &self,
        vm: &VmMark,
        landscape: &Landscape,
        wanted: &Floating,
        ports: &[Port],
    ) -> Result<(), ConnectorError> {
        let known = self.api.floating_ips().await?;
        let own = mark::of_address(vm, &wanted.network);
        let found = match wanted.address {
            Some(address) => {
                let missing = || ConnectorError::new(ErrorClass::Invalid, format!("Fixed IP {address} not found."));
                Some(known.iter().find(|floating| floating.floating_ip_address == address).ok_or_else(missing)?)
            }
            None => known.iter().find(|floating| floating.description.as_deref() == Some(&own)),
        };
        if let Some(floating) = found {
            return self.attach_address(floating, &known, ports).await;
        }
        let pools = landscape.pools().map(|pool| pool.id.as_str()).filter(|pool| *pool != wanted.pool);
        let mut refused = ConnectorError::new(ErrorClass::Invalid, "No pools available.");
        for pool in [wanted.pool.as_str()].into_iter().chain(pools) {
            for port in free_ports(ports, &known) {
                let order = json!({"floating_network_id": pool, "port_id": port.id, "description": own});
                match self.api.make_floating_ip(&order).await {
                    Ok(_) => return Ok(()),
                    // No router leads from this port to this pool, or the pool is empty: another one may be better.
                    Err(error)
                        if matches!(
                            error.class,
                            ErrorClass::NotFound | ErrorClass::Capacity | ErrorClass::Conflict | ErrorClass::Invalid
                        ) =>
                    {
                        refused = error;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        refused.message = format!("Error adding a floating IP: {}", refused.message);
        if refused.class == ErrorClass::NotFound {
            refused.class = ErrorClass::Invalid;
        }
        Err(refused)
    }

    async fn attach_address(
        &self,
        floating: &FloatingIp,
        known: &[FloatingIp],
        ports: &[Port],
    ) -> Result<(), ConnectorError> {
        if floating.port_id.as_ref().is_some_and(|port| ports.iter().any(|own| own.id == *port)) {
            return Ok(());
        }
        if floating.port_id.is_some() {
            let text = format!("The address {} is in use by another machine", floating.floating_ip_address);
            return Err(ConnectorError::new(ErrorClass::Conflict, text));
        }
        let mut refused = ConnectorError::new(ErrorClass::Invalid, "Error attaching a Floating IP to the node.");
        for port in free_ports(ports, known) {
            match self.api.attach_floating_ip(&floating.id, Some(&port.id)).await {
                Ok(()) => return Ok(()),
                Err(error)
                    if matches!(error.class, ErrorClass::NotFound | ErrorClass::Conflict | ErrorClass::Invalid) =>
                {
                    refused.message = format!("Error attaching a Floating IP to the node. {}", error.message);
                }
                Err(error) => return Err(error),
            }
        }
        Err(refused)
    }

    pub(super) async fn complete_machine(&self, intent: &VmIntent, id: &ProviderId) -> Result<(), ConnectorError> {
        let vm = VmMark { id: Some(id.clone()), ..intent.mark() };
        let server = self.settled(&vm).await?;
        if server.status == "VERIFY_RESIZE" {
            self.confirm_resize(&vm).await?;
        }
        let landscape = self.landscape().await?;
        let wiring = wire(intent, &landscape, &self.private)?;
        let ports = self.api.ports(&[("device_id", &id.0)]).await?;
        for floating in &wiring.floating {
            self.float(&vm, &landscape, floating, &ports).await?;
        }
        let known = self.api.floating_ips().await?;
        for floating in known.iter().filter(|floating| floating.port_id.is_none()) {
            if mark::address_network(floating.description.as_deref(), &vm).is_some() {
                self.attach_address(floating, &known, &ports).await?;
            }
        }
        for volume in self.volumes_of(&vm).await? {
            self.attach(&server, &volume.id, None).await?;
        }
        self.route(intent, &landscape, &ports).await
    }

    /// Attaches a volume, unless it is there, and waits for it.
    pub(super) async fn attach(&self, server: &Server, id: &str, device: Option<&str>) -> Result<(), ConnectorError> {
        let volume = self.volume_ready(id).await?;
        if volume.attachments.iter().any(|attachment| attachment.server_id == server.id) {
            return Ok(());
        }
        if !server.volumes.iter().any(|attached| attached.id == id) {
            self.api.attach_volume(&server.id, id, device).await?;
        }
        CHANGES
            .wait(&Handle(format!("to attach volume {id}")), || async {
                let volume = self.api.volume(id).await?;
                let text = || format!("Error creating or attaching the Volume: {id} is not attached");
                Ok(match volume {
                    Some(volume) if volume.status == "in-use" => Progress::Done(()),
                    Some(volume) if matches!(volume.status.as_str(), "attaching" | "reserved") => {
                        Progress::Running(None)
                    }
                    _ => Progress::Failed(ConnectorError::new(ErrorClass::ProviderFailed, text())),
                })
            })
            .await
    }

    /// Leads the ranges of routed networks through the first machine of their system.
    async fn route(&self, intent: &VmIntent, landscape: &Landscape, ports: &[Port]) -> Result<(), ConnectorError> {
        for network in &intent.networks {
            let Some(routes) = network.features.text("router") else { continue };
            let Some((range, system)) = routes.split_once(',') else { continue };
            let (range, system) = (range.trim(), system.trim());
            if intent.system.name == system {
                // The router sends on what is not addressed to it, which its ports have to let pass.
                for port in ports.iter().filter(|port| port.allowed_address_pairs.is_empty()) {
                    self.api.set_port(&port.id, &json!({"allowed_address_pairs": [{"ip_address": range}]})).await?;
                }
            }
            let Some(port) = ports.iter().find(|port| mark::port_network(port) == Some(&network.id)) else { continue };
            let Some(subnet) = landscape.subnet_of(&port.network_id) else { continue };
            let on_it = self.api.ports(&[("network_id", &port.network_id)]).await?;
            let servers = self.servers_of(&intent.infrastructure).await?;
            let mut routers: Vec<_> = servers
                .iter()
                .filter(|server| server.metadata.get(mark::SYSTEM).is_some_and(|name| name == system))
                .collect();
            routers.sort_by(|one, other| (&one.created, &one.id).cmp(&(&other.created, &other.id)));
            let hop = routers.iter().find_map(|router| {
                let port = on_it.iter().find(|port| port.device_id == router.id)?;
                port.fixed_ips.iter().find(|fixed| fixed.subnet_id == subnet.id).map(|fixed| fixed.ip_address)
            });
            let Some(hop) = hop else { continue };
            let route = Route { destination: range.to_owned(), nexthop: hop.to_string() };
            if !subnet.host_routes.contains(&route) {
                let kept = subnet.host_routes.iter().filter(|known| known.destination != range).cloned();
                let routes: Vec<_> = kept.chain([route]).collect();
                self.api.set_routes(&subnet.id, &routes).await?;
            }
        }
        Ok(())
    }

    async fn servers_of(&self, infrastructure: &str) -> Result<Vec<Server>, ConnectorError> {
        let tag = mark::server_tag(infrastructure);
        let by_tag = [("tags", tag.as_str())];
        let query = if self.api.has_tags().await? { &by_tag[..] } else { &[] };
        let servers = self.api.servers(query).await?;
        Ok(servers.into_iter().filter(|server| mark::infrastructure(server) == Some(infrastructure)).collect())
    }

    pub(super) async fn find_all(&self, shared: &InfrastructureMark) -> Result<Vec<Found>, ConnectorError> {
        let servers = self.servers_of(&shared.infrastructure).await?;
        let found = |server: Server| {
            let uid = server.metadata.get(mark::UID)?.clone();
            let location = shared.location.clone();
            Some(Found { uid: crate::VmUid(uid), id: ProviderId(server.id), location })
        };
        Ok(servers.into_iter().filter(|server| !is_gone(server)).filter_map(found).collect())
    }

    pub(super) async fn look_at(&self, ids: &[ProviderId]) -> Result<Vec<Observation>, ConnectorError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let servers = if ids.len() <= LOOKED_AT_ALONE {
            futures::future::try_join_all(ids.iter().map(|id| self.api.server(&id.0)))
                .await?
                .into_iter()
                .flatten()
                .collect()
        } else {
            self.api.servers(&[]).await?
        };
        let servers: Vec<_> = servers.into_iter().filter(|server| ids.iter().any(|id| id.0 == server.id)).collect();
        if servers.is_empty() {
            return Ok(Vec::new());
        }
        let by_id: Vec<_> = ids.iter().map(|id| ("device_id", id.0.as_str())).collect();
        let query = if ids.len() <= LOOKED_AT_ALONE { &by_id[..] } else { &[] };
        let (ports, floating) = futures::try_join!(self.api.ports(query), self.api.floating_ips())?;
        let has_volumes =
            servers.iter().any(|server| !server.volumes.is_empty() || mark::infrastructure(server).is_some());
        let volumes = if has_volumes { self.api.volumes().await? } else { Vec::new() };
        let flavors = if servers.iter().any(|server| server.flavor.original_name.is_none()) {
            self.flavors().await?.to_vec()
        } else {
            Vec::new()
        };
        let around = Surroundings { ports, floating, volumes, flavors };
        Ok(servers.iter().map(|server| map::observation(server, &around, &self.private)).collect())
    }

    /// Deletes a machine and what belongs to it, in the order in which clouds let go.
    pub(super) async fn delete(&self, vm: &VmMark) -> Result<(), ConnectorError> {
        let _alone = self.flights.enter(vm).await;
        let by_id = self.server(vm).await?;
        for floating in self.api.floating_ips().await? {
            if mark::address_network(floating.description.as_deref(), vm).is_some() {
                self.api.remove("floatingips", &floating.id).await?;
            }
        }
        if let Some(server) = by_id {
            self.delete_server(&server.id).await?;
        }
        let unnamed = VmMark { id: None, ..vm.clone() };
        while let Some(server) = self.marked(&unnamed).await? {
            self.delete_server(&server.id).await?;
        }
        for port in self.ports_of(vm).await? {
            self.api.remove("ports", &port.id).await?;
        }
        for volume in self.volumes_of(vm).await? {
            self.delete_volume(&volume.id).await?;
        }
        Ok(())
    }

    /// Deletes a server and waits until it is gone, so that what it used can go, too.
    async fn delete_server(&self, id: &str) -> Result<(), ConnectorError> {
        self.api.delete_server(id).await?;
        CHANGES
            .wait(&Handle(format!("to delete server {id}")), || async {
                let server = self.api.server(id).await?;
                Ok(if server.as_ref().is_none_or(is_gone) { Progress::Done(()) } else { Progress::Running(None) })
            })
            .await
    }

    async fn delete_volume(&self, id: &str) -> Result<(), ConnectorError> {
        CHANGES
            .wait(&Handle(format!("to delete volume {id}")), || async {
                let Some(volume) = self.api.volume(id).await? else { return Ok(Progress::Done(())) };
                // It is let go of some time after its server is gone.
                if matches!(volume.status.as_str(), "available" | "error" | "error_deleting" | "error_restoring") {
                    match self.api.delete_volume(id).await {
                        Err(error) if !matches!(error.class, ErrorClass::Invalid | ErrorClass::Conflict) => {
                            return Err(error);
                        }
                        _ => {}
                    }
                    if self.api.volume(id).await?.is_none() {
                        return Ok(Progress::Done(()));
                    }
                }
                Ok(Progress::Running(None))
            })
            .await
    }

    /// The server, once nothing is done to it.
    pub(super) async fn settled(&self, vm: &VmMark) -> Result<Server, ConnectorError> {
        CHANGES
            .wait(&Handle("what is done to the server".to_owned()), || async {
                let server = self.existing(vm).await?;
                Ok(if server.task.is_some() || server.status == "BUILD" {
                    Progress::Running(None)
                } else {
                    Progress::Done(server)
                })
            })
            .await
    }
}

/// Ports in the order in which they are tried: those without a floating address, and with one of IPv4.
fn free_ports<'a>(ports: &'a [Port], known: &'a [FloatingIp]) -> impl Iterator<Item = &'a Port> {
    let is_taken = |port: &Port| known.iter().any(|floating| floating.port_id.as_ref() == Some(&port.id));
    ports.iter().filter(move |port| !is_taken(port) && port.fixed_ips.iter().any(|fixed| fixed.ip_address.is_ipv4()))
}

fn is_gone(server: &Server) -> bool {
    matches!(server.status.as_str(), "DELETED" | "SOFT_DELETED")
}

fn has_no_room(server: &Server) -> bool {
    server.status == "ERROR" && server.fault.as_ref().is_some_and(|fault| is_no_room(&fault.message))
}
