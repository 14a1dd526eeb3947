//! Machines that change: sizes and disks. A disk is made like a machine, so that it is written down before.

use crate::engine::{
    error::OperationError,
    state::{
        draft::{Done, Draft, Effect},
        model::{Lifecycle, Work, WorkKind},
    },
    transitions::{alteration::Alteration, contextualizing::change_system},
};
use std::collections::BTreeSet;

/// Starts the change of a machine that the cloud has.
///
/// # Errors
/// [`OperationError::Conflict`] while another change of it is under way.
pub fn alter(draft: &mut Draft, vm: u32, change: Alteration) -> Result<u64, OperationError> {
    if !alterations(draft, &BTreeSet::from([vm])).is_empty() {
        return Err(OperationError::Conflict("altering the VM".to_owned()));
    }
    let Alteration { resize, features } = change;
    let work = draft.accept(WorkKind::Altering { vm, resize, features });
    draft.effects.push(Effect::Alter(work));
    Ok(work)
}

/// Works that change these machines.
fn alterations(draft: &Draft, vms: &BTreeSet<u32>) -> Vec<u64> {
    let concerned = |kind: &WorkKind| matches!(kind, WorkKind::Altering { vm, .. } if vms.contains(vm));
    draft.model.work.iter().filter(|work| concerned(&work.kind)).map(|work| work.id).collect()
}

/// Ends the changes of machines that are to be deleted. What this process has asked for goes on: the deletion waits.
pub(super) fn give_up(draft: &mut Draft, vms: &BTreeSet<u32>) {
    for work in alterations(draft, vms) {
        draft.finish(work, Err("The VM is being deleted.".to_owned()));
    }
}

pub(super) fn altered(draft: &mut Draft, work: u64, vm: u32, result: Result<(), String>) {
    if let Some(Work { kind: WorkKind::Altering { features, .. }, .. }) = draft.work(work).cloned() {
        if result.is_ok() {
            change_system(draft, vm, |system| {
                for (name, value) in features.iter() {
                    // What the cloud said of a disk, such as its device, is how it is.
                    if !system.features.has(name) {
                        system.features.set(name, value.clone());
                    }
                }
            });
        }
        draft.finish(work, result.map(|()| Done::Machines(vec![vm])));
    }
    if draft.model.vm(vm).is_some_and(|vm| matches!(vm.lifecycle, Lifecycle::Deleting(_))) {
        draft.effects.push(Effect::Delete(BTreeSet::from([vm])));
    }
}
