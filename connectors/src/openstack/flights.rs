//! One at a time for each machine: what makes or deletes it finds what was made before.

use crate::{VmMark, VmUid};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// A machine: its infrastructure, and our id of it.
type Machine = (String, VmUid);

/// The machines that somebody works on.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Machine, Weak<Turn<()>>>>);

impl Flights {
    /// Waits until nobody else works on the machine.
    pub async fn enter(&self, vm: &VmMark) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let key = (vm.infrastructure.clone(), vm.uid.clone());
            let known = turns.get(&key).and_then(Weak::upgrade);
            let turn = known.unwrap_or_default();
            turns.insert(key, Arc::downgrade(&turn));
            turn
        };
        turn.lock_owned().await
    }
}
