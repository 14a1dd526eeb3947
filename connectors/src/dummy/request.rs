//! What the simulated cloud can be asked for, one request at a time like a real one, and what it decides: pure.

use super::{
    inventory::{Event, Machine, Resource, ResourceKind, Tenant, made_elsewhere},
    map,
};
use crate::{ConnectorError, ErrorClass, InfrastructureMark, PowerState, ProviderId, Resize, VmUid, dns::DnsRecord};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One request of an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloudRequest {
    /// What everybody may know: images, sizes.
    Catalogue,
    /// How many machines the account has.
    Usage,
    /// Whatever carries a mark, page by page in the order of the ids.
    List {
        /// The mark.
        scope: Scope,
        /// The last id of the page before; none for the first page.
        after: Option<ProviderId>,
        /// How many things a page has at most.
        limit: usize,
    },
    /// Machines by their ids; unknown ones are left out.
    Observe(Vec<ProviderId>),
    /// Makes a machine. Its id and time are given by the cloud.
    CreateMachine {
        /// The machine.
        machine: Box<Machine>,
        /// How many machines the account may have.
        quota: Option<usize>,
    },
    /// Makes something else. Its id is given by the cloud.
    Create(Box<Resource>),
    /// Attaches a volume or an address to a machine.
    Attach {
        /// What is attached.
        resource: ProviderId,
        /// What it is attached to.
        machine: ProviderId,
    },
    /// Detaches a volume or an address from its machine.
    Detach(ProviderId),
    /// Deletes a machine; what is attached to it stays.
    DeleteMachine(ProviderId),
    /// Deletes something else, unless it is in use.
    Delete(ProviderId),
    /// Starts or stops a machine.
    SetPower {
        /// The machine.
        machine: ProviderId,
        /// Its state from now on.
        state: PowerState,
    },
    /// Changes sizes of a machine.
    Resize {
        /// The machine.
        machine: ProviderId,
        /// Its sizes from now on.
        resize: Resize,
    },
    /// Makes an image of a machine. Its id is given by the cloud.
    CreateImage {
        /// The machine.
        machine: ProviderId,
        /// The image.
        image: Box<Resource>,
    },
    /// Deletes the images of a name.
    DeleteImages(String),
    /// Lets a name lead to an address, and to no other of its family.
    SetRecord(DnsRecord),
    /// Deletes a record, if there is one of this name and address.
    DeleteRecord(DnsRecord),
}

impl CloudRequest {
    /// Whether it changes something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !matches!(self, Self::Catalogue | Self::Usage | Self::List { .. } | Self::Observe(_))
    }

    /// The kinds of requests.
    pub const KINDS: [&str; 16] = [
        "catalogue",
        "usage",
        "list",
        "observe",
        "create_machine",
        "create",
        "attach",
        "detach",
        "delete_machine",
        "delete",
        "set_power",
        "resize",
        "create_image",
        "delete_images",
        "set_record",
        "delete_record",
    ];

    /// What kind of request it is: one of [`CloudRequest::KINDS`].
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Catalogue => "catalogue",
            Self::Usage => "usage",
            Self::List { .. } => "list",
            Self::Observe(_) => "observe",
            Self::CreateMachine { .. } => "create_machine",
            Self::Create(_) => "create",
            Self::Attach { .. } => "attach",
            Self::Detach(_) => "detach",
            Self::DeleteMachine(_) => "delete_machine",
            Self::Delete(_) => "delete",
            Self::SetPower { .. } => "set_power",
            Self::Resize { .. } => "resize",
            Self::CreateImage { .. } => "create_image",
            Self::DeleteImages(_) => "delete_images",
            Self::SetRecord(_) => "set_record",
            Self::DeleteRecord(_) => "delete_record",
        }
    }
}

