//! The simulated cloud itself: the inventory, its journal and its clock behind one lock.

use super::{
    faults::{Faults, Simulation},
    inventory::{Entry, Inventory},
    journal::Journal,
    request::{CloudReply, CloudRequest, Snapshot, decide},
};
use crate::ConnectorError;
use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

/// Tells the time in milliseconds since 1970 (UTC).
type Clock = Box<dyn Fn() -> u64 + Send + Sync>;

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
    duplicates: bool,
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
            duplicates: false,
        }
    }

    /// Whatever it is asked to make it makes once more, also if it is there: nothing but a look beforehand keeps a
    /// client from making things twice.
    #[must_use]
    pub fn with_duplicates(mut self) -> Self {
        self.duplicates = true;
        self
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
        let mut state = self.lock();
        let State { inventory, journal } = &mut *state;
        let _held = journal.as_ref().map(Journal::hold).transpose()?;
        State::catch_up(inventory, journal)?;
        Ok(look(inventory))
    }

    /// Answers a request of an account; what it changes is durable then, all in one step.
    ///
    /// # Errors
    /// As a cloud refuses; `Transient` when the journal cannot be used.
    pub fn answer(&self, tenant: &str, request: CloudRequest) -> Result<CloudReply, ConnectorError> {
        let now = (self.clock)();
        let mut state = self.lock();
        let State { inventory, journal } = &mut *state;
        let _held = journal.as_ref().map(Journal::hold).transpose()?;
        State::catch_up(inventory, journal)?;
        let snapshot = Snapshot {
            now,
            // Hundredths of a second, as clients know them, but never the same twice.
            fresh_id: (now / 10).max(inventory.last_id() + 1),
            first_id: inventory.first_id(),
            duplicates: self.duplicates,
        };
        let (reply, event) = decide(inventory.tenant(tenant), snapshot, request)?;
        if let Some(event) = event {
            let entry = Entry { tenant: tenant.to_owned(), event };
            if let Some(journal) = journal {
                journal.append(&entry)?;
            }
            inventory.apply(entry);
        }
        Ok(reply)
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
