//! Changes of machines that exist: power, size, disks and public addresses.

use super::{
    OpenStack, flavor,
    flavor::Minimum,
    machine::CHANGES,
    map, mark,
    network::Floating,
    nova::{Flavor, Server},
};
use crate::{
    ConnectorError, ErrorClass, NewDisk, PowerOperation, PowerState, PublicAddress, Resize, VmMark,
    http::{Handle, Progress},
};
use radl::{Constraint, Features, Operator, System, Value};
use serde_json::json;

impl OpenStack {
    pub(super) async fn change_power(&self, vm: &VmMark, operation: PowerOperation) -> Result<(), ConnectorError> {
        let server = self.settled(vm).await?;
        let state = map::state(&server);
        let action = match (operation, server.status.as_str()) {
            (PowerOperation::Start, _) if state == PowerState::Running => return Ok(()),
            (PowerOperation::Stop, _) if state == PowerState::Stopped => return Ok(()),
            (PowerOperation::Start, "PAUSED") => json!({"unpause": null}),
            (PowerOperation::Start, "SUSPENDED") => json!({"resume": null}),
            (PowerOperation::Start, "SHELVED" | "SHELVED_OFFLOADED") => json!({"unshelve": null}),
            (PowerOperation::Start, _) => json!({"os-start": null}),
            (PowerOperation::Stop, _) => json!({"os-stop": null}),
            (PowerOperation::Reboot, _) => json!({"reboot": {"type": "HARD"}}),
        };
        self.api.act(&server.id, &action).await.map(drop)
    }

    pub(super) async fn change(&self, vm: &VmMark, resize: &Resize) -> Result<(), ConnectorError> {
        let server = self.settled(vm).await?;
        // All that can be refused is looked at before anything is begun.
        let flavor = if resize.changes_size() { Some(self.flavor_for(&server, resize).await?) } else { None };
        if let Some(disk) = resize.disks.iter().find(|disk| map::is_ephemeral(disk)) {
            let text = format!("disk.{}.type: ephemeral disks are there from the beginning or never", disk.index);
            return Err(ConnectorError::new(ErrorClass::Invalid, text));
        }
        self.add_disks(vm, &server, &resize.disks).await?;
        match &resize.public_address {
            Some(PublicAddress::Add { network, pool }) => {
                self.add_address(vm, &server, network, pool.as_deref()).await?
            }
            Some(PublicAddress::Remove) => self.remove_addresses(vm, &server).await?,
            None => {}
        }
        match flavor {
            Some(flavor) => self.change_flavor(vm, &server, &flavor).await,
            None => Ok(()),
        }
    }

    async fn add_disks(&self, vm: &VmMark, server: &Server, disks: &[NewDisk]) -> Result<(), ConnectorError> {
        if disks.is_empty() {
            return Ok(());
        }
        let known = self.volumes_of(vm).await?;
        let mut volumes = Vec::new();
        for disk in disks {
            volumes.push((self.volume_for(vm, disk, &known).await?, disk));
        }
        for (volume, disk) in volumes {
            let device = disk.device.as_deref().and_then(map::device).map(|name| format!("/dev/{name}"));
            self.attach(server, &volume, device.as_deref()).await?;
        }
        Ok(())
    }

    async fn add_address(
        &self,
        vm: &VmMark,
        server: &Server,
        network: &str,
        pool: Option<&str>,
    ) -> Result<(), ConnectorError> {
        let landscape = self.landscape().await?;
        let ports = self.api.ports(&[("device_id", &server.id)]).await?;
        let is_named = |id: &str, name: &str| pool.is_none_or(|pool| pool == id || pool == name);
        let found = landscape.pools().find(|pool| is_named(&pool.id, &pool.name));
        let none = || match pool {
            Some(pool) => format!("There is no pool of public addresses named {pool}"),
            None => "No pools available.".to_owned(),
        };
        let pool = found.ok_or_else(|| ConnectorError::new(ErrorClass::Invalid, none()))?.id.clone();
        let wanted = Floating { network: network.to_owned(), pool, address: None };
        self.float(vm, &landscape, &wanted, &ports).await
    }

    /// Addresses that were made for the machine go, those of the user are taken off.
    async fn remove_addresses(&self, vm: &VmMark, server: &Server) -> Result<(), ConnectorError> {
        let ports = self.api.ports(&[("device_id", &server.id)]).await?;
        for floating in self.api.floating_ips().await? {
            let is_here = floating.port_id.as_ref().is_some_and(|port| ports.iter().any(|own| own.id == *port));
            if mark::address_network(floating.description.as_deref(), vm).is_some() {
                self.api.remove("floatingips", &floating.id).await?;
            } else if is_here {
                self.api.attach_floating_ip(&floating.id, None).await?;
            }
        }
        Ok(())
    }

