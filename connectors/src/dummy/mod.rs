#![doc = include_str!("docs.md")]

mod cloud;
mod faults;
mod journal;
mod map;

#[cfg(test)]
mod tests;

pub use cloud::{Cloud, Inventory, Machine, Sizes, Tenant, system_clock};
pub use faults::{Faults, Schedule};

use crate::{
    Capabilities, CloudAccount, CloudImage, Connector, ConnectorError, Found, InfrastructureIntent, Observation,
    PowerOperation, PowerState, ProviderId, Quota, Resize, SharedResources, VmIntent,
};
use async_trait::async_trait;
use cloud::{Event, Snapshot};
use faults::Simulation;
use radl::System;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

/// What the configuration says of the simulated cloud (section `[Dummy]`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DummySettings {
    /// `STATE_DIR`: directory that keeps the inventory; none to keep it in memory.
    pub state_dir: Option<PathBuf>,
}

/// An account of the simulated cloud.
pub struct Dummy {
    cloud: Arc<Cloud>,
    tenant: String,
    account: CloudAccount,
    simulation: Arc<Simulation>,
}

impl Dummy {
    /// The account that a credential line names.
    ///
    /// # Errors
    /// `Invalid` when a fault key cannot be read.
    pub fn new(cloud: Arc<Cloud>, account: &CloudAccount) -> Result<Self, ConnectorError> {
        Ok(Self {
            cloud,
            tenant: format!("{}@{}", account.field("username").unwrap_or(""), account.endpoint.server),
            account: account.clone(),
            simulation: Arc::new(Simulation::new(Faults::from_account(account)?)),
        })
    }

    fn simulation(&self) -> Arc<Simulation> {
        self.cloud.imposed().unwrap_or_else(|| Arc::clone(&self.simulation))
    }

    /// A call that reads.
    async fn read<T>(&self, answer: impl FnOnce(Option<&Tenant>, u64) -> T) -> Result<T, ConnectorError> {
        self.simulation().call().await?;
        self.cloud.read(|inventory, now| answer(inventory.tenant(&self.tenant), now))
    }

    /// A call that changes something: `decide` gives the answer and the event that makes it true.
    async fn change<T>(
        &self,
        decide: impl FnOnce(Option<&Tenant>, Snapshot) -> Result<(T, Option<Event>), ConnectorError>,
    ) -> Result<T, ConnectorError> {
        let simulation = self.simulation();
        simulation.call().await?;
        let answer = self.cloud.change(&self.tenant, decide)?;
        simulation.reply().map(|()| answer)
    }

    /// Changes a machine that must exist.
    async fn change_machine(
        &self,
        id: &ProviderId,
        change: impl FnOnce(&mut Machine) -> Result<(), ConnectorError>,
    ) -> Result<(), ConnectorError> {
        self.change(|tenant, snapshot| {
            let known = tenant.and_then(|tenant| tenant.machine(id)).cloned();
            let elsewhere = cloud::made_elsewhere(id, snapshot.first_id);
            let adopted = || elsewhere.then(|| map::adopted(id, snapshot.now));
            let mut machine = known.or_else(adopted).ok_or_else(|| map::no_machine(id))?;
            change(&mut machine)?;
            Ok(((), Some(Event::Machine(Box::new(machine)))))
        })
        .await
    }
}