/// A mark to search for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// A machine and what was made for it.
    Vm {
        /// Its infrastructure, and where it is.
        mark: InfrastructureMark,
        /// Our id of the machine.
        uid: VmUid,
    },
    /// What the machines of an infrastructure share.
    Shared(InfrastructureMark),
    /// All machines of an infrastructure.
    Machines(InfrastructureMark),
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloudReply {
    /// Done, or there was nothing to do.
    Done,
    /// It was made.
    Made(ProviderId),
    /// Number of machines.
    Usage(usize),
    /// What was found.
    Held(Held),
    /// The machines asked for.
    Machines {
        /// Those that are known.
        machines: Vec<Machine>,
        /// The public addresses of those that are to have some.
        addresses: Vec<Resource>,
        /// The cloud's time, in milliseconds since 1970 (UTC).
        now: u64,
    },
}

/// What carries a mark.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// Machines, oldest first.
    pub machines: Vec<Machine>,
    /// Everything else, oldest first.
    pub resources: Vec<Resource>,
    /// Whether there is another page.
    #[serde(default)]
    pub more: bool,
}

impl Held {
    /// One page of it.
    fn page(mut self, after: Option<&ProviderId>, limit: usize) -> Self {
        let mut ids: Vec<&ProviderId> = self.machines.iter().map(|machine| &machine.id).collect();
        ids.extend(self.resources.iter().map(|resource| &resource.id));
        ids.retain(|id| after.is_none_or(|after| *id > after));
        ids.sort_unstable();
        let more = ids.len() > limit;
        ids.truncate(limit);
        let ids: BTreeSet<ProviderId> = ids.into_iter().cloned().collect();
        self.machines.retain(|machine| ids.contains(&machine.id));
        self.resources.retain(|resource| ids.contains(&resource.id));
        Self { more, ..self }
    }

    /// The last id of a page.
    #[must_use]
    pub fn last(&self) -> Option<&ProviderId> {
        let machine = self.machines.iter().map(|machine| &machine.id).max();
        machine.max(self.resources.iter().map(|resource| &resource.id).max())
    }

    /// Whether this machine is among what was found.
    #[must_use]
    pub fn has(&self, id: &ProviderId) -> bool {
        self.machines.iter().any(|machine| machine.id == *id)
    }
}

/// What a decision may know besides the account's inventory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Snapshot {
    /// Milliseconds since 1970 (UTC).
    pub now: u64,
    /// An id that was never given out.
    pub fresh_id: u64,
    /// The first id that was given out.
    pub first_id: Option<u64>,
    /// Whether the same thing may be made twice.
    pub duplicates: bool,
}

/// A reply, and the event that makes it true.
type Decision = Result<(CloudReply, Option<Event>), ConnectorError>;

