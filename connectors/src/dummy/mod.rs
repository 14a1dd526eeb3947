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

pub use crate::settings::DummySettings;
pub use cloud::{Cloud, system_clock};
pub use faults::{FailingRequest, Faults, RequestFate, Schedule};
pub use inventory::{Inventory, Machine, Pool, Resource, ResourceKind, Sizes, Tenant};
pub use remote::{AccountHoldings, Death, Moment, Order, OrderOutcome, Remote};
pub use request::{CloudReply, CloudRequest, Held, Scope};

use crate::{
    Candidate, Capabilities, CloudAccount, CloudImage, CloudType, ConnectContext, Connector, ConnectorError,
    ErrorClass, Found, GuestKind, Guests, ImageIntent, InfrastructureIntent, InfrastructureMark, Location, NewDisk,
    Observation, PowerOperation, PowerState, ProviderId, PublicAddress, Quota, Resize, SharedResources, VmIntent,
    VmMark, VmUid,
    dns::{DnsRecord, RecordName, RecordProvider},
};
use async_trait::async_trait;
use faults::Simulation;
use radl::System;
use std::{collections::BTreeMap, sync::Arc};

/// What the registry knows of this type of clouds. Nobody can log in to its machines.
pub const CLOUD: CloudType = CloudType {
    kind: "Dummy",
    guests: Guests { kind: GuestKind::Machine, log_in: false },
    account_name,
    connect: |context, account| Ok(Arc::new(Dummy::new(site(context)?, account)?)),
};

/// Key of a line: the zones that the account has, with commas between them.
const DNS_ZONES: &str = "dns_zones";

/// How many things are asked for at once, unless the credential line says otherwise.
const PAGE: usize = 1000;

/// Where the simulated cloud is.
pub enum CloudSite {
    /// In this process.
    InProcess(Arc<Cloud>),
    /// Behind a socket.
    Remote(Remote),
}

impl From<Arc<Cloud>> for CloudSite {
    fn from(cloud: Arc<Cloud>) -> Self {
        Self::InProcess(cloud)
    }
}

/// The account that a credential line names.
fn account_name(account: &CloudAccount) -> String {
    format!("{}@{}", account.field("username").unwrap_or(""), account.endpoint.server)
}

/// The simulated cloud in this process.
pub(crate) fn simulated_cloud(context: &ConnectContext) -> Result<Arc<Cloud>, ConnectorError> {
    context.singleton(|settings| {
        let cloud = match &settings.dummy.state_dir {
            Some(directory) => Cloud::open(directory, system_clock)?,
            None => Cloud::in_memory(system_clock),
        };
        Ok(Arc::new(cloud))
    })
}

/// Where the simulated cloud is.
fn site(context: &ConnectContext) -> Result<CloudSite, ConnectorError> {
    let settings = &context.settings.dummy;
    match &settings.socket {
        None => Ok(CloudSite::InProcess(simulated_cloud(context)?)),
        Some(_) if settings.state_dir.is_some() => {
            let text = "[Dummy] SOCKET and STATE_DIR exclude each other: the cloud behind the socket keeps its own";
            Err(ConnectorError::new(ErrorClass::Invalid, text))
        }
        Some(socket) => Ok(CloudSite::Remote(Remote::new(socket.clone()))),
    }
}

/// An account of the simulated cloud.
pub struct Dummy {
    site: CloudSite,
    tenant: String,
    account: CloudAccount,
    simulation: Arc<Simulation>,
}

impl Dummy {
    /// The account that a credential line names.
    ///
    /// # Errors
    /// `Invalid` when a fault key cannot be read.
    pub fn new(site: impl Into<CloudSite>, account: &CloudAccount) -> Result<Self, ConnectorError> {
        Ok(Self {
            site: site.into(),
            tenant: account_name(account),
            account: account.clone(),
            simulation: Arc::new(Simulation::new(Faults::from_account(account)?)),
        })
    }

    fn simulation(&self) -> Arc<Simulation> {
        let imposed = match &self.site {
            CloudSite::InProcess(cloud) => cloud.imposed(),
            CloudSite::Remote(_) => None,
        };
        imposed.unwrap_or_else(|| Arc::clone(&self.simulation))
    }

    /// One request on its way to the cloud and back.
    async fn ask(&self, mut request: CloudRequest) -> Result<CloudReply, ConnectorError> {
        let simulation = self.simulation();
        let reply_is_lost = simulation.call(&request).await?;
        simulation.faults.restrict(&mut request)?;
        let is_write = request.is_write();
        let reply = match &self.site {
            CloudSite::InProcess(cloud) => cloud.answer(&self.tenant, request)?,
            CloudSite::Remote(cloud) => cloud.request(&self.tenant, request).await?,
        };
        if reply_is_lost || is_write && simulation.loses_reply() {
            return Err(ConnectorError::new(ErrorClass::Transient, "Simulated failure: the reply was lost"));
        }
        Ok(reply)
    }

    fn page(&self) -> usize {
        self.simulation().faults.page.unwrap_or(PAGE)
    }