#[async_trait]
impl Connector for Dummy {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            stop_start: true,
            reboot: true,
            resize: true,
            attach_disk: true,
            snapshot: true,
            images: true,
            quotas: true,
            outports: false,
            networks: true,
            user_data: true,
        }
    }

    async fn candidates(&self, system: &System) -> Result<Vec<System>, ConnectorError> {
        self.read(|_, _| map::candidates(system, &self.account)).await
    }

    async fn ensure_shared(&self, intent: &InfrastructureIntent) -> Result<SharedResources, ConnectorError> {
        self.change(|_, _| {
            let networks = intent.networks.iter().map(|network| network.id.clone()).collect();
            let event = Event::Networks { infrastructure: intent.infrastructure.clone(), networks };
            Ok((SharedResources::default(), Some(event)))
        })
        .await
    }

    async fn create_vm(&self, intent: &VmIntent) -> Result<ProviderId, ConnectorError> {
        let simulation = self.simulation();
        self.change(|tenant, snapshot| {
            if let Some(machine) = tenant.and_then(|tenant| tenant.machine_of(&intent.uid)) {
                return Ok((machine.id.clone(), None));
            }
            simulation.faults.admit(intent.number, tenant.map_or(0, Tenant::len))?;
            let machine = map::machine(intent, snapshot)?;
            Ok((machine.id.clone(), Some(Event::Machine(Box::new(machine)))))
        })
        .await
    }

    async fn find(&self, infrastructure: &str) -> Result<Vec<Found>, ConnectorError> {
        self.read(|tenant, _| {
            let machines = tenant.into_iter().flat_map(|tenant| tenant.machines_in(infrastructure));
            machines.map(|machine| Found { uid: machine.uid.clone(), id: machine.id.clone() }).collect()
        })
        .await
    }

    async fn observe(&self, ids: &[ProviderId]) -> Result<Vec<Observation>, ConnectorError> {
        let simulation = self.simulation();
        simulation.call().await?;
        self.cloud.read(|inventory, now| {
            let tenant = inventory.tenant(&self.tenant);
            let adopted = |id| cloud::made_elsewhere(id, inventory.first_id()).then(|| map::adopted(id, now));
            let machine = |id| tenant.and_then(|tenant| tenant.machine(id)).cloned().or_else(|| adopted(id));
            let machines = ids.iter().filter_map(machine);
            machines.map(|machine| map::observation(&machine, &simulation.faults.states, now)).collect()
        })
    }

    async fn delete_vm(&self, id: &ProviderId) -> Result<(), ConnectorError> {
        self.change(|tenant, _| {
            let known = tenant.and_then(|tenant| tenant.machine(id));
            Ok(((), known.map(|_| Event::MachineGone(id.clone()))))
        })
        .await
    }

    async fn delete_shared(&self, infrastructure: &str) -> Result<(), ConnectorError> {
        self.change(|tenant, _| {
            let known = tenant.is_some_and(|tenant| tenant.networks(infrastructure).next().is_some());
            Ok(((), known.then(|| Event::NetworksGone { infrastructure: infrastructure.to_owned() })))
        })
        .await
    }

    async fn power(&self, id: &ProviderId, operation: PowerOperation) -> Result<(), ConnectorError> {
        let state = match operation {
            PowerOperation::Stop => PowerState::Stopped,
            PowerOperation::Start | PowerOperation::Reboot => PowerState::Running,
        };
        self.change_machine(id, |machine| {
            machine.power = Some(state);
            Ok(())
        })
        .await
    }

    async fn resize(&self, id: &ProviderId, resize: &Resize) -> Result<(), ConnectorError> {
        self.change_machine(id, |machine| {
            map::resize(machine, resize);
            Ok(())
        })
        .await
    }

    async fn snapshot(&self, id: &ProviderId, _disk: usize, name: &str) -> Result<String, ConnectorError> {
        let url = map::snapshot_url(name);
        self.change(|tenant, _| {
            tenant.and_then(|tenant| tenant.machine(id)).ok_or_else(|| map::no_machine(id))?;
            Ok((url.clone(), Some(Event::Image(url))))
        })
        .await
    }

    async fn delete_image(&self, url: &str) -> Result<(), ConnectorError> {
        self.change(|tenant, _| {
            let known = tenant.is_some_and(|tenant| tenant.images().any(|image| image == url));
            Ok(((), known.then(|| Event::ImageGone(url.to_owned()))))
        })
        .await
    }

    async fn images(&self, _filters: &BTreeMap<String, String>) -> Result<Vec<CloudImage>, ConnectorError> {
        self.read(|_, _| map::images()).await
    }

    async fn quotas(&self) -> Result<BTreeMap<String, Quota>, ConnectorError> {
        let quota = self.simulation().faults.quota;
        self.read(|tenant, _| map::quotas(tenant.map_or(0, Tenant::len), quota)).await
    }
}
