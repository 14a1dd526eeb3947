//! The rules that move the state of an infrastructure: pure functions from a draft and what happened to the draft.
//! Requests are refused before anything is changed.

use super::{
    draft::{Draft, Effect, WorkResult},
    error::OperationError,
    model::{CloudRef, IfAllFail, Infrastructure, Lifecycle, Observed, Vm, Work, WorkKind},
    observation,
};
use crate::auth::Credentials;
use connectors::{Observation, PowerState, ProviderId, SharedResources, VmUid};
use contextualization::{Cause, Effect as ContextEffect, Entry, ErrorCode, Outcome, VmError};
use radl::{Radl, System};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A machine with its cloud chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedVm {
    /// Its uid.
    pub uid: VmUid,
    /// The concrete system.
    pub system: System,
    /// The system as the user asked for it.
    pub requested: System,
    /// Where it goes.
    pub cloud: CloudRef,
    /// Why it cannot be launched at all.
    pub failure: Option<String>,
}

/// What the choice of clouds gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Placement {
    /// Machines, in the order of the deploys.
    pub vms: Vec<PlannedVm>,
    /// Private networks and the clouds they are now bound to.
    pub private_networks: BTreeMap<String, String>,
}

impl Placement {
    /// Why no machine at all can be launched, each reason once; none when one may be, or nothing is asked for.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let whys: Option<BTreeSet<&str>> = self.vms.iter().map(|vm| vm.failure.as_deref()).collect();
        let whys: Vec<&str> = whys?.into_iter().collect();
        (!whys.is_empty()).then(|| format!("Error adding VMs: {}", whys.join("\n")))
    }
}

/// A launch that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchFailure {
    /// Why, for users.
    pub why: String,
    /// Something of it may be left in the cloud.
    pub leftover: bool,
}

/// What child tasks and clouds report. These are never refused, and applied again if the store was away.
#[derive(Debug, Clone)]
pub enum Event {
    /// Clouds were chosen for a document.
    Placed {
        /// The work.
        work: u64,
        /// The choice.
        result: Result<Placement, String>,
    },
    /// Shared resources of a cloud are there: its machines are about to be created.
    SharedReady {
        /// Cloud id.
        cloud: String,
        /// What they are.
        shared: SharedResources,
        /// Machines that are created next.
        vms: Vec<u32>,
    },
    /// The launch of a machine ended.
    Launched {
        /// The machine.
        vm: u32,
        /// The cloud's id, or why not.
        result: Result<ProviderId, LaunchFailure>,
    },
    /// All launches of a work ended.
    LaunchEnded(u64),
    /// The cloud said something about machines; those it did not mention are gone there.
    Observed {
        /// The machines asked about.
        asked: Vec<u32>,
        /// The answer, or that there was none.
        answer: Result<Vec<Observation>, ()>,
    },
    /// The deletion of a machine ended.
    Deleted {
        /// The machine.
        vm: u32,
        /// Nothing of it is left, or why it could not be deleted.
        result: Result<(), String>,
    },
    /// The deletion of the shared resources ended.
    SharedDeleted(Result<(), String>),
    /// A step forward of a contextualization.
    Context {
        /// Its generation.
        generation: u64,
        /// The step.
        entry: Entry,
    },
    /// A contextualization ended.
    ContextEnded {
        /// Its generation.
        generation: u64,
        /// How.
        outcome: Outcome,
    },
}

/// Applies a report. Whether it was still of use: a contextualization that was superseded is told by `false`.
pub fn apply(draft: &mut Draft, event: Event) -> bool {
    match event {
        Event::Placed { work, result } => placed(draft, work, result),
        Event::SharedReady { cloud, shared, vms } => shared_ready(draft, cloud, shared, &vms),
        Event::Launched { vm, result } => launched(draft, vm, result),
        Event::LaunchEnded(work) => launch_ended(draft, work),
        Event::Observed { asked, answer } => observed(draft, &asked, answer),
        Event::Deleted { vm, result } => deleted(draft, vm, result),
        Event::SharedDeleted(result) => shared_deleted(draft, result),
        Event::Context { generation, entry } => return context(draft, generation, entry),
        Event::ContextEnded { generation, outcome } => context_ended(draft, generation, outcome),
    }
    draft.release_credentials();
    true
}

