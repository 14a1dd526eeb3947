//! Which infrastructures there are, and the keepers of those in memory.

use crate::{
    engine::keeper::handle::{Handle, KeeperId},
    store::IndexRow,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::OnceCell;

/// One known infrastructure.
#[derive(Clone)]
pub struct Slot {
    /// Keyed hashes of its owners, as of loading the index; the snapshot knows better once it is loaded.
    pub owners: Arc<Vec<String>>,
    /// Its keeper, once loaded.
    pub handle: Arc<OnceCell<Handle>>,
    order: u64,
}

/// All infrastructures that were not deleted.
#[derive(Default)]
pub struct Directory {
    slots: RwLock<Slots>,
    version: AtomicU64,
}

#[derive(Default)]
struct Slots {
    by_id: HashMap<String, Slot>,
    by_age: BTreeMap<u64, String>,
    next: u64,
}

impl Directory {
    /// From the index of the store, newest first.
    #[must_use]
    pub fn new(index: Vec<IndexRow>) -> Self {
        let directory = Self::default();
        for row in index.into_iter().rev().filter(|row| !row.deleted) {
            directory.insert(row.id, row.owners, Arc::default());
        }
        directory
    }

    /// Adds the newest one.
    pub fn insert(&self, id: String, owners: Vec<String>, handle: Arc<OnceCell<Handle>>) {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(former) = slots.by_id.remove(&id) {
            slots.by_age.remove(&former.order);
        }
        let order = slots.next;
        slots.next += 1;
        slots.by_age.insert(order, id.clone());
        slots.by_id.insert(id, Slot { owners: Arc::new(owners), handle, order });
        self.changed();
    }

    /// Grows whenever an infrastructure comes, goes or changes hands.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Says that one of them has other owners now.
    pub fn changed(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Forgets one.
    pub fn remove(&self, id: &str) {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.by_id.remove(id) {
            slots.by_age.remove(&slot.order);
            self.changed();
        }
    }

    /// Forgets one unless it has another keeper meanwhile.
    pub fn remove_kept_by(&self, id: &str, keeper: &KeeperId) {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let is_kept = |slot: &Slot| slot.handle.get().is_none_or(|handle| handle.is_of(keeper));
        if slots.by_id.get(id).is_some_and(is_kept)
            && let Some(slot) = slots.by_id.remove(id)
        {
            slots.by_age.remove(&slot.order);
            self.changed();
        }
    }

    /// The slot of an infrastructure.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Slot> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).by_id.get(id).cloned()
    }

    /// Keeper of a loaded infrastructure, without touching anything else: the way of every read.
    #[must_use]
    pub fn handle(&self, id: &str) -> Option<Handle> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).by_id.get(id)?.handle.get().cloned()
    }

    /// Ids and slots, newest first.
    #[must_use]
    pub fn newest_first(&self) -> Vec<(String, Slot)> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        let with_slot = |id: &String| Some((id.clone(), slots.by_id.get(id)?.clone()));
        slots.by_age.values().rev().filter_map(with_slot).collect()
    }

    /// Keepers of all loaded infrastructures.
    #[must_use]
    pub fn loaded(&self) -> Vec<Handle> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.by_id.values().filter_map(|slot| slot.handle.get().cloned()).collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).by_id.len()
    }
}
