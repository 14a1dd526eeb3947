//! Machines that change: sizes, disks, public addresses. A disk is made like a machine, so that it is written down before.

use crate::engine::{
    error::OperationError,
    state::{
        draft::{Done, Draft, Effect},
        model::{Infrastructure, Lifecycle, Work, WorkKind},
    },
    transitions::{alteration::Alteration, contextualizing::change_system},
};
use radl::Features;
use std::collections::BTreeSet;

/// What another change of the machine meets until it has ended.
pub const ALTERED: &str = "altering the VM";

/// Whether a change of the machine is under way.
#[must_use]
pub fn is_altered(model: &Infrastructure, vm: u32) -> bool {
    alterations(model, &BTreeSet::from([vm])).next().is_some()
}

/// Starts the change of a machine that the cloud has.
///
/// # Errors
/// [`OperationError::Conflict`] while another change of it is under way.
pub fn alter(draft: &mut Draft, vm: u32, change: Alteration) -> Result<u64, OperationError> {
    if is_altered(&draft.model, vm) {
        return Err(OperationError::Conflict(ALTERED.to_owned()));
    }
    let Alteration { resize, features, dropped_interface } = change;
    let work = draft.accept(WorkKind::Altering { vm, resize, features, dropped_interface });
    draft.effects.push(Effect::Alter(work));
    Ok(work)
}

/// Works that change these machines.
fn alterations<'a>(model: &'a Infrastructure, vms: &'a BTreeSet<u32>) -> impl Iterator<Item = u64> + 'a {
    let concerned = |kind: &WorkKind| matches!(kind, WorkKind::Altering { vm, .. } if vms.contains(vm));
    model.work.iter().filter(move |work| concerned(&work.kind)).map(|work| work.id)
}

/// Ends the changes of machines that are to be deleted. What this process has asked for goes on: the deletion waits.
pub(super) fn give_up(draft: &mut Draft, vms: &BTreeSet<u32>) {
    for work in alterations(&draft.model, vms).collect::<Vec<_>>() {
        draft.finish(work, Err("The VM is being deleted.".to_owned()));
    }
}

pub(super) fn altered(draft: &mut Draft, work: u64, vm: u32, result: Result<(), String>) {
    if let Some(Work { kind: WorkKind::Altering { features, dropped_interface, .. }, .. }) = draft.work(work).cloned() {
        if result.is_ok() {
            change_system(draft, vm, |system| {
                if let Some(index) = dropped_interface {
                    drop_interface(&mut system.features, index);
                }
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

/// Takes an interface out of a document; those behind it move up.
fn drop_interface(features: &mut Features, dropped: usize) {
    let of_interface = |name: &str| {
        let (index, property) = name.strip_prefix("net_interface.")?.split_once('.')?;
        Some((index.parse::<usize>().ok()?, property.to_owned()))
    };
    let names: Vec<String> = features.iter().map(|(name, _)| name.to_owned()).collect();
    for name in names {
        let Some((index, property)) = of_interface(&name).filter(|(index, _)| *index >= dropped) else { continue };
        let Some(value) = features.remove(&name) else { continue };
        if index > dropped {
            features.set(&format!("net_interface.{}.{property}", index - 1), value);
        }
    }
}