/// Accepts a document whose clouds are still to be chosen.
///
/// # Errors
/// The infrastructure is being deleted, or the document does not fit the stored one.
pub fn place(draft: &mut Draft, document: Arc<Radl>, credentials: Arc<Credentials>) -> Result<u64, OperationError> {
    merged(&draft.model, &document)?;
    draft.infrastructure().credentials = Some(credentials);
    let work = draft.accept(WorkKind::Placing { document, context: true });
    draft.effects.push(Effect::Place(work));
    Ok(work)
}

/// Merges a document into the stored one and plans its machines.
///
/// # Errors
/// The infrastructure is being deleted, or the document does not fit the stored one.
pub fn add(
    draft: &mut Draft,
    document: &Radl,
    placement: Placement,
    context: bool,
    if_all_fail: IfAllFail,
    credentials: Arc<Credentials>,
) -> Result<u64, OperationError> {
    let radl = merged(&draft.model, document)?;
    let had_deploys = !document.deploys.is_empty();
    let now = draft.seconds();
    let infrastructure = draft.infrastructure();
    infrastructure.radl = Arc::new(radl);
    infrastructure.private_networks.extend(placement.private_networks);
    infrastructure.credentials = Some(credentials);
    if placement.vms.is_empty() {
        if infrastructure.configured.is_none() && infrastructure.generation.is_none() {
            infrastructure.configured = Some(false);
        }
        draft.log(if had_deploys {
            "No VMs to deploy. Exiting."
        } else {
            "Infrastructure without any deploy. Exiting."
        });
    }
    let networks = draft.model.radl.networks.clone();
    let first = u32::try_from(draft.model.vms.len()).unwrap_or(u32::MAX);
    let mut numbers = Vec::with_capacity(placement.vms.len());
    let mut shared: Vec<(System, System, Arc<Radl>, Arc<Radl>)> = Vec::new();
    for (number, planned) in (first..).zip(placement.vms) {
        // Machines of one deploy are alike until their cloud tells them apart: they share the text.
        let alike = shared.last().filter(|last| last.0 == planned.system && last.1 == planned.requested);
        let (info, requested) = match alike {
            Some(last) => (last.2.clone(), last.3.clone()),
            None => {
                let document = |system: &System| {
                    Arc::new(Radl { networks: networks.clone(), systems: vec![system.clone()], ..Radl::default() })
                };
                let made = (document(&planned.system), document(&planned.requested));
                shared.push((planned.system.clone(), planned.requested.clone(), made.0.clone(), made.1.clone()));
                made
            }
        };
        if planned.failure.is_none() {
            // They are made before the first machine is: whoever deletes the infrastructure must know of them.
            draft.infrastructure().shared.entry(planned.cloud.id.clone()).or_default();
        }
        let failed = |why| Lifecycle::Failed { why, leftover: false };
        let lifecycle = planned.failure.map_or(Lifecycle::Planned, failed);
        numbers.push(number);
        draft.push_vm(Vm {
            number,
            uid: planned.uid,
            system: planned.system.name,
            cloud: planned.cloud,
            lifecycle,
            observed: None,
            info,
            requested,
            configured: None,
            failure: None,
            host_key: None,
            created: now,
            text: Default::default(),
        });
    }
    let work = draft.accept(WorkKind::Adding { vms: numbers, context, if_all_fail });
    draft.effects.push(Effect::Launch(work));
    Ok(work)
}

fn merged(model: &Infrastructure, document: &Radl) -> Result<Radl, OperationError> {
    if model.deleted || model.is_deleting() {
        return Err(OperationError::Invalid("Infrastructure deleted. Do not add resources.".to_owned()));
    }
    radl::merge::add_resource(&model.radl, document, &model.private_networks)
        .map(|added| added.stored)
        .map_err(|error| OperationError::Invalid(error.to_string()))
}

