//! What the simulated cloud holds, by account, changed by events alone.

use crate::{DiskSource, InfrastructureMark, Location, PowerState, ProviderId, VmUid};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Ids are hundredths of a second since 1970: none is older than this (of 2001).
const OLDEST_ID: u64 = 100_000_000_000;

/// A machine of the simulated cloud.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The cloud's id; given by the cloud.
    pub id: ProviderId,
    /// Mark: the infrastructure.
    pub infrastructure: String,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Location::is_whole_cloud")]
    pub location: Location,
    /// Mark: our id.
    pub uid: VmUid,
    /// Number inside the infrastructure.
    pub number: u32,
    /// Host name with its domain.
    pub fqdn: String,
    /// Network of its first interface.
    pub network: Option<String>,
    /// Whether that network is public.
    pub public: bool,
    /// Marks besides our own.
    pub tags: Vec<(String, String)>,
    /// What its cloud-init was given.
    #[serde(default)]
    pub user_data: Option<String>,
    /// The public key that lets its user in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// Mark: the pools that it is to have a public address of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<Pool>,
    /// When it was made, in milliseconds since 1970 (UTC); given by the cloud.
    pub created: u64,
    /// State since the last change of power; none while the schedule of states decides.
    pub power: Option<PowerState>,
    /// Sizes changed since it was made.
    #[serde(default)]
    pub sizes: Sizes,
}

impl Machine {
    /// The infrastructure of its mark; none when it was made elsewhere and taken over.
    pub(super) fn owner(&self) -> Option<&str> {
        Some(self.infrastructure.as_str()).filter(|infrastructure| !infrastructure.is_empty())
    }
}

/// Where a public address of a machine comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// The network of the document that the address is shown on; none for one that the document had from the beginning,
    /// which is not shown.
    pub network: Option<String>,
}

/// Sizes of a machine that were changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sizes {
    /// Cores.
    pub cpu_count: Option<f64>,
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Accelerators.
    pub gpu_count: Option<f64>,
    /// Size name.
    pub instance_type: Option<String>,
    /// Bytes of the disks added, by their number.
    pub disks: BTreeMap<usize, u64>,
}

/// What a [`Resource`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// A network.
    Network,
    /// Rules of a network with `outports`.
    SecurityGroup,
    /// The public key of a machine.
    KeyPair,
    /// A data disk.
    Volume,
    /// A public address.
    Address,
    /// An image of a disk.
    Image,
    /// A record of a name, which bears no mark: `<name> <type> <address>`.
    Record,
}

/// Something besides machines that an account holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// The cloud's id; given by the cloud.
    pub id: ProviderId,
    /// What it is.
    pub kind: ResourceKind,
    /// Its name: network of the document, `disk.N` of a volume, pool of an address, what an image was called.
    pub name: String,
    /// Mark: the infrastructure; empty for what belongs to the user.
    pub infrastructure: String,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Location::is_whole_cloud")]
    pub location: Location,
    /// Mark: the machine that it was made for, or the image itself; none when all machines share it.
    pub uid: Option<VmUid>,
    /// Bytes of a volume.
    pub size: Option<u64>,
    /// What was on a volume when it was made.
    #[serde(default)]
    pub source: DiskSource,
    /// The kind of disk that a volume is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_type: Option<String>,
    /// Machine that it is attached to.
    pub machine: Option<ProviderId>,
}

impl Resource {
    /// Something that is to be made, or looked for; its id is given by the cloud.
    #[must_use]
    pub fn new(kind: ResourceKind, name: String, mark: InfrastructureMark, uid: Option<VmUid>) -> Self {
        let InfrastructureMark { infrastructure, location } = mark;
        let id = ProviderId(String::new());
        let (size, source, disk_type, machine) = (None, DiskSource::Empty, None, None);
        Self { id, kind, name, infrastructure, location, uid, size, source, disk_type, machine }
    }

    /// Whether both are of one kind, name, place and mark: what was asked for once.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (self.kind, &self.name, &self.infrastructure, &self.location, &self.uid)
            == (other.kind, &other.name, &other.infrastructure, &other.location, &other.uid)
    }

    /// Whether it belongs to the user.
    #[must_use]
    pub fn is_users(&self) -> bool {
        self.infrastructure.is_empty()
    }
}

/// A change of the inventory of one account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    /// A machine was made or changed.
    Machine(Box<Machine>),
    /// A machine was deleted.
    MachineGone(ProviderId),
    /// Something else was made or changed.
    Resource(Box<Resource>),
    /// Something else was deleted.
    ResourceGone(ProviderId),
    /// The images of this name were deleted.
    ImagesGone(String),
}

/// One line of the journal.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub tenant: String,
    pub event: Event,
}

/// What one account holds.
#[derive(Debug, Default)]
pub struct Tenant {
    machines: HashMap<ProviderId, Machine>,
    by_uid: HashMap<VmUid, BTreeSet<ProviderId>>,
    by_infrastructure: HashMap<String, BTreeSet<ProviderId>>,
    resources: BTreeMap<ProviderId, Resource>,
    /// Resources by their infrastructure and machine.
    by_mark: BTreeMap<(String, Option<VmUid>), BTreeSet<ProviderId>>,
}

