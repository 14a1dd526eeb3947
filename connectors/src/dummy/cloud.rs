//! The simulated cloud: an inventory per account, changed by events alone.

use super::{
    faults::{Faults, Simulation},
    journal::Journal,
};
use crate::{ConnectorError, PowerState, ProviderId, VmUid};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

/// Tells the time in milliseconds since 1970 (UTC).
type Clock = Box<dyn Fn() -> u64 + Send + Sync>;

/// Ids are hundredths of a second since 1970: none is older than this (of 2001).
const OLDEST_ID: u64 = 100_000_000_000;

/// A machine of the simulated cloud.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The cloud's id.
    pub id: ProviderId,
    /// Mark: the infrastructure.
    pub infrastructure: String,
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
    /// When it was made, in milliseconds since 1970 (UTC).
    pub created: u64,
    /// State since the last change of power; none while the schedule of states decides.
    pub power: Option<PowerState>,
    /// Sizes changed since it was made.
    #[serde(default)]
    pub sizes: Sizes,
}

impl Machine {
    /// Whether it was made elsewhere and taken over: it carries no mark.
    fn is_adopted(&self) -> bool {
        self.infrastructure.is_empty()
    }
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

/// A change of the inventory of one account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    /// A machine was made or changed.
    Machine(Box<Machine>),
    /// A machine was deleted.
    MachineGone(ProviderId),
    /// Networks of an infrastructure were made.
    Networks { infrastructure: String, networks: Vec<String> },
    /// All networks of an infrastructure were deleted.
    NetworksGone { infrastructure: String },
    /// An image was made.
    Image(String),
    /// An image was deleted.
    ImageGone(String),
}

/// One line of the journal.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    tenant: String,
    event: Event,
}

/// What a decision may know besides the account's inventory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Snapshot {
    /// Milliseconds since 1970 (UTC).
    pub now: u64,
    /// A machine id that was never given out.
    pub fresh_id: u64,
    /// The first machine id that was given out.
    pub first_id: Option<u64>,
}

/// What one account holds.
#[derive(Debug, Default)]
pub struct Tenant {
    machines: HashMap<ProviderId, Machine>,
    by_uid: HashMap<VmUid, ProviderId>,
    by_infrastructure: HashMap<String, BTreeSet<ProviderId>>,
    networks: HashMap<String, BTreeSet<String>>,
    images: BTreeSet<String>,
}

impl Tenant {
    /// How many machines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.machines.len()
    }

    /// Whether there is neither a machine nor a network nor an image.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.machines.is_empty() && self.networks.is_empty() && self.images.is_empty()
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

    /// The machine that carries this mark.
    #[must_use]
    pub fn machine_of(&self, uid: &VmUid) -> Option<&Machine> {
        self.machines.get(self.by_uid.get(uid)?)
    }

    /// The machines that carry the mark of an infrastructure, oldest first.
    pub fn machines_in(&self, infrastructure: &str) -> impl Iterator<Item = &Machine> {
        let ids = self.by_infrastructure.get(infrastructure);
        ids.into_iter().flatten().filter_map(|id| self.machines.get(id))
    }

    /// Ids of the networks made for an infrastructure.
    pub fn networks(&self, infrastructure: &str) -> impl Iterator<Item = &str> {
        self.networks.get(infrastructure).into_iter().flatten().map(String::as_str)
    }

    /// All networks, each with the infrastructure that it was made for.
    pub fn all_networks(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = |(infrastructure, networks)| std::iter::repeat(infrastructure).zip(networks);
        self.networks
            .iter()
            .flat_map(pairs)
            .map(|(infrastructure, network): (&String, &String)| (infrastructure.as_str(), network.as_str()))
    }

    /// URLs of the images made.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        self.images.iter().map(String::as_str)
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Machine(machine) => {
                self.by_uid.insert(machine.uid.clone(), machine.id.clone());
                let siblings = self.by_infrastructure.entry(machine.infrastructure.clone()).or_default();
                siblings.insert(machine.id.clone());
                self.machines.insert(machine.id.clone(), *machine);
            }
            Event::MachineGone(id) => {
                let Some(machine) = self.machines.remove(&id) else { return };
                self.by_uid.remove(&machine.uid);
                if let Some(siblings) = self.by_infrastructure.get_mut(&machine.infrastructure) {
                    siblings.remove(&id);
                    if siblings.is_empty() {
                        self.by_infrastructure.remove(&machine.infrastructure);
                    }
                }
            }
            Event::Networks { infrastructure, networks } => {
                if !networks.is_empty() {
                    self.networks.entry(infrastructure).or_default().extend(networks);
                }
            }
            Event::NetworksGone { infrastructure } => {
                self.networks.remove(&infrastructure);
            }
            Event::Image(url) => {
                self.images.insert(url);
            }
            Event::ImageGone(url) => {
                self.images.remove(&url);
            }
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
    /// The first machine id that was given out.
    pub(super) fn first_id(&self) -> Option<u64> {
        self.first_id
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

    fn apply(&mut self, entry: Entry) {
        if let Event::Machine(machine) = &entry.event
            && !machine.is_adopted()
        {
            let id = machine.id.0.parse().unwrap_or(0);
            self.first_id.get_or_insert(id);
            self.last_id = self.last_id.max(id);
        }
        self.tenants.entry(entry.tenant).or_default().apply(entry.event);
    }
}