/// Starts the deletion of machines.
///
/// # Errors
/// Unknown or deleted machines; nothing is changed then.
pub fn remove(
    draft: &mut Draft,
    numbers: &[u32],
    context: bool,
    credentials: Arc<Credentials>,
) -> Result<u64, OperationError> {
    let wanted: BTreeSet<u32> = numbers.iter().copied().collect();
    for number in &wanted {
        let vm = draft.model.vm(*number).ok_or(OperationError::UnknownVm)?;
        if vm.lifecycle == Lifecycle::Gone {
            return Err(OperationError::DeletedVm);
        }
    }
    draft.infrastructure().credentials = Some(credentials);
    start_deleting(draft, &wanted);
    let work = draft.accept(WorkKind::Removing { vms: wanted.into_iter().collect(), context });
    settle(draft);
    draft.release_credentials();
    Ok(work)
}

/// Starts the deletion of everything; while one runs its number is returned again.
///
/// # Errors
/// Machines are being launched, unless `force`.
pub fn destroy(draft: &mut Draft, force: bool, credentials: Arc<Credentials>) -> Result<u64, OperationError> {
    let running = draft.model.work.iter().find(|work| matches!(work.kind, WorkKind::Destroying { .. })).map(|w| w.id);
    if let Some(id) = running {
        draft.infrastructure().credentials = Some(credentials);
        if force && let Some(work) = draft.infrastructure().work.iter_mut().find(|work| work.id == id) {
            work.kind = WorkKind::Destroying { force: true };
        }
        return Ok(id);
    }
    if draft.model.is_adding() && !force {
        return Err(OperationError::Conflict("adding resources".to_owned()));
    }
    draft.infrastructure().credentials = Some(credentials);
    Ok(start_destroying(draft, force))
}

