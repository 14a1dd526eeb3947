//! Machines and infrastructures that go.

use crate::engine::{
    error::OperationError,
    state::{
        accounts::{Accounts, is_in_cloud, is_unclaimed},
        draft::{Done, Draft, Effect},
        model::{CloudRef, Infrastructure, Lifecycle, Vm, Work, WorkKind},
    },
    transitions::altering,
};
use contextualization::Cause;
use std::{collections::BTreeSet, sync::Arc};

/// Starts the deletion of machines.
///
/// # Errors
/// Unknown or deleted machines, accounts that are missing; nothing is changed then.
pub fn remove(draft: &mut Draft, numbers: &[u32], context: bool, accounts: &Accounts) -> Result<u64, OperationError> {
    let wanted: BTreeSet<u32> = numbers.iter().copied().collect();
    for number in &wanted {
        let vm = draft.model.vm(*number).ok_or(OperationError::UnknownVm)?;
        if vm.lifecycle == Lifecycle::Gone {
            return Err(OperationError::DeletedVm);
        }
    }
    let vms = || wanted.iter().filter_map(|number| draft.model.vm(*number));
    let whys = [unclaimed(vms()), accounts.missing(clouds(vms()))].concat();
    if !whys.is_empty() {
        return Err(OperationError::Cloud(not_removed(&whys)));
    }
    start_deleting(draft, &wanted);
    let work = draft.accept(WorkKind::Removing { vms: wanted.into_iter().collect(), context });
    settle(draft);
    Ok(work)
}

/// Starts the deletion of everything; while one runs its number is returned again.
///
/// # Errors
/// Machines are being launched, unless `force`; accounts that are missing: who cannot ask a cloud cannot know what stays
/// there.
pub fn destroy(draft: &mut Draft, force: bool, accounts: &Accounts) -> Result<u64, OperationError> {
    // Of a type that this version does not serve nothing can be asked: what an import brought of it goes by force alone.
    let can_be_asked = |cloud: &&CloudRef| !force || connectors::is_served(&cloud.kind);
    let concerned = clouds(&draft.model.vms).chain(shared_clouds(&draft.model));
    let mut whys = accounts.missing(concerned.filter(can_be_asked));
    if !force {
        whys.extend(unclaimed(&draft.model.vms));
    }
    if !whys.is_empty() {
        return Err(OperationError::Cloud(not_destroyed(&whys)));
    }
    let running = draft.model.work.iter().find(|work| matches!(work.kind, WorkKind::Destroying { .. })).map(|w| w.id);
    if let Some(id) = running {
        if force && let Some(work) = draft.infrastructure().work.iter_mut().find(|work| work.id == id) {
            work.kind = WorkKind::Destroying { force: true };
            // What the cloud refused to delete before is not an end of this any more, so it is asked once more.
            let live: BTreeSet<u32> = draft.model.live_vms().map(|vm| vm.number).collect();
            start_deleting(draft, &live);
        }
        return Ok(id);
    }
    if draft.model.is_adding() && !force {
        return Err(OperationError::Conflict("adding resources".to_owned()));
    }
    Ok(start_destroying(draft, force))
}

/// Clouds where something of these machines may be.
fn clouds<'a>(vms: impl IntoIterator<Item = &'a Arc<Vm>>) -> impl Iterator<Item = &'a CloudRef> {
    vms.into_iter().filter(|vm| is_in_cloud(vm)).map(|vm| &*vm.cloud)
}

/// Clouds where something may be that belongs to no machine.
fn shared_clouds(model: &Infrastructure) -> impl Iterator<Item = &CloudRef> {
    let images =
        model.snapshots.iter().map(|(cloud, _)| cloud).chain(model.unmade_images.iter().map(|(cloud, _)| cloud));
    let keys: BTreeSet<&String> = model.shared.keys().chain(images).collect();
    let clouds = model.vms.iter().map(|vm| &*vm.cloud).chain(model.full_clouds.iter().map(|cloud| &**cloud));
    clouds.filter(move |cloud| keys.iter().any(|key| cloud.is_keyed(key)))
}

/// Why these machines cannot be deleted: no account that was shown knows them, which does not mean that they are gone.
fn unclaimed<'a>(vms: impl IntoIterator<Item = &'a Arc<Vm>>) -> Vec<String> {
    let why = |vm: &Arc<Vm>| {
        let id = vm.provider_id().map(ToString::to_string).unwrap_or_default();
        format!("VM {}: no account of {} that was given knows the machine {id}.", vm.number, vm.cloud.kind)
    };
    vms.into_iter().filter(|vm| is_unclaimed(vm)).map(why).collect()
}

fn not_removed(whys: &[String]) -> String {
    format!("Error removing resources: {whys:?}").replace('"', "'")
}

fn not_destroyed(whys: &[String]) -> String {
    format!("Error destroying the infrastructure: \n{}", whys.join("\n"))
}

pub(super) fn start_destroying(draft: &mut Draft, force: bool) -> u64 {
    // An image that was accepted is made before its machine goes.
    let is_superseded = |work: &&Work| !matches!(work.kind, WorkKind::Snapshotting { .. });
    let superseded: Vec<u64> = draft.model.work.iter().filter(is_superseded).map(|work| work.id).collect();
    for id in superseded {
        draft.finish(id, Err("The infrastructure is being deleted.".to_owned()));
    }
    if let Some(generation) = &mut draft.infrastructure().generation {
        generation.open = false;
    }
    draft.effects.push(Effect::StopContextualization);
    let all: BTreeSet<u32> = draft.model.live_vms().map(|vm| vm.number).collect();
    start_deleting(draft, &all);
    let id = draft.accept(WorkKind::Destroying { force });
    settle(draft);
    id
}