/// Decides on a request of one account.
pub(super) fn decide(tenant: Option<&Tenant>, snapshot: Snapshot, request: CloudRequest) -> Decision {
    let none = Tenant::default();
    let tenant = tenant.unwrap_or(&none);
    let unchanged = |reply| Ok((reply, None));
    match request {
        CloudRequest::Catalogue => unchanged(CloudReply::Done),
        CloudRequest::Usage => unchanged(CloudReply::Usage(tenant.len())),
        CloudRequest::List { scope, after, limit } => {
            unchanged(CloudReply::Held(list(tenant, &scope).page(after.as_ref(), limit)))
        }
        CloudRequest::Observe(ids) => {
            let machines: Vec<_> = ids.iter().filter_map(|id| known(tenant, snapshot, id)).collect();
            let with_pools = machines.iter().filter(|machine| !machine.pools.is_empty());
            let belongings = with_pools.flat_map(|vm| tenant.resources_of(&vm.infrastructure, Some(&vm.uid)));
            let addresses = belongings.filter(|made| made.kind == ResourceKind::Address).cloned().collect();
            unchanged(CloudReply::Machines { machines, addresses, now: snapshot.now })
        }
        CloudRequest::CreateMachine { machine, quota } => create_machine(tenant, snapshot, *machine, quota),
        CloudRequest::Create(resource) => create(tenant, snapshot, *resource),
        CloudRequest::Attach { resource, machine } => attach(tenant, resource, machine),
        CloudRequest::Detach(id) => detach(tenant, &id),
        CloudRequest::DeleteMachine(id) => {
            let known = tenant.machine(&id).is_some();
            Ok((CloudReply::Done, known.then_some(Event::MachineGone(id))))
        }
        CloudRequest::Delete(id) => delete(tenant, id),
        CloudRequest::SetPower { machine, state } => {
            let mut machine = known(tenant, snapshot, &machine).ok_or_else(|| no_machine(&machine))?;
            machine.power = Some(state);
            Ok((CloudReply::Done, Some(Event::Machine(Box::new(machine)))))
        }
        CloudRequest::Resize { machine, resize } => {
            let mut machine = known(tenant, snapshot, &machine).ok_or_else(|| no_machine(&machine))?;
            map::resize(&mut machine, &resize);
            Ok((CloudReply::Done, Some(Event::Machine(Box::new(machine)))))
        }
        CloudRequest::CreateImage { machine, image } => {
            known(tenant, snapshot, &machine).ok_or_else(|| no_machine(&machine))?;
            create(tenant, snapshot, *image)
        }
        CloudRequest::DeleteImages(name) => {
            let known = tenant.images(&name).next().is_some();
            Ok((CloudReply::Done, known.then_some(Event::ImagesGone(name))))
        }
        CloudRequest::SetRecord(record) => Ok((CloudReply::Done, set_record(tenant, snapshot, &record))),
        CloudRequest::DeleteRecord(record) => {
            let known = records(tenant).find(|known| known.name == record.to_string());
            Ok((CloudReply::Done, known.map(|known| Event::ResourceGone(known.id.clone()))))
        }
    }
}

/// Records carry no mark, and so are among what belongs to the user.
fn records(tenant: &Tenant) -> impl Iterator<Item = &Resource> {
    tenant.resources_of("", None).filter(|resource| resource.kind == ResourceKind::Record)
}

fn set_record(tenant: &Tenant, snapshot: Snapshot, record: &DnsRecord) -> Option<Event> {
    let name = record.to_string();
    let family = format!("{} {} ", record.name.fqdn(), record.kind());
    let id = match records(tenant).find(|known| known.name.starts_with(&family)) {
        Some(known) if known.name == name => return None,
        Some(known) => known.id.clone(),
        None => ProviderId(snapshot.fresh_id.to_string()),
    };
    let made = Resource::new(ResourceKind::Record, name, InfrastructureMark::in_whole_cloud(""), None);
    Some(Event::Resource(Box::new(Resource { id, ..made })))
}

fn list(tenant: &Tenant, scope: &Scope) -> Held {
    match scope {
        Scope::Vm { mark, uid } => {
            let machines = tenant.machines_of(uid).filter(|machine| machine.infrastructure == mark.infrastructure);
            Held {
                machines: machines.filter(|machine| mark.location.covers(&machine.location)).cloned().collect(),
                resources: marked(tenant, mark, Some(uid)),
                more: false,
            }
        }
        Scope::Shared(mark) => Held { resources: marked(tenant, mark, None), ..Held::default() },
        Scope::Machines(mark) => {
            let machines = tenant.machines_in(&mark.infrastructure);
            let machines = machines.filter(|machine| mark.location.covers(&machine.location)).cloned().collect();
            Held { machines, ..Held::default() }
        }
    }
}

fn marked(tenant: &Tenant, mark: &InfrastructureMark, uid: Option<&VmUid>) -> Vec<Resource> {
    let marked = tenant.resources_of(&mark.infrastructure, uid);
    marked.filter(|resource| mark.location.covers(&resource.location)).cloned().collect()
}