fn start_destroying(draft: &mut Draft, force: bool) -> u64 {
    let superseded: Vec<u64> = draft.model.work.iter().map(|work| work.id).collect();
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

fn start_deleting(draft: &mut Draft, numbers: &BTreeSet<u32>) {
    let mut remote = BTreeSet::new();
    for &number in numbers {
        let Some(vm) = draft.vm(number) else { continue };
        vm.lifecycle = match std::mem::replace(&mut vm.lifecycle, Lifecycle::Gone) {
            Lifecycle::Present(id) => Lifecycle::Deleting(Some(id)),
            Lifecycle::Launching | Lifecycle::Failed { leftover: true, .. } => Lifecycle::Deleting(None),
            Lifecycle::Deleting(id) => Lifecycle::Deleting(id),
            // The cloud never heard of it.
            Lifecycle::Planned | Lifecycle::Failed { .. } | Lifecycle::Gone => Lifecycle::Gone,
        };
        if vm.lifecycle != Lifecycle::Gone {
            remote.insert(number);
        }
    }
    if !remote.is_empty() {
        draft.effects.push(Effect::Delete(remote));
    }
}

/// Starts a contextualization on request, with the changes of a document if there is one.
///
/// # Errors
/// A document that does not fit; nothing is changed then.
pub fn reconfigure(
    draft: &mut Draft,
    document: Option<&Radl>,
    selected: Option<BTreeSet<u32>>,
    credentials: Arc<Credentials>,
) -> Result<(), OperationError> {
    if draft.model.is_deleting() {
        return Err(OperationError::Invalid("The infrastructure is being deleted.".to_owned()));
    }
    if let Some(document) = document {
        let radl = radl::merge::reconfigure(&draft.model.radl, document)
            .map_err(|error| OperationError::Invalid(error.to_string()))?;
        draft.infrastructure().radl = Arc::new(radl);
        take_new_credentials(draft, document);
    }
    draft.infrastructure().credentials = Some(credentials);
    draft.start_generation(Cause::Reconfigure, selected);
    Ok(())
}

/// New credentials of a system go to all its machines.
fn take_new_credentials(draft: &mut Draft, document: &Radl) {
    const NEW: [&str; 3] = ["password", "public_key", "private_key"];
    for system in &document.systems {
        let values: Vec<(String, String)> = NEW
            .iter()
            .map(|key| format!("disk.0.os.credentials.new.{key}"))
            .filter_map(|name| Some((name.clone(), system.features.text(&name)?.to_owned())))
            .collect();
        if values.is_empty() {
            continue;
        }
        let of_system = |vm: &&Arc<Vm>| vm.system == system.name && vm.is_live();
        let numbers: Vec<u32> = draft.model.vms.iter().filter(of_system).map(|vm| vm.number).collect();
        for number in numbers {
            change_system(draft, number, |system| {
                for (name, value) in &values {
                    system.features.set_text(name, value);
                }
            });
        }
    }
}

fn change_system(draft: &mut Draft, number: u32, change: impl FnOnce(&mut System)) {
    if let Some(vm) = draft.vm(number)
        && let Some(system) = Arc::make_mut(&mut vm.info).systems.first_mut()
    {
        change(system);
    }
}

fn placed(draft: &mut Draft, id: u64, result: Result<Placement, String>) {
    let Some(Work { kind: WorkKind::Placing { document, context }, .. }) = draft.work(id).cloned() else { return };
    let credentials = draft.model.credentials.clone().unwrap_or_default();
    let added = result.and_then(|placement| {
        add(draft, &document, placement, context, IfAllFail::Keep, credentials).map_err(|error| error.to_string())
    });
    match added {
        Ok(_) => draft.finish(id, Ok(Vec::new())),
        Err(why) => {
            draft.infrastructure().configured = Some(false);
            draft.log(&why);
            draft.finish(id, Err(why));
        }
    }
}

fn shared_ready(draft: &mut Draft, cloud: String, shared: SharedResources, vms: &[u32]) {
    for (id, features) in &shared.networks {
        let infrastructure = draft.infrastructure();
        if let Some(network) = Arc::make_mut(&mut infrastructure.radl).networks.iter_mut().find(|n| n.id == *id) {
            for (name, value) in features.iter() {
                network.features.set(name, value.clone());
            }
        }
    }
    for &number in vms {
        let Some(vm) = draft.vm(number) else { continue };
        if vm.lifecycle == Lifecycle::Planned {
            vm.lifecycle = Lifecycle::Launching;
        }
        if !shared.networks.is_empty() {
            for network in &mut Arc::make_mut(&mut vm.info).networks {
                for (name, value) in shared.networks.get(&network.id).into_iter().flat_map(radl::Features::iter) {
                    network.features.set(name, value.clone());
                }
            }
        }
    }
    draft.infrastructure().shared.insert(cloud, Some(shared));
}

fn launched(draft: &mut Draft, number: u32, result: Result<ProviderId, LaunchFailure>) {
    let Some(vm) = draft.vm(number) else { return };
    match (&vm.lifecycle, result) {
        (Lifecycle::Launching, Ok(id)) => vm.lifecycle = Lifecycle::Present(id),
        (Lifecycle::Launching | Lifecycle::Planned, Err(LaunchFailure { why, leftover })) => {
            let why = format!(
                "Error launching the VMs of type {} to cloud ID {} of type {}. {why}",
                vm.system, vm.cloud.id, vm.cloud.kind
            );
            vm.lifecycle = Lifecycle::Failed { why, leftover };
        }
        // It was to be deleted while the cloud was making it.
        (Lifecycle::Deleting(None), Ok(id)) => {
            vm.lifecycle = Lifecycle::Deleting(Some(id));
            draft.effects.push(Effect::Delete(BTreeSet::from([number])));
        }
        (Lifecycle::Deleting(None), Err(failure)) if failure.leftover => {
            draft.effects.push(Effect::Delete(BTreeSet::from([number])));
        }
        (Lifecycle::Deleting(None), Err(_)) => {
            vm.lifecycle = Lifecycle::Gone;
            settle(draft);
        }
        _ => {}
    }
}

fn launch_ended(draft: &mut Draft, id: u64) {
    let Some(Work { kind: WorkKind::Adding { vms, context, if_all_fail }, .. }) = draft.work(id).cloned() else {
        return;
    };
    let failures: Vec<String> = vms
        .iter()
        .filter_map(|number| match &draft.model.vm(*number)?.lifecycle {
            Lifecycle::Failed { why, .. } => Some(why.clone()),
            _ => None,
        })
        .collect();
    if !vms.is_empty() && failures.len() == vms.len() {
        let why = format!("Error adding VMs: {}", failures.join("\n"));
        start_deleting(draft, &vms.into_iter().collect());
        if draft.model.live_vms().next().is_none() {
            draft.infrastructure().configured = Some(false);
        }
        draft.log(&format!("All VMs failed. No contextualize.\n{}", failures.join("\n")));
        draft.finish(id, Err(why));
        if if_all_fail == IfAllFail::Destroy {
            start_destroying(draft, true);
        }
        return;
    }
    for &number in &vms {
        give_new_password(draft, number);
    }
    draft.finish(id, Ok(vms.clone()));
    if context && !vms.is_empty() {
        draft.start_generation(Cause::Add, None);
    }
}

/// A machine that logs in with the password of its image gets one of its own (spec/radl.md 15, AddResource 7).
fn give_new_password(draft: &mut Draft, number: u32) {
    let Some(vm) = draft.model.vm(number) else { return };
    let Some(system) = vm.info.systems.first() else { return };
    let wants = vm.is_live()
        && !matches!(vm.lifecycle, Lifecycle::Failed { .. })
        && system.credentials().password.is_some()
        && system.new_credentials().password.is_none();
    if wants {
        let password = super::secrets::random_password();
        change_system(draft, number, |system| {
            system.features.set_text("disk.0.os.credentials.new.password", &password);
        });
    }
}

fn observed(draft: &mut Draft, asked: &[u32], answer: Result<Vec<Observation>, ()>) {
    let now = draft.seconds();
    let Ok(observations) = answer else {
        for &number in asked {
            let failing = |vm: &Arc<Vm>| vm.observed.is_some_and(|observed| observed.failing_since.is_none());
            if draft.model.vm(number).is_some_and(failing)
                && let Some(Vm { observed: Some(observed), .. }) = draft.vm(number)
            {
                observed.failing_since = Some(now);
            }
        }
        return;
    };
    let by_id: std::collections::HashMap<&ProviderId, &Observation> =
        observations.iter().map(|observation| (&observation.id, observation)).collect();
    for &number in asked {
        let Some(vm) = draft.model.vm(number).filter(|vm| vm.is_live()) else { continue };
        let Some(id) = vm.provider_id() else { continue };
        let seen = by_id.get(id).copied();
        let state = seen.map_or(PowerState::Off, |observation| observation.state);
        let observed = Some(Observed { state, failing_since: None });
        let name = &draft.terms.default_vm_name;
        let info = seen.and_then(|observation| observation::info_after(vm, observation, name, now));
        if vm.observed == observed && info.is_none() {
            continue;
        }
        let fault = seen.and_then(|observation| observation.fault.clone());
        let failed_now = state == PowerState::Failed && vm.observed != observed;
        if let Some(vm) = draft.vm(number) {
            vm.observed = observed;
            if let Some(info) = info {
                vm.info = Arc::new(info);
            }
        }
        if let Some(fault) = fault.filter(|_| failed_now) {
            draft.log_vm(number, format!("{fault}\n"));
        }
    }
}

fn deleted(draft: &mut Draft, number: u32, result: Result<(), String>) {
    let forced = draft.model.work.iter().any(|work| matches!(work.kind, WorkKind::Destroying { force: true }));
    let Some(vm) = draft.vm(number) else { return };
    let Lifecycle::Deleting(id) = vm.lifecycle.clone() else { return };
    match result {
        Ok(()) => vm.lifecycle = Lifecycle::Gone,
        Err(why) => {
            vm.lifecycle = match id {
                _ if forced => Lifecycle::Gone,
                Some(id) => Lifecycle::Present(id),
                None => Lifecycle::Failed { why: why.clone(), leftover: true },
            };
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
fn settle(draft: &mut Draft) {
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
                    true => Ok(gone),
                    false => Err(format!("Error removing resources: {:?}", work.errors).replace('"', "'")),
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
            WorkKind::Placing { .. } | WorkKind::Adding { .. } => {}
        }
    }
}

fn fail_destroying(draft: &mut Draft, id: u64, errors: &[String]) {
    let why = format!("Error destroying the infrastructure: \n{}", errors.join("\n"));
    draft.log(&why);
    draft.finish(id, Err(why));
}

fn shared_deleted(draft: &mut Draft, result: Result<(), String>) {
    let destroying = draft.model.work.iter().find_map(|work| match work.kind {
        WorkKind::Destroying { force } => Some((work.id, force)),
        _ => None,
    });
    let Some((id, force)) = destroying else { return };
    match result {
        Err(why) if !force => fail_destroying(draft, id, &[why]),
        _ => {
            let infrastructure = draft.infrastructure();
            infrastructure.deleted = true;
            infrastructure.ansible_key = None;
            let numbers: WorkResult = Ok(Vec::new());
            draft.finish(id, numbers);
        }
    }
}

fn open_generation(draft: &Draft, number: u64) -> bool {
    draft.model.generation.as_ref().is_some_and(|generation| generation.open && generation.number == number)
}

fn context(draft: &mut Draft, generation: u64, entry: Entry) -> bool {
    if !open_generation(draft, generation) {
        return false;
    }
    if let Some(progress) = entry.progress {
        draft.progress = Some(Some(progress));
    }
    for effect in entry.effects {
        match effect {
            ContextEffect::InfrastructureLog(line) => draft.log(&line),
            ContextEffect::InfrastructureText(text) => draft.log_plain(&text),
            ContextEffect::VmLog { vm, text } => draft.log_vm(vm, text),
            ContextEffect::VmResult { vm, result } => vm_result(draft, vm, result),
            ContextEffect::CredentialsChanged { vm } => {
                change_system(draft, vm, |system| system.update_credentials());
            }
            ContextEffect::HostKey { vm, key } => {
                if let Some(vm) = draft.vm(vm) {
                    vm.host_key = Some(key);
                }
            }
            ContextEffect::Master { vm } => draft.infrastructure().master = Some(vm),
        }
    }
    true
}

fn vm_result(draft: &mut Draft, number: u32, result: Result<(), VmError>) {
    if let Some(vm) = draft.vm(number) {
        vm.configured = Some(result.is_ok());
        vm.failure = result.err();
    }
}

fn context_ended(draft: &mut Draft, number: u64, outcome: Outcome) {
    if outcome == Outcome::Cancelled || !open_generation(draft, number) {
        return;
    }
    let (code, why) = match &outcome {
        Outcome::TimedOut => (ErrorCode::Timeout, "The time for the contextualization is over."),
        Outcome::Failed(why) => (ErrorCode::Internal, why.as_str()),
        Outcome::Done | Outcome::Cancelled => (ErrorCode::Internal, "The contextualization gave no result for it."),
    };
    let undecided: Vec<u32> = draft
        .model
        .vms
        .iter()
        .filter(|vm| matches!(vm.lifecycle, Lifecycle::Present(_)) && vm.configured.is_none())
        .map(|vm| vm.number)
        .collect();
    for number in undecided {
        let error = VmError { code, phase: "contextualization".to_owned(), message: why.to_owned() };
        vm_result(draft, number, Err(error));
    }
    let failed = outcome != Outcome::Done;
    let infrastructure = draft.infrastructure();
    infrastructure.configured = Some(!failed);
    if let Some(generation) = &mut infrastructure.generation {
        generation.open = false;
    }
    draft.progress = Some(None);
}

/// What a daemon that takes over an infrastructure must go on with.
#[must_use]
pub fn resume(model: &Infrastructure) -> Vec<Effect> {
    let mut effects = Vec::new();
    for work in &model.work {
        match &work.kind {
            WorkKind::Placing { .. } => effects.push(Effect::Place(work.id)),
            WorkKind::Adding { .. } => effects.push(Effect::Launch(work.id)),
            WorkKind::Removing { .. } => {}
            WorkKind::Destroying { .. } => {
                if !model.vms.iter().any(|vm| matches!(vm.lifecycle, Lifecycle::Deleting(_))) {
                    effects.push(Effect::DeleteShared);
                }
            }
        }
    }
    let deleting = |vm: &&Arc<Vm>| matches!(vm.lifecycle, Lifecycle::Deleting(_));
    let numbers: BTreeSet<u32> = model.vms.iter().filter(deleting).map(|vm| vm.number).collect();
    if !numbers.is_empty() {
        effects.push(Effect::Delete(numbers));
    }
    if model.generation.as_ref().is_some_and(|generation| generation.open) {
        effects.push(Effect::Contextualize);
    }
    effects
}
