#![doc = include_str!("docs.md")]

mod cloud;
mod faults;
mod inventory;
mod journal;
mod map;
mod remote;
mod request;
pub mod server;

#[cfg(test)]
mod tests;

pub use cloud::{Cloud, system_clock};
pub use faults::{Faults, Schedule};
pub use inventory::{Inventory, Kind, Machine, Resource, Sizes, Tenant};
pub use remote::{Account, Death, Moment, Order, Outcome, Remote};
pub use request::{Held, Reply, Request, Scope};

use crate::{
    Capabilities, CloudAccount, CloudImage, Connector, ConnectorError, ErrorClass, Found, ImageIntent,
    InfrastructureIntent, Observation, PowerOperation, PowerState, ProviderId, Quota, Resize, SharedResources,
    VmIntent, VmMark, VmUid,
};
use async_trait::async_trait;
use faults::Simulation;
use radl::System;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

/// What the configuration says of the simulated cloud (section `[Dummy]`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DummySettings {
    /// `STATE_DIR`: directory that keeps the inventory; none to keep it in memory.
    pub state_dir: Option<PathBuf>,
    /// `SOCKET`: where a simulated cloud answers that is a process of its own; none for one inside the daemon.
    pub socket: Option<PathBuf>,
}

/// Where the simulated cloud is.
pub enum Place {
    /// In this process.
    Here(Arc<Cloud>),
    /// Behind a socket.
    There(Remote),
}

impl From<Arc<Cloud>> for Place {
    fn from(cloud: Arc<Cloud>) -> Self {
        Self::Here(cloud)
    }
}

/// The account that a credential line names.
pub(crate) fn account_name(account: &CloudAccount) -> String {
    format!("{}@{}", account.field("username").unwrap_or(""), account.endpoint.server)
}

/// An account of the simulated cloud.
pub struct Dummy {
    place: Place,
    tenant: String,
    account: CloudAccount,
    simulation: Arc<Simulation>,
}

impl Dummy {
    /// The account that a credential line names.
    ///
    /// # Errors
    /// `Invalid` when a fault key cannot be read.
    pub fn new(place: impl Into<Place>, account: &CloudAccount) -> Result<Self, ConnectorError> {
        Ok(Self {
            place: place.into(),
            tenant: account_name(account),
            account: account.clone(),
            simulation: Arc::new(Simulation::new(Faults::from_account(account)?)),
        })
    }

    fn simulation(&self) -> Arc<Simulation> {
        let imposed = match &self.place {
            Place::Here(cloud) => cloud.imposed(),
            Place::There(_) => None,
        };
        imposed.unwrap_or_else(|| Arc::clone(&self.simulation))
    }

    /// One request on its way to the cloud and back.
    async fn ask(&self, mut request: Request) -> Result<Reply, ConnectorError> {
        let simulation = self.simulation();
        simulation.call().await?;
        simulation.faults.restrict(&mut request)?;
        let is_write = request.is_write();
        let reply = match &self.place {
            Place::Here(cloud) => cloud.answer(&self.tenant, request)?,
            Place::There(cloud) => cloud.request(&self.tenant, request).await?,
        };
        if is_write {
            simulation.reply()?;
        }
        Ok(reply)
    }