impl Tenant {
    /// How many machines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.machines.len()
    }

    /// Whether there is nothing at all: no machine and no other resource.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.machines.is_empty() && self.resources.is_empty()
    }

    /// All machines, in no order.
    pub fn machines(&self) -> impl Iterator<Item = &Machine> {
        self.machines.values()
    }

    /// The machine with this id.
    #[must_use]
    pub fn machine(&self, id: &ProviderId) -> Option<&Machine> {
        self.machines.get(id)
    }

    /// The machines that carry this mark, oldest first.
    pub fn machines_of(&self, uid: &VmUid) -> impl Iterator<Item = &Machine> {
        self.by_uid.get(uid).into_iter().flatten().filter_map(|id| self.machines.get(id))
    }

    /// The machines that carry the mark of an infrastructure, oldest first.
    pub fn machines_in(&self, infrastructure: &str) -> impl Iterator<Item = &Machine> {
        let ids = self.by_infrastructure.get(infrastructure);
        ids.into_iter().flatten().filter_map(|id| self.machines.get(id))
    }

    /// Everything besides machines, oldest first.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.resources.values()
    }

    /// The resource with this id.
    #[must_use]
    pub fn resource(&self, id: &ProviderId) -> Option<&Resource> {
        self.resources.get(id)
    }

    /// The resources of one machine, or those that the machines of an infrastructure share, oldest first.
    pub fn resources_of(&self, infrastructure: &str, uid: Option<&VmUid>) -> impl Iterator<Item = &Resource> + use<'_> {
        let ids = self.by_mark.get(&(infrastructure.to_owned(), uid.cloned()));
        ids.into_iter().flatten().filter_map(|id| self.resources.get(id))
    }

    /// The images of this name.
    pub(super) fn images(&self, name: &str) -> impl Iterator<Item = &Resource> {
        self.resources().filter(move |made| made.kind == ResourceKind::Image && made.name == name)
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Machine(machine) => {
                self.by_uid.entry(machine.uid.clone()).or_default().insert(machine.id.clone());
                let siblings = self.by_infrastructure.entry(machine.infrastructure.clone()).or_default();
                siblings.insert(machine.id.clone());
                self.machines.insert(machine.id.clone(), *machine);
            }
            Event::MachineGone(id) => {
                let Some(machine) = self.machines.remove(&id) else { return };
                let mark = (machine.infrastructure.clone(), Some(machine.uid.clone()));
                let users = (String::new(), None);
                let attached = [mark, users].into_iter().filter_map(|mark| self.by_mark.get(&mark));
                for belonging in attached.flatten() {
                    if let Some(resource) = self.resources.get_mut(belonging) {
                        resource.machine.take_if(|machine| *machine == id);
                    }
                }
                take(&mut self.by_uid, &machine.uid, &id);
                take(&mut self.by_infrastructure, &machine.infrastructure, &id);
            }
            Event::Resource(resource) => {
                let mark = (resource.infrastructure.clone(), resource.uid.clone());
                self.by_mark.entry(mark).or_default().insert(resource.id.clone());
                self.resources.insert(resource.id.clone(), *resource);
            }
            Event::ResourceGone(id) => {
                let Some(resource) = self.resources.remove(&id) else { return };
                let mark = (resource.infrastructure, resource.uid);
                if let Some(ids) = self.by_mark.get_mut(&mark) {
                    ids.remove(&id);
                    if ids.is_empty() {
                        self.by_mark.remove(&mark);
                    }
                }
            }
            Event::ImagesGone(name) => {
                let ids: Vec<ProviderId> = self.images(&name).map(|image| image.id.clone()).collect();
                ids.into_iter().for_each(|id| self.apply(Event::ResourceGone(id)));
            }
        }
    }
}

/// Takes an id out of an index, and its entry when it was the last one.
fn take<K: std::hash::Hash + Eq>(index: &mut HashMap<K, BTreeSet<ProviderId>>, key: &K, id: &ProviderId) {
    if let Some(ids) = index.get_mut(key) {
        ids.remove(id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}

/// Everything that the simulated cloud holds, by account (`<username>@<host>`).
#[derive(Debug, Default)]
pub struct Inventory {
    tenants: BTreeMap<String, Tenant>,
    first_id: Option<u64>,
    last_id: u64,
}

/// Whether another simulated cloud gave this id out: the reference's, whose machines live on here, or one that was kept
/// in the memory of an earlier daemon. Ids only grow, so it is older than `first_id`.
pub(super) fn made_elsewhere(id: &ProviderId, first_id: Option<u64>) -> bool {
    id.0.parse::<u64>().is_ok_and(|id| id >= OLDEST_ID && first_id.is_none_or(|first| id < first))
}

impl Inventory {
    /// The first id that was given out.
    pub(super) fn first_id(&self) -> Option<u64> {
        self.first_id
    }

    /// The last id that was given out.
    pub(super) fn last_id(&self) -> u64 {
        self.last_id
    }

    /// What one account holds; none when it never had anything.
    #[must_use]
    pub fn tenant(&self, name: &str) -> Option<&Tenant> {
        self.tenants.get(name)
    }

    /// All accounts.
    pub fn tenants(&self) -> impl Iterator<Item = (&str, &Tenant)> {
        self.tenants.iter().map(|(name, tenant)| (name.as_str(), tenant))
    }

    /// Whether nothing is left of anything that was made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tenants.values().all(Tenant::is_empty)
    }

    pub(super) fn apply(&mut self, entry: Entry) {
        let made = match &entry.event {
            Event::Machine(machine) if machine.owner().is_some() => Some(&machine.id),
            Event::Resource(resource) => Some(&resource.id),
            _ => None,
        };
        if let Some(id) = made {
            let id = id.0.parse().unwrap_or(0);
            self.first_id.get_or_insert(id);
            self.last_id = self.last_id.max(id);
        }
        self.tenants.entry(entry.tenant).or_default().apply(entry.event);
    }
}