pub(super) fn start_deleting(draft: &mut Draft, numbers: &BTreeSet<u32>) {
    altering::give_up(draft, numbers);
    let mut remote = BTreeSet::new();
    for &number in numbers {
        // A second deletion beside one that is under way could fail after the first one succeeded.
        let idle = |vm: &&Arc<Vm>| !matches!(vm.lifecycle, Lifecycle::Deleting(_));
        if draft.model.vm(number).filter(idle).is_none() {
            continue;
        }
        let Some(vm) = draft.vm(number) else { continue };
        vm.lifecycle = match std::mem::replace(&mut vm.lifecycle, Lifecycle::Gone) {
            Lifecycle::Present(id) => Lifecycle::Deleting(Some(id)),
            Lifecycle::Launching | Lifecycle::Failed { leftover: true, .. } => Lifecycle::Deleting(None),
            // The cloud never heard of it.
            _ => Lifecycle::Gone,
        };
        if vm.lifecycle != Lifecycle::Gone {
            remote.insert(number);
        }
    }
    if !remote.is_empty() {
        draft.effects.push(Effect::Delete(remote));
    }
}

pub(super) fn deleted(draft: &mut Draft, number: u32, result: Result<(), String>) {
    let forced = draft.model.work.iter().any(|work| matches!(work.kind, WorkKind::Destroying { force: true }));
    let Some(vm) = draft.vm(number) else { return };
    let Lifecycle::Deleting(id) = vm.lifecycle.clone() else { return };
    match result {
        Ok(()) => {
            vm.lifecycle = Lifecycle::Gone;
            vm.records.clear();
        }
        Err(mut why) => {
            if forced {
                let id = id.as_ref().map_or_else(|| vm.uid.to_string(), ToString::to_string);
                why = format!("VM {number}, the machine {id} of the cloud {}: {why}", vm.cloud.id);
            }
            vm.lifecycle = match id {
                _ if forced => Lifecycle::Gone,
                Some(id) => Lifecycle::Present(id),
                None => Lifecycle::Failed { why: why.clone(), leftover: true },
            };
            if vm.is_to_be_completed() {
                // Nobody did that while it was to be deleted.
                draft.effects.push(Effect::Complete(BTreeSet::from([number])));
            }
            draft.log_vm(number, format!("{why}\n"));
            let concerned = |work: &&mut Work| match &work.kind {
                WorkKind::Removing { vms, .. } => vms.contains(&number),
                WorkKind::Destroying { .. } => true,
                _ => false,
            };
            for work in draft.infrastructure().work.iter_mut().filter(concerned) {
                work.errors.push(why.clone());
            }
        }
    }
    settle(draft);
}

/// Ends the deletions that have nothing left to do.
pub(super) fn settle(draft: &mut Draft) {
    let busy = |draft: &Draft, number: u32| {
        draft.model.vm(number).is_some_and(|vm| matches!(vm.lifecycle, Lifecycle::Deleting(_)))
    };
    for work in draft.model.work.clone() {
        match work.kind {
            WorkKind::Removing { vms, context } => {
                if vms.iter().any(|number| busy(draft, *number)) {
                    continue;
                }
                let is_gone = |vm: &Arc<Vm>| vm.lifecycle == Lifecycle::Gone;
                let gone: Vec<u32> =
                    vms.into_iter().filter(|number| draft.model.vm(*number).is_some_and(is_gone)).collect();
                let contextualize = context && !gone.is_empty();
                if draft.model.master.is_some_and(|master| gone.contains(&master)) {
                    draft.infrastructure().master = None;
                }
                let result = match work.errors.is_empty() {
                    true => Ok(Done::Machines(gone)),
                    false => Err(not_removed(&work.errors)),
                };
                draft.finish(work.id, result);
                if contextualize && draft.model.vms.iter().any(|vm| vm.is_live()) {
                    draft.start_generation(Cause::Remove, None);
                }
            }
            WorkKind::Destroying { force } => {
                if draft.model.vms.iter().any(|vm| busy(draft, vm.number)) {
                    continue;
                }
                if work.errors.is_empty() || force {
                    draft.effects.push(Effect::DeleteShared);
                } else {
                    fail_destroying(draft, work.id, &work.errors);
                }
            }
            WorkKind::Placing { .. }
            | WorkKind::Adding { .. }
            | WorkKind::Altering { .. }
            | WorkKind::Snapshotting { .. } => {}
        }
    }
}

fn fail_destroying(draft: &mut Draft, id: u64, errors: &[String]) {
    let why = not_destroyed(errors);
    draft.log(&why);
    draft.finish(id, Err(why));
}

pub(super) fn shared_deleted(draft: &mut Draft, result: Result<(), String>) {
    let destroying = draft.model.work.iter().find_map(|work| match work.kind {
        WorkKind::Destroying { force } => Some((work.id, force, work.errors.clone())),
        _ => None,
    });
    let Some((id, force, mut left)) = destroying else { return };
    match result {
        Err(why) if !force => fail_destroying(draft, id, &[why]),
        result => {
            left.extend(result.err());
            if !left.is_empty() {
                draft.log(&format!("WARNING: forgotten, and left in its clouds:\n{}", left.join("\n")));
            }
            let infrastructure = draft.infrastructure();
            infrastructure.deleted = true;
            infrastructure.ansible_key = None;
            infrastructure.login = None;
            draft.finish(id, Ok(Done::Forgotten(left)));
        }
    }
}