    /// Everything that carries a mark, of all pages.
    async fn list(&self, scope: Scope) -> Result<Held, ConnectorError> {
        let mut all = Held::default();
        loop {
            let (scope, after, limit) = (scope.clone(), all.last().cloned(), self.page());
            match self.ask(CloudRequest::List { scope, after, limit }).await? {
                CloudReply::Held(page) => {
                    all.machines.extend(page.machines);
                    all.resources.extend(page.resources);
                    if !page.more {
                        return Ok(all);
                    }
                }
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// Asks for something to be made; its id.
    async fn make(&self, request: CloudRequest) -> Result<ProviderId, ConnectorError> {
        match self.ask(request).await? {
            CloudReply::Made(id) => Ok(id),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes what is not among what was found; its id. What somebody else made in the meantime is as good.
    async fn obtain(&self, held: &Held, scope: &Scope, wanted: Resource) -> Result<ProviderId, ConnectorError> {
        let found = |held: &Held| held.resources.iter().find(|made| made.is_same(&wanted)).map(|made| made.id.clone());
        if let Some(id) = found(held) {
            return Ok(id);
        }
        match self.make(CloudRequest::Create(Box::new(wanted.clone()))).await {
            Err(error) if error.class == ErrorClass::Conflict => found(&self.list(scope.clone()).await?).ok_or(error),
            result => result,
        }
    }

    /// Refuses a machine of another infrastructure. Whether there is one of this id.
    async fn admit(&self, vm: &VmMark) -> Result<bool, ConnectorError> {
        let id = vm.existing()?;
        match self.ask(CloudRequest::Observe(vec![id.clone()])).await? {
            CloudReply::Machines { machines, .. } => {
                machines.iter().try_for_each(|machine| vm.admit(machine.owner()))?;
                Ok(!machines.is_empty())
            }
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
        self.ask(CloudRequest::Attach { resource, machine }).await.map(drop)
    }
}

/// Everything that was made for a machine.
fn scope(vm: &VmMark) -> Scope {
    let (infrastructure, location) = (vm.infrastructure.clone(), vm.location.clone());
    Scope::Vm { mark: InfrastructureMark { infrastructure, location }, uid: vm.uid.clone() }
}

/// Everything that was made for an image.
fn image_scope(image: &ImageIntent) -> Scope {
    let (infrastructure, location) = (image.infrastructure.clone(), image.location.clone());
    Scope::Vm { mark: InfrastructureMark { infrastructure, location }, uid: VmUid(image.uid.0.clone()) }
}

fn unexpected(reply: &CloudReply) -> ConnectorError {
    ConnectorError::new(ErrorClass::Transient, format!("The simulated cloud answers something else: {reply:?}"))
}

#[async_trait]
impl RecordProvider for Dummy {
    fn serves(&self, name: &RecordName) -> bool {
        self.account.field(DNS_ZONES).unwrap_or_default().split(',').any(|zone| name.is_in(zone.trim()))
    }

    async fn ensure(&self, record: &DnsRecord) -> Result<(), ConnectorError> {
        self.ask(CloudRequest::SetRecord(record.clone())).await.map(drop)
    }

    async fn delete(&self, record: &DnsRecord) -> Result<(), ConnectorError> {
        self.ask(CloudRequest::DeleteRecord(record.clone())).await.map(drop)
    }
}

#[async_trait]
impl Connector for Dummy {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            guests: CLOUD.guests,
            first_login: self.simulation().faults.first_login,
            stop_start: true,
            reboot: true,
            resize: true,
            attach_disk: true,
            public_address: true,
            snapshot: true,
            images: true,
            quotas: true,
            outports: false,
            networks: true,
            user_data: true,
        }
    }

    async fn candidates(&self, system: &System) -> Result<Vec<Candidate>, ConnectorError> {
        self.ask(CloudRequest::Catalogue).await?;
        Ok(map::candidates(system, &self.account, &self.simulation().faults.zones))
    }

    async fn ensure_shared(&self, intent: &InfrastructureIntent) -> Result<SharedResources, ConnectorError> {
        let scope = Scope::Shared(intent.mark());
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
            if kind != ResourceKind::KeyPair {
                attached.push(id);
            }
        }
        attached.extend(map::existing_volumes(NewDisk::all_of(&intent.system)));
        let id = match held.machines.first() {
            Some(machine) => machine.id.clone(),
            None => {
                let machine = Box::new(map::machine(intent)?);
                self.make(CloudRequest::CreateMachine { machine, quota: None }).await?
            }
        };
        for resource in attached {
            self.attach(&held, &id, &resource).await?;
        }
        Ok(id)
    }

    fn is_completed_after_boot(&self, vm: &VmIntent) -> bool {
        !map::pools(vm).is_empty()
    }

    async fn reconcile(&self, vm: &VmIntent, id: &ProviderId) -> Result<(), ConnectorError> {
        let (mark, scope) = (vm.mark(), scope(&vm.mark()));
        let held = self.list(scope.clone()).await?;
        // One that was made elsewhere has nothing that its marks tell of.
        let Some(machine) = held.machines.iter().find(|machine| machine.id == *id) else { return Ok(()) };
        for wanted in map::addresses(&mark, machine) {
            let address = self.obtain(&held, &scope, wanted).await?;
            self.attach(&held, id, &address).await?;
        }
        Ok(())
    }

    async fn find(&self, mark: &InfrastructureMark) -> Result<Vec<Found>, ConnectorError> {
        let held = self.list(Scope::Machines(mark.clone())).await?;
        let found = |machine: Machine| Found { uid: machine.uid, id: machine.id, location: machine.location };
        Ok(held.machines.into_iter().map(found).collect())
    }

    async fn observe(&self, _location: &Location, ids: &[ProviderId]) -> Result<Vec<Observation>, ConnectorError> {
        let simulation = self.simulation();
        let mut observations = Vec::with_capacity(ids.len());
        for page in ids.chunks(self.page()) {
            match self.ask(CloudRequest::Observe(page.to_vec())).await? {
                CloudReply::Machines { machines, addresses, now } => observations.extend(
                    machines.iter().map(|machine| map::observation(machine, &addresses, &simulation.faults, now)),
                ),
                other => return Err(unexpected(&other)),
            }
        }
        Ok(observations)
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
            self.ask(CloudRequest::DeleteMachine(id.clone())).await?;
        }
        for resource in held.resources {
            self.ask(CloudRequest::Delete(resource.id)).await?;
        }
        Ok(())
    }

    async fn delete_shared(&self, mark: &InfrastructureMark) -> Result<(), ConnectorError> {
        for resource in self.list(Scope::Shared(mark.clone())).await?.resources {
            self.ask(CloudRequest::Delete(resource.id)).await?;
        }
        Ok(())
    }

    async fn power(&self, vm: &VmMark, operation: PowerOperation) -> Result<(), ConnectorError> {
        self.admit(vm).await?;
        let state = match operation {
            PowerOperation::Stop => PowerState::Stopped,
            PowerOperation::Start | PowerOperation::Reboot => PowerState::Running,
        };
        self.ask(CloudRequest::SetPower { machine: vm.existing()?.clone(), state }).await.map(drop)
    }

    async fn resize(&self, vm: &VmMark, resize: &Resize) -> Result<(), ConnectorError> {
        let missing = || ConnectorError::new(ErrorClass::NotFound, "The simulated cloud has no machine of this mark");
        let (scope, held) = (scope(vm), self.list(scope(vm)).await?);
        let found = held.machines.first().map(|machine| &machine.id);
        let id = vm.id.as_ref().or(found).ok_or_else(missing)?;
        if !held.has(id) && !self.admit(vm).await? {
            return Err(missing());
        }
        for wanted in map::new_volumes(&held, vm, &resize.disks)? {
            let volume = self.obtain(&held, &scope, wanted).await?;
            self.attach(&held, id, &volume).await?;
        }
        for volume in map::existing_volumes(resize.disks.iter().cloned()) {
            self.attach(&held, id, &volume).await?;
        }
        self.ask(CloudRequest::Resize { machine: id.clone(), resize: resize.clone() }).await?;
        if resize.public_address == Some(PublicAddress::Remove) {
            // The machine's mark does not tell of them any more, so nobody attaches them again.
            for address in held.resources.into_iter().filter(|made| made.kind == ResourceKind::Address) {
                self.ask(CloudRequest::Detach(address.id.clone())).await?;
                self.ask(CloudRequest::Delete(address.id)).await?;
            }
        }
        Ok(())
    }

    async fn snapshot(&self, vm: &VmMark, image: &ImageIntent) -> Result<String, ConnectorError> {
        self.admit(vm).await?;
        if self.list(image_scope(image)).await?.resources.is_empty() {
            let request =
                CloudRequest::CreateImage { machine: vm.existing()?.clone(), image: Box::new(map::image(image)) };
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
            self.ask(CloudRequest::Delete(made.id)).await?;
        }
        Ok(())
    }

    async fn delete_image(&self, url: &str, _location: &Location) -> Result<(), ConnectorError> {
        self.ask(CloudRequest::DeleteImages(map::snapshot_name(url).to_owned())).await.map(drop)
    }

    fn record_provider(&self) -> Option<&dyn RecordProvider> {
        self.account.field(DNS_ZONES).map(|_| self as &dyn RecordProvider)
    }

    async fn images(&self, _filters: &BTreeMap<String, String>) -> Result<Vec<CloudImage>, ConnectorError> {
        self.ask(CloudRequest::Catalogue).await?;
        Ok(map::images())
    }

    async fn quotas(&self, _region: Option<&str>) -> Result<BTreeMap<String, Quota>, ConnectorError> {
        let quota = self.simulation().faults.quota;
        match self.ask(CloudRequest::Usage).await? {
            CloudReply::Usage(machines) => Ok(map::quotas(machines, quota)),
            other => Err(unexpected(&other)),
        }
    }
}