struct State {
    inventory: Inventory,
    journal: Option<Journal>,
}

impl State {
    /// Takes in what other daemons changed in the meantime.
    fn catch_up(inventory: &mut Inventory, journal: &mut Option<Journal>) -> Result<(), ConnectorError> {
        if let Some(journal) = journal {
            journal.news()?.into_iter().for_each(|entry| inventory.apply(entry));
        }
        Ok(())
    }
}

/// The simulated cloud itself, shared by its accounts; also the handle with which tests look behind the API.
pub struct Cloud {
    state: Mutex<State>,
    imposed: Mutex<Option<Arc<Simulation>>>,
    clock: Clock,
}

impl Cloud {
    /// A cloud that forgets everything when it is dropped. Time comes from `clock`, in milliseconds since 1970 (UTC).
    pub fn in_memory(clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self::with_journal(None, clock)
    }

    /// A cloud whose inventory is kept in `directory`, which is made when missing.
    ///
    /// # Errors
    /// `Invalid` when the directory cannot be used or holds something else.
    pub fn open(directory: &Path, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Result<Self, ConnectorError> {
        Ok(Self::with_journal(Some(Journal::open(directory)?), clock))
    }

    fn with_journal(journal: Option<Journal>, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self {
            state: Mutex::new(State { inventory: Inventory::default(), journal }),
            imposed: Mutex::new(None),
            clock: Box::new(clock),
        }
    }

    /// Imposes faults on all accounts instead of those of their credential lines; none lifts them.
    pub fn impose(&self, faults: Option<Faults>) {
        *self.imposed.lock().unwrap_or_else(PoisonError::into_inner) =
            faults.map(|faults| Arc::new(Simulation::new(faults)));
    }

    pub(super) fn imposed(&self) -> Option<Arc<Simulation>> {
        self.imposed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at everything the cloud holds.
    ///
    /// # Errors
    /// `Transient` when the journal cannot be read.
    pub fn inspect<T>(&self, look: impl FnOnce(&Inventory) -> T) -> Result<T, ConnectorError> {
        self.read(|inventory, _| look(inventory))
    }

    pub(super) fn read<T>(&self, answer: impl FnOnce(&Inventory, u64) -> T) -> Result<T, ConnectorError> {
        let now = (self.clock)();
        let mut state = self.lock();
        let State { inventory, journal } = &mut *state;
        let _held = journal.as_ref().map(Journal::hold).transpose()?;
        State::catch_up(inventory, journal)?;
        Ok(answer(inventory, now))
    }

    /// Decides on a change of one account and makes it durable, all in one step.
    pub(super) fn change<T>(
        &self,
        tenant: &str,
        decide: impl FnOnce(Option<&Tenant>, Snapshot) -> Result<(T, Option<Event>), ConnectorError>,
    ) -> Result<T, ConnectorError> {
        let now = (self.clock)();
        let mut state = self.lock();
        let State { inventory, journal } = &mut *state;
        let _held = journal.as_ref().map(Journal::hold).transpose()?;
        State::catch_up(inventory, journal)?;
        // Hundredths of a second, as clients know them, but never the same twice.
        let fresh_id = (now / 10).max(inventory.last_id + 1);
        let snapshot = Snapshot { now, fresh_id, first_id: inventory.first_id };
        let (answer, event) = decide(inventory.tenant(tenant), snapshot)?;
        if let Some(event) = event {
            let entry = Entry { tenant: tenant.to_owned(), event };
            if let Some(journal) = journal {
                journal.append(&entry)?;
            }
            inventory.apply(entry);
        }
        Ok(answer)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time of this machine in milliseconds since 1970 (UTC).
#[must_use]
pub fn system_clock() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