    /// The flavor that a machine is to have; the one that it has where that is enough and no other one is asked for.
    async fn flavor_for(&self, server: &Server, resize: &Resize) -> Result<Flavor, ConnectorError> {
        let flavors = self.flavors().await?;
        let current = flavors.iter().find(|flavor| is_of(flavor, server));
        let boots_from_volume = server.image.as_object().is_none();
        let system = wanted(resize, current, boots_from_volume);
        // A root disk does not shrink.
        let disk = current.map_or(0, |flavor| flavor.disk).min(if boots_from_volume { 0 } else { u64::MAX });
        let found = flavor::choose(&flavors, &system, Minimum { disk, ram: 0 });
        let none = || ConnectorError::new(ErrorClass::Invalid, "Error resizing VM: No instance type found.");
        found.cloned().ok_or_else(none)
    }

    async fn change_flavor(&self, vm: &VmMark, server: &Server, flavor: &Flavor) -> Result<(), ConnectorError> {
        if server.status == "VERIFY_RESIZE" {
            self.confirm_resize(vm).await?;
        }
        if is_of(flavor, server) {
            return Ok(());
        }
        self.api.act(&server.id, &json!({"resize": {"flavorRef": flavor.id}})).await?;
        let resized = CHANGES
            .wait(&Handle(format!("to resize server {}", server.id)), || async {
                let now = self.existing(vm).await?;
                Ok(if now.task.is_some() || now.status == "RESIZE" {
                    Progress::Running(None)
                } else {
                    Progress::Done(now)
                })
            })
            .await?;
        if !is_of(flavor, &resized) {
            let why = resized.fault.map(|fault| fault.message).unwrap_or_default();
            let class = if super::client::is_no_room(&why) { ErrorClass::Capacity } else { ErrorClass::ProviderFailed };
            let text = format!("Error resizing VM: Resize cannot be confirmed. VM state: {} {why}", resized.status);
            return Err(ConnectorError::new(class, text));
        }
        if resized.status == "VERIFY_RESIZE" { self.confirm_resize(vm).await } else { Ok(()) }
    }

    pub(super) async fn confirm_resize(&self, vm: &VmMark) -> Result<(), ConnectorError> {
        let id = vm.existing()?;
        self.api.act(&id.0, &json!({"confirmResize": null})).await?;
        CHANGES
            .wait(&Handle(format!("to confirm the new size of server {id}")), || async {
                let now = self.existing(vm).await?;
                let is_going_on = now.task.is_some() || now.status == "VERIFY_RESIZE";
                Ok(if is_going_on { Progress::Running(None) } else { Progress::Done(()) })
            })
            .await
    }
}

fn is_of(flavor: &Flavor, server: &Server) -> bool {
    server.flavor.id.as_ref() == Some(&flavor.id) || server.flavor.original_name.as_ref() == Some(&flavor.name)
}

/// What is asked of the new flavor: what is not told stays as it is.
fn wanted(resize: &Resize, current: Option<&Flavor>, boots_from_volume: bool) -> System {
    let mut system = System::default();
    let features = &mut system.features;
    if let Some(name) = &resize.instance_type {
        features.set_text("instance_type", name);
    }
    let is_named = resize.instance_type.is_some();
    let kept = current.filter(|_| !is_named);
    let cores = resize.cpu_count.map(|cores| cores.ceil() as i64).or(kept.map(|flavor| i64::from(flavor.vcpus)));
    // Counted as the choice counts: MiB under the name M.
    let memory = resize.memory.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    let memory = memory.or(kept.map(|flavor| i64::try_from(flavor.ram << 20).unwrap_or(i64::MAX)));
    at_least(features, "cpu.count", cores);
    at_least(features, "memory.size", memory);
    at_least(features, "gpu.count", resize.gpu_count.map(|count| count.ceil() as i64));
    if boots_from_volume {
        features.set_number("disk.0.size", 0, "");
    } else {
        at_least(features, "disks.free_size", Some(0));
    }
    system
}

fn at_least(features: &mut Features, name: &str, amount: Option<i64>) {
    let Some(amount) = amount else { return };
    let bound = Constraint { operator: Operator::Ge, amount: amount.into(), unit: None, line: 0 };
    features.set(name, Value::Number { lower: Some(Box::new(bound)), upper: None });
}
