//! What the simulated cloud can be asked for, one request at a time like a real one, and what it decides: pure.

use super::{
    inventory::{Event, Kind, Machine, Resource, Tenant, made_elsewhere},
    map,
};
use crate::{ConnectorError, ErrorClass, PowerState, ProviderId, Resize, VmUid};
use serde::{Deserialize, Serialize};

/// One request of an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// What everybody may know: images, sizes.
    Catalogue,
    /// How many machines the account has.
    Usage,
    /// Whatever carries a mark.
    List(Scope),
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
}

impl Request {
    /// Whether it changes something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !matches!(self, Self::Catalogue | Self::Usage | Self::List(_) | Self::Observe(_))
    }
}

/// A mark to search for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// A machine and what was made for it.
    Vm {
        /// Its infrastructure.
        infrastructure: String,
        /// Our id of the machine.
        uid: VmUid,
    },
    /// What the machines of an infrastructure share.
    Shared(String),
    /// All machines of an infrastructure.
    Machines(String),
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
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
}

impl Held {
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
type Decision = Result<(Reply, Option<Event>), ConnectorError>;

/// Decides on a request of one account.
pub(super) fn decide(tenant: Option<&Tenant>, snapshot: Snapshot, request: Request) -> Decision {
    let none = Tenant::default();
    let tenant = tenant.unwrap_or(&none);
    let unchanged = |reply| Ok((reply, None));
    match request {
        Request::Catalogue => unchanged(Reply::Done),
        Request::Usage => unchanged(Reply::Usage(tenant.len())),
        Request::List(scope) => unchanged(Reply::Held(list(tenant, &scope))),
        Request::Observe(ids) => {
            let machines = ids.iter().filter_map(|id| known(tenant, snapshot, id)).collect();
            unchanged(Reply::Machines { machines, now: snapshot.now })
        }
        Request::CreateMachine { machine, quota } => create_machine(tenant, snapshot, *machine, quota),
        Request::Create(resource) => create(tenant, snapshot, *resource),
        Request::Attach { resource, machine } => attach(tenant, resource, machine),
        Request::DeleteMachine(id) => {
            let known = tenant.machine(&id).is_some();
            Ok((Reply::Done, known.then_some(Event::MachineGone(id))))
        }
        Request::Delete(id) => delete(tenant, id),
        Request::SetPower { machine, state } => {
            let mut machine = known(tenant, snapshot, &machine).ok_or_else(|| no_machine(&machine))?;
            machine.power = Some(state);
            Ok((Reply::Done, Some(Event::Machine(Box::new(machine)))))
        }
        Request::Resize { machine, resize } => {
            let mut machine = known(tenant, snapshot, &machine).ok_or_else(|| no_machine(&machine))?;
            map::resize(&mut machine, &resize);
            Ok((Reply::Done, Some(Event::Machine(Box::new(machine)))))
        }
        Request::CreateImage { machine, image } => {
            known(tenant, snapshot, &machine).ok_or_else(|| no_machine(&machine))?;
            create(tenant, snapshot, *image)
        }
        Request::DeleteImages(name) => {
            let known = tenant.images(&name).next().is_some();
            Ok((Reply::Done, known.then_some(Event::ImagesGone(name))))
        }
    }
}

fn list(tenant: &Tenant, scope: &Scope) -> Held {
    match scope {
        Scope::Vm { infrastructure, uid } => Held {
            machines: tenant.machines_of(uid).filter(|m| m.infrastructure == *infrastructure).cloned().collect(),
            resources: tenant.resources_of(infrastructure, Some(uid)).cloned().collect(),
        },
        Scope::Shared(infrastructure) => {
            Held { resources: tenant.resources_of(infrastructure, None).cloned().collect(), ..Held::default() }
        }
        Scope::Machines(infrastructure) => {
            Held { machines: tenant.machines_in(infrastructure).cloned().collect(), ..Held::default() }
        }
    }
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
        return Ok((Reply::Made(made.id.clone()), None));
    }
    if let Some(quota) = quota.filter(|quota| tenant.len() >= *quota) {
        let message = format!("Quota exceeded for instances: {} of {quota} in use", tenant.len());
        return Err(ConnectorError::new(ErrorClass::Quota, message));
    }
    machine.id = ProviderId(snapshot.fresh_id.to_string());
    machine.created = snapshot.now;
    Ok((Reply::Made(machine.id.clone()), Some(Event::Machine(Box::new(machine)))))
}

fn create(tenant: &Tenant, snapshot: Snapshot, mut resource: Resource) -> Decision {
    let mut alike = tenant.resources_of(&resource.infrastructure, resource.uid.as_ref());
    if !snapshot.duplicates && alike.any(|made| made.is_same(&resource)) {
        let message = format!("The simulated cloud has {} already", resource.name);
        return Err(ConnectorError::new(ErrorClass::Conflict, message));
    }
    resource.id = ProviderId(snapshot.fresh_id.to_string());
    Ok((Reply::Made(resource.id.clone()), Some(Event::Resource(Box::new(resource)))))
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
        _ => Ok((Reply::Done, Some(Event::Resource(Box::new(resource))))),
    }
}

fn delete(tenant: &Tenant, id: ProviderId) -> Decision {
    let Some(resource) = tenant.resource(&id) else { return Ok((Reply::Done, None)) };
    let in_use = match resource.kind {
        Kind::Volume | Kind::Address => resource.machine.is_some(),
        Kind::Network | Kind::SecurityGroup => tenant.machines_in(&resource.infrastructure).next().is_some(),
        Kind::KeyPair | Kind::Image => false,
    };
    if in_use {
        let message = format!("{} cannot be deleted: it is in use", resource.name);
        return Err(ConnectorError::new(ErrorClass::Conflict, message));
    }
    Ok((Reply::Done, Some(Event::ResourceGone(id))))
}

/// The machine is not, or no longer, there.
fn no_machine(id: &ProviderId) -> ConnectorError {
    ConnectorError::new(ErrorClass::NotFound, format!("The simulated cloud has no machine {id}"))
}