    async fn list(&self, scope: Scope) -> Result<Held, ConnectorError> {
        match self.ask(Request::List(scope)).await? {
            Reply::Held(held) => Ok(held),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks for something to be made; its id.
    async fn make(&self, request: Request) -> Result<ProviderId, ConnectorError> {
        match self.ask(request).await? {
            Reply::Made(id) => Ok(id),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes what is not among what was found; its id. What somebody else made in the meantime is as good.
    async fn obtain(&self, held: &Held, scope: &Scope, wanted: Resource) -> Result<ProviderId, ConnectorError> {
        let found = |held: &Held| held.resources.iter().find(|made| made.is_same(&wanted)).map(|made| made.id.clone());
        if let Some(id) = found(held) {
            return Ok(id);
        }
        match self.make(Request::Create(Box::new(wanted.clone()))).await {
            Err(error) if error.class == ErrorClass::Conflict => found(&self.list(scope.clone()).await?).ok_or(error),
            result => result,
        }
    }

    /// Refuses a machine of another infrastructure.
    async fn admit(&self, vm: &VmMark) -> Result<(), ConnectorError> {
        let id = vm.existing()?;
        match self.ask(Request::Observe(vec![id.clone()])).await? {
            Reply::Machines { machines, .. } => machines.iter().try_for_each(|machine| vm.admit(machine.owner())),
            other => Err(unexpected(&other)),
        }
    }

    /// Attaches what belongs to a machine, unless it is attached already.
    async fn attach(&self, held: &Held, id: &ProviderId, resource: &ProviderId) -> Result<(), ConnectorError> {
        let made = held.resources.iter().find(|made| made.id == *resource);
        if made.is_some_and(|made| made.machine.as_ref() == Some(id)) {
            return Ok(());
        }
        let (resource, machine) = (resource.clone(), id.clone());
        self.ask(Request::Attach { resource, machine }).await.map(drop)
    }
}

/// Everything that was made for a machine.
fn scope(vm: &VmMark) -> Scope {
    Scope::Vm { infrastructure: vm.infrastructure.clone(), uid: vm.uid.clone() }
}

/// Everything that was made for an image.
fn image_scope(image: &ImageIntent) -> Scope {
    Scope::Vm { infrastructure: image.infrastructure.clone(), uid: VmUid(image.uid.0.clone()) }
}

fn unexpected(reply: &Reply) -> ConnectorError {
    ConnectorError::new(ErrorClass::Transient, format!("The simulated cloud answers something else: {reply:?}"))
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
        self.ask(Request::Catalogue).await?;
        Ok(map::candidates(system, &self.account))
    }

    async fn ensure_shared(&self, intent: &InfrastructureIntent) -> Result<SharedResources, ConnectorError> {
        let scope = Scope::Shared(intent.infrastructure.clone());
        let held = self.list(scope.clone()).await?;
        for wanted in map::shared(intent) {
            self.obtain(&held, &scope, wanted).await?;
        }
        Ok(SharedResources::default())
    }

    async fn create_vm(&self, intent: &VmIntent) -> Result<ProviderId, ConnectorError> {
        let scope = scope(&intent.mark());
        let held = self.list(scope.clone()).await?;
        let mut attached = Vec::new();
        for wanted in map::belongings(intent) {
            let kind = wanted.kind;
            let id = self.obtain(&held, &scope, wanted).await?;
            if kind != Kind::KeyPair {
                attached.push(id);
            }
        }
        let id = match held.machines.first() {
            Some(machine) => machine.id.clone(),
            None => {
                let machine = Box::new(map::machine(intent)?);
                self.make(Request::CreateMachine { machine, quota: None }).await?
            }
        };
        for resource in attached {
            self.attach(&held, &id, &resource).await?;
        }
        Ok(id)
    }

    async fn find(&self, infrastructure: &str) -> Result<Vec<Found>, ConnectorError> {
        let held = self.list(Scope::Machines(infrastructure.to_owned())).await?;
        Ok(held.machines.into_iter().map(|machine| Found { uid: machine.uid, id: machine.id }).collect())
    }

    async fn observe(&self, ids: &[ProviderId]) -> Result<Vec<Observation>, ConnectorError> {
        let states = &self.simulation().faults.states;
        match self.ask(Request::Observe(ids.to_vec())).await? {
            Reply::Machines { machines, now } => {
                Ok(machines.iter().map(|machine| map::observation(machine, states, now)).collect())
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn delete_vm(&self, vm: &VmMark) -> Result<(), ConnectorError> {
        let held = self.list(scope(vm)).await?;
        let marked = held.machines.iter().map(|machine| &machine.id);
        // One that was made elsewhere carries no mark.
        let unmarked = vm.id.iter().filter(|id| !held.has(id));
        if unmarked.clone().next().is_some() {
            self.admit(vm).await?;
        }
        for id in marked.chain(unmarked) {
            self.ask(Request::DeleteMachine(id.clone())).await?;
        }
        for resource in held.resources {
            self.ask(Request::Delete(resource.id)).await?;
        }
        Ok(())
    }

    async fn delete_shared(&self, infrastructure: &str) -> Result<(), ConnectorError> {
        for resource in self.list(Scope::Shared(infrastructure.to_owned())).await?.resources {
            self.ask(Request::Delete(resource.id)).await?;
        }
        Ok(())
    }

    async fn power(&self, vm: &VmMark, operation: PowerOperation) -> Result<(), ConnectorError> {
        self.admit(vm).await?;
        let state = match operation {
            PowerOperation::Stop => PowerState::Stopped,
            PowerOperation::Start | PowerOperation::Reboot => PowerState::Running,
        };
        self.ask(Request::SetPower { machine: vm.existing()?.clone(), state }).await.map(drop)
    }

    async fn resize(&self, vm: &VmMark, resize: &Resize) -> Result<(), ConnectorError> {
        let missing = || ConnectorError::new(ErrorClass::NotFound, "The simulated cloud has no machine of this mark");
        let (scope, held) = (scope(vm), self.list(scope(vm)).await?);
        let found = held.machines.first().map(|machine| &machine.id);
        let id = vm.id.as_ref().or(found).ok_or_else(missing)?;
        if !held.has(id) {
            self.admit(vm).await?;
        }
        let volumes = resize.disks.iter().map(|disk| map::volume(vm, disk.index, disk.size));
        let volumes = volumes.map(|wanted| map::unless_other(&held, wanted)).collect::<Result<Vec<_>, _>>()?;
        for wanted in volumes {
            let volume = self.obtain(&held, &scope, wanted).await?;
            self.attach(&held, id, &volume).await?;
        }
        self.ask(Request::Resize { machine: id.clone(), resize: resize.clone() }).await.map(drop)
    }

    async fn snapshot(&self, vm: &VmMark, image: &ImageIntent) -> Result<String, ConnectorError> {
        self.admit(vm).await?;
        if self.list(image_scope(image)).await?.resources.is_empty() {
            let request = Request::CreateImage { machine: vm.existing()?.clone(), image: Box::new(map::image(image)) };
            match self.make(request).await {
                // Somebody else made it in the meantime.
                Err(error) if error.class == ErrorClass::Conflict => {}
                result => drop(result?),
            }
        }
        Ok(map::snapshot_url(&image.name))
    }

    async fn discard_snapshot(&self, image: &ImageIntent) -> Result<(), ConnectorError> {
        for made in self.list(image_scope(image)).await?.resources {
            self.ask(Request::Delete(made.id)).await?;
        }
        Ok(())
    }

    async fn delete_image(&self, url: &str) -> Result<(), ConnectorError> {
        self.ask(Request::DeleteImages(map::snapshot_name(url).to_owned())).await.map(drop)
    }

    async fn images(&self, _filters: &BTreeMap<String, String>) -> Result<Vec<CloudImage>, ConnectorError> {
        self.ask(Request::Catalogue).await?;
        Ok(map::images())
    }

    async fn quotas(&self) -> Result<BTreeMap<String, Quota>, ConnectorError> {
        let quota = self.simulation().faults.quota;
        match self.ask(Request::Usage).await? {
            Reply::Usage(machines) => Ok(map::quotas(machines, quota)),
            other => Err(unexpected(&other)),
        }
    }
}