/// A machine of the account, or one that was made elsewhere.
fn known(tenant: &Tenant, snapshot: Snapshot, id: &ProviderId) -> Option<Machine> {
    let adopted = || made_elsewhere(id, snapshot.first_id).then(|| map::adopted(id, snapshot.now));
    tenant.machine(id).cloned().or_else(adopted)
}

fn create_machine(tenant: &Tenant, snapshot: Snapshot, mut machine: Machine, quota: Option<usize>) -> Decision {
    if !snapshot.duplicates
        && let Some(made) = tenant.machines_of(&machine.uid).next()
    {
        return Ok((CloudReply::Made(made.id.clone()), None));
    }
    if let Some(quota) = quota.filter(|quota| tenant.len() >= *quota) {
        let message = format!("Quota exceeded for instances: {} of {quota} in use", tenant.len());
        return Err(ConnectorError::new(ErrorClass::Quota, message));
    }
    machine.id = ProviderId(snapshot.fresh_id.to_string());
    machine.created = snapshot.now;
    Ok((CloudReply::Made(machine.id.clone()), Some(Event::Machine(Box::new(machine)))))
}

fn create(tenant: &Tenant, snapshot: Snapshot, mut resource: Resource) -> Decision {
    let mut alike = tenant.resources_of(&resource.infrastructure, resource.uid.as_ref());
    if !snapshot.duplicates && alike.any(|made| made.is_same(&resource)) {
        let message = format!("The simulated cloud has {} already", resource.name);
        return Err(ConnectorError::new(ErrorClass::Conflict, message));
    }
    resource.id = ProviderId(snapshot.fresh_id.to_string());
    Ok((CloudReply::Made(resource.id.clone()), Some(Event::Resource(Box::new(resource)))))
}

fn attach(tenant: &Tenant, id: ProviderId, machine: ProviderId) -> Decision {
    let missing =
        || ConnectorError::new(ErrorClass::NotFound, format!("The simulated cloud has nothing with the id {id}"));
    let mut resource = tenant.resource(&id).ok_or_else(missing)?.clone();
    tenant.machine(&machine).ok_or_else(|| no_machine(&machine))?;
    match resource.machine.replace(machine.clone()) {
        Some(other) if other != machine => {
            let message = format!("{} is in use by machine {other}", resource.name);
            Err(ConnectorError::new(ErrorClass::Conflict, message))
        }
        _ => Ok((CloudReply::Done, Some(Event::Resource(Box::new(resource))))),
    }
}

fn detach(tenant: &Tenant, id: &ProviderId) -> Decision {
    let Some(resource) = tenant.resource(id).filter(|resource| resource.machine.is_some()) else {
        return Ok((CloudReply::Done, None));
    };
    let resource = Resource { machine: None, ..resource.clone() };
    Ok((CloudReply::Done, Some(Event::Resource(Box::new(resource)))))
}

fn delete(tenant: &Tenant, id: ProviderId) -> Decision {
    let Some(resource) = tenant.resource(&id) else { return Ok((CloudReply::Done, None)) };
    let in_use = match resource.kind {
        ResourceKind::Volume | ResourceKind::Address => resource.machine.is_some(),
        ResourceKind::Network | ResourceKind::SecurityGroup => {
            tenant.machines_in(&resource.infrastructure).any(|machine| machine.location == resource.location)
        }
        ResourceKind::KeyPair | ResourceKind::Image | ResourceKind::Record => false,
    };
    if in_use {
        let message = format!("{} cannot be deleted: it is in use", resource.name);
        return Err(ConnectorError::new(ErrorClass::Conflict, message));
    }
    Ok((CloudReply::Done, Some(Event::ResourceGone(id))))
}

/// The machine is not, or no longer, there.
fn no_machine(id: &ProviderId) -> ConnectorError {
    ConnectorError::new(ErrorClass::NotFound, format!("The simulated cloud has no machine {id}"))
}
